"""Clips on disk, read and written through moviepy's ffmpeg.

Frames are uint8 RGB, [height, width, 3], in the colours of the photo (sRGB). F is the number of frames of a clip.
"""

import json
import os
import re
import shutil
import subprocess
import threading
import uuid
from collections.abc import Iterable, Sequence
from itertools import chain
from pathlib import Path

import numpy as np
from moviepy.config import FFMPEG_BINARY
from moviepy.tools import ffmpeg_escape_filename
from moviepy.video.io.ffmpeg_reader import FFMPEG_VideoReader
from moviepy.video.io.ffmpeg_writer import FFMPEG_VideoWriter
from PIL import Image


# Browsers take the colour matrix from the file's tags, and guess it if there are none. So the pixels are converted by the matrix of
# BT.709, and the tags say so: newer ffmpegs take them from the filter, older ones from the encoder's options. `format` keeps the alpha
# plane that moviepy requests out of the conversion, because H.264 for browsers has none.
COLOUR_ARGUMENTS = (
    "-vf",
    "scale=out_color_matrix=bt709:out_range=tv:flags=bicubic+accurate_rnd+full_chroma_int,format=yuv420p,"
    "setparams=range=tv:colorspace=bt709:color_primaries=bt709:color_trc=bt709",
    *("-color_range", "tv", "-colorspace", "bt709", "-color_primaries", "bt709", "-color_trc", "bt709"),
)


TITLE = "AI-generated with FashionFlow"
"""The title that players and file managers show with a clip."""

LONGEST_METADATA = 2**20  # bytes; ours are under one thousand
LONGEST_READING = 20  # seconds in which ffmpeg may search a file for metadata


def read_frames(path: Path | str) -> np.ndarray:
    """Every frame of a video file, uint8 RGB, [F, height, width, 3].

    Raises:
        ValueError: if the file is missing, or is not a video that ffmpeg can read.
    """
    reader = _open(path)
    try:
        first = reader.last_read  # opening the reader reads the first frame
        frames = [first]
        while len(pixels := reader.proc.stdout.read(first.nbytes)) == first.nbytes:
            frames.append(np.frombuffer(pixels, np.uint8).reshape(first.shape))
    finally:
        reader.close()
    return np.stack(frames)


def read_rate(path: Path | str) -> float:
    """The frame rate of a video file, in frames per second.

    Raises:
        ValueError: if the file is missing, or is not a video that ffmpeg can read.
    """
    reader = _open(path)
    reader.close()
    return float(reader.fps)


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
        OSError: if ffmpeg cannot write the file.
    """
    path = Path(path)
    if path.suffix != ".mp4":
        raise ValueError(f"`path` must end in .mp4, got {path.name!r}.")
    tags = {"title": TITLE, "description": TITLE}
    if settings is not None:
        tags["comment"] = json.dumps(settings)  # pure ASCII on one line, which every program shows unchanged
    arguments = ["-crf", str(quality), "-movflags", "+faststart"]
    for name, value in tags.items():
        arguments += ["-metadata", f"{name}={value}"]
    return _encode(path, frames, fps, "medium", arguments)


def write_segment(path: Path | str, frames: Sequence[np.ndarray], fps: float) -> Path:
    """Writes one segment of a live stream: it starts with a keyframe, needs no other segment, and is quick to write.

    Args:
        path: the path of the segment, a name ending in .mp4 or .ts.
        frames: uint8 RGB frames, [height, width, 3], all of one even size.
        fps: frames per second.

    Raises:
        ValueError: if the name, a frame or its size is wrong, or there are no frames.
        OSError: if ffmpeg cannot write the file.
    """
    path = Path(path)
    if path.suffix not in (".mp4", ".ts"):
        raise ValueError(f"`path` must end in .mp4 or .ts, got {path.name!r}.")
    # Without B-frames, frames are decoded in the order in which they are shown, so segments join at the first frame.
    return _encode(path, frames, fps, "veryfast", ["-crf", "18", "-bf", "0"])


def read_settings(path: Path | str) -> dict | None:
    """The settings that `write_clip` stored in the file, or None if the file has none.

    Raises:
        ValueError: if the file is missing, or if ffmpeg cannot read it.
    """
    if not Path(path).is_file():
        raise ValueError(f"There is no video at {str(path)!r}.")
    # ffmpeg's report, which moviepy parses, cuts a tag after 255 characters; its metadata format has the whole tag. Strangers' files are
    # read here, too: ffmpeg does not let a file name a network address, and memory and time are limited here.
    command = [FFMPEG_BINARY, "-v", "error", "-i", ffmpeg_escape_filename(str(path)), "-f", "ffmetadata", "-"]
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as program:
        alarm = threading.Timer(LONGEST_READING, program.kill)
        alarm.start()
        metadata = program.stdout.read(LONGEST_METADATA + 1)
    alarm.cancel()
    if len(metadata) > LONGEST_METADATA:
        return None  # not our metadata
    if program.returncode != 0:
        raise ValueError(f"{str(path)!r} is not a video that ffmpeg can read.")
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


def _open(path: Path | str) -> FFMPEG_VideoReader:
    """moviepy's reader of a video file, which has read the first frame."""
    if not Path(path).is_file():
        raise ValueError(f"There is no video at {str(path)!r}.")
    try:
        # moviepy's own frame count comes from a duration rounded to 0.01 s, which loses frames at 30 frames per second. So the duration
        # is not requested, and the frames are read until the end.
        return FFMPEG_VideoReader(str(path), decode_file=False, check_duration=False)
    except Exception as error:  # moviepy raises OSError, KeyError or IndexError, depending on the damage
        raise ValueError(f"{str(path)!r} is not a video that ffmpeg can read.") from error


def _encode(path: Path, frames: Iterable[np.ndarray], fps: float, preset: str, arguments: list[str]) -> Path:
    """Writes the frames to a file beside `path`, and moves the finished file to `path`."""
    frames = iter(frames)
    first = next(frames, None)
    if first is None:
        raise ValueError("`frames` must hold at least one frame, got none.")
    height, width = first.shape[:2]
    if height % 2 or width % 2:
        raise ValueError(f"`frames` must have an even width and height, got {width} x {height}.")
    unfinished = path.with_name(f".{uuid.uuid4().hex}{path.suffix}")
    writer = None
    try:
        writer = FFMPEG_VideoWriter(
            str(unfinished), (width, height), fps, preset=preset, ffmpeg_params=[*COLOUR_ARGUMENTS, *arguments]
        )
        for frame in chain([first], frames):
            if frame.dtype != np.uint8 or frame.shape != (height, width, 3):
                expected = f"uint8 [{height}, {width}, 3]"
                raise ValueError(f"`frames` must all be {expected}, got {frame.dtype} {list(frame.shape)}.")
            try:
                writer.write_frame(frame)
            except OSError as error:  # ffmpeg has failed; moviepy's error contains its report
                raise OSError(f"ffmpeg cannot write {str(path)!r}.") from error
        # moviepy closes the file without checking whether ffmpeg could finish it.
        _, report = writer.proc.communicate()
        if writer.proc.returncode != 0:
            reason = report.decode("utf-8", "replace").strip()
            raise OSError(f"ffmpeg cannot write {str(path)!r}.") from OSError(reason)
        os.replace(unfinished, path)
    finally:
        if writer is not None:
            writer.proc.kill()
            writer.close()
        unfinished.unlink(missing_ok=True)
    return path
