"""Gradio's deletion of old files goes on whatever is in its way."""

import os
import time

import gradio as gr
import pytest
from gradio import route_utils

import fashionflow.page  # noqa: F401  (which replaces it)
from fashionflow.generation.job import JOB_PREFIX
from fashionflow.generation.queue import AVAILABLE_SECONDS, JobQueue

from . import tiny
from .test_job_queue import request
from .waiting import wait_until_idle


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
def test_a_clock_that_jumps_deletes_nothing_early_and_nothing_late(tmp_path, monkeypatch, jump):
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
    day, steady = time.time, time.monotonic
    for passed, there in ((1, True), (AVAILABLE_SECONDS + 1, False)):
        monkeypatch.setattr(time, "time", lambda passed=passed: day() + jump + passed)
        monkeypatch.setattr(time, "monotonic", lambda passed=passed: steady() + passed)
        delete(page, AVAILABLE_SECONDS)
        job_queue.sweep(AVAILABLE_SECONDS)
        assert photo.exists() == job.folder.exists() == (job_queue.find(job.number) is job) == there


def test_a_photo_that_is_shown_again_is_kept_anew_and_what_nobody_knows_goes_at_the_next_look(tmp_path, monkeypatch):
    photo, steady = tmp_path / "photo.png", time.monotonic
    photo.touch()
    with gr.Blocks() as page:
        page.temp_file_sets.append({str(photo)})
    for passed in (0, 90, 180):
        monkeypatch.setattr(time, "monotonic", lambda passed=passed: steady() + passed)
        route_utils.delete_files_created_by_app(page, 100)
        assert photo.exists()
        os.utime(photo)
    job_queue = JobQueue(tiny.pipeline(), tmp_path)
    stray = job_queue.folder / f"{JOB_PREFIX}stray"
    stray.mkdir()
    for _ in range(2):  # the first look may find a job that is just being created
        job_queue.sweep(AVAILABLE_SECONDS)
    assert not stray.exists()
