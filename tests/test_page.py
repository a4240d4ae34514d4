"""The page's server as programs see it: clips and the line for them, plain sentences for what fails, no network."""

import base64
import logging
import os
import subprocess
import sys
import threading
import time
import weakref
from pathlib import Path

import gradio as gr
import httpx
import pytest
from gradio.route_utils import MediaStream
from gradio_client import Client, handle_file

from fashionflow.generation.queue import JobQueue
from fashionflow.page import context
from fashionflow.page.context import MOST_AT_ONCE, PageContext
from fashionflow.page.languages import ENGLISH
from fashionflow.page.photo_box import PhotoBox
from fashionflow.page.streams import sweep_streams
from fashionflow.page.uploads import read_upload
from fashionflow.photo.reading import Crop
from fashionflow.runtime.model_folder import MODEL_VARIABLE
from fashionflow.video.io import read_frames, read_settings

from . import tiny
from .programs import animate, refused_photo
from .serve import serve
from .waiting import wait_until_idle


ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def job_queue():
    return JobQueue(tiny.pipeline())


@pytest.fixture(scope="module")
def url(job_queue):
    with serve(job_queue) as url:
        yield url


@pytest.fixture(scope="module")
def connect(url, tmp_path_factory):
    """A new visitor's client."""
    return lambda: Client(url, verbose=False, download_files=tmp_path_factory.mktemp("downloads"))


@pytest.fixture(scope="module")
def client(connect):
    return connect()


@pytest.fixture
def photo(tmp_path) -> Path:
    path = tmp_path / "photo.png"
    tiny.photo().save(path)
    return path


def test_a_program_gets_the_clip_and_the_seed(client, photo):
    clip, seed = animate(client, photo, motion="walk", seed=11)
    assert seed == 11
    assert Path(clip).suffix == ".mp4" and len(read_frames(clip)) >= 4
    assert read_settings(clip)["seed"] == 11 and read_settings(clip)["motion"] == "walk"


def test_only_the_photo_must_be_given_and_the_seed_that_was_drawn_comes_back(client, photo):
    clip, seed = client.predict(handle_file(photo), api_name="/animate")
    settings = read_settings(clip)
    assert settings["seed"] == seed and settings["frames"] == tiny.FRAMES
    assert settings["motion"] == "turn-left" and settings["turn_angle"] is None
    clip, drawn = client.predict(handle_file(photo), seed=-1, frames=4, steps=1, api_name="/animate")
    assert read_settings(clip)["seed"] == drawn >= 0 and drawn != seed


def test_two_clients_at_once_get_their_own_clips(connect, photo):
    jobs = [
        connect().submit(handle_file(photo), motion=motion, frames=12, steps=20, seed=seed, api_name="/animate")
        for motion, seed in (("spin", 21), ("walk", 22))
    ]
    (first, first_seed), (second, second_seed) = (job.result(timeout=120) for job in jobs)
    assert (first_seed, second_seed) == (21, 22)
    assert read_settings(first)["motion"] == "spin" and read_settings(second)["motion"] == "walk"


def test_a_cancelled_job_frees_the_device(job_queue, connect, client, photo):
    job = connect().submit(handle_file(photo), frames=12, steps=1000, seed=1, api_name="/animate")
    while not job.outputs():
        assert not job.done()
    job.cancel()
    animate(client, photo)  # would take a minute behind a thousand steps
    wait_until_idle(job_queue)


def test_the_server_answers_while_a_cancelled_job_ends_its_step(job_queue, url, connect, client, photo):
    """Gradio closes the job's iterator after the step in which it was cancelled, so in the middle of the next one."""
    steps, entered, go_on = [], [threading.Event() for _ in range(3)], [threading.Event() for _ in range(3)]
    go_on[0].set()

    def take_its_time(*_):
        steps.append(None)
        if len(steps) <= 3:
            entered[len(steps) - 1].set()
            go_on[len(steps) - 1].wait(60)

    hook = job_queue.pipe.unet.register_forward_hook(take_its_time)
    try:
        job = connect().submit(handle_file(photo), frames=4, steps=1000, seed=1, api_name="/animate")
        assert entered[1].wait(60)
        threading.Thread(target=job.cancel, daemon=True).start()
        time.sleep(0.5)  # until the server knows
        go_on[1].set()
        assert entered[2].wait(60)
        for _ in range(10):
            assert httpx.get(url, timeout=5).status_code == 200
            time.sleep(0.05)
        assert job_queue.in_line == 1
        go_on[2].set()
        while job_queue.in_line:
            time.sleep(0.01)
        assert len(steps) == 3
    finally:
        for event in go_on:
            event.set()
        hook.remove()
    animate(client, photo)


def test_whoever_comes_to_a_full_line_is_told_so(client, photo, monkeypatch):
    monkeypatch.setattr(context, "MOST_AT_ONCE", 0)
    assert refused_photo(client, photo) == ENGLISH("status.full")
    monkeypatch.undo()
    animate(client, photo)


def test_everybody_who_is_admitted_stands_in_the_studios_line(job_queue, connect, photo):
    """In Gradio's own queue they would wait where the page shows no place."""
    visitor = connect()
    inputs = {"frames": 4, "steps": 1000, "seed": 1, "api_name": "/animate"}
    jobs = [visitor.submit(handle_file(photo), **inputs) for _ in range(MOST_AT_ONCE)]
    while job_queue.in_line < len(jobs):
        assert not any(job.done() for job in jobs)
        time.sleep(0.05)
    for job in jobs:
        job.cancel()
    while job_queue.in_line:
        time.sleep(0.05)


def test_a_job_in_line_keeps_no_more_of_the_photo_than_it_needs(job_queue, photo):
    upload = {"url": "data:image/png;base64," + base64.b64encode(photo.read_bytes()).decode()}
    photo = PhotoBox(PageContext(job_queue, live=False)).fitted(read_upload(upload), Crop())
    assert photo.size == (tiny.WIDTH, tiny.HEIGHT)


def test_streamed_clips_are_forgotten_in_time():
    with gr.Blocks() as page:
        pass
    ended, going_on = MediaStream(), MediaStream()
    for stream in (ended, going_on):
        stream.segments.append({"id": "a", "data": b"piece", "duration": 1.0, "extension": ".ts"})
    ended.end_stream()
    page.pending_streams["visitor"] = {"first run": {1: ended}, "second run": {1: going_on}}
    seen = weakref.WeakKeyDictionary()
    for seconds, kept in ((0, True), (90, True), (20, False)):
        for stream in seen:  # the clock is left alone: the server of the other tests runs by it
            seen[stream] -= seconds
        sweep_streams(page, seen, 100)
        assert [segment["data"] for segment in ended.segments] == [b"piece" if kept else b""]
        assert [segment["data"] for segment in going_on.segments] == [b"piece"]
        assert ended.segments[0]["id"] == "a"  # the playlist stays as it was


def test_an_error_of_ours_is_logged_and_told_without_its_details(job_queue, client, photo, caplog):
    def fail(*_, **__):
        raise RuntimeError("secret detail")

    hook = job_queue.pipe.unet.register_forward_pre_hook(fail)
    try:
        with caplog.at_level(logging.ERROR):
            assert "secret" not in refused_photo(client, photo)
    finally:
        hook.remove()
    assert "secret detail" in caplog.text
    animate(client, photo)


# Runs app.py as it is started for visitors, in a process that may reach nothing but itself, and visits it.
WITHOUT_NETWORK = """
import fcntl, ipaddress, os, signal, socket, struct, sys, threading, time, urllib.request

def refuse(event, arguments):
    if event == "socket.getaddrinfo":
        host = arguments[0]
    elif event in ("socket.connect", "socket.sendto"):
        address = arguments[1]
        host = address[0] if isinstance(address, tuple) else None
    else:
        return
    host = host.decode() if isinstance(host, bytes) else host
    if host in (None, "", "localhost", "0.0.0.0") or host.startswith("127.") or host in ("::", "::1"):
        return
    print("REACHED FOR", event, host, flush=True)
    raise OSError("There is no network.")

sys.addaudithook(refuse)
with socket.socket() as probe:  # in a network of our own, this machine's address to itself is still switched off
    request = struct.pack("16sh14x", b"lo", 0x1 | 0x40)
    try:
        fcntl.ioctl(probe, 0x8914, request)
    except PermissionError:
        pass
    probe.bind(("127.0.0.1", 0))
    port = probe.getsockname()[1]

def visit():
    try:
        import httpx
        url = f"http://127.0.0.1:{port}"
        while True:
            try:
                html = urllib.request.urlopen(url, timeout=10).read().decode()
                break
            except OSError:
                time.sleep(0.5)
        assert "FashionFlow" in html
        # By hand, because gradio_client asks Hugging Face for things of its own.
        uploaded = httpx.post(f"{url}/gradio_api/upload", files={"files": open(sys.argv[1], "rb")}).json()[0]
        photo = {"path": uploaded, "meta": {"_type": "gradio.FileData"}}
        call = httpx.post(f"{url}/gradio_api/call/animate", json={"data": [photo, "spin", None, 1, 4, 5, "dpm++"]})
        told = httpx.get(f"{url}/gradio_api/call/animate/{call.json()['event_id']}", timeout=150).text
        assert "event: complete" in told and ".mp4" in told, told
        print("MADE", flush=True)
    finally:
        os.kill(os.getpid(), signal.SIGTERM)

threading.Thread(target=visit).start()
import app
app.run(lambda: app.main(["--device", "cpu", "--port", str(port)]))
"""


def test_nothing_is_fetched_at_run_time_and_nothing_stays_behind(photo, tmp_path):
    """With the weights that ship, as `make run` starts it."""
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    environment = {
        name: value for name, value in os.environ.items() if name not in ("GRADIO_TEMP_DIR", MODEL_VARIABLE)
    }
    environment |= {"TMPDIR": str(temporary), "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "0"}
    unshare = ["unshare", "--map-root-user", "--net"]  # where the kernel allows it, no program of ours has a network
    try:
        subprocess.run([*unshare, "true"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        unshare = []
    result = subprocess.run(
        [*unshare, sys.executable, "-c", WITHOUT_NETWORK, str(photo)],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert "MADE" in result.stdout, result.stdout + result.stderr
    assert "REACHED FOR" not in result.stdout
    assert "photo.png" not in result.stdout + result.stderr  # logs name no visitor's files
    assert [path for path in temporary.rglob("*") if path.suffix in (".mp4", ".png", ".ts")] == []
