"""The job queue of a loaded pipeline: it makes one clip at a time on each device, reports events, and stops a job within one step."""

from __future__ import annotations

import contextlib
import logging
import shutil
import threading
import time
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import NoWorker
from ..runtime.model_folder import ModelDescription
from ..video.playing_rate import frames_shown_for_each
from . import zero_gpu
from .events import Waiting
from .job import JOB_PREFIX, Job, Stopped, plain_number
from .own_folder import OwnFolder, delete_abandoned
from .request import ClipRequest
from .settings import ClipSettings
from .time_estimator import TimeEstimator
from .workers import MOST_LOSSES, OwnProcess, Worker, WorkerLost, together


if TYPE_CHECKING:
    from ..pipelines import FashionFlowPipeline


KEEP_SECONDS = 3600
"""The maximum time, in seconds, for which anything that a visitor made is kept."""

SWEEP_SECONDS = 600
"""Seconds between two searches for old jobs. A job is deleted one interval early, so that it is never kept longer than `KEEP_SECONDS`."""

AVAILABLE_SECONDS = KEEP_SECONDS - SWEEP_SECONDS
"""The minimum time, in seconds, for which a finished job can be found."""

MOST_CLIPS = 24  # in one job

logger = logging.getLogger(__name__)


class TooManyJobs(ValueError):
    """A visitor has as many jobs in the queue as one visitor may have."""


@dataclass(frozen=True)
class Estimate:
    """The time estimate of a job: the job itself takes `seconds`, and the `ahead` clips that are made first take `ahead_seconds`."""

    seconds: float
    ahead: int
    ahead_seconds: float


class JobQueue:
    """Owns a pipeline and its device, or several workers with a device each. Each makes one clip at a time, in the order in which jobs
    are submitted. After each clip of a job with several clips, the other jobs have their turn; its clips are made one after the other.

    Args:
        model: a loaded pipeline, on its device, that nobody else may run; or the description of a model that is still being loaded.
            Then jobs wait until `use` brings the pipeline.
        folder: the folder in which the job queue creates its own folder; by default the system's temporary folder. A job is deleted
            from it at most `KEEP_SECONDS` after its end, and the whole folder is deleted when Python ends. The folders that killed
            servers left beside it are deleted, too.
        measure: whether to measure now, in the background, how long clips take here; otherwise the time estimate is learnt from the
            first clips.
        most_jobs: how many jobs of one visitor may wait or be made at the same time; `None` for no limit.

    Attributes:
        model: the description of the model.
        workers: what makes the clips; empty until the pipeline is there.
        watchers: functions that are called with every submitted job, on the thread that submits it.
    """

    def __init__(
        self,
        model: FashionFlowPipeline | ModelDescription,
        folder: Path | str | None = None,
        measure: bool = False,
        most_jobs: int | None = None,
    ):
        is_loaded = not isinstance(model, ModelDescription)
        self.model = ModelDescription.of(model) if is_loaded else model
        self.time_estimator = TimeEstimator(playing_factor=frames_shown_for_each(self.model.frame_rate))
        self.most_jobs = most_jobs
        self._pipe: FashionFlowPipeline | None = None
        self._loaded = threading.Event()
        self._folder = OwnFolder(folder)
        self.folder = self._folder.path
        self.watchers: list[Callable[[Job], None]] = []
        self._jobs: dict[str, Job] = {}  # by number
        self._queue: list[Job] = []  # in the order of their turn, with those whose clips are being made
        # Where the current clip of a job is made, and its start on the clock of `time.monotonic`.
        self._at_work: dict[Job, tuple[Worker, float]] = {}
        self._changed = threading.Condition()
        self.workers: list[Worker] = []
        self._threads: dict[Worker, threading.Thread] = {}  # of the workers that have a clip to make, or look for one
        self._away: set[Worker] = set()  # those that could not be made ready when they were last asked
        self._strays: set[Path] = set()  # folders of unknown jobs that the last sweep has found
        self._measuring = measure
        if is_loaded:
            self.use(model)
        threading.Thread(target=_sweep_until_gone, args=(weakref.ref(self),), daemon=True, name="sweep").start()

    @property
    def is_loaded(self) -> bool:
        """Whether the pipeline is there."""
        return self._loaded.is_set()

    @property
    def pipe(self) -> FashionFlowPipeline:
        """The pipeline; waits until it is loaded."""
        self._loaded.wait()
        return self._pipe

    def use(self, pipe: FashionFlowPipeline, workers: Sequence[Worker] = ()) -> None:
        """Brings the pipeline of the model that was described, on its device; nobody else may run it. If there are workers, they make the
        clips, and the pipeline only looks at photos."""
        pipe.set_progress_bar_config(disable=True)
        if zero_gpu.is_here():
            zero_gpu.use(pipe)
        self._pipe = pipe
        self.workers[:] = workers or [OwnProcess(pipe, self.time_estimator, self._measuring)]
        self._loaded.set()
        with self._changed:  # a job that is submitted at this moment starts the same threads
            if self._measuring or self._queue:
                self._start_threads()

    def submit(
        self, requests: ClipRequest | Sequence[ClipRequest], segments: bool = True, visitor: str | None = None
    ) -> Job:
        """Adds a job to the end of the queue and returns it at once.

        Args:
            requests: one request for each clip.
            segments: whether to write the clips in segments for a live player, too.
            visitor: who asks for the job, in any words that tell visitors apart; `None` for somebody who has no limit.

        Raises:
            TooManyJobs: if the visitor has `most_jobs` jobs in the queue already.
            ValueError: if this pipeline cannot fulfil a request, or if there are no requests or more than `MOST_CLIPS`.
            UploadError: if its photos cannot be stored. Nothing of them is left.
        """
        requests = (requests,) if isinstance(requests, ClipRequest) else tuple(requests)
        if not 1 <= len(requests) <= MOST_CLIPS:
            raise ValueError(f"A job must have 1 to {MOST_CLIPS} clips, got {len(requests)}.")
        for request in requests:
            request.check(self.model)
        estimate = self.estimate([requests[0].settings])
        # A weak reference, because a job may outlive its job queue.
        find_wait = weakref.WeakMethod(self._wait)
        job = Job(
            requests,
            self.folder,
            segments,
            wait=lambda job: wait(job) if (wait := find_wait()) else Waiting(0, 0.0),
            time_estimate=estimate.seconds + estimate.ahead_seconds,
            visitor=visitor,
        )
        with self._changed:
            if self.has_enough(visitor):  # asked under the lock, because a visitor may ask twice at the same moment
                job.delete()
                raise TooManyJobs(f"One visitor may have {self.most_jobs} jobs in the queue, and has them.")
            self._jobs[job.number] = job
            self._queue.append(job)
            self._start_threads()
        for watcher in self.watchers:
            watcher(job)
        return job

    def has_enough(self, visitor: str | None) -> bool:
        """Whether a visitor has as many jobs in the queue as one visitor may have."""
        if self.most_jobs is None or visitor is None:
            return False
        return sum(job.visitor == visitor for job in list(self._queue)) >= self.most_jobs

    def find(self, number: object) -> Job | None:
        """The job with this number, typed in any form; `None` if there is no such job, or if it has been deleted."""
        return self._jobs.get(plain_number(number))

    def discard(self, job: Job) -> None:
        """Ends a job and deletes everything that belongs to it. A running job ends as soon as its current step is done."""
        self._jobs.pop(job.number, None)
        job.discard()
        self._leave_queue(job)

    def stop(self, job: Job) -> None:
        """Ends a job; the part of the current clip that is already made is kept."""
        job.stop()
        self._leave_queue(job)

    @property
    def jobs(self) -> list[Job]:
        """All jobs that can be found, oldest first."""
        return list(self._jobs.values())

    def close(self, seconds: float = 3.0) -> None:
        """Ends all jobs, deletes their files, and waits at most `seconds` for the current step."""
        for job in self.jobs:
            self.discard(job)
        until = time.monotonic() + seconds
        for thread in list(self._threads.values()):
            thread.join(max(0.0, until - time.monotonic()))

    def sweep(self, seconds: float) -> None:
        """Deletes the jobs that ended more than `seconds` ago, and what is left of jobs that nobody knows any more."""
        now = time.monotonic()
        for job in self.jobs:
            if job.has_ended and now - job.ended_at > seconds:
                self._jobs.pop(job.number, None)
                job.delete()
        with contextlib.suppress(FileNotFoundError):  # Python is ending, and the whole folder is being deleted
            strays = set(self.folder.glob(f"{JOB_PREFIX}*")) - {job.folder for job in self.jobs}
            for folder in strays & self._strays:  # the others may belong to jobs that are just being created
                shutil.rmtree(folder, ignore_errors=True)
            self._strays = strays

    @property
    def in_line(self) -> int:
        """The number of jobs that run or wait."""
        return len(self._queue)

    def report(self) -> str:
        """A line on the model, the devices and the setup; waits until the model is loaded."""
        self._loaded.wait()
        return together([worker.report for worker in self.workers])

    def estimate(self, settings: Sequence[ClipSettings]) -> Estimate:
        """The time estimate of a job that is submitted now, with the settings of each of its clips."""
        with self._changed:
            ahead = self._clips_before(None)
        return Estimate(sum(map(self.time_estimator.seconds, settings)), *ahead)

    def _leave_queue(self, job: Job) -> None:
        with self._changed:
            worker, _ = self._at_work.get(job, (None, 0.0))
            if worker is None and job in self._queue:
                self._queue.remove(job)
                job.end("stopped")
        if worker is not None:  # it ends the job itself
            worker.end_early(job)

    def _wait(self, job: Job) -> Waiting:
        with self._changed:
            return Waiting(*self._clips_before(job))

    def _clips_before(self, job: Job | None) -> tuple[int, float]:
        """The number of clips that are finished before the next clip of `job` (of a new job, for `None`) begins, and the seconds until
        then."""
        now, index = time.monotonic(), self._queue.index(job) if job in self._queue else None
        before = [other for other in self._queue if other in self._at_work and other is not job]
        before += [other for other in self._queue[:index] if other not in self._at_work]
        left = []
        for other in before:
            if (clip := other.next_clip) is None:  # it has made its last clip and is about to leave the queue
                continue
            begun_at = self._at_work[other][1] if other in self._at_work else now
            left.append(self.time_estimator.seconds(other.requests[clip].settings) - (now - begun_at))
        devices = max(1, len(self.workers) - len(self._away))
        return max(0, len(left) - devices + 1), self.time_estimator.waiting(left, devices)

    def _start_threads(self) -> None:
        """Starts the threads that do not run. Each ends when there is no job left for it, because it keeps the job queue alive."""
        for worker in self.workers:
            if worker not in self._threads:
                self._away.discard(worker)
                self._threads[worker] = threading.Thread(
                    target=self._work, args=(worker,), daemon=True, name="animate"
                )
                self._threads[worker].start()

    def _work(self, worker: Worker) -> None:
        while True:
            is_ready = worker.prepare()
            with self._changed:
                job = next((job for job in self._queue if job not in self._at_work), None)
                if not is_ready:
                    self._away.add(worker)
                    if len(self._away) == len(self.workers):
                        self._end_all()
                if job is None or not is_ready:
                    del self._threads[worker]
                    return
                self._at_work[job] = worker, time.monotonic()
            ending = self._make_a_clip(job, worker)
            with self._changed:
                del self._at_work[job]
                self._queue.remove(job)
                if ending is not None:
                    job.end(*ending)
                else:
                    job.pause()
                    self._queue.insert(0 if job.losses else len(self._queue), job)
                    self._start_threads()
                idle = all(other in self._at_work for other in self._queue)
            if idle:
                worker.rest()

    def _end_all(self) -> None:
        """Ends all jobs, because no worker is left; the next job that is submitted asks the workers again."""
        for job in self._queue:
            job.end("failed", NoWorker("away"))
        self._queue.clear()

    def _make_a_clip(self, job: Job, worker: Worker) -> tuple[str, Exception | None] | None:
        """Makes the next clip of a job. Returns how the job ended, or `None` if it has more clips to make, or this one again."""
        if job.stop_asked.is_set():
            return "stopped", None
        job.begin()
        clip = job.next_clip
        try:
            job.tell(Waiting(0, 0.0))
            times = worker.render(job, clip)
            job.losses = 0
        except Stopped:
            return "stopped", None
        except WorkerLost:
            job.losses += 1
            if job.stop_asked.is_set():
                return "stopped", None
            return ("failed", NoWorker("lost")) if job.losses > MOST_LOSSES else None
        except Exception as error:
            return "failed", error
        if times is not None:
            self.time_estimator.learn(job.requests[clip].settings, times.denoising, times.decoding)
            if clip == 0:
                self.time_estimator.record(job.time_estimate, time.monotonic() - job.asked_at)
        if job.stop_asked.is_set():
            return "stopped", None
        return ("finished", None) if job.next_clip is None else None


def _sweep_until_gone(queue_or_none: weakref.ref) -> None:
    while (job_queue := queue_or_none()) is not None:
        job_queue.sweep(AVAILABLE_SECONDS)
        if abandoned := delete_abandoned(job_queue.folder.parent):
            logger.info("Deleted what %d killed server(s) had left behind.", len(abandoned))
        del job_queue  # this thread must not keep the job queue alive while it sleeps
        time.sleep(SWEEP_SECONDS)
