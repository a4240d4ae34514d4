"""A clip whose file cannot be written: the disk is full, its folder has gone, or ffmpeg fails. The clip ends with one sentence, nothing is
left of it, and the next one works."""

import contextlib
import os
import shutil
from types import SimpleNamespace

import psutil
import pytest

from fashionflow.errors import NOT_WRITTEN, SENTENCES, NotWritten, UploadError
from fashionflow.generation.queue import JobQueue
from fashionflow.page import streams
from fashionflow.page.context import PageContext, Visit
from fashionflow.page.languages import texts, words_for
from fashionflow.page.run import OUTPUTS, Run
from fashionflow.video import ffmpeg
from fashionflow.video.files import UNFINISHED

from . import tiny
from .browser import choose, wait_for_status
from .conftest import ROOM
from .test_job_queue import request
from .waiting import files_below, wait_until_idle


@pytest.fixture(scope="module")
def pipe():
    return tiny.pipeline()


def fill(disk) -> None:
    with contextlib.suppress(OSError), open(disk / "filler", "wb", buffering=0) as filler:
        for _ in range(ROOM // 4096 + 1):
            filler.write(bytes(4096))


@pytest.fixture
def at_each_step(pipe):
    """`at_each_step(act)` acts in the middle of a job, until the end of the test or until what it returns is called."""
    hooks = []

    def begin(act):
        hooks.append(pipe.unet.register_forward_pre_hook(lambda *_: act()))
        return hooks[-1].remove

    yield begin
    for hook in hooks:
        hook.remove()


def seen(job_queue: JobQueue, job, language: str) -> list[dict]:
    """What a visitor to the page sees of a job."""
    words = words_for(SimpleNamespace(headers={"accept-language": language}))
    run = Run(PageContext(job_queue, live=True), None, None)
    return [dict(zip(OUTPUTS, changes, strict=True)) for changes in run.show(Visit(), job, words)]


def unfinished(folder) -> list:
    return [path for path in files_below(folder) if path.name.startswith(UNFINISHED)]


def works(job_queue: JobQueue) -> bool:
    wait_until_idle(job_queue)
    return list(job_queue.submit(request()).follow())[-1].whole


def test_on_a_full_disk_a_clip_ends_with_its_sentence_and_the_next_one_works(pipe, small_disk, at_each_step, caplog):
    job_queue = JobQueue(pipe, small_disk)
    end = at_each_step(lambda: fill(small_disk))
    job = job_queue.submit(request())
    last = seen(job_queue, job, "it")[-1]
    assert texts()["it"]["not_written.no-room"] in last["status"] and 'role="alert"' in last["status"]
    assert last["animate"]["interactive"] and job.state == "failed"
    assert not unfinished(small_disk) and not list(job.folder.rglob("*.mp4"))
    with pytest.raises(UploadError) as refused:
        job_queue.submit(request())
    assert refused.value.key == "no-room" and list(job_queue.folder.glob("job-*")) == [job.folder]
    end()
    (small_disk / "filler").unlink()
    assert works(job_queue)
    assert "Traceback" not in caplog.text


def test_a_folder_that_has_gone_gets_the_same_sentence_and_one_that_is_back_works(pipe, tmp_path, at_each_step):
    job_queue = JobQueue(pipe, tmp_path)
    end = at_each_step(lambda: shutil.rmtree(job_queue.folder, ignore_errors=True))
    job = job_queue.submit(request())
    with pytest.raises(NotWritten, match=NOT_WRITTEN["no-room"]):
        list(job.follow())
    with pytest.raises(UploadError, match=SENTENCES["no-room"]):
        job_queue.submit(request())
    end()
    job_queue.folder.mkdir(mode=0o700)
    assert works(job_queue)


FAULTY = {
    "hangs at once": "exec sleep 600",
    "hangs at the end": "cat > /dev/null; exec sleep 600",
    "ends at once": "exit 1",
    "is killed": "head --bytes 999 > /dev/null; kill -9 $$",
    "cannot be started": None,
}


def program(folder, name: str, script: str | None):
    """A program of this name that notes the id of its process, and then does what the script says."""
    path = folder / name
    if script is not None:
        path.write_text(f"#!/bin/sh\necho $$ >> {folder}/started\n{script}\n")
        path.chmod(0o755)
    return path


def left_running(folder) -> list[str]:
    started = folder / "started"
    return [each for each in started.read_text().split() if psutil.pid_exists(int(each))] if started.exists() else []


@pytest.mark.parametrize("fault", FAULTY)
def test_a_faulty_ffmpeg_ends_the_clip_with_a_sentence_and_leaves_nothing(pipe, tmp_path, monkeypatch, fault, caplog):
    job_queue = JobQueue(pipe, tmp_path)
    faulty = program(tmp_path, "ffmpeg", FAULTY[fault])
    with monkeypatch.context() as faulty_here:
        faulty_here.setattr(ffmpeg, "STANDSTILL_SECONDS", 0.5)
        faulty_here.setattr("moviepy.config.FFMPEG_BINARY", str(faulty))
        job = job_queue.submit(request())
        said = seen(job_queue, job, "de")[-1]["status"]
    assert texts()["de"]["not_written.encoder"] in said and job.error.key == "encoder"
    assert not left_running(tmp_path) and not list(job.folder.rglob("*.mp4"))
    assert "Traceback" not in caplog.text
    assert works(job_queue)


@pytest.mark.browser
def test_an_ffprobe_that_hangs_stops_the_stream_and_not_the_clip(
    visit, url, jobs, dress, tmp_path, monkeypatch, caplog
):
    program(tmp_path, "ffprobe", FAULTY["hangs at once"])
    monkeypatch.setattr(streams, "PACKING_SECONDS", 0.3)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    visit.expected += ("HLS error", "Fatal network error")  # an empty playlist
    page = visit(url)
    choose(page, dress)
    page.click("#animate")
    wait_for_status(page, "Done")
    page.wait_for_selector("#clip video")
    assert jobs[0].state == "finished" and not left_running(tmp_path)
    assert len((tmp_path / "started").read_text().split()) == 1  # not for every segment
    assert "cannot be packed" in caplog.text
