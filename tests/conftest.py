"""Fixtures that several files share, a browser above all, and tests at work side by side.

What takes seconds to import is imported where it is used: the process that hands the tests out needs none of it.
"""

import os
import subprocess

import pytest

import fashionflow  # noqa: F401  (before PyTorch, whose threads it tells how to wait)

from .brake import Brake
from .browser import started_browser, visitors, wait_until


if (
    "PYTEST_XDIST_WORKER" in os.environ
):  # as many processes as cores: with more threads they would only wait for each other
    import torch

    torch.set_num_threads(1)
    os.environ["OMP_NUM_THREADS"] = "1"  # of the programs that tests start


ROOM = 600_000  # bytes on the small disk


@pytest.fixture(scope="session")
def browser():
    with started_browser() as browser:
        yield browser


@pytest.fixture
def visit(browser, job_queue):
    """`visit(address, **options of Playwright's context)` opens the page as a new visitor. The visitors leave before their jobs are
    deleted."""
    with visitors(browser) as open_page:
        yield open_page


@pytest.fixture(scope="session")
def site():
    """The page for all tests of this process that need no special model. A file with a special one has a `site` of its own."""
    from fashionflow.generation.queue import JobQueue

    from . import tiny
    from .serve import served

    pipe = tiny.pipeline(default_num_frames=12)
    pipe.model_name, pipe.model_hash = "tiny", "0" * 16
    with served(JobQueue(pipe, measure=True)) as site:
        yield site


@pytest.fixture
def job_queue(site):
    """The queue behind `site`, which every test leaves empty."""
    yield site.job_queue
    for job in list(site.job_queue._jobs.values()):
        site.job_queue.discard(job)
    wait_until(lambda: not site.job_queue.in_line)


@pytest.fixture
def url(site, job_queue):
    return site.url


@pytest.fixture
def jobs(job_queue):
    """The jobs that were submitted since the test began."""
    jobs = []
    job_queue.watchers.append(jobs.append)
    yield jobs
    job_queue.watchers.remove(jobs.append)


@pytest.fixture
def brake(job_queue):
    brake = Brake(job_queue.pipe)
    yield brake
    brake.remove()


@pytest.fixture(scope="session")
def model(tmp_path_factory):
    """A folder with the toy model. A file of tests that needs another one has a `model` of its own."""
    from . import tiny

    return tiny.saved(tmp_path_factory, tiny.pipeline())


@pytest.fixture
def small_disk(tmp_path):
    """A real disk of a few hundred kB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounting = ["mount", "-t", "tmpfs", "-o", f"size={ROOM}", "fashionflow-test", str(disk)]
    if os.geteuid() != 0 or subprocess.run(mounting, capture_output=True, check=False).returncode != 0:
        pytest.skip("Only root can mount a small disk, and not everywhere.")
    yield disk
    subprocess.run(["umount", "--lazy", str(disk)], check=True)


@pytest.fixture(scope="session")
def dress(tmp_path_factory):
    """A photo file that can be uploaded."""
    from . import tiny

    path = tmp_path_factory.mktemp("photos") / "dress.png"
    tiny.photo().save(path)
    return path


@pytest.fixture
def winograd_used(monkeypatch) -> list[str]:
    """Names of the functions of `winograd` that were called since; it takes small pictures and short clips too, as if they paid."""
    from fashionflow.models import winograd

    monkeypatch.setattr(winograd, "FEWEST_TILES", 1)
    calls = []
    for function in (winograd.conv_space, winograd.conv_time):

        def watched(*args, function=function):
            calls.append(function.__name__)
            return function(*args)

        monkeypatch.setattr(winograd, function.__name__, watched)
    return calls
