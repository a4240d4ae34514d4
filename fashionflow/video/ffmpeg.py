"""Frames into files and files into frames, through the copy of ffmpeg that moviepy finds. All other modules write and read through these
functions.

moviepy's own writer does not notice that ffmpeg could not finish a file, and its own reader loses or repeats the last frames.
Frames are uint8 RGB, [height, width, 3].
"""

import contextlib
import subprocess
import tempfile
import threading
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import BinaryIO

import numpy as np


class FfmpegError(OSError):
    """ffmpeg cannot read or write a file. The message is what ffmpeg says about it, which may be several lines."""


def source(path: Path | str) -> list[str]:
    """The arguments that make a file ffmpeg's input. ffmpeg does not let a file name a network address."""
    return ["-i", _as_argument(path)]


def encode(path: Path, frames: Iterable[np.ndarray], fps: float, arguments: Sequence[str]) -> None:
    """Writes frames to a file, one by one, so that many frames need no more memory. After an error, a half-written file may be left.

    Args:
        path: the file; its suffix names the format.
        frames: uint8 RGB frames, [height, width, 3], all of one size.
        fps: frames per second.
        arguments: ffmpeg's arguments between its input and its output.

    Raises:
        ValueError: if there are no frames, or a frame is unlike the first one.
        FfmpegError: if ffmpeg cannot write the file.
    """
    frames = iter(frames)
    first = next(frames, None)
    if first is None:
        raise ValueError("`frames` must hold at least one frame, got none.")
    height, width = first.shape[:2]
    form = ("-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-framerate", str(fps))
    command = _command(*form, "-i", "-", *arguments, _as_argument(path))
    with tempfile.TemporaryFile() as report:
        program = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=report)
        # If the pipe breaks, ffmpeg has failed, as its exit status says.
        with contextlib.suppress(BrokenPipeError), program:
            try:
                for frame in chain([first], frames):
                    if frame.dtype != np.uint8 or frame.shape != (height, width, 3):
                        expected, got = f"uint8 [{height}, {width}, 3]", f"{frame.dtype} {list(frame.shape)}"
                        raise ValueError(f"`frames` must all be {expected}, got {got}.")
                    program.stdin.write(frame.tobytes())
            except BrokenPipeError:
                raise
            except BaseException:
                program.kill()  # nobody wants this file any more
                raise
        if program.returncode != 0:
            raise FfmpegError(_reason(report))


def decode(
    arguments: Sequence[str], output_arguments: Sequence[str] = (), seconds: float | None = None
) -> Iterator[np.ndarray]:
    """Yields the frames of a video, upright, each made only when it is requested.

    Args:
        arguments: ffmpeg's arguments that name its input, as `source` returns them.
        output_arguments: what ffmpeg is to do with the frames, such as a filter.
        seconds: the longest time that ffmpeg may take; by default there is no limit.

    Raises:
        FfmpegError: if ffmpeg cannot read the video, or not to the end.
    """
    output = ("-map", "0:v:0", *output_arguments, "-f", "image2pipe", "-pix_fmt", "rgb24", "-c:v", "ppm", "-")
    with tempfile.TemporaryFile() as report:
        command = _command(*arguments, *output)
        program = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=report)
        alarm = threading.Timer(seconds or 0, program.kill)
        if seconds is not None:
            alarm.start()
        try:
            # A PPM picture has one line each for its format, its size and its largest value, and then its pixels.
            while program.stdout.readline() == b"P6\n":
                width, height = map(int, program.stdout.readline().split())
                program.stdout.readline()
                pixels = program.stdout.read(3 * width * height)
                if len(pixels) < 3 * width * height:
                    break
                yield np.frombuffer(pixels, np.uint8).reshape(height, width, 3)
        finally:
            program.stdout.close()  # also ends ffmpeg if it is still writing
            returned = program.wait()
            alarm.cancel()
        if returned != 0:
            raise FfmpegError(_reason(report))


def describe(path: Path | str) -> str:
    """What ffmpeg says about a file and its streams, several lines in ffmpeg's own words."""
    command = _command(*source(path), level="info")
    report = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False).stderr
    return report.decode("utf-8", "replace")


def read_metadata(path: Path | str, most: int, seconds: float) -> bytes:
    """A file's metadata in ffmpeg's own text format, up to `most` bytes of it.

    Args:
        path: the file.
        most: the number of bytes that are read; more are not held in memory.
        seconds: the longest time that ffmpeg may take.

    Raises:
        FfmpegError: if ffmpeg cannot read the file.
    """
    command = _command(*source(path), "-f", "ffmetadata", "-")
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as program:
        alarm = threading.Timer(seconds, program.kill)
        alarm.start()
        metadata = program.stdout.read(most)
    alarm.cancel()
    if len(metadata) < most and program.returncode != 0:
        raise FfmpegError(f"ffmpeg cannot read {str(path)!r}.")
    return metadata


def _as_argument(path: Path | str) -> str:
    from moviepy.tools import ffmpeg_escape_filename  # the page starts without moviepy, which takes a while to import

    return ffmpeg_escape_filename(str(path))


def _command(*arguments: str, level: str = "error") -> list[str]:
    from moviepy.config import FFMPEG_BINARY

    return [FFMPEG_BINARY, "-v", level, "-y", *arguments]


def _reason(report: BinaryIO) -> str:
    """The last words of a program, from the file of its error messages."""
    report.seek(0)
    return report.read().decode("utf-8", "replace").strip()
