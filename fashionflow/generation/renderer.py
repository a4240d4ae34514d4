"""Makes one clip: denoising, with a preview before the first step and after every step; then decoding, interpolation and writing at the
same time."""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import torch

from ..errors import NotWritten
from ..pipelines import ClipGuide, FashionFlowPipeline
from ..runtime.memory import MemoryFallback, is_out_of_memory
from ..runtime.memory_modes import OutOfMemory
from ..video.files import CLOSED, FULL
from ..video.io import write_clip, write_segment
from ..video.metadata import describe, sign
from ..video.preview import Preview
from .events import Finished, Segment, Step, SteppedDown
from .job import Job, Stopped
from .request import ClipRequest
from .time_estimator import ClipTimes


SEGMENT_SECONDS = 0.75  # of a clip in one streamed segment; players start when about this much has arrived
FEWEST_FRAMES = 2  # in a clip that was stopped

logger = logging.getLogger(__name__)


class ClipRenderer:
    """Makes one clip within the free memory. Use it as a context manager, on the thread that runs the pipeline:

        with ClipRenderer(pipe, request) as renderer:
            latents = renderer.denoise()
            renderer.write(path, renderer.frames(latents))

    Args:
        pipe: the pipeline; nobody else may run it meanwhile.
        request: the request for the clip, checked with `ClipRequest.check`.
        on_step_down: called with the leaner memory mode when memory has run out, before the work continues in it.

    Attributes:
        guide: the known part of every frame; `None` for a model without geometry.
        fallback: tells the memory mode, and whether memory had run out in another mode.
    """

    def __init__(
        self,
        pipe: FashionFlowPipeline,
        request: ClipRequest,
        on_step_down: Callable[[str], None] = lambda mode: None,
    ):
        self._pipe, self._request = pipe, request
        self.factor, self.fps = request.settings.playing_rate(pipe.config.frame_rate)
        self.fallback = MemoryFallback(pipe, request.settings.frames, request.settings.memory, on_step_down)
        self.guide: ClipGuide | None = None

    def __enter__(self) -> "ClipRenderer":
        self.fallback.__enter__()
        try:
            self.guide = self._request.guide(self._pipe)
        except BaseException:
            self.fallback.__exit__()
            raise
        return self

    def __exit__(self, *_) -> None:
        self.fallback.__exit__()

    @property
    def num_frames(self) -> int:
        """The number of frames that a complete clip shows."""
        return self.factor * (self._request.settings.frames - 1) + 1

    def denoise(self, on_step_end: Callable[..., dict] | None = None) -> torch.Tensor:
        """The clip's latents, [1, C, F, H, W]; the steps begin again if memory runs out. `on_step_end` is diffusers' callback."""
        return self.fallback.make(lambda: self._request.denoise(self._pipe, self.guide, on_step_end))

    def frames(self, latents: torch.Tensor) -> Iterator[np.ndarray]:
        """The frames that are shown, uint8 RGB, [height, width, 3], each decoded only when it is requested."""
        return self.fallback.frames(self._request.decoder(self._pipe, latents, self.guide))

    def write(self, path: Path, frames: Iterator[np.ndarray]) -> Path:
        """Writes frames to an mp4 file that holds the clip's settings, and signs it if there is a certificate. Returns the path."""
        metadata = describe(self._request.metadata(self._pipe))
        with closing(frames):  # in every case, decoding ends before the memory fallback is left
            write_clip(path, frames, self.fps, settings=metadata, quality=self._request.settings.quality)
        return sign(path)


class JobRenderer:
    """Makes one clip of a job and reports every event to it. `run` does all the work, on the thread that calls it.

    Args:
        pipe: the pipeline; nobody else may run it meanwhile.
        job: the job that the clip belongs to.
        clip: the index of the clip's request in the job.
        expected: how long the clip will take, from which the remaining time is estimated.
    """

    def __init__(self, pipe: FashionFlowPipeline, job: Job, clip: int, expected: ClipTimes):
        self._pipe, self._job, self._clip, self._expected = pipe, job, clip, expected
        self._request = job.requests[clip]
        self._settings = self._request.settings
        self._started_at = time.monotonic()
        self._stop: threading.Event = job.stop_asked
        self._ended_early = False

    def run(self) -> ClipTimes | None:
        """Makes the clip, and returns how long it took; `None` if it is not whole, or if memory ran out, because other clips will take
        another time.

        Raises:
            Stopped: if the job was stopped before there was anything to show, or if it was discarded.
            OutOfMemory: if memory ran out even in the leanest mode.
            NotWritten: if the disk is full or cannot be written to, or ffmpeg failed or stood still.
        """
        try:
            with ClipRenderer(self._pipe, self._request, self._tell_step_down) as self._renderer:
                times = self._make()
            ending = None
        except Exception as error:
            if (ending := self._explained(error)) is None:
                raise
        # Outside of the `except` block, because the error keeps everything in memory that the work had made.
        if ending is not None:
            raise ending
        logger.info("A clip took %.1f s.", self._elapsed())
        return times

    def _explained(self, error: Exception) -> Exception | None:
        """The error that says in a sentence what has happened; `None` if that is not known."""
        if isinstance(error, OSError) and self._job.discarded.is_set():  # its folder may have been deleted
            return Stopped()
        if is_out_of_memory(
            error
        ):  # where no leaner mode helps: the photo was taken apart, or a program or a thread was started
            logger.error("Memory ran out: %s", error)
            return OutOfMemory("Memory ran out; choose fewer frames, or close other programs.")
        if isinstance(error, OSError):
            logger.error("A clip could not be written: %s", error)
            return NotWritten("no-room" if error.errno in (*FULL, *CLOSED) else "encoder")
        return None

    def _make(self) -> ClipTimes | None:
        renderer = self._renderer
        with Preview(self._pipe, renderer.guide) as preview:
            if renderer.guide is not None:  # a preview of the photo's own pixels in motion, before the first step
                expected = self._expected.denoising + self._expected.decoding
                self._tell_step(0, max(0.0, expected - self._elapsed()), preview)
            try:
                latents = renderer.denoise(self._after_step(preview))
            except Stopped:
                if not preview.has_seen or self._job.discarded.is_set():
                    raise
                # Write the clean clip predicted at the last step, as the preview shows it: this is little work and leaves a result.
                self._write(preview.frames(renderer.factor), whole=False)
                return None
        denoised_at = time.monotonic()
        whole = self._write(self._until_stopped(renderer.frames(latents)), whole=True)
        if not whole or renderer.fallback.stepped_down:
            return None
        return ClipTimes(denoised_at - self._started_at, time.monotonic() - denoised_at)

    def _tell_step_down(self, mode: str) -> None:
        self._job.tell(SteppedDown(mode, self._clip))

    def _tell_step(self, done: int, remaining: float, preview: Preview) -> None:
        self._job.tell(Step(done, self._settings.steps, self._elapsed(), remaining, preview.picture(), self._clip))

    def _after_step(self, preview: Preview) -> Callable[..., dict]:
        """The callback that reports each step."""

        def on_step_end(pipe, step: int, timestep: int, tensors: dict) -> dict:
            if self._stop.is_set():
                raise Stopped
            left = self._elapsed() / (step + 1) * (self._settings.steps - step - 1)
            self._tell_step(step + 1, left + self._expected.decoding, preview)
            return tensors

        return on_step_end

    def _until_stopped(self, frames: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
        """Yields the frames until the job is stopped, but in any case enough frames for a clip."""
        for index, frame in enumerate(frames):
            if self._job.discarded.is_set():
                raise Stopped
            if self._stop.is_set() and index >= FEWEST_FRAMES:
                self._ended_early = True
                return
            yield frame

    def _write(self, frames: Iterator[np.ndarray], whole: bool) -> bool:
        """Writes the finished file and, meanwhile, the segments for the live player. Returns whether the clip is complete."""
        job, renderer = self._job, self._renderer
        folder = job.folder / str(self._clip)
        folder.mkdir()
        count = 0
        begun_at = time.monotonic()

        def send_segment(segment: list[np.ndarray], index: int) -> None:
            path = write_segment(folder / f"{index}.mp4", segment, renderer.fps)
            left = (time.monotonic() - begun_at) / count * (renderer.num_frames - count)
            job.tell(Segment(path, index, self._elapsed(), left, self._clip))

        def frames_with_segments() -> Iterator[np.ndarray]:
            nonlocal count
            segment, index, length = [], 0, max(2, round(SEGMENT_SECONDS * renderer.fps))
            for frame in frames:
                count += 1
                segment.append(frame)
                # Half a segment is held back, so that the last one is never too short for a player.
                if job.segments and len(segment) == length + length // 2:
                    send_segment(segment[:length], index)
                    segment, index = segment[length:], index + 1
                if not job.segments:
                    segment.clear()
                yield frame
            if segment:
                send_segment(segment, index)

        with closing(frames):
            path = renderer.write(folder / f"fashionflow-{self._settings.seed}.mp4", frames_with_segments())
        whole = whole and not self._ended_early
        finished = Finished(
            path=path,
            seed=self._settings.seed,
            seconds=self._elapsed(),
            fps=renderer.fps,
            frames=count,
            clip=self._clip,
            whole=whole,
            time_estimate=job.time_estimate,
            waited=max(0.0, time.monotonic() - job.asked_at - self._elapsed()),
            memory=renderer.fallback.mode,
            stepped_down=renderer.fallback.stepped_down,
        )
        job.tell(finished)
        return whole

    def _elapsed(self) -> float:
        return time.monotonic() - self._started_at
