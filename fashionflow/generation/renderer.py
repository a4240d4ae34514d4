"""One clip in the making: denoising with a preview before the first step and after every one, then decoding, interpolation and writing at once."""

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import closing

import numpy as np
import torch

from ..pipelines import ClipGuide, FashionFlowPipeline
from ..runtime.memory import MemoryFallback
from ..video.io import write_clip, write_segment
from ..video.metadata import describe, sign
from ..video.preview import Preview
from .job import Job, Stopped
from .request import Finished, Segment, Step, SteppedDown
from .time_estimator import TimeEstimator


SEGMENT_SECONDS = 0.75  # of a clip in one streamed piece; players start once about so much has arrived
FEWEST_FRAMES = 2  # of a clip that was stopped

logger = logging.getLogger(__name__)


class ClipRenderer:
    """Makes clip `clip` of a job. `run` does it all, on the thread that calls it.

    Args:
        pipe: the pipeline; nobody else may run it meanwhile.
        job: whose clip it is; told every event.
        clip: which of the job's requests.
        time_estimator: says how long things take, and learns from this clip.
    """

    def __init__(
        self,
        pipe: FashionFlowPipeline,
        job: Job,
        clip: int,
        time_estimator: TimeEstimator,
    ):
        self._pipe, self._job, self._clip, self._time_estimator = pipe, job, clip, time_estimator
        self._request = job.requests[clip]
        self._factor, self._fps = self._request.playing_rate(pipe)
        self._started_at = time.monotonic()
        self._stop: threading.Event = job.stop_asked
        self._ended_early = False

    def run(self) -> None:
        """
        Raises:
            Stopped: if the job was stopped before anything could be shown, or is not wanted any more.
            OutOfMemory: if memory ran out in the leanest mode too.
        """
        request = self._request
        with MemoryFallback(self._pipe, request.frames, request.memory, self._tell_step_down) as self._fallback:
            self._make()
        logger.info("A clip took %.1f s.", self._elapsed())

    def _make(self) -> None:
        request, pipe = self._request, self._pipe
        guide = request.guide(pipe)
        with Preview(pipe, guide) as preview:
            if guide is not None:  # the photo's own pixels, moved: to be seen long before the first step is done
                left = max(0.0, self._time_estimator.seconds(request) - self._elapsed())
                self._job.tell(Step(0, request.steps, self._elapsed(), left, preview.picture(), self._clip))
            try:
                latents = self._fallback.make(lambda: self._denoise(preview, guide))
            except Stopped:
                if not preview.has_seen or self._job.discarded.is_set():
                    raise
                # The clean clip that the last step meant, as the preview shows it: little work, and something to keep.
                self._write(preview.frames(self._factor), whole=False)
                return
        denoised_at = time.monotonic()
        frames = self._fallback.frames(lambda start, chunk: request.playing_frames(pipe, latents, start, chunk, guide))
        with closing(frames):  # whatever ends this, nothing is decoded any more once the ladder is left
            whole = self._write(self._until_stopped(frames), whole=True)
        if whole and not self._fallback.stepped_down:
            self._time_estimator.learn(request, denoised_at - self._started_at, time.monotonic() - denoised_at)
            if self._clip == 0:
                self._time_estimator.record(self._job.promised, time.time() - self._job.asked_at)

    def _tell_step_down(self, mode: str) -> None:
        self._job.tell(SteppedDown(mode, self._clip))

    def _denoise(self, preview: Preview, guide: ClipGuide | None) -> torch.Tensor:
        request = self._request

        def on_step_end(pipe, step: int, timestep: int, tensors: dict) -> dict:
            if self._stop.is_set():
                raise Stopped
            elapsed = self._elapsed()
            left = elapsed / (step + 1) * (request.steps - step - 1) + self._time_estimator.decoding(request)
            self._job.tell(Step(step + 1, request.steps, elapsed, left, preview.picture(), self._clip))
            return tensors

        return request.denoise(self._pipe, on_step_end, guide)

    def _until_stopped(self, frames: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
        """The frames, until the job is stopped; but enough of them for a clip."""
        for index, frame in enumerate(frames):
            if self._job.discarded.is_set():
                raise Stopped
            if self._stop.is_set() and index >= FEWEST_FRAMES:
                self._ended_early = True
                return
            yield frame

    def _write(self, frames: Iterator[np.ndarray], whole: bool) -> bool:
        """Writes the finished file and, on the way, the pieces for the live player. Returns whether the clip is whole."""
        request, job = self._request, self._job
        folder = job.folder / str(self._clip)
        folder.mkdir()
        count = 0
        total = self._factor * (request.frames - 1) + 1
        begun_at = time.monotonic()

        def tell_piece(piece: list[np.ndarray], index: int) -> None:
            path = write_segment(folder / f"{index}.mp4", piece, self._fps)
            left = (time.monotonic() - begun_at) / count * (total - count)
            job.tell(Segment(path, index, self._elapsed(), left, self._clip))

        def told() -> Iterator[np.ndarray]:
            nonlocal count
            piece, pieces, length = [], 0, max(2, round(SEGMENT_SECONDS * self._fps))
            for frame in frames:
                count += 1
                piece.append(frame)
                # Half a piece is held back, so that the last one is never too short for a player.
                if job.segments and len(piece) == length + length // 2:
                    tell_piece(piece[:length], pieces)
                    piece, pieces = piece[length:], pieces + 1
                if not job.segments:
                    piece.clear()
                yield frame
            if piece:
                tell_piece(piece, pieces)

        path = folder / f"fashionflow-{request.seed}.mp4"
        settings = describe(request.settings(self._pipe))
        write_clip(path, told(), self._fps, settings=settings, quality=request.quality)
        whole = whole and not self._ended_early
        finished = Finished(
            path=sign(path),
            seed=request.seed,
            seconds=self._elapsed(),
            fps=self._fps,
            frames=count,
            clip=self._clip,
            whole=whole,
            promised=job.promised,
            waited=max(0.0, time.time() - job.asked_at - self._elapsed()),
            memory=self._fallback.mode,
            stepped_down=self._fallback.stepped_down,
        )
        job.tell(finished)
        return whole

    def _elapsed(self) -> float:
        return time.monotonic() - self._started_at
