"""What programs do with the page, for tests of its endpoints: clips, and the one sentence for whatever is wrong."""

import sys
from functools import cache

import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError

from fashionflow.generation.queue import JobQueue

from . import tiny


ENDPOINTS = (
    "animate",
    "submit",
    "estimate",
    "job",
    "result",
    "stop",
    "export",
    "fidelity",
    "check_photo",
    "settings_of",
)
ADDRESSES = ("http://169.254.169.254/latest/meta-data", "https://example.com/dress.jpg")
QUICK = {"frames": 4, "steps": 1, "seed": 3}
looked_up: list[str] = []
"""Hosts whose addresses this process has asked for."""


@cache
def note_look_ups() -> None:
    """From now on every host that this process looks up is in `looked_up`."""

    def listen(event: str, arguments: tuple) -> None:
        if event == "socket.getaddrinfo":
            looked_up.append(str(arguments[0]))

    sys.addaudithook(listen)


def named_queue() -> JobQueue:
    """A queue whose model has a name, as `load_pipeline` names what it loads."""
    pipe = tiny.pipeline()
    pipe.model_name, pipe.model_hash = "tiny", "0" * 16
    return JobQueue(pipe)


def animate(client: Client, photo, **changes) -> tuple[str, int]:
    """A clip's file and its seed."""
    return client.predict(photo and handle_file(photo), **QUICK | changes, api_name="/animate")


def refusal(client: Client, *values, **named) -> str:
    """The sentence that a program gets, after checking that it is one."""
    with pytest.raises(AppError) as caught:
        client.predict(*values, **named)
    sentence = str(caught.value)
    assert sentence.endswith(".") and "\n" not in sentence and "Error" not in sentence
    assert "/gradio" not in sentence and "/tmp" not in sentence, "a path on the server is nobody's business"
    return sentence


def refused_photo(client: Client, photo, **changes) -> str:
    """The sentence that `animate` gets."""
    return refusal(client, photo and handle_file(photo), **QUICK | changes, api_name="/animate")
