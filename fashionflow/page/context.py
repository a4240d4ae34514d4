"""Shared by all parts of the page: the job queue that they use, and the state of one visitor."""

import random
from dataclasses import dataclass

from ..generation.queue import JobQueue
from .languages import Words


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
    """

    job_queue: JobQueue
    live: bool

    def check_line(self, words: Words) -> None:
        """
        Raises:
            ValueError: if the job queue is full, so that the visitor has to try again later.
        """
        if self.job_queue.in_line >= MOST_AT_ONCE:
            raise ValueError(words("status.full"))


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
