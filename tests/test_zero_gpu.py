"""Clips on ZeroGPU: the real decorator of `spaces` and its real worker process, with a scheduling service on this machine.

What is missing is the GPU. `spaces` has a way of its own where PyTorch is not installed: it stands in for no CUDA, and brings no weights to a
card. It takes that way here, because PyTorch is hidden from it while it is imported; the models run on the processor.
"""

import base64
import importlib
import os
import pickle
import subprocess
import sys
import threading
from contextvars import copy_context
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from fashionflow.errors import NoGPU
from fashionflow.generation import zero_gpu
from fashionflow.generation.events import Finished, Segment, Step, Waiting
from fashionflow.generation.queue import JobQueue
from fashionflow.generation.request import ClipRequest
from fashionflow.generation.settings import ClipSettings
from fashionflow.generation.time_estimator import UNKNOWN_DURATION
from fashionflow.page import wording
from fashionflow.page.languages import ENGLISH
from fashionflow.runtime.memory_modes import OutOfMemory
from fashionflow.video.io import read_frames

from . import tiny
from .browser import animate, visitors, wait_until
from .serve import free_port, served
from .zero_gpu import HELD, IN_VAIN, QUEUED, serving


pytest.importorskip("spaces", reason="the package spaces is not installed (requirements-dev.txt)")

ROOT = Path(__file__).parents[1]
MANY_STEPS = 300


def headers_of(number: int) -> dict[str, str]:
    """Headers by which Hugging Face tells `spaces` who a visitor is."""
    return {"x-ip-token": ".".join(["", base64.urlsafe_b64encode(b'{"n": %d}' % number).decode(), ""])}


ANN = headers_of(1)


@pytest.fixture(scope="module")
def service():
    """ZeroGPU around this process: `fashionflow.generation.zero_gpu` is imported anew, as it is there."""
    import gradio  # noqa: F401  (which `spaces` would be imported by)
    import spaces.config

    with serving() as service, pytest.MonkeyPatch.context() as patch:
        with pytest.MonkeyPatch.context() as hidden:
            hidden.setitem(sys.modules, "torch", None)
            importlib.import_module("spaces.zero.torch")
        patch.setenv(zero_gpu.VARIABLE, "true")
        patch.setattr(spaces.config.Config, "zero_gpu", True)
        patch.setattr(spaces.config.Config, "zero_device_api_url", service.address)
        importlib.reload(zero_gpu)
        yield service
        if service.workers:
            service.take_back()
    importlib.reload(zero_gpu)


@pytest.fixture(scope="module")
def pipe():
    pipe = tiny.guided_pipeline()
    pipe.lock = threading.Lock()  # whatever holds it cannot be pickled
    return pipe


@pytest.fixture(scope="module")
def job_queue(service, pipe):
    return JobQueue(pipe)


@pytest.fixture(scope="module")
def elsewhere(pipe):
    """The clip of `request()` without ZeroGPU."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv(zero_gpu.VARIABLE, raising=False)
        job_queue = JobQueue(pipe)
        return read_frames(works(job_queue).path)


def request(**changes) -> ClipRequest:
    settings = ClipSettings(**{"frames": tiny.FRAMES, "steps": 2, "seed": 7, "motion": "spin"} | changes)
    return ClipRequest(tiny.photo(), settings)


def asked_by(headers: dict | None, job_queue: JobQueue, *requests: ClipRequest):
    """A job that a visitor of the page asks for."""
    from gradio.context import LocalContext

    def submit():
        LocalContext.request.set(headers and SimpleNamespace(headers=Headers(headers)))
        return job_queue.submit(requests)

    return copy_context().run(submit)


class Headers(dict):
    """As Gradio hands them over: names in small letters, and an object's attributes."""


def works(job_queue: JobQueue) -> Finished:
    return list(job_queue.submit(request()).follow())[-1]


def test_a_clip_is_the_same_with_and_without_it(elsewhere, service, job_queue):
    events = list(job_queue.submit(request()).follow())
    kinds = [type(event) for event in events if not isinstance(event, Waiting)]
    assert kinds == [*[Step] * kinds.count(Step), *[Segment] * kinds.count(Segment), Finished] and Segment in kinds
    np.testing.assert_array_equal(read_frames(events[-1].path), elsewhere)
    assert len(service.workers) == 1 and service.workers[0] != os.getpid()
    with pytest.raises(TypeError, match="cannot pickle"):
        pickle.dumps(job_queue.pipe)  # so it was not sent
    wait_until(lambda: service.released)
    assert service.released[-1]["fail"] == "false"


def test_what_was_learnt_in_the_other_process_sets_the_seconds_that_are_asked_for(service, pipe):
    job_queue = JobQueue(pipe)
    service.asked.clear()
    assert not job_queue.time_estimator.is_known
    works(job_queue)
    wait_until(lambda: job_queue.time_estimator.is_known and job_queue.time_estimator.accuracy() is not None)
    works(job_queue)
    first, second = (int(asked["durationSeconds"]) for asked in service.asked)
    assert first == UNKNOWN_DURATION and second < UNKNOWN_DURATION


def begun(job_queue: JobQueue, **changes):
    """A job whose first step is done, and its events from then on."""
    job = job_queue.submit(request(**{"steps": MANY_STEPS} | changes))
    events = job.follow()
    next(event for event in events if isinstance(event, Step) and event.index)
    return job, events


def test_stopping_keeps_what_was_made(service, job_queue):
    job, events = begun(job_queue)
    job_queue.stop(job)
    *_, finished = events
    assert isinstance(finished, Finished) and not finished.whole and job.state == "stopped"
    assert len(read_frames(finished.path)) == finished.frames > 1
    assert works(job_queue).whole


def test_a_discarded_job_gives_the_gpu_back_and_leaves_nothing(service, job_queue):
    job, events = begun(job_queue)
    service.released.clear()
    job_queue.discard(job)
    assert [event for event in events if isinstance(event, Finished)] == [] and job.state == "stopped"
    assert len(service.released) == 1 and not job.folder.exists()
    assert works(job_queue).whole


def test_ten_visitors_at_once_ask_in_their_own_names_and_none_for_the_two_who_leave(service, job_queue):
    service.asked.clear()
    service.released.clear()
    tokens = [headers_of(number)["x-ip-token"] if number else None for number in range(10)]  # the first one is nobody
    jobs = [
        asked_by(token and {"x-ip-token": token}, job_queue, request(seed=number, steps=2 if number else MANY_STEPS))
        for number, token in enumerate(tokens)
    ]
    next(event for event in jobs[0].follow() if isinstance(event, Step) and event.index)
    for leaving in (jobs[0], jobs[6]):  # in the middle of the clip, and before there was a GPU
        job_queue.discard(leaving)
    for job in jobs[1:6] + jobs[7:]:
        *_, finished = job.follow()
        assert finished.whole
    assert [asked.get("token") for asked in service.asked] == tokens[:6] + tokens[7:]
    assert len(service.released) == 9
    assert [job.context for job in jobs] == [None] * 10  # nothing is kept of a visitor who has been served
    assert len(set(service.workers[-9:])) == 1  # one process served them all


@pytest.mark.browser
def test_a_tab_that_is_closed_while_there_is_no_gpu_ends_no_clip(service, job_queue, browser, dress):
    """It may be a phone that sleeps; `spaces` would give up."""
    service.asked.clear()
    service.answers.append(HELD)
    with served(job_queue) as site, visitors(browser) as visit:
        page = visit(site.url)
        animate(page, dress)
        wait_until(lambda: service.asked)
        page.context.close()
        job = job_queue.jobs[-1]
        wait_until(lambda: job.has_ended)
    assert job.state == "finished" and len(service.asked) == 2


LONG = {"left": 3, "wait": 7200}
REFUSALS = {
    "quota": (ANN, (429, LONG, {})),
    "quota of nobody": (None, (429, LONG, {})),
    "quota of running tasks": (ANN, (429, LONG, {"X-Approve-Result": "pending-overquota-exceeded"})),
    "too-long": (ANN, (429, {"left": 3, "wait": -1}, {})),
    "busy": (ANN, IN_VAIN),
    "busy for nobody": (None, IN_VAIN),
    "busy at once": (ANN, (503, {}, {})),
    "unknown": (ANN, (401, {}, {})),
    "away": (ANN, (500, {}, {})),
}


@pytest.mark.parametrize("refusal", REFUSALS)
def test_what_is_refused_becomes_a_sentence_and_the_next_clip_is_made(service, job_queue, refusal):
    headers, answer = REFUSALS[refusal]
    service.answers.append(answer)
    job = asked_by(headers, job_queue, request())
    with pytest.raises(NoGPU) as caught:
        list(job.follow())
    assert caught.value.key == refusal.split()[0] and job.state == "failed"
    assert wording.failure(ENGLISH, caught.value) == str(caught.value)
    if refusal in ("quota", "busy"):  # by the answer to the request for a GPU, and after waiting for one
        assert works(job_queue).whole


def test_a_service_that_is_away_becomes_a_sentence(service, job_queue, monkeypatch):
    from spaces.config import Config

    monkeypatch.setattr(Config, "zero_device_api_url", f"http://127.0.0.1:{free_port()}")
    with pytest.raises(NoGPU, match="could not be asked for; try again later"):
        works(job_queue)


def test_whoever_waits_for_a_gpu_gets_one(service, job_queue):
    service.answers.append(QUEUED)
    assert works(job_queue).whole


def test_a_gpu_that_is_taken_back_becomes_a_sentence_and_the_next_clip_is_made(service, job_queue):
    job, events = begun(job_queue)
    service.take_back()
    with pytest.raises(NoGPU, match="took the GPU back before the clip was finished"):
        list(events)
    assert works(job_queue).whole
    assert len(set(service.workers[-2:])) == 2


@pytest.mark.parametrize(
    ("error", "raised", "key"),
    [
        (RuntimeError("CUDA out of memory"), OutOfMemory, "status.out_of_memory"),
        (ZeroDivisionError(), Exception, "status.failed"),
    ],
)
def test_what_goes_wrong_on_the_gpu_is_told(service, job_queue, pipe, error, raised, key):
    def fail(*_) -> None:
        raise error

    service.take_back()  # the next process is a copy of this one as it is now
    hook = pipe.unet.register_forward_pre_hook(fail)
    try:
        with pytest.raises(raised) as caught:
            works(job_queue)
    finally:
        hook.remove()
        service.take_back()
    assert wording.failure(ENGLISH, caught.value) == ENGLISH(key)


def test_the_page_makes_a_clip_with_the_gpu_of_whoever_asked_for_it(tmp_path, tmp_path_factory, dress):
    """app.py as ZeroGPU starts it: with the models on "cuda" before the page is served, and the visitor known from a header."""
    from gradio_client import Client, handle_file

    pipe = tiny.guided_pipeline()
    parts = {name: part for name, part in pipe.components.items() if isinstance(part, torch.nn.Module)}
    del parts["geometry"]  # with which the page looks at photos itself
    waiting = sum(len([*part.parameters(), *part.buffers()]) for part in parts.values())
    model, port = tiny.saved(tmp_path_factory, pipe), free_port()
    with serving() as service, (tmp_path / "log").open("w") as log:
        surroundings = os.environ | {
            zero_gpu.VARIABLE: "true",
            "SPACES_ZERO_DEVICE_API_URL": service.address,
            "ZEROGPU_OFFLOAD_DIR": str(tmp_path / "weights"),
            "TMPDIR": str(tmp_path),
        }
        command = [sys.executable, "-m", "tests.zero_gpu_app", "--model", str(model), "--port", str(port)]
        page = subprocess.Popen(command, cwd=ROOT, env=surroundings, stdout=log, stderr=log)
        try:
            wait_until(lambda: "The page is at" in (tmp_path / "log").read_text() or page.poll() is not None)
            said = (tmp_path / "log").read_text()
            assert page.poll() is None and " · cuda:0 · " in said, said
            assert f"Waiting for a GPU: {waiting} tensors" in said, said
            assert service.reports == 1 and any((tmp_path / "weights").iterdir())
            client = Client(
                f"http://127.0.0.1:{port}",
                headers=ANN,
                verbose=False,
                download_files=tmp_path / "downloads",
                analytics_enabled=False,
            )
            clip, _ = client.predict(handle_file(dress), frames=2, steps=1, api_name="/animate")
            client.close()
            assert read_frames(clip).shape[1:] == (192, 128, 3)
            assert [asked["token"] for asked in service.asked] == [ANN["x-ip-token"]]
        finally:
            if service.workers:
                service.kill()
            page.terminate()
            page.wait(timeout=30)
