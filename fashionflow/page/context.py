"""Shared by all parts of the page: the job queue that they use, and the state of one visitor."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field

from ..generation.job import Job
from ..generation.queue import JobQueue, TooManyJobs
from ..generation.request import ClipRequest
from .languages import Words
from .visitors import this_visitor
from .wrong_numbers import WrongNumbers


MOST_AT_ONCE = 24
"""The largest number of jobs in the job queue, where every visitor sees their place. Each job occupies one of Gradio's 40 threads; the
other threads serve everything else."""

MANY_SEEDS = 1_000_000  # seeds below it have few enough digits to write down

# Event options of small helpers: they wait in no queue, are not public endpoints, and show no progress over the components they update.
HELPER = {"queue": False, "api_visibility": "private", "show_progress": "hidden"}

RUN_EVENT = {
    "preprocess": False,
    "show_progress": "hidden",
    "concurrency_limit": None,  # no visitor waits unseen in Gradio's queue; see MOST_AT_ONCE
    "api_visibility": "private",
}
"""Settings of an event that follows a job to its end."""


@dataclass(frozen=True)
class PageContext:
    """
    Args:
        job_queue: makes the clips.
        live: whether clips are shown while they are decoded; otherwise they are shown once they are finished.

    Attributes:
        numbers: finds jobs by the numbers that browsers and programs send.
    """

    job_queue: JobQueue
    live: bool
    numbers: WrongNumbers = field(init=False)

    def __post_init__(self):
        object.__setattr__(self, "numbers", WrongNumbers(self.job_queue))

    def check_line(self, words: Words) -> None:
        """
        Raises:
            ValueError: if the job queue is full, or this visitor's share of it, so that the visitor has to try again later.
        """
        if self.job_queue.in_line >= MOST_AT_ONCE:
            raise ValueError(words("status.full"))
        if self.job_queue.has_enough(this_visitor()):
            raise ValueError(self._enough(words))

    def submit(self, requests: ClipRequest | Sequence[ClipRequest], words: Words, segments: bool = False) -> Job:
        """Submits a job of the visitor whose request is being answered, as `JobQueue.submit` does.

        Raises:
            ValueError: with a sentence, if the model cannot make the clips, or if this visitor's share of the queue is full.
        """
        try:
            return self.job_queue.submit(requests, segments, this_visitor())
        except TooManyJobs as error:
            raise ValueError(self._enough(words)) from error

    def _enough(self, words: Words) -> str:
        return words("status.share_full", count=self.job_queue.most_jobs)


class Visit:
    """The page's state for one visitor, kept as long as the tab is open. Gradio copies it for every new visitor.

    Attributes:
        number: the number of the job that is running for this tab, "" for none.
        ending: the last updates that the page received for that job; {} while the job is running.
    """

    def __init__(self):
        self.number = ""
        self.ending: dict = {}

    def __deepcopy__(self, memo: dict) -> "Visit":
        return Visit()


def draw_seed() -> int:
    return random.randrange(MANY_SEEDS)


def whole(number: object) -> object:
    """Converts 12.0 to 12, and returns anything else unchanged."""
    return int(number) if isinstance(number, float) and number.is_integer() else number
