"""Video folders: finds their files, decides which of them are for testing, and reads their frames at a chosen rate."""

import re
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from ..evaluation.clip_labels import is_held_out
from ..video.ffmpeg import FfmpegError, decode, describe, source


SUFFIXES = (".mp4", ".mov", ".mkv", ".webm", ".avi", ".m4v")

DEINTERLACED = "bwdif=mode=send_frame:deint=interlaced"
SQUARE_PIXELS = "scale=w=trunc(iw*sar+0.5):h=ih"

# HDR, as phones record it. Its reference white has 203 cd/m2 (BT.2408), which becomes nearly white here; a grey card becomes the grey
# that it has in ordinary video, and what is brighter than white is compressed into the little that is left.
HDR = re.compile(r"^ *Stream .* Video: .*\b(arib-std-b67|smpte2084)\b", re.MULTILINE)
TO_ORDINARY_COLOURS = (
    "zscale=t=linear:npl=203,format=gbrpf32le,zscale=p=bt709,"
    "tonemap=mobius:param=0.7:desat=0:peak=4.93,zscale=t=bt709:r=full"
)


def find_videos(folder: Path, is_usable: Callable[[Path], bool] = lambda _: True) -> dict[str, Path]:
    """The videos of a folder, each by the place of its latents: "NAME", or "train/NAME" and "test/NAME". Where two videos differ in their
    suffix alone, NAME has it, too.

    If there are folders `train` and `test` (the paper's layout), they decide. In a flat folder the names that end in 7 are held out; if
    there are none, of every ten videos the first one is.

    Args:
        folder: the folder.
        is_usable: tells of a video whether it can be read. In a flat folder, no video is chosen to be held out that cannot.

    Raises:
        ValueError: if there are no videos, or none to train on or none to test with.
    """
    videos = [
        path
        for part in split(folder)
        for path in sorted(part.glob("*"))
        if path.suffix.lower() in SUFFIXES and not path.name.startswith(".")  # such as macOS's notes, ._NAME.mp4
    ]
    if not videos:
        raise ValueError(
            f"`clips` must be a folder of videos (or with folders train and test of them), got {str(folder)!r}."
        )
    stems = Counter((path.parent, path.stem) for path in videos)
    names = {path: path.stem if stems[path.parent, path.stem] == 1 else path.name for path in videos}
    if split(folder) != [folder]:
        placed = {f"{path.parent.name}/{name}": path for path, name in names.items()}
    elif any(is_held_out(path.name) and is_usable(path) for path in videos):
        placed = {name: path for path, name in names.items()}
    else:
        tens = [videos[start : start + 10] for start in range(0, len(videos), 10)]
        tests = {next(filter(is_usable, ten), ten[0]) for ten in tens}
        placed = {f"{'test' if path in tests else 'train'}/{name}": path for path, name in names.items()}
    if len({is_held_out(target) for target in placed}) == 1:
        kind = "test with (a folder `test`)" if not is_held_out(next(iter(placed))) else "train on"
        raise ValueError(f"`clips` must hold at least two videos, got none to {kind} in {str(folder)!r}.")
    return placed


def split(folder: Path) -> list[Path]:
    """The folders that hold the videos: `train` and `test` if they exist, otherwise the folder itself."""
    return [part for part in (folder / "train", folder / "test") if part.is_dir()] or [folder]


def read_frames_at(path: Path, frame_rate: float, seconds: float) -> Iterator[np.ndarray]:
    """The first `seconds` of a video at `frame_rate` frames per second whatever its own rate: upright, with square pixels, whole pictures
    instead of interlaced ones, and in ordinary colours (sRGB) instead of HDR.

    Yields:
        frames, uint8 RGB [height, width, 3], of the size that the video has.

    Raises:
        ValueError: if ffmpeg cannot read it, or not to the end.
    """
    said = describe(path)
    if "Stream #" in said and " Video: " not in said:
        raise ValueError("there is sound in it, and no picture.")
    filters = [DEINTERLACED, f"fps={frame_rate}", SQUARE_PIXELS, *([TO_ORDINARY_COLOURS] if HDR.search(said) else [])]
    try:
        yield from decode(["-xerror", *source(path)], ["-t", str(seconds), "-vf", ",".join(filters)])
    except FfmpegError as error:
        reason = (str(error).splitlines() or ["no video"])[0]
        raise ValueError(f"ffmpeg cannot read it ({reason}).") from error
