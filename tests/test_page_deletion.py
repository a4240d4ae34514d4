"""Gradio's deletion of old files goes on whatever is in its way."""

import os
import time

import gradio as gr
import pytest
from gradio import route_utils

import fashionflow.page  # noqa: F401  (which replaces it)
from fashionflow.generation import job as job_module
from fashionflow.generation import queue as queue_module
from fashionflow.generation.job import JOB_PREFIX
from fashionflow.generation.queue import AVAILABLE_SECONDS, JobQueue
from fashionflow.page import deletion

from . import tiny
from .test_job_queue import request
from .waiting import wait_until_idle


class Clock:
    """The module `time`, some seconds later, for the code that is tested alone: everything else in this process sleeps by the real one.

    Attributes:
        passed: seconds that have passed.
        jump: seconds by which the time of day has been changed.
    """

    passed = jump = 0.0

    def monotonic(self) -> float:
        return time.monotonic() + self.passed

    def time(self) -> float:
        return time.time() + self.passed + self.jump

    def __getattr__(self, name: str):
        return getattr(time, name)


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    for module in (deletion, job_module, queue_module):
        monkeypatch.setattr(module, "time", clock)
    return clock


def test_what_cannot_be_deleted_keeps_nothing_else(tmp_path):
    folder, impossible, gone = tmp_path / "folder", "zero\0byte", tmp_path / "gone.png"
    folder.mkdir()
    photos = [tmp_path / f"{number}.png" for number in range(20)]
    for photo in photos:
        photo.touch()
    with gr.Blocks() as page:
        shown = gr.Image()
        shown.keep_in_cache = {str(photos[0])}
    named = {str(folder), impossible, str(gone), *map(str, photos)}
    page.temp_file_sets.append(named)
    route_utils.delete_files_created_by_app(page, 3600)
    assert all(photo.exists() for photo in photos)
    route_utils.delete_files_created_by_app(page, -1)
    assert [photo for photo in photos if photo.exists()] == photos[:1]
    assert named == {str(folder), impossible, str(photos[0])}, "what has gone is forgotten"


@pytest.mark.parametrize("jump", [-86400, 86400])
def test_a_clock_that_jumps_deletes_nothing_early_and_nothing_late(tmp_path, clock, jump):
    job_queue = JobQueue(tiny.pipeline(), tmp_path)
    job = job_queue.submit(request())
    list(job.follow())
    wait_until_idle(job_queue)
    photo = tmp_path / "photo.png"
    photo.touch()
    with gr.Blocks() as page:
        page.temp_file_sets.append({str(photo)})
    delete = route_utils.delete_files_created_by_app
    delete(page, AVAILABLE_SECONDS)
    clock.jump = jump
    for clock.passed, there in ((1, True), (AVAILABLE_SECONDS + 1, False)):
        delete(page, AVAILABLE_SECONDS)
        job_queue.sweep(AVAILABLE_SECONDS)
        assert photo.exists() == job.folder.exists() == (job_queue.find(job.number) is job) == there


def test_a_photo_that_is_shown_again_is_kept_anew_and_what_nobody_knows_goes_at_the_next_look(tmp_path, clock):
    photo = tmp_path / "photo.png"
    photo.touch()
    with gr.Blocks() as page:
        page.temp_file_sets.append({str(photo)})
    for clock.passed in (0, 90, 180):
        route_utils.delete_files_created_by_app(page, 100)
        assert photo.exists()
        os.utime(photo)
    job_queue = JobQueue(tiny.pipeline(), tmp_path)
    stray = job_queue.folder / f"{JOB_PREFIX}stray"
    stray.mkdir()
    for _ in range(2):  # the first look may find a job that is just being created
        job_queue.sweep(AVAILABLE_SECONDS)
    assert not stray.exists()
