"""What makes the clips of a job queue: a worker makes one clip at a time on its device, and a queue has one worker or several."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from . import zero_gpu
from .job import Job
from .time_estimator import ClipTimes, TimeEstimator


if TYPE_CHECKING:
    from ..pipelines import FashionFlowPipeline


MOST_LOSSES = 2
"""How often a clip is begun again after the worker that made it was lost."""

logger = logging.getLogger(__name__)


class WorkerLost(Exception):
    """The worker broke off in the middle of a clip: it was killed, its machine is gone, or its device failed."""


class Worker(Protocol):
    """One device that makes clips. The methods are called on the worker's own thread of the queue, except `end_early`."""

    @property
    def report(self) -> str:
        """The model, the device and the setup, as `running_report` says them."""

    def prepare(self) -> bool:
        """Gets ready for the next clip, which may take as long as loading a model. Returns whether the worker can make one."""

    def render(self, job: Job, clip: int) -> ClipTimes | None:
        """Makes one clip of a job and tells the job every event; returns and raises as `JobRenderer.run` does.

        Raises:
            WorkerLost: if the worker broke off.
        """

    def end_early(self, job: Job) -> None:
        """Passes on that the job of the current clip was stopped or discarded."""

    def rest(self) -> None:
        """Gives back memory that is of no use until the next clip."""


class OwnProcess:
    """The only worker of a queue, unless it is given others: the pipeline of this process, or on ZeroGPU a copy of this process.

    Args:
        pipe: the pipeline; nobody else may run it meanwhile.
        time_estimator: gives the expected times.
        measure: whether to measure the device first.
    """

    def __init__(self, pipe: FashionFlowPipeline, time_estimator: TimeEstimator, measure: bool = False):
        self._pipe, self._time_estimator, self._measure = pipe, time_estimator, measure

    @property
    def report(self) -> str:
        from ..runtime.loading import running_report  # with PyTorch

        return running_report(self._pipe)

    def prepare(self) -> bool:
        if self._measure:
            self._measure = False
            try:
                self._time_estimator.measure(self._pipe)
            except Exception:  # clips can be made without a time estimate
                logger.exception(
                    "The time of a clip could not be measured; the time estimate will be learnt from the first clips."
                )
        return True

    def render(self, job: Job, clip: int) -> ClipTimes | None:
        from .renderer import JobRenderer  # with PyTorch

        request = job.requests[clip]
        expected = self._time_estimator.expected(request.settings)
        if zero_gpu.is_here():
            return zero_gpu.render(job, clip, expected, self._time_estimator.duration(request))
        return JobRenderer(self._pipe, job, clip, expected).run()

    def end_early(self, job: Job) -> None:
        pass  # the renderer asks the job itself

    def rest(self) -> None:
        from ..runtime.acceleration import return_freed_memory  # with PyTorch

        return_freed_memory()  # the memory that was kept between steps and between clips


def together(reports: Sequence[str]) -> str:
    """The reports of all workers in one line: "fashionflow-mini · 256 x 320 · cuda:0, cuda:1 · float16 · attention: PyTorch · 2 workers"."""
    columns = [
        ", ".join(dict.fromkeys(column)) for column in zip(*(each.split(" · ") for each in reports), strict=True)
    ]
    return " · ".join(columns + [f"{len(reports)} workers"] * (len(reports) > 1))


def cores_for_each(nodes: list[int], workers: int) -> int:
    """The most cores that each of so many workers can have, given the cores of each machine; 0 if there are too few."""
    counts = range(max(nodes, default=0), 0, -1)
    return next((cores for cores in counts if sum(node // cores for node in nodes) >= workers), 0)
