"""Ten visitors at once who stop, reload and leave: everybody gets their own clip, every job ends, and nothing is left over."""

import gc
import re
import time

import numpy as np
import psutil
import pytest
from PIL import Image

from fashionflow.generation.events import Segment, Step
from fashionflow.generation.queue import JobQueue
from fashionflow.video.io import read_frames

from . import tiny
from .browser import PHONE, animate, wait_for_status
from .serve import serve


pytestmark = pytest.mark.browser

STOPPING, RELOADING, LEAVING = (0, 5), (1, 6), (2, 7)
STEPS, STEP_SECONDS = 12, 0.15  # slow enough for a click on Stop to come before the end
GIVEN_UP = ("AbortError", "Connection errored out")  # what Gradio's script logs when its page is reloaded under a run
MEGABYTES = 80  # that ten visits may leave behind: allocators keep some of what was used


def colour(number: int) -> tuple[int, int, int]:
    """A colour that no other visitor's photo comes near to."""
    return (60 + 80 * (number % 3), 60 + 80 * (number // 3 % 3), 60 + 160 * (number // 9))


def resident_megabytes() -> float:
    gc.collect()
    return psutil.Process().memory_info().rss / 1e6


def job_folders(urls: list[str]) -> set[str]:
    return {found[1] for url in urls if (found := re.search(r"/(job-[^/]+)/", url))}


def test_ten_visitors_at_once(visit, tmp_path):
    job_queue = JobQueue(tiny.pipeline())
    job_queue.pipe.unet.register_forward_pre_hook(lambda *_: time.sleep(STEP_SECONDS))
    jobs = []
    job_queue.watchers.append(jobs.append)
    with serve(job_queue) as url:
        photos, pages, fetched = [], {}, {}
        for number in range(10):
            path = tmp_path / f"{number}.png"
            Image.new("RGB", (96, 128), colour(number)).save(path)
            photos.append(path)
        warm_up = visit(url)
        animate(warm_up, photos[9], steps=1)
        wait_for_status(warm_up, "Done")
        warm_up.context.close()
        jobs.clear()
        before = resident_megabytes()

        for number, photo in enumerate(photos):
            page = pages[number] = visit(url, **({"viewport": PHONE} if number % 2 else {}))
            fetched[number] = []
            page.on("request", lambda request, number=number: fetched[number].append(request.url))
            animate(page, photo, steps=STEPS)
            if number in STOPPING:
                wait_for_status(page, "Step")
                page.click("#stop")
            elif number in LEAVING:
                page.wait_for_function("document.querySelector('#stop').disabled === false")
                pages.pop(number).context.close()
            elif number in RELOADING:
                page.wait_for_function("localStorage.getItem('fashionflow-last-job') !== null")
                page.wait_for_timeout(300)
                page.reload()

        for number, page in pages.items():
            wait_for_status(page, "Stopped" if number in STOPPING else "Done")
            page.wait_for_selector("#download:visible")
            with page.expect_download() as download:
                page.click("#download")
            clip = tmp_path / f"{number}.mp4"
            download.value.save_as(clip)
            first = read_frames(clip)[0].reshape(-1, 3)
            if number not in STOPPING:  # which shows the photo as the untrained autoencoder sees it
                assert np.abs(first.mean(axis=0) - colour(number)).max() < 25, number

        while job_queue.in_line:
            time.sleep(0.05)
        assert len(jobs) == 10 and len({job.number for job in jobs}) == 10
        assert [job.state for job in jobs].count("stopped") == len(STOPPING)
        assert [job.state for job in jobs].count("finished") == 10 - len(STOPPING)  # those who left, too
        for one, urls in fetched.items():  # nobody's browser was ever pointed at somebody else's files
            for other, others in fetched.items():
                assert one == other or not job_folders(urls) & job_folders(others)
        assert all(job.requests[0].photo is None for job in jobs)
        assert not any(isinstance(event, Step) for job in jobs for _, event in job._events)
        assert any(
            isinstance(event, Segment) for job in jobs for _, event in job._events
        )  # or the line above proves nothing
        for page in pages.values():
            page.context.close()
        visit.errors[:] = [error for error in visit.errors if not any(said in error for said in GIVEN_UP)]
        assert resident_megabytes() - before < MEGABYTES
