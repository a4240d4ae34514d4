"""Clips on disk: mp4 files and segments of live streams, their settings and their frames.

Frames are uint8 RGB, [height, width, 3], in the colours of the photo (sRGB). F is the number of frames of a clip.
"""

import json
import re
import shutil
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from .ffmpeg import FfmpegError, decode, describe, encode, read_metadata, source
from .files import written_whole


# Browsers take the colour matrix from the file's tags, and guess it if there are none. So the pixels are converted by the matrix of
# BT.709, and the tags say so: newer ffmpegs take them from the filter, older ones from the encoder's options.
H264_ARGUMENTS = (
    *("-c:v", "libx264"),
    "-vf",
    "scale=out_color_matrix=bt709:out_range=tv:flags=bicubic+accurate_rnd+full_chroma_int,format=yuv420p,"
    "setparams=range=tv:colorspace=bt709:color_primaries=bt709:color_trc=bt709",
    *("-color_range", "tv", "-colorspace", "bt709", "-color_primaries", "bt709", "-color_trc", "bt709"),
)

# Players can start before the whole file is there. Frames are decoded in another order than they are shown, so ffmpeg delays them and tells
# players to skip the delay, in an edit list. Platforms refuse files with edit lists (Instagram does), so nothing is delayed instead.
MP4_ARGUMENTS = ("-movflags", "+faststart+negative_cts_offsets", "-use_editlist", "0")


TITLE = "AI-generated with FashionFlow"
"""The title that players and file managers show with a clip."""

LONGEST_METADATA = 2**20  # bytes; ours are under one thousand
LONGEST_READING = 20  # seconds in which ffmpeg may search a file for metadata
LONGEST_DECODING = 300  # seconds in which ffmpeg may decode a whole clip; 280 frames of 1080 x 1920 take ten


def read_frames(path: Path | str) -> np.ndarray:
    """Every frame of a video file, uint8 RGB, [F, height, width, 3].

    Raises:
        ValueError: if the file is missing, or is not a video that ffmpeg can read.
    """
    _check_is_file(path)
    try:
        return np.stack(list(decode(source(path), seconds=LONGEST_DECODING)))
    except (FfmpegError, ValueError) as error:  # ValueError: there was no frame
        raise ValueError(f"{str(path)!r} is not a video that ffmpeg can read.") from error


def read_rate(path: Path | str) -> float:
    """The frame rate of a video file, in frames per second.

    Raises:
        ValueError: if the file is missing, or is not a video that ffmpeg can read.
    """
    from moviepy.video.io.ffmpeg_reader import FFmpegInfosParser  # only here, because it takes a while

    _check_is_file(path)
    try:
        return float(FFmpegInfosParser(describe(path), str(path), check_duration=False).parse()["video_fps"])
    except Exception as error:  # moviepy raises OSError, KeyError or IndexError, depending on the damage
        raise ValueError(f"{str(path)!r} is not a video that ffmpeg can read.") from error


def write_clip(
    path: Path | str, frames: Iterable[np.ndarray], fps: float, settings: dict | None = None, quality: int = 18
) -> Path:
    """Writes an H.264 clip that every browser plays, frame by frame, so that a long clip needs no more memory.

    Args:
        path: the path of the clip, a name ending in .mp4. If anything goes wrong, no half-written file is left there.
        frames: uint8 RGB frames, [height, width, 3], all of one even size.
        fps: frames per second.
        settings: the settings of the clip, in a form that JSON allows; `read_settings` reads them back.
        quality: x264's CRF, 0 (lossless) to 51; 18 looks the same as the original frames.

    Raises:
        ValueError: if the name, a frame or its size is wrong, or there are no frames.
        FfmpegError: if ffmpeg cannot write the file.
    """
    path = Path(path)
    if path.suffix != ".mp4":
        raise ValueError(f"`path` must end in .mp4, got {path.name!r}.")
    tags = {"title": TITLE, "description": TITLE}
    if settings is not None:
        tags["comment"] = json.dumps(settings)  # pure ASCII on one line, which every program shows unchanged
    arguments = ["-crf", str(quality), *MP4_ARGUMENTS]
    for name, value in tags.items():
        arguments += ["-metadata", f"{name}={value}"]
    return _write_h264(path, frames, fps, "medium", arguments)


def write_segment(path: Path | str, frames: Sequence[np.ndarray], fps: float) -> Path:
    """Writes one segment of a live stream: it starts with a keyframe, needs no other segment, and is quick to write.

    Args:
        path: the path of the segment, a name ending in .mp4 or .ts.
        frames: uint8 RGB frames, [height, width, 3], all of one even size.
        fps: frames per second.

    Raises:
        ValueError: if the name, a frame or its size is wrong, or there are no frames.
        FfmpegError: if ffmpeg cannot write the file.
    """
    path = Path(path)
    if path.suffix not in (".mp4", ".ts"):
        raise ValueError(f"`path` must end in .mp4 or .ts, got {path.name!r}.")
    # Without B-frames, frames are decoded in the order in which they are shown, so segments join at the first frame.
    return _write_h264(path, frames, fps, "veryfast", ["-crf", "18", "-bf", "0"])


def read_settings(path: Path | str) -> dict | None:
    """The settings that `write_clip` stored in the file, or None if the file has none.

    Raises:
        ValueError: if the file is missing, or if ffmpeg cannot read it.
    """
    _check_is_file(path)
    # ffmpeg's report, which moviepy parses, cuts a tag after 255 characters; its metadata format has the whole tag. Strangers' files are
    # read here, too, so memory and time are limited.
    try:
        metadata = read_metadata(path, LONGEST_METADATA + 1, LONGEST_READING)
    except FfmpegError as error:
        raise ValueError(f"{str(path)!r} is not a video that ffmpeg can read.") from error
    if len(metadata) > LONGEST_METADATA:
        return None  # not our metadata
    # A tag's line ends at the first line break without a backslash before it.
    tag = re.search(r"^comment=((?:[^\\\n]|\\.)*)$", metadata.decode("utf-8", "replace"), re.MULTILINE | re.DOTALL)
    try:
        settings = json.loads(re.sub(r"\\(.)", r"\1", tag[1], flags=re.DOTALL)) if tag else None
    except (ValueError, RecursionError):
        return None  # not our comment
    return settings if isinstance(settings, dict) else None


def ffmpeg_on_path() -> bool:
    """Whether `ffmpeg` and `ffprobe` can be started by name, which Gradio needs for streaming video. moviepy's copy of
    ffmpeg does not count."""
    return all(shutil.which(program) for program in ("ffmpeg", "ffprobe"))


def contact_sheet(frames: np.ndarray, columns: int) -> Image.Image:
    """Frames of a clip side by side, evenly spaced in time, including the first and the last.

    Args:
        frames: a clip, uint8 RGB, [F, height, width, 3].
        columns: the number of frames to show; a shorter clip shows all its frames.

    Raises:
        ValueError: if `columns` is below 1.
    """
    if columns < 1:
        raise ValueError(f"`columns` must be at least 1, got {columns}.")
    chosen = np.linspace(0, len(frames) - 1, min(columns, len(frames))).round().astype(int)
    return Image.fromarray(np.concatenate(list(frames[chosen]), axis=1))


def _check_is_file(path: Path | str) -> None:
    if not Path(path).is_file():
        raise ValueError(f"There is no video at {str(path)!r}.")


def _write_h264(path: Path, frames: Iterable[np.ndarray], fps: float, preset: str, arguments: Sequence[str]) -> Path:
    with written_whole(path) as unfinished:
        try:
            encode(unfinished, _even(frames), fps, [*H264_ARGUMENTS, "-preset", preset, *arguments])
        except FfmpegError as error:
            raise FfmpegError(f"ffmpeg cannot write {str(path)!r}{error.reason}.", error.errno) from error
    return path


def _even(frames: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """The frames, checked for what H.264 in the colours of browsers can hold."""
    for frame in frames:
        height, width = frame.shape[:2]
        if height % 2 or width % 2:
            raise ValueError(f"`frames` must have an even width and height, got {width} x {height}.")
        yield frame
