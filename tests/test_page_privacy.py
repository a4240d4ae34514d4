"""Who wants to leave nothing: when a tab's files are deleted, and when they are not."""

import time

import pytest

from fashionflow.generation.queue import JobQueue
from fashionflow.generation.request import ClipRequest
from fashionflow.generation.settings import ClipSettings
from fashionflow.page import privacy
from fashionflow.page.privacy import Privacy

from . import tiny
from .browser import wait_until


GRACE_SECONDS = 1.0


@pytest.fixture
def record(monkeypatch):
    monkeypatch.setattr(privacy, "GRACE_SECONDS", GRACE_SECONDS)
    return Privacy(JobQueue(tiny.pipeline()))


def make(record, session: str):
    """A finished job of the tab behind a session."""
    photo = record.job_queue.pipe.fit_photo(tiny.photo())
    job = record.job_queue.submit(ClipRequest(photo, ClipSettings(frames=4, steps=1, seed=5)))
    record._tab(session).jobs.append(job)  # which Gradio's request tells otherwise
    list(job.follow())
    return job


def test_a_tab_that_comes_back_in_time_keeps_its_job_and_one_that_stays_away_loses_it(record):
    record.arrive("first", "tab", private=True)
    job = make(record, "first")
    record.leave("first")
    record.arrive("second", "tab", private=True)  # the reloaded page
    time.sleep(2 * GRACE_SECONDS)
    assert record.job_queue.find(job.number) is job and job.results[0].path.is_file()
    record.leave("second")
    wait_until(lambda: record.job_queue.find(job.number) is None)
    assert not job.folder.exists()


def test_a_tab_that_does_not_ask_for_it_keeps_its_job(record):
    record.arrive("session", "tab", private=False)
    job = make(record, "session")
    record.leave("session")
    time.sleep(2 * GRACE_SECONDS)
    assert record.job_queue.find(job.number) is job
