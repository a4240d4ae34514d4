"""Shared by all endpoints: they read values as programs send them, and turn every error into a plain sentence."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import gradio as gr

from ...errors import SENTENCES
from ...photo.reading import Crop
from ...video.files import FULL
from ..context import whole


OUR_FAULT = "That could not be done because of an error on our side; try again."

logger = logging.getLogger(__name__)


class Refusal(gr.Error):
    """An error with one sentence for a program. Gradio's own error would put the sentence in quotation marks for assistants."""

    def __init__(self, sentence: str):
        super().__init__(sentence, print_exception=False)

    def __str__(self) -> str:
        return self.message


@contextmanager
def plain_sentences(fault: str = OUR_FAULT, theirs: type[Exception] | tuple = ValueError) -> Iterator[None]:
    """Turns every error inside the context into one sentence. An error in `theirs` keeps its own sentence, because the program can
    correct its cause, and a full disk has its own. Any other error gets the sentence `fault`, and only the log has the details."""
    try:
        yield
    except Refusal:
        raise
    except Exception as error:
        if isinstance(error, theirs):
            raise Refusal(str(error)) from error
        logger.exception("An endpoint failed.")
        is_full = isinstance(error, OSError) and error.errno in FULL
        raise Refusal(SENTENCES["no-room"] if is_full else fault) from error


def read_crop(asked: dict) -> Crop:
    given = {name: value for name, value in asked.items() if value is not None}
    for name, value in given.items():
        if not isinstance(value, (int, float)) or isinstance(value, bool):
            raise ValueError(f"`{name}` must be a number, got {value!r}.")
    crop = Crop(**given)
    crop.check()
    return crop


def read_whole(name: str, value: object, smallest: int, largest: int) -> int:
    value = whole(value)
    if not isinstance(value, int) or isinstance(value, bool) or not smallest <= value <= largest:
        raise ValueError(f"`{name}` must be a whole number from {smallest} to {largest}, got {value!r}.")
    return value
