"""Frames into files and files into frames, through the copy of ffmpeg that moviepy finds. All other modules write and read through these
functions.

moviepy's own writer does not notice that ffmpeg could not finish a file, and its own reader loses or repeats the last frames.
Frames are uint8 RGB, [height, width, 3].
"""

import contextlib
import errno
import math
import os
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import BinaryIO

import numpy as np

from .files import CLOSED, FULL


STANDSTILL_SECONDS = 60
"""ffmpeg is killed if for so long it takes no frame, or does not end after the last one. A frame takes it less than a second."""

TOLD = {os.strerror(number): number for number in (*FULL, *CLOSED, errno.ENOMEM) if number != errno.EPERM}
"""Reasons in ffmpeg's words, which are the operating system's. For ffmpeg, EPERM is any error without a number."""


class FfmpegError(OSError):
    """ffmpeg cannot read or write a file. The message is what ffmpeg says about it, which may be several lines.

    Attributes:
        errno: why the operating system refused something, if ffmpeg says so; `errno.ETIMEDOUT` if ffmpeg was killed because it stood still
            or took too long; otherwise `None`.
    """

    def __init__(self, message: str, number: int | None = None):
        super().__init__(message)
        self.errno = number

    @property
    def reason(self) -> str:
        """The reason in a few words, in brackets; empty if it is not known."""
        if self.errno is None:
            return ""
        return f" ({'it stood still' if self.errno == errno.ETIMEDOUT else os.strerror(self.errno).lower()})"


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
        FfmpegError: if ffmpeg cannot write the file, or stood still for `STANDSTILL_SECONDS`. No process is left then.
    """
    frames = iter(frames)
    first = next(frames, None)
    if first is None:
        raise ValueError("`frames` must hold at least one frame, got none.")
    height, width = first.shape[:2]
    form = ("-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-framerate", str(fps))
    command = _command(*form, "-i", "-", *arguments, _as_argument(path))
    with tempfile.TemporaryFile() as report:
        guarded = _Guarded(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=report)
        with guarded:
            try:
                for frame in chain([first], frames):
                    if frame.dtype != np.uint8 or frame.shape != (height, width, 3):
                        expected, got = f"uint8 [{height}, {width}, 3]", f"{frame.dtype} {list(frame.shape)}"
                        raise ValueError(f"`frames` must all be {expected}, got {got}.")
                    with guarded.within(STANDSTILL_SECONDS):
                        guarded.program.stdin.write(frame.tobytes())
            except BrokenPipeError:
                pass  # ffmpeg has failed, as its exit status says
            except BaseException:
                guarded.program.kill()  # nobody wants this file any more
                raise
        if guarded.program.returncode != 0:
            raise guarded.failure(report)


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
        with contextlib.ExitStack() as ending:
            guarded = ending.enter_context(
                _Guarded(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=report)
            )
            if seconds is not None:
                ending.enter_context(guarded.within(seconds))
            stdout = guarded.program.stdout
            # A PPM picture has one line each for its format, its size and its largest value, and then its pixels.
            while stdout.readline() == b"P6\n":
                width, height = map(int, stdout.readline().split())
                stdout.readline()
                pixels = stdout.read(3 * width * height)
                if len(pixels) < 3 * width * height:
                    break
                yield np.frombuffer(pixels, np.uint8).reshape(height, width, 3)
        if guarded.program.returncode != 0:
            raise guarded.failure(report)


def describe(path: Path | str) -> str:
    """What ffmpeg says about a file and its streams, several lines in ffmpeg's own words.

    Raises:
        FfmpegError: if ffmpeg stood still for `STANDSTILL_SECONDS`.
    """
    command = _command(*source(path), level="info")
    with tempfile.TemporaryFile() as report:
        guarded = _Guarded(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=report)
        with guarded:
            pass  # waits for the end
        if guarded.has_killed:
            raise guarded.failure(report)
        return _said(report)


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
    streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    with _Guarded(command, **streams) as guarded, guarded.within(seconds):
        metadata = guarded.program.stdout.read(most)
    if len(metadata) < most and guarded.program.returncode != 0:
        raise FfmpegError(f"ffmpeg cannot read {str(path)!r}.")
    return metadata


def _as_argument(path: Path | str) -> str:
    from moviepy.tools import ffmpeg_escape_filename  # the page starts without moviepy, which takes a while to import

    return ffmpeg_escape_filename(str(path))


def _command(*arguments: str, level: str = "error") -> list[str]:
    from moviepy.config import FFMPEG_BINARY

    return [FFMPEG_BINARY, "-v", level, "-y", *arguments]


class _Guarded:
    """ffmpeg, started, and killed if it takes too long, so that nobody waits for it for ever. Use it as a context manager: at the end, which
    ffmpeg notices by its closed pipes, it is waited for, `STANDSTILL_SECONDS` at most.

    Args:
        command: the program and its arguments.
        streams: `stdin`, `stdout` and `stderr` as `subprocess.Popen` takes them.

    Attributes:
        program: the process.
        has_killed: whether it took too long.

    Raises:
        FfmpegError: if it cannot be started.
    """

    def __init__(self, command: list[str], **streams):
        self.has_killed = self._has_ended = False
        self._deadline = math.inf  # on the clock of `time.monotonic`
        self._changed = threading.Condition()
        # Before the program, which would be left alone if there were no memory for the thread.
        watcher = threading.Thread(target=self._watch, daemon=True, name="ffmpeg")
        watcher.start()
        try:
            self.program = subprocess.Popen(command, **streams)
        except OSError as error:  # its number says nothing about the file that is read or written
            self._end()
            number = errno.ENOMEM if error.errno == errno.ENOMEM else None
            said = (error.strerror or str(error)).lower()
            raise FfmpegError(f"ffmpeg could not be started ({said}).", number) from error

    def __enter__(self) -> "_Guarded":
        return self

    def __exit__(self, *error) -> None:
        try:
            with self.within(STANDSTILL_SECONDS), contextlib.suppress(BrokenPipeError):
                self.program.__exit__(*error)  # closes the pipes and waits for the end
        finally:
            self._end()

    @contextlib.contextmanager
    def within(self, seconds: float) -> Iterator[None]:
        """A context for which the program may take so many seconds."""
        self._set(time.monotonic() + seconds)
        try:
            yield
        finally:
            self._set(math.inf)

    def _set(self, deadline: float) -> None:
        with self._changed:
            self._deadline = deadline
            self._changed.notify()

    def _end(self) -> None:
        with self._changed:
            self._has_ended = True
            self._changed.notify()

    def _watch(self) -> None:
        with self._changed:
            while not self._has_ended:
                left = self._deadline - time.monotonic()
                if left <= 0:
                    self.has_killed = True
                    self.program.kill()
                    return
                self._changed.wait(left if left < math.inf else None)

    def failure(self, report: BinaryIO) -> FfmpegError:
        """The error of a program that has failed, from the file of its error messages."""
        said = _said(report)
        number = next((number for words, number in TOLD.items() if words in said), None)
        if self.program.returncode == -signal.SIGXFSZ:  # the file became larger than a file may be here
            number = errno.EFBIG
        return FfmpegError(said, errno.ETIMEDOUT if self.has_killed else number)


def _said(report: BinaryIO) -> str:
    """What a program has said, from the file of its messages."""
    report.seek(0)
    return report.read().decode("utf-8", "replace").strip()
