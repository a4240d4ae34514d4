"""Several workers behind one queue: a real Ray on this machine, two processes with the toy model, and workers that are killed."""

import os
import shutil
import signal
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from fashionflow.errors import NoWorker
from fashionflow.generation import ray_pool
from fashionflow.generation.events import Finished, Segment, Step, Waiting
from fashionflow.generation.queue import JobQueue
from fashionflow.generation.ray_actor import Model
from fashionflow.generation.ray_pool import RayPool, read_pool
from fashionflow.generation.request import ClipRequest
from fashionflow.generation.settings import ClipSettings
from fashionflow.page import wording
from fashionflow.page.languages import ENGLISH
from fashionflow.runtime.loading import load_pipeline
from fashionflow.video.io import read_frames

from . import tiny
from .browser import wait_until
from .serve import free_port
from .waiting import wait_until_idle


ray = pytest.importorskip("ray", reason="Ray is not installed (requirements-ray.txt)")

MANY_STEPS = 1000  # many seconds of work even for the toy model


@pytest.fixture(scope="module")
def pipe(model):
    return load_pipeline(model, "cpu")


@pytest.fixture(scope="module")
def job_queue(model, pipe):
    folder = Path("/tmp") / f"ff-{os.getpid()}"  # the paths of Ray's sockets must be short
    folder.mkdir()
    before = {each: signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)}
    with pytest.MonkeyPatch.context() as patch:
        for name in ray_pool.OWN_RAY:  # which the pool sets
            patch.setenv(name, "")
            patch.delenv(name)
        pool = read_pool("cpu,cpu", None, None, Model(str(model)))
        job_queue = JobQueue(pipe, folder)
        try:
            pool.start(job_queue.folder, job_queue.time_estimator)
            pool.wait(pipe, job_queue.time_estimator)
            assert {each: signal.getsignal(each) for each in before} == before  # Ray puts its own in their place
            job_queue.use(pipe, pool.workers)
            yield job_queue
            job_queue.close()
        finally:
            pool.close()
            shutil.rmtree(folder)


def request(**changes) -> ClipRequest:
    return ClipRequest(tiny.photo(), ClipSettings(**{"frames": 6, "steps": 3, "seed": 7, "motion": "spin"} | changes))


def begun(job_queue, **changes):
    """A job whose first step is done, and its events from then on."""
    job = job_queue.submit(request(**{"steps": MANY_STEPS} | changes))
    events = job.follow()
    next(event for event in events if isinstance(event, Step))
    return job, events


def process_of(job_queue, job) -> int:
    worker, _ = job_queue._at_work[job]
    return worker.process


def test_two_clips_are_made_at_the_same_time_and_the_third_visitor_is_told_when_one_is_free(job_queue):
    assert job_queue.time_estimator.is_known  # measured by the workers
    assert job_queue.report().endswith(" · 2 workers") and " · cpu · " in job_queue.report()
    assert job_queue.estimate([request().settings]).ahead == 0
    first, _ = begun(job_queue)
    assert job_queue.estimate([request().settings]).ahead == 0  # there is another device
    second, _ = begun(job_queue)
    assert first.state == second.state == "working" and process_of(job_queue, first) != process_of(job_queue, second)
    third, fourth = (job_queue.submit(request(seed=seed)) for seed in (3, 4))
    said, behind = next(third.follow()), next(fourth.follow())
    assert isinstance(said, Waiting) and (said.ahead, behind.ahead) == (1, 2)
    alone = job_queue.time_estimator.seconds(request(steps=MANY_STEPS).settings)
    assert 0 < said.seconds <= behind.seconds < alone  # and not the sum of two
    job_queue.discard(first)
    *_, finished = third.follow()
    assert finished.whole and second.state == "working"
    job_queue.discard(second)
    *_, finished = fourth.follow()
    assert finished.whole and not first.folder.exists() and not second.folder.exists()


def test_a_clip_is_the_same_as_in_one_process(job_queue, pipe):
    single, threads = JobQueue(pipe), torch.get_num_threads()
    torch.set_num_threads(job_queue.workers[0]._needs["num_cpus"])  # another number rounds otherwise
    elsewhere, here = ([*each.submit(request(frames=30)).follow()] for each in (single, job_queue))
    torch.set_num_threads(threads)
    kinds = [type(event) for event in here if not isinstance(event, Waiting)]
    assert kinds == [*[Step] * kinds.count(Step), *[Segment] * kinds.count(Segment), Finished]
    pieces, whole = (
        [read_frames(event.path) for event in here if isinstance(event, kind)] for kind in (Segment, Finished)
    )
    np.testing.assert_array_equal(whole[0], read_frames(elsewhere[-1].path))
    assert sum(map(len, pieces)) == len(whole[0]) == here[-1].frames
    assert {"seconds", "waited"} <= vars(here[-1]).keys() and 0 <= here[-1].waited < 10


def test_a_lookbook_lets_another_visitor_in_between_its_clips(job_queue):
    long, _ = begun(job_queue)  # so that one worker is left
    lookbook = job_queue.submit([request(seed=seed, steps=20) for seed in (1, 2)])
    single = job_queue.submit(request(seed=9))
    wait_until(lambda: lookbook.has_ended and single.has_ended)
    first, second = (result.path.stat().st_mtime for result in lookbook.results)
    assert first < single.results[0].path.stat().st_mtime < second
    job_queue.discard(long)
    wait_until_idle(job_queue)


def test_stop_reaches_a_worker_and_keeps_what_was_made(job_queue):
    job, events = begun(job_queue)
    other, _ = begun(job_queue)
    job_queue.stop(job)
    *told, finished = events
    assert not finished.whole and job.state == "stopped" and len(read_frames(finished.path)) == finished.frames > 6
    assert max((event.index for event in told if isinstance(event, Step)), default=0) < MANY_STEPS / 2
    assert other.state == "working"
    job_queue.discard(other)
    wait_until_idle(job_queue)
    assert not other.folder.exists()


def test_the_clip_of_a_killed_worker_is_made_by_another_and_no_segment_is_told_twice(job_queue):
    job, events = begun(job_queue, steps=3, frames=60)
    told = []
    for event in events:
        told.append(event)
        if isinstance(event, Segment) and event.index == 1:
            killed = process_of(job_queue, job)
            os.kill(killed, signal.SIGKILL)
    segments = [event for event in told if isinstance(event, Segment)]
    assert [event.index for event in segments] == list(range(len(segments))) and len(segments) > 2
    assert [type(event) for event in told].count(Finished) == 1 and told[-1].whole and job.state == "finished"
    assert sum(len(read_frames(event.path)) for event in segments) == told[-1].frames == 3 * 59 + 1
    assert len(list(told[-1].path.parent.iterdir())) == len(segments) + 1
    wait_until(lambda: all(worker.actor is not None and worker.process != killed for worker in job_queue.workers))


def test_a_clip_whose_workers_are_lost_three_times_ends_with_a_sentence(job_queue):
    """Twice by a signal, and once because the device fails, as a card does whose process can use it no more."""

    def fail(actor) -> None:
        def raise_error(*_) -> None:
            raise RuntimeError("CUDA error: an illegal memory access was encountered")

        actor._pipe.unet.register_forward_pre_hook(raise_error)

    job, events = begun(job_queue)
    lost = set()

    def lose_again() -> None:
        while not job.has_ended:
            worker, _ = job_queue._at_work.get(job, (None, 0))
            if worker is not None and worker.process not in lost and worker.actor is not None:
                lost.add(worker.process)
                if len(lost) == 2:
                    worker.actor.__ray_call__.remote(fail)
                else:
                    os.kill(worker.process, signal.SIGKILL)
            time.sleep(0.05)

    losing = threading.Thread(target=lose_again)
    losing.start()
    with pytest.raises(NoWorker, match="begun three times") as caught:
        list(events)
    losing.join()
    assert len(lost) == 3 and job.state == "failed"
    assert wording.failure(ENGLISH, caught.value) == str(caught.value)


def test_when_no_worker_can_be_started_visitors_are_told_and_the_next_is_served_again(job_queue, monkeypatch):
    wait_until(lambda: not job_queue._threads)  # those that were lost are there again
    monkeypatch.setattr(ray_pool, "START_SECONDS", 1)
    needs = job_queue.workers[0]._needs
    for worker in job_queue.workers:
        worker._needs = {"num_cpus": 64}  # as when the machines that had them have gone
        worker.end()
    jobs = [job_queue.submit(request()) for _ in range(2)]
    for job in jobs:
        with pytest.raises(NoWorker, match="None of the devices"):
            list(job.follow())
    monkeypatch.undo()
    job_queue.workers[0]._needs = needs
    *_, finished = job_queue.submit(request()).follow()
    assert finished.whole


def test_a_cluster_that_has_too_little_or_is_not_there_is_told_in_a_sentence(job_queue):
    cores = os.cpu_count()
    for workers, each in ((1, cores), (cores, 1)):
        places = RayPool(None, "auto", workers, Model())._places()
        assert [(device, needs["num_cpus"]) for device, needs in places] == [("cpu", each)] * workers
    with pytest.raises(ValueError, match="has no GPU; say with --workers"):
        RayPool(None, "auto", None, Model())._places()
    with pytest.raises(
        ValueError, match=f"--workers is {cores + 1}, but the Ray cluster at .* has {cores} processor cores"
    ):
        RayPool(None, "auto", cores + 1, Model())._places()
    with pytest.raises(ValueError, match="cannot be used .*Connection refused"):
        RayPool(None, f"127.0.0.1:{free_port()}", None, Model()).start(job_queue.folder, job_queue.time_estimator)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ((None, None, 2), "--workers is for a Ray cluster"),
        (("cpu", "auto", None), "use one of them"),
        (("cpu,,cpu", None, None), "must name devices with commas"),
        ((None, "ray://10.0.0.1:10001", None), "must be auto or HOST:PORT"),
        ((None, "auto", 0), "--workers must be from 1 to 1000, got 0"),
    ],
)
def test_what_cannot_be_asked_for_is_said(options, sentence):
    with pytest.raises(ValueError, match=sentence):
        read_pool(*options, Model())


def test_without_ray_everything_else_works_and_the_options_say_what_to_install(monkeypatch, pipe):
    monkeypatch.setitem(sys.modules, "ray", None)
    assert read_pool(None, None, None, Model()) is None
    *_, finished = JobQueue(pipe).submit(request()).follow()
    assert finished.whole
    with pytest.raises(ValueError, match="run pip install -r requirements-ray.txt"):
        read_pool("cpu,cpu", None, None, Model())
