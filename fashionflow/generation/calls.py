"""One clip that is made in another process than the page's: what that process is told, and what it sends back.

The other process gets a `Call` and yields the events of the clip, and then how it ended; all of it can be pickled. `zero_gpu` and
`ray_pool` bring both to where the GPU is.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING

from ..errors import NotWritten
from ..runtime.memory_modes import OutOfMemory
from .events import Event
from .job import Job, Stopped
from .request import ClipRequest
from .time_estimator import ClipTimes


if TYPE_CHECKING:
    from ..pipelines import FashionFlowPipeline


Ending = ClipTimes | Stopped | OutOfMemory | NotWritten | None
"""How a clip ended: what `JobRenderer.run` returns, or raises."""


@dataclass(frozen=True)
class Call:
    """All that the other process is told about a clip; as in `Job` and in `JobRenderer`."""

    request: ClipRequest
    clip: int
    folder: Path
    segments: bool
    asked_at: float
    time_estimate: float | None
    expected: ClipTimes

    @classmethod
    def of(cls, job: Job, clip: int, expected: ClipTimes) -> Call:
        return cls(
            request=job.requests[clip],
            clip=clip,
            folder=job.folder,
            segments=job.segments,
            asked_at=job.asked_at,
            time_estimate=job.time_estimate,
            expected=expected,
        )


class JobOfCall:
    """What `JobRenderer` needs of the job, in the other process. `stop_asked` and `discarded` tell whether the job was."""

    def __init__(self, call: Call, stop_asked: threading.Event, discarded: threading.Event):
        self.requests, self.folder, self.segments = {call.clip: call.request}, call.folder, call.segments
        self.asked_at, self.time_estimate = call.asked_at, call.time_estimate
        self.stop_asked, self.discarded = stop_asked, discarded
        self.events: SimpleQueue[Event | None] = SimpleQueue()

    def tell(self, event: Event) -> None:
        if self.discarded.is_set():
            raise Stopped
        self.events.put(event)


def make_clip(
    pipe: FashionFlowPipeline, call: Call, stop_asked: threading.Event, discarded: threading.Event
) -> Iterator[Event | Ending]:
    """Makes a clip in the other process. Yields its events, and then how it ended. Whoever closes the iterator discards the clip."""
    from .renderer import JobRenderer  # with PyTorch

    job = JobOfCall(call, stop_asked, discarded)
    renderer = JobRenderer(pipe, job, call.clip, call.expected)
    with ThreadPoolExecutor(1) as thread:
        running = thread.submit(renderer.run)
        running.add_done_callback(lambda _: job.events.put(None))
        try:
            yield from iter(job.events.get, None)
        except GeneratorExit:  # nobody wants the clip any more
            discarded.set()
            raise
    try:
        yield running.result()
    except (Stopped, OutOfMemory, NotWritten) as error:  # whatever is between may pass on only an error's name
        yield error


def follow(job: Job, items: Iterator[Event | Ending]) -> ClipTimes | None:
    """Tells a job what `make_clip` yields, and returns or raises what it ends with."""
    ending = None
    for item in items:
        if isinstance(item, Event):
            job.tell(item)
        else:
            ending = item
    if isinstance(ending, Exception):
        raise ending
    return ending
