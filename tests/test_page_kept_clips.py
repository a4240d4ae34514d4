"""Copies of finished clips in a folder of one's own."""

import os
from types import SimpleNamespace

import pytest
from gradio.context import LocalContext

from fashionflow.generation.queue import JobQueue
from fashionflow.generation.request import ClipRequest
from fashionflow.generation.settings import ClipSettings
from fashionflow.page.hosting import HostingError
from fashionflow.page.kept_clips import KeptClips, read_folder
from fashionflow.page.privacy import Privacy

from . import tiny
from .browser import wait_until


@pytest.fixture(scope="module")
def job_queue() -> JobQueue:
    return JobQueue(tiny.pipeline())


def make(job_queue: JobQueue, *seeds: int):
    photo = job_queue.pipe.fit_photo(tiny.photo())
    job = job_queue.submit([ClipRequest(photo, ClipSettings(frames=4, steps=1, seed=seed)) for seed in seeds])
    list(job.follow())
    return job


def test_every_finished_clip_is_copied_and_stays_when_its_job_is_deleted(job_queue, tmp_path):
    KeptClips(tmp_path, job_queue, Privacy(job_queue))
    job = make(job_queue, 5, 6)
    wait_until(lambda: len(list(tmp_path.glob("20*.mp4"))) == 2)
    assert sorted(path.name.split()[-1] for path in tmp_path.iterdir()) == ["5.mp4", "6.mp4"]
    (copy,) = tmp_path.glob("* 5.mp4")
    assert copy.read_bytes() == job.results[0].path.read_bytes()
    job_queue.discard(job)
    assert copy.is_file()


def test_who_wants_to_leave_nothing_leaves_no_copy(job_queue, tmp_path):
    privacy = Privacy(job_queue)
    KeptClips(tmp_path, job_queue, privacy)
    privacy.arrive("session", "tab", private=True)
    session = SimpleNamespace(session_hash="session")  # the part of Gradio's request that tells the tab
    token = LocalContext.request.set(session)
    try:
        make(job_queue, 7)
    finally:
        LocalContext.request.reset(token)
    make(job_queue, 8)  # whoever follows this job is told after those who follow the first
    wait_until(lambda: list(tmp_path.glob("* 8.mp4")))
    assert not list(tmp_path.glob("* 7.mp4"))


def test_a_failed_copy_spoils_nothing(job_queue, tmp_path, caplog):
    gone = tmp_path / "gone"
    KeptClips(gone, job_queue, Privacy(job_queue))
    assert make(job_queue, 9).state == "finished"
    wait_until(lambda: "could not be kept" in caplog.text)


def test_the_folder_is_made_and_must_be_writable(tmp_path):
    assert read_folder(None, "0.0.0.0") is None
    folder = read_folder(str(tmp_path / "a" / "b"), "127.0.0.1")
    assert folder.is_dir() and not os.listdir(folder)
    (tmp_path / "file").touch()
    with pytest.raises(HostingError, match="choose a folder that can be written to"):
        read_folder(str(tmp_path / "file"), "localhost")


@pytest.mark.parametrize("host", ["0.0.0.0", "[::]", "192.168.0.7"])
def test_a_page_for_other_machines_refuses(host, tmp_path):
    with pytest.raises(HostingError, match="other machines can open the page"):
        read_folder(str(tmp_path), host)
