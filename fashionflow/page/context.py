"""What all pieces of the page share: the studio that they talk to, and what is remembered of one visitor."""

import random
from dataclasses import dataclass

from ..generation.queue import JobQueue
from .languages import Words


MOST_AT_ONCE = 24
"""Jobs in the studio's line, where everybody sees their place. Each is on one of Gradio's 40 threads, and the others must do for
everything else."""

MANY_SEEDS = 1_000_000  # few enough digits to be noted down

# Small helpers stand in no queue, are no public endpoints, and draw nothing over what they change.
HELPER = {"queue": False, "api_visibility": "private", "show_progress": "hidden"}


@dataclass(frozen=True)
class PageContext:
    """
    Args:
        studio: who makes the clips.
        live: whether clips are shown while they are decoded; otherwise once they are finished.
    """

    job_queue: JobQueue
    live: bool

    def check_line(self, words: Words) -> None:
        """
        Raises:
            ValueError: if so many wait already that whoever comes now has to come back.
        """
        if self.job_queue.in_line >= MOST_AT_ONCE:
            raise ValueError(words("status.full"))


class Visit:
    """What the page remembers of one visitor, for as long as the tab is open. Gradio copies it for every new one.

    Attributes:
        number: of the job at work for this tab, "" for none.
        ending: what the page was told last of that job, as changes; {} while it is at work.
    """

    def __init__(self):
        self.number = ""
        self.ending: dict = {}

    def __deepcopy__(self, memo: dict) -> "Visit":
        return Visit()


def draw_seed() -> int:
    return random.randrange(MANY_SEEDS)


def whole(number: object) -> object:
    """12.0 as 12; anything else as it is."""
    return int(number) if isinstance(number, float) and number.is_integer() else number
