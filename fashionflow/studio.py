"""A loaded pipeline at work: one clip at a time on its device, told as events, stopped within one step."""

import contextlib
import logging
import queue
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import torch

from .animation import AnimationRequest, Event, Finished, Segment, Step, Waiting
from .pipelines import FashionFlowPipeline
from .playback import playing_frames, playing_rate
from .preview import Preview
from .video import write_clip, write_segment


KEEP_SECONDS = 3600
"""Nothing that a visitor made is kept longer than this."""

SWEEP_SECONDS = 600
"""How often old jobs are looked for. They go one sweep early, so that `KEEP_SECONDS` is a promise and not a mean."""

SEGMENT_SECONDS = 0.75  # of a clip in one streamed piece; players start once about so much has arrived
TURN_SECONDS = 0.25  # between looks at whether the device is free

JOB_PREFIX = "job-"

logger = logging.getLogger(__name__)


class Studio:
    """Owns a pipeline and its device. However many threads ask, one clip is made at a time, in the order of asking.

    Args:
        pipe: a loaded pipeline, on its device; nobody else may run it.
        folder: where the studio's own folder is made; the system's temporary folder by default. Clips are deleted from it
            after `KEEP_SECONDS` at the latest, and all of it when Python ends.
    """

    def __init__(self, pipe: FashionFlowPipeline, folder: Path | str | None = None):
        pipe.set_progress_bar_config(disable=True)
        self.pipe = pipe
        self._folder = tempfile.TemporaryDirectory(prefix="fashionflow-", dir=folder, ignore_cleanup_errors=True)
        self.folder = Path(self._folder.name)
        self.decode_seconds = 0.0  # for one denoised frame, as the last clip took; 0 until there was one
        self._line: list[object] = []  # who asked, first come first; the first one has the device
        self._moved_up = threading.Condition()
        threading.Thread(target=_sweep_until_gone, args=(self.folder,), daemon=True, name="sweep").start()

    @property
    def fps(self) -> float:
        """Frames a second of finished clips."""
        return playing_rate(self.pipe)[1]

    def animate(self, request: AnimationRequest, stop: threading.Event, segments: bool = True) -> Iterator[Event]:
        """Yields `Waiting` while others have the device, a `Step` for every denoising step, `Segment`s, and `Finished`.

        Setting `stop`, or closing the iterator, ends the work within one step; after `stop` the iterator ends without
        `Finished`, and closing returns at once. Either way the next job starts only when this one has ended its work.

        Args:
            request: what to make.
            stop: an event of this job alone.
            segments: also write the clip in pieces for a live player.

        Raises:
            ValueError: at once, if `request` asks for what this pipeline cannot do. What goes wrong later is raised where
                the events are read.
        """
        request.check(self.pipe)
        return self._animate(request, stop, segments)

    @property
    def in_line(self) -> int:
        """How many jobs are at work or wait for it."""
        return len(self._line)

    def _animate(self, request: AnimationRequest, stop: threading.Event, segments: bool) -> Iterator[Event]:
        ticket = object()
        job = None
        with self._moved_up:
            self._line.append(ticket)
        try:
            while ahead := self._ahead(ticket):
                yield Waiting(ahead)
                if stop.is_set():
                    return
                with self._moved_up:
                    self._moved_up.wait(TURN_SECONDS)
            yield Waiting(0)
            if stop.is_set():
                return
            starting = _Job(self, request, stop, segments, ended=partial(self._leave, ticket))
            starting.start()
            job = starting  # from here on it leaves the line itself
            yield from job.told()
        finally:
            if job is None:
                self._leave(ticket)
            else:
                job.abandon()

    def _leave(self, ticket: object) -> None:
        with self._moved_up:
            self._line.remove(ticket)
            self._moved_up.notify_all()

    def _ahead(self, ticket: object) -> int:
        with self._moved_up:
            return self._line.index(ticket)


class _Stopped(Exception):
    """Raised inside a job's thread once nobody wants its clip any more."""


class _Job(threading.Thread):
    """One clip in the making, on a thread of its own from start to end, so that it works on while its reader is busy with
    an event; it waits for a reader who is four events behind. `ended` is called on that thread, as the last thing."""

    def __init__(
        self,
        studio: Studio,
        request: AnimationRequest,
        stop: threading.Event,
        segments: bool,
        ended: Callable[[], None],
    ):
        super().__init__(daemon=True, name="animate")
        self._studio, self._pipe, self._request = studio, studio.pipe, request
        self._stop_asked, self._abandoned = stop, threading.Event()
        self._segments, self._ended = segments, ended
        self._events: queue.Queue = queue.Queue(maxsize=4)
        self._error: Exception | None = None
        self._started_at = time.monotonic()

    def told(self) -> Iterator[Event]:
        """The job's events until it ends, then its error if it had one."""
        while self.is_alive() or not self._events.empty():
            try:
                event = self._events.get(timeout=0.1)
            except queue.Empty:
                continue
            if not self._unwanted():
                yield event
        if self._error is not None:
            raise self._error

    def abandon(self) -> None:
        """Has the thread stop, without waiting for it: Gradio closes iterators where it serves every visitor."""
        self._abandoned.set()

    def run(self) -> None:
        try:
            with Preview(self._pipe) as preview:
                latents = self._denoise(preview)
            self._finish(latents)
        except _Stopped:
            logger.info("A clip was stopped after %.1f s.", self._elapsed())
        except Exception as error:
            self._error = error
        finally:
            self._ended()

    def _denoise(self, preview: Preview) -> torch.Tensor:
        request = self._request

        def on_step_end(pipe, step: int, timestep: int, tensors: dict) -> dict:
            self._stop_if_unwanted()
            elapsed = self._elapsed()
            remaining = elapsed / (step + 1) * (request.steps - step - 1)
            remaining += self._studio.decode_seconds * request.frames
            self._tell(Step(step + 1, request.steps, elapsed, remaining, preview.picture()))
            return tensors

        return request.denoise(self._pipe, on_step_end)

    def _finish(self, latents: torch.Tensor) -> None:
        """Decodes the clip once, a few frames at a time, into the finished file and the pieces for the live player."""
        request, fps = self._request, self._studio.fps
        folder = Path(tempfile.mkdtemp(prefix=JOB_PREFIX, dir=self._studio.folder))
        denoised_at, count = time.monotonic(), 0

        def tell_piece(piece: list[np.ndarray], index: int) -> None:
            path = write_segment(folder / f"{index}.mp4", piece, fps)
            self._tell(Segment(path, index, self._elapsed()))

        def frames() -> Iterator[np.ndarray]:
            nonlocal count
            piece, pieces, length = [], 0, max(2, round(SEGMENT_SECONDS * fps))
            for frame in playing_frames(self._pipe, latents, request.photo):
                self._stop_if_unwanted()
                count += 1
                piece.append(frame)
                # Half a piece is held back, so that the last one is never too short for a player.
                if self._segments and len(piece) == length + length // 2:
                    tell_piece(piece[:length], pieces)
                    piece, pieces = piece[length:], pieces + 1
                if not self._segments:
                    piece.clear()
                yield frame
            if piece:
                tell_piece(piece, pieces)

        path = folder / f"fashionflow-{request.seed}.mp4"
        write_clip(path, frames(), fps, settings=request.settings(self._pipe))
        self._studio.decode_seconds = (time.monotonic() - denoised_at) / request.frames
        logger.info("A clip of %d frames took %.1f s.", count, self._elapsed())
        self._tell(Finished(path, request.seed, self._elapsed(), fps, count))

    def _tell(self, event: Event) -> None:
        while True:
            self._stop_if_unwanted()
            try:
                return self._events.put(event, timeout=0.1)
            except queue.Full:
                continue

    def _elapsed(self) -> float:
        return time.monotonic() - self._started_at

    def _unwanted(self) -> bool:
        return self._stop_asked.is_set() or self._abandoned.is_set()

    def _stop_if_unwanted(self) -> None:
        if self._unwanted():
            raise _Stopped


def _sweep_until_gone(folder: Path) -> None:
    while folder.exists():
        sweep(folder, KEEP_SECONDS - SWEEP_SECONDS)
        time.sleep(SWEEP_SECONDS)


def sweep(folder: Path, seconds: float) -> None:
    """Deletes the job folders in `folder` that nothing was written to for `seconds`."""
    with contextlib.suppress(FileNotFoundError):  # Python is ending, and everything is being deleted
        for job in folder.glob(f"{JOB_PREFIX}*"):
            if time.time() - job.stat().st_mtime > seconds:
                shutil.rmtree(job, ignore_errors=True)
