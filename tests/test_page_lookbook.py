"""The lookbook in a real browser: one job of several clips, picked, made longer, stopped, and found again."""

import zipfile
from io import BytesIO
from pathlib import Path

import pytest

from fashionflow.generation.queue import MOST_CLIPS
from fashionflow.video.io import read_frames, read_settings

from . import tiny
from .browser import DELETED_FILE, PHONE, animate, choose, set_slider, wait_for_status, wait_until


pytestmark = pytest.mark.browser

FRAMES = 12


def unfold(page, motions: int = 2, seeds: int = 2) -> None:
    """Opens the lookbook, with the first of its three chosen motions and so many seeds."""
    page.click("#lookbook > button")
    for name in ("Walk", "Turn right")[: 3 - motions]:
        page.locator("#lookbook-motions").get_by_label(name, exact=True).click()
    field = page.locator("#lookbook-seeds input[type=number]")
    field.fill(str(seeds))
    field.press("Enter")


def wait_for(page, selector: str, text: str) -> None:
    page.wait_for_selector(f"{selector} :text('{text}')")


def cell(page, index: int):
    return page.locator("#lookbook-sheet .thumbnail-item").nth(index)


def made_cells(page, count: int) -> None:
    page.wait_for_function(
        f"document.querySelectorAll('#lookbook-sheet img[src*=thumbnail]').length >= {count}", polling=20
    )


def test_clips_are_picked_while_others_are_made_then_made_longer_and_finer(jobs, url, visit, dress, brake):
    page = visit(url)
    choose(page, dress)
    set_slider(page, "steps", 11)
    unfold(page)
    wait_for(page, "#lookbook-time-estimate", "4 clips, about")
    seed = int(page.input_value("#seed input"))
    assert f"Seeds {seed} to {seed + 1}." in page.inner_text("#lookbook-time-estimate")
    brake.hold(when=lambda: jobs[0].results[0])  # in the second clip
    page.click("#lookbook-make")

    made_cells(page, 1)
    cell(page, 3).click()
    wait_for(page, "#lookbook-picked", "is not made yet")
    cell(page, 0).click()
    page.wait_for_selector("#clip video")
    assert "left" in page.inner_text("#lookbook-status")  # the others are still being made
    (job,) = jobs
    assert not job.has_ended
    assert job.results[0].path.name in page.get_attribute("#clip video", "src")
    assert f"seed {seed}" in page.inner_text("#status")
    page.wait_for_function("document.querySelector('#stage').getBoundingClientRect().top >= -1")

    brake.release()
    wait_for(page, "#lookbook-status", "All 4 clips are made")
    asked = [(request.settings.motion, request.settings.seed) for request in job.requests]
    assert asked == [("turn-left", seed), ("turn-left", seed + 1), ("turn-right", seed), ("turn-right", seed + 1)]
    made_cells(page, 4)
    assert cell(page, 3).inner_text() == f"Turn right · seed {seed + 1}"
    page.wait_for_selector(f"#lookbook-sheet [aria-label='Turn right · seed {seed + 1}']")

    with page.expect_download() as download:
        page.click("#lookbook-download")
    with zipfile.ZipFile(BytesIO(Path(download.value.path()).read_bytes())) as archive:
        names = archive.namelist()
        folder = Path(download.value.path()).parent / "clips"
        archive.extractall(folder)
    assert [read_settings(folder / name)["seed"] for name in names] == [seed for _, seed in asked]

    cell(page, 2).click()
    wait_for(page, "#lookbook-picked", f"Turn right · seed {seed}")
    for button, frames, steps in (("longer", 2 * FRAMES, 11), ("full", FRAMES, 12)):
        before = len(jobs)
        page.click(f"#lookbook-{button}:enabled")
        wait_until(lambda before=before: len(jobs) > before and jobs[-1].has_ended)
        (made,) = jobs[-1].results
        page.wait_for_selector(f"#clip video[src*='{made.path.parent.name}/{made.path.name}']")
        page.wait_for_selector("#animate:enabled")
        wait_for_status(page, "Done")
        settings = read_settings(made.path)
        assert (settings["frames"], settings["steps"]) == (frames, steps)
        assert (settings["motion"], settings["seed"]) == ("turn-right", seed)


def test_others_come_in_between_and_stop_keeps_what_was_made(job_queue, jobs, url, visit, dress, brake):
    page, other = visit(url), visit(url)
    choose(page, dress)
    set_slider(page, "steps", 12)
    unfold(page)
    brake.hold()
    page.click("#lookbook-make")
    wait_for(page, "#lookbook-status", "Clip 1 of 4")
    (job,) = jobs
    animate(other, dress)
    wait_for_status(other, "1 clip is made before yours")
    brake.hold(when=lambda: job.results[1])  # in the third clip
    wait_for_status(other, "Done")
    made = sum(result is not None for result in job.results)
    assert made <= 2 and not job.has_ended  # the next one, not the last
    assert not other.query_selector("#lookbook-sheet img")  # nothing of the first visitor's

    made_cells(page, 1)
    page.reload()  # while it is made, which breaks its connection
    wait_for(page, "#lookbook-status", "left")
    page.click("#lookbook-stop")
    page.wait_for_selector("#lookbook-stop:disabled")
    brake.release()
    wait_for(page, "#lookbook-status", "Stopped")
    made = sum(result is not None for result in job.results)
    assert f"{made} of 4 clips were made" in page.inner_text("#lookbook-status") and made < 4
    wait_for(page, "#lookbook-sheet", "not made")
    assert page.locator("#lookbook-sheet img[src*=thumbnail]").count() == made
    assert page.is_enabled("#lookbook-make") and page.is_disabled("#lookbook-stop")

    visit.expected += DELETED_FILE
    job_queue.discard(job)
    cell(page, 0).click()
    wait_for(page, "#lookbook-picked", "deleted in the meantime")
    page.reload()
    page.wait_for_function("!document.querySelector('#lookbook-sheet')?.checkVisibility()")
    assert page.is_enabled("#animate")


def test_several_photos_on_a_phone_one_of_which_is_none(jobs, url, visit, dress, tmp_path):
    letter, second = tmp_path / "letter.jpg", tmp_path / "second.png"
    letter.write_text("This is a letter.")
    tiny.photo().transpose(0).save(second)
    page = visit(url, viewport=PHONE, has_touch=True, is_mobile=True)
    unfold(page, motions=3, seeds=4)
    page.click("#lookbook-photos-fold > button")
    page.set_input_files("#lookbook-photos input[type=file]", [dress, letter, second])
    wait_for(page, "#lookbook-time-estimate", f"36 clips, and a lookbook has {MOST_CLIPS} at most")
    page.tap("#lookbook-make")
    wait_for(page, "#lookbook-note", "36 clips")
    assert jobs == []

    for name in ("Walk", "Turn right"):
        page.locator("#lookbook-motions").get_by_label(name, exact=True).tap()
    page.locator("#lookbook-seeds input[type=number]").fill("1")
    page.locator("#lookbook-seeds input[type=number]").press("Enter")
    wait_for(page, "#lookbook-time-estimate", "3 clips")
    page.tap("#lookbook-make")
    wait_for(page, "#lookbook-status", "All 2 clips are made")
    made_cells(page, 2)
    note = page.inner_text("#lookbook-note")
    assert "letter.jpg" in note and "left out" in note and "not a picture" in note
    assert "second.png" not in note and "dress.png" not in note
    assert cell(page, 0).inner_text().startswith("Photo 1 ·") and cell(page, 1).inner_text().startswith("Photo 2 ·")
    colours = [read_frames(result.path)[0][-8:, :8].mean(axis=(0, 1)).argmax() for result in jobs[-1].results]
    assert colours[0] != colours[1]  # each of its own photo
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]

    assert not page.is_checked("#lookbook-moving input")  # as this visitor's system asks for
    assert page.locator("#lookbook-sheet img[src*=still]").count() == 2
    page.locator("#lookbook-moving input").tap()
    page.wait_for_selector("#lookbook-sheet img[src*=moving]")

    page.locator("#lookbook-motions").get_by_label("Turn left", exact=True).tap()
    wait_for(page, "#lookbook-time-estimate", "Choose at least one motion")
