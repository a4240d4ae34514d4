"""What all pieces of the page share: the studio that they talk to, and what is remembered of one visitor."""

import random
from dataclasses import dataclass

from ..studio import Studio


MANY_SEEDS = 1_000_000  # few enough digits to be noted down

# Small helpers stand in no queue, are no public endpoints, and draw nothing over what they change.
HELPER = {"queue": False, "api_visibility": "private", "show_progress": "hidden"}


@dataclass(frozen=True)
class Desk:
    """
    Args:
        studio: who makes the clips.
        live: whether clips are shown while they are decoded; otherwise once they are finished.
    """

    studio: Studio
    live: bool


class Visit:
    """What the page remembers of one visitor, for as long as the tab is open. Gradio copies it for every new one.

    Attributes:
        number: of the job at work for this tab, "" for none.
    """

    def __init__(self):
        self.number = ""

    def __deepcopy__(self, memo: dict) -> "Visit":
        return Visit()


def draw_seed() -> int:
    return random.randrange(MANY_SEEDS)


def whole(number: object) -> object:
    """12.0 as 12; anything else as it is."""
    return int(number) if isinstance(number, float) and number.is_integer() else number
