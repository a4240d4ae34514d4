"""Clips on ZeroGPU, where Hugging Face lends a GPU for a single call.

The page's own process never has a GPU there. For each call of a function that is decorated with `spaces.GPU`, the package `spaces` asks
for a GPU in the visitor's name, forks the process, gives the GPU to the copy, and sends back what the function yields. So

- the pipeline is never sent: the copy has it because the process was forked;
- the copy gets a `Call`, and yields the events of the job; both are small and can be pickled;
- whether the job was stopped or discarded is read from files (`Signal`), because `spaces` can only close a call, and then what has been
  made of the clip would be lost.

Elsewhere nothing of this is used, and `spaces` need not be installed.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing
from typing import TYPE_CHECKING

from ..errors import NoGPU, NotWritten
from ..runtime.memory_modes import OutOfMemory
from . import calls
from .calls import Call, Ending
from .events import Event, Waiting
from .job import Job, Stopped, signals
from .time_estimator import ClipTimes


if TYPE_CHECKING:
    from ..pipelines import FashionFlowPipeline


VARIABLE = "SPACES_ZERO_GPU"

REASONS = (
    ("ZeroGPU quota exceeded", "No GPU was available", "busy"),
    ("ZeroGPU quota exceeded", "", "quota"),
    ("ZeroGPU pending credits exceeded", "", "quota"),
    ("ZeroGPU illegal duration", "", "too-long"),
    ("ZeroGPU queue timeout", "", "busy"),
    ("ZeroGPU client error", "No GPU was available", "busy"),
    ("ZeroGPU client error", "Expired", "unknown"),
    ("ZeroGPU worker error", "GPU task aborted", "taken"),
)
"""Errors of `spaces`: the title, how the message begins, and the key of `NO_GPU`."""

GONE = "Connection closed by visitor"
"""How the message of `spaces` begins if the visitor has gone before there was a GPU."""


class VisitorGone(Exception):
    """The visitor's connection has ended before there was a GPU."""


def is_here() -> bool:
    """Whether this program runs on ZeroGPU; `spaces` decides it in the same way."""
    return os.environ.get(VARIABLE, "").lower() in ("1", "t", "true")


def duration(call: Call, seconds: int) -> int:
    return seconds


def make_clip(call: Call, seconds: int) -> Iterator[Event | Ending]:
    """Makes a clip in the process with the GPU, which it needs for `seconds`; yields as `calls.make_clip` does."""
    yield from calls.make_clip(_pipe, call, *signals(call.folder))


if is_here():
    import spaces  # before PyTorch, in which it replaces everything that needs CUDA, until there is a GPU

    make_clip = spaces.GPU(duration=duration)(make_clip)

_pipe: FashionFlowPipeline | None = None


def use(pipe: FashionFlowPipeline) -> None:
    """Takes the pipeline that makes all clips. Its models are on "cuda", whose weights `spaces` holds until there is a GPU. Only the
    geometry goes back to the processor, where the page itself looks at photos with it."""
    global _pipe
    if pipe.has_geometry:
        pipe.geometry.to("cpu").float()
    _pipe = pipe


def render(job: Job, clip: int, expected: ClipTimes, seconds: int) -> ClipTimes | None:
    """Makes one clip of a job as `JobRenderer` does, with a GPU that is lent to whoever asked for the job.

    Raises:
        NoGPU: if there was none, or not for long enough.
        Stopped, OutOfMemory, NotWritten: as `JobRenderer.run`.
    """
    return job.context.run(_follow, job, Call.of(job, clip, expected), seconds)


def _follow(job: Job, call: Call, seconds: int) -> ClipTimes | None:
    """Makes the clip, whether or not the visitor stays: a closed tab may be a phone that sleeps. A program that has gone discards its
    job."""
    from gradio.context import LocalContext

    try:
        return _follow_once(job, call, seconds)
    except VisitorGone:
        LocalContext.event_id.set(None)  # by which `spaces` finds out; it asks for a GPU anew
    job.tell(Waiting(0, 0.0))  # now Gradio notices that a program has gone
    return _follow_once(job, call, seconds)


def _follow_once(job: Job, call: Call, seconds: int) -> ClipTimes | None:
    try:
        with closing(make_clip(call, seconds)) as items:
            return calls.follow(job, items)
    except (Stopped, OutOfMemory, NotWritten):
        raise
    except Exception as error:
        if (ours := _explained(error)) is None:
            raise
        raise ours from error


def _explained(error: Exception) -> Exception | None:
    """An error of `spaces` as one of ours; `None` for any other error."""
    import httpx

    title, message = getattr(error, "title", None), str(getattr(error, "message", error))
    for of, beginning, key in REASONS:
        if title == of and message.startswith(beginning):
            return NoGPU(key)
    if isinstance(error, RuntimeError) and message.startswith(GONE):
        return VisitorGone()
    is_away = isinstance(error, httpx.HTTPError) or message.startswith("ZeroGPU API")
    return NoGPU("away") if is_away else None
