"""Video folders: finds their files, decides which of them are for testing, and reads their frames at a chosen rate."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ..evaluation.clip_labels import is_held_out
from ..video.ffmpeg import FfmpegError, decode, source


SUFFIXES = (".mp4", ".mov", ".mkv", ".webm", ".avi", ".m4v")


def find_videos(folder: Path) -> dict[str, Path]:
    """The videos of a folder, each by the place of its latents: "NAME", or "train/NAME" and "test/NAME".

    If there are folders `train` and `test` (the paper's layout), they decide. In a flat folder the names that end in 7 are held out; if
    there are none, every tenth video is held out, and at least one.

    Raises:
        ValueError: if there are no videos, or none to train on or none to test with.
    """
    files = [sorted(p for p in part.glob("*") if p.suffix.lower() in SUFFIXES) for part in split(folder)]
    videos = [path for part in files for path in part]
    if not videos:
        raise ValueError(
            f"`clips` must be a folder of videos (or with folders train and test of them), got {str(folder)!r}."
        )
    if split(folder) != [folder]:
        placed = {f"{path.parent.name}/{path.stem}": path for path in videos}
    elif any(is_held_out(path.name) for path in videos):
        placed = {path.stem: path for path in videos}
    else:
        placed = {f"{'train' if index % 10 else 'test'}/{path.stem}": path for index, path in enumerate(videos)}
    if len({is_held_out(target) for target in placed}) == 1:
        kind = "test with (a folder `test`)" if not is_held_out(next(iter(placed))) else "train on"
        raise ValueError(f"`clips` must hold at least two videos, got none to {kind} in {str(folder)!r}.")
    return placed


def split(folder: Path) -> list[Path]:
    """The folders that hold the videos: `train` and `test` if they exist, otherwise the folder itself."""
    return [part for part in (folder / "train", folder / "test") if part.is_dir()] or [folder]


def read_frames_at(path: Path, frame_rate: float, seconds: float) -> Iterator[np.ndarray]:
    """The first `seconds` of a video, upright, at `frame_rate` frames per second whatever its own rate.

    Yields:
        frames, uint8 RGB [height, width, 3], of the size that the video has.

    Raises:
        ValueError: if ffmpeg cannot read it, or not to the end.
    """
    try:
        yield from decode(["-xerror", *source(path)], ["-t", str(seconds), "-vf", f"fps={frame_rate}"])
    except FfmpegError as error:
        reason = (str(error).splitlines() or ["no video"])[0]
        raise ValueError(f"ffmpeg cannot read it ({reason}).") from error
