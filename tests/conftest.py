"""Fixtures that several files share, a browser above all, and tests at work side by side."""

import os

import pytest


import fashionflow  # noqa: F401  # isort: skip  (before PyTorch, whose threads it tells how to wait)
import torch

from fashionflow.models import winograd

from . import tiny
from .browser import started_browser, visitors


if (
    "PYTEST_XDIST_WORKER" in os.environ
):  # as many processes as cores: with more threads they would only wait for each other
    torch.set_num_threads(1)
    os.environ["OMP_NUM_THREADS"] = "1"  # of the programs that tests start


@pytest.fixture(scope="session")
def browser():
    with started_browser() as browser:
        yield browser


@pytest.fixture
def visit(browser):
    """`visit(address, **options of Playwright's context)` opens the page as a new visitor."""
    with visitors(browser) as open_page:
        yield open_page


@pytest.fixture(scope="session")
def dress(tmp_path_factory):
    """A photo file that can be uploaded."""
    path = tmp_path_factory.mktemp("photos") / "dress.png"
    tiny.photo().save(path)
    return path


@pytest.fixture
def winograd_used(monkeypatch) -> list[str]:
    """Names of the functions of `winograd` that were called since; it takes small pictures and short clips too, as if they paid."""
    monkeypatch.setattr(winograd, "FEWEST_TILES", 1)
    calls = []
    for function in (winograd.conv_space, winograd.conv_time):

        def watched(*args, function=function):
            calls.append(function.__name__)
            return function(*args)

        monkeypatch.setattr(winograd, function.__name__, watched)
    return calls
