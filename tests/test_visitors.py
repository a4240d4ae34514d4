"""Ten visitors at once, some of whom stop, reload or leave: everybody gets their own clip, every job ends, and nothing is left over."""

import gc
import re
from pathlib import Path

import numpy as np
import psutil
import pytest
from gradio_client import Client, handle_file
from PIL import Image

from fashionflow.generation.events import Segment, Step
from fashionflow.video.io import read_frames

from .browser import PHONE, animate, wait_for_status, wait_until


pytestmark = pytest.mark.browser

STOPPING, RELOADING, LEAVING = 0, 1, 2  # these and the next have a browser, the others are programs
BROWSERS, VISITORS = 4, 10
STEPS = 6
MEGABYTES = 80  # that ten visits may leave behind: allocators keep some of what was used


def colour(number: int) -> tuple[int, int, int]:
    """A colour that no other visitor's photo comes near to."""
    return (60 + 80 * (number % 3), 60 + 80 * (number // 3 % 3), 60 + 160 * (number // 9))


def resident_megabytes() -> float:
    gc.collect()
    return psutil.Process().memory_info().rss / 1e6


def job_folders(urls: list[str]) -> set[str]:
    return {found[1] for url in urls if (found := re.search(r"/(job-[^/]+)/", url))}


def assert_is_of(clip: str | Path, number: int) -> None:
    """The clip begins with the visitor's own photo."""
    first = read_frames(clip)[0].reshape(-1, 3)
    assert np.abs(first.mean(axis=0) - colour(number)).max() < 25, number


def test_ten_visitors_at_once(visit, url, job_queue, jobs, brake, tmp_path):
    photos, pages, fetched = [], {}, {}
    for number in range(VISITORS):
        path = tmp_path / f"{number}.png"
        Image.new("RGB", (96, 128), colour(number)).save(path)
        photos.append(path)
    client = Client(url, verbose=False, download_files=tmp_path / "downloads", analytics_enabled=False)
    asked = {"motion": "spin", "steps": STEPS, "api_name": "/animate"}
    client.predict(handle_file(photos[9]), **asked)  # what loads itself at the first use is no leftover
    jobs.clear()
    before = resident_megabytes()

    brake.hold()  # until everybody has come
    for number in range(BROWSERS):
        page = pages[number] = visit(url, **({"viewport": PHONE} if number % 2 else {}))
        fetched[number] = []
        page.on("request", lambda request, number=number: fetched[number].append(request.url))
        animate(page, photos[number], steps=STEPS)
        if number == STOPPING:
            wait_for_status(page, "Step")
        else:
            wait_for_status(page, "made before yours")
    programs = {number: client.submit(handle_file(photos[number]), **asked) for number in range(BROWSERS, VISITORS)}
    wait_until(lambda: len(jobs) == VISITORS)
    pages[STOPPING].click("#stop")
    pages[STOPPING].wait_for_selector("#stop:disabled")
    pages[RELOADING].reload()
    pages.pop(LEAVING).context.close()
    brake.release()

    for number, page in pages.items():
        wait_for_status(page, "Stopped" if number == STOPPING else "Done")
        page.wait_for_selector("#download:visible")
        with page.expect_download() as download:
            page.click("#download")
        clip = tmp_path / f"{number}.mp4"
        download.value.save_as(clip)
        if number != STOPPING:  # which shows the photo as the untrained autoencoder sees it
            assert_is_of(clip, number)
    for number, program in programs.items():
        assert_is_of(program.result(timeout=120)[0], number)

    wait_until(lambda: not job_queue.in_line)
    assert len({job.number for job in jobs}) == len(jobs) == VISITORS
    assert sorted(job.state for job in jobs) == ["finished"] * 9 + ["stopped"]  # the one who left has a clip, too
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
    assert resident_megabytes() - before < MEGABYTES
