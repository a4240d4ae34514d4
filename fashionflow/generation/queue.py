"""A loaded pipeline at work: jobs in a line, one clip at a time on the device, told as events, stopped within one step."""

import contextlib
import logging
import shutil
import tempfile
import threading
import time
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..pipelines import FashionFlowPipeline
from ..runtime.acceleration import return_freed_memory
from ..video.decoding import playing_rate
from .job import JOB_PREFIX, Job, Stopped, plain_number
from .renderer import ClipRenderer
from .request import AnimationRequest, Waiting
from .time_estimator import TimeEstimator


KEEP_SECONDS = 3600
"""Nothing that a visitor made is kept longer than this."""

SWEEP_SECONDS = 600
"""How often old jobs are looked for. They go one sweep early, so that `KEEP_SECONDS` is a promise and not a mean."""

AVAILABLE_SECONDS = KEEP_SECONDS - SWEEP_SECONDS
"""For so long at least, a finished job can be found."""

MOST_CLIPS = 24  # in one job

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Estimate:
    """A job would take `seconds`, once `ahead` clips have been made first, which takes `ahead_seconds`."""

    seconds: float
    ahead: int
    ahead_seconds: float


class JobQueue:
    """Owns a pipeline and its device. However many ask, one clip is made at a time, in the order of asking; a job of several
    clips lets the others in between its clips.

    Args:
        pipe: a loaded pipeline, on its device; nobody else may run it.
        folder: where the studio's own folder is made; the system's temporary folder by default. Jobs are deleted from it
            `KEEP_SECONDS` after their end at the latest, and all of it when Python ends.
        measure: whether to measure now, in the background, how long clips take here; otherwise the first clips tell.

    Attributes:
        watchers: called with every job that is submitted, by whoever submits it.
    """

    def __init__(
        self,
        pipe: FashionFlowPipeline,
        folder: Path | str | None = None,
        measure: bool = False,
    ):
        pipe.set_progress_bar_config(disable=True)
        self.pipe = pipe
        self.time_estimator = TimeEstimator(playing_factor=playing_rate(pipe)[0])
        self._folder = tempfile.TemporaryDirectory(prefix="fashionflow-", dir=folder, ignore_cleanup_errors=True)
        self.folder = Path(self._folder.name)
        self.watchers: list[Callable[[Job], None]] = []
        self._jobs: dict[str, Job] = {}  # by number
        self._line: list[Job] = []  # first come first; the first one has the device
        self._changed = threading.Condition()
        self._begun_at = 0.0  # when the clip at work began, on the clock of `time.monotonic`
        self._worker: threading.Thread | None = None
        self._measuring = measure
        if measure:
            self._start_worker()
        threading.Thread(target=_sweep_until_gone, args=(weakref.ref(self),), daemon=True, name="sweep").start()

    def submit(self, requests: AnimationRequest | Sequence[AnimationRequest], segments: bool = True) -> Job:
        """Puts a job at the end of the line and returns it at once.

        Args:
            requests: what to make.
            segments: also write the clips in pieces for a live player.

        Raises:
            ValueError: if a request asks for what this pipeline cannot do, or there are none, or more than `MOST_CLIPS`.
        """
        requests = (requests,) if isinstance(requests, AnimationRequest) else tuple(requests)
        if not 1 <= len(requests) <= MOST_CLIPS:
            raise ValueError(f"A job must have 1 to {MOST_CLIPS} clips, got {len(requests)}.")
        for request in requests:
            request.check(self.pipe)
        estimate = self.estimate(requests[:1])
        # Weakly, because a job may outlive its studio.
        wait = weakref.WeakMethod(self._wait)
        job = Job(
            requests,
            self.folder,
            segments,
            wait=lambda job: ahead(job) if (ahead := wait()) else Waiting(0, 0.0),
            promised=estimate.seconds + estimate.ahead_seconds,
        )
        with self._changed:
            self._jobs[job.number] = job
            self._line.append(job)
            self._start_worker()
        for watcher in self.watchers:
            watcher(job)
        return job

    def find(self, number: object) -> Job | None:
        """The job with that number, however it was typed; `None` if there is none, or it has been deleted."""
        return self._jobs.get(plain_number(number))

    def discard(self, job: Job) -> None:
        """Ends a job and deletes all that belongs to it; if it is at work, as soon as its step is done."""
        self._jobs.pop(job.number, None)
        job.discard()
        self._leave_line(job)

    def stop(self, job: Job) -> None:
        """Ends a job; what has been made of the clip at work is kept."""
        job.stop()
        self._leave_line(job)

    @property
    def in_line(self) -> int:
        """How many jobs are at work or wait for it."""
        return len(self._line)

    def estimate(self, requests: Sequence[AnimationRequest]) -> Estimate:
        """How long a job would take that is submitted now."""
        with self._changed:
            ahead = self._line_before(None)
        return Estimate(sum(map(self.time_estimator.seconds, requests)), *ahead)

    def _leave_line(self, job: Job) -> None:
        with self._changed:
            if job in self._line and self._line[0] is not job:  # the worker takes care of the first one
                self._line.remove(job)
                job.end("stopped")

    def _wait(self, job: Job) -> Waiting:
        with self._changed:
            return Waiting(*self._line_before(job))

    def _line_before(self, job: Job | None) -> tuple[int, float]:
        """Clips made before the next one of `job` (of a newcomer, for `None`), and the seconds that they take."""
        clips, left = 0, []
        for index, other in enumerate(self._line):
            if other is job:
                break
            if other.next_clip is None:  # it has made its last clip and is about to leave
                continue
            clips += 1
            needed = self.time_estimator.seconds(other.requests[other.next_clip])
            elapsed = time.monotonic() - self._begun_at if index == 0 and other.state == "working" else 0.0
            left.append(needed - elapsed)
        return clips, self.time_estimator.waiting(left)

    def _start_worker(self) -> None:
        """Has a thread at work while there is something to do, and no longer, because it holds the studio."""
        if self._worker is None:
            self._worker = threading.Thread(target=self._work, daemon=True, name="animate")
            self._worker.start()

    def _work(self) -> None:
        if self._measuring:
            self._measuring = False
            self._measure()
        while True:
            with self._changed:
                if not self._line:
                    self._worker = None
                    return
                job = self._line[0]
                self._begun_at = time.monotonic()
            ending = self._make_a_clip(job)
            with self._changed:
                self._line.remove(job)
                if ending is None:
                    job.pause()
                    self._line.append(job)
                else:
                    job.end(*ending)
                idle = not self._line
            if idle:
                return_freed_memory()  # what was kept from step to step and from clip to clip

    def _make_a_clip(self, job: Job) -> tuple[str, Exception | None] | None:
        """Makes the next clip of a job. Returns how the job ended, or `None` if it has more clips to make."""
        if job.stop_asked.is_set():
            return "stopped", None
        job.begin()
        try:
            job.tell(Waiting(0, 0.0))
            ClipRenderer(self.pipe, job, job.next_clip, self.time_estimator).run()
        except Stopped:
            return "stopped", None
        except Exception as error:
            return "failed", error
        if job.stop_asked.is_set():
            return "stopped", None
        return ("finished", None) if job.next_clip is None else None

    def _measure(self) -> None:
        try:
            self.time_estimator.measure(self.pipe)
        except Exception:  # the promise is a comfort; clips can be made without it
            logger.exception("How long a clip takes could not be measured; the first clips will tell.")


def _sweep_until_gone(queue_or_none: weakref.ref) -> None:
    while (job_queue := queue_or_none()) is not None:
        sweep(job_queue, AVAILABLE_SECONDS)
        del job_queue  # nothing may hold it while this thread sleeps
        time.sleep(SWEEP_SECONDS)


def sweep(job_queue: JobQueue, seconds: float) -> None:
    """Deletes the jobs of a studio that ended more than `seconds` ago."""
    now = time.time()
    for number, job in list(job_queue._jobs.items()):
        if job.has_ended and now - job.ended_at > seconds:
            job_queue._jobs.pop(number, None)
            job.delete()
    with contextlib.suppress(FileNotFoundError):  # Python is ending, and everything is being deleted
        for folder in job_queue.folder.glob(f"{JOB_PREFIX}*"):
            known = any(job.folder == folder for job in list(job_queue._jobs.values()))
            if not known and now - folder.stat().st_mtime > seconds:
                shutil.rmtree(folder, ignore_errors=True)
