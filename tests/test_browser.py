"""The page in a real browser: what a visitor sees, presses and gets."""

import math
import re

import pytest

from fashionflow.generation.queue import JobQueue
from fashionflow.video.io import read_settings

from . import tiny
from .browser import DRAWN_PIXELS, MOVING, PHONE, animate, choose, set_slider, wait_for_status
from .serve import serve


pytestmark = pytest.mark.browser

FRAMES = 12
TURN_ANGLE = "document.querySelector('#turn-angle input[type=number]')"
HELD_STEPS = 12  # of a run that is held in the middle


def test_from_a_photo_to_a_playing_clip_and_its_file(visit, url, dress, tmp_path):
    page = visit(url, **MOVING)
    choose(page, dress)
    width, height = page.eval_on_selector("#first-frame img", "image => [image.naturalWidth, image.naturalHeight]")
    assert (width, height) == (tiny.WIDTH, tiny.HEIGHT)  # the crop, before anything is pressed

    page.evaluate(
        """() => {
          window.said = []; window.shown = new Set();
          setInterval(() => {
            window.said.push(document.querySelector("#status").innerText);
            const picture = document.querySelector("#preview img");
            if (picture) window.shown.add(picture.src);
          }, 20);
        }"""
    )
    set_slider(page, "steps", 20)
    page.click("#animate")
    wait_for_status(page, "Done")
    said = page.evaluate("[...new Set(window.said)]")
    steps = [text for text in said if text.startswith("Step")]
    assert len(steps) > 2 and all("elapsed" in text and "left" in text for text in steps), said
    assert page.evaluate("window.shown.size") > 2  # previews

    page.wait_for_function("document.querySelector('#clip video')?.readyState >= 3")
    for _ in range(2):  # it plays, and after its end it plays again
        time = page.eval_on_selector("#clip video", "video => video.currentTime")
        first = page.evaluate(DRAWN_PIXELS, "#clip video")
        page.wait_for_function(f"Math.abs(document.querySelector('#clip video').currentTime - {time}) > 0.4")
        second = page.evaluate(DRAWN_PIXELS, "#clip video")
        assert sum(abs(a - b) for a, b in zip(first, second, strict=True)) / len(first) > 1
        time = page.eval_on_selector("#clip video", "video => video.currentTime")
        page.wait_for_function(f"document.querySelector('#clip video').currentTime < {time}")

    seed = re.search(r"seed (\d+)", page.inner_text("#status"))[1]
    with page.expect_download() as download:
        page.click("#download")
    clip = tmp_path / "clip.mp4"
    download.value.save_as(clip)
    assert download.value.suggested_filename == f"fashionflow-{seed}.mp4"
    assert read_settings(clip)["seed"] == int(seed)


def test_the_die_draws_a_seed_and_the_turn_angle_follows_the_motion(visit, url):
    page = visit(url)
    page.click("#advanced button")
    before = page.input_value("#seed input")
    page.click("#die")
    page.wait_for_function(f"document.querySelector('#seed input').value != '{before}'")
    page.get_by_label("Show the back").click()
    page.wait_for_function(f"{TURN_ANGLE}.value == '180'")
    # The dial follows the slider, and the slider follows the dial.
    page.wait_for_selector("#turn-dial .person[transform='rotate(-180)']", state="attached")
    turn_dial(page, 90, 135, 178, 225, 272)
    page.wait_for_function(f"{TURN_ANGLE}.value == '270'")
    assert page.get_attribute("#turn-dial .person", "transform") == "rotate(-270)"
    turn_dial(page, 315, 350, 390, 440)  # no further than a whole turn
    page.wait_for_function(f"{TURN_ANGLE}.value == '360'")
    page.get_by_label("Surprise me").click()
    page.wait_for_function(f"{TURN_ANGLE}.disabled")
    turn_dial(page, 90)
    assert page.evaluate(f"{TURN_ANGLE}.value") == "360"


def turn_dial(page, *angles: float) -> None:
    """Drags a finger round the dial; 0 degrees is down, 90 is the right."""
    box = page.locator("#turn-dial .dial").bounding_box()
    centre = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    for index, angle in enumerate(map(math.radians, angles)):
        page.mouse.move(centre[0] + 25 * math.sin(angle), centre[1] + 25 * math.cos(angle))
        if index == 0:
            page.mouse.down()
    page.mouse.up()


def test_stop_ends_the_run_and_the_next_one_is_whole(visit, url, dress, brake):
    page = visit(url)
    brake.hold()
    animate(page, dress, steps=HELD_STEPS)
    wait_for_status(page, "Step")
    page.click("#stop")
    page.wait_for_selector("#stop:disabled")
    brake.release()
    wait_for_status(page, "Stopped; this is what was made")
    page.wait_for_function("document.querySelector('#clip video')?.readyState >= 3")
    set_slider(page, "steps", 4)
    page.click("#animate")
    wait_for_status(page, "Done")


def test_a_second_visitor_waits_and_sees_nothing_of_the_first(visit, url, dress, brake):
    first, second = visit(url), visit(url)
    brake.hold()
    animate(first, dress, steps=HELD_STEPS)
    wait_for_status(first, "Step")
    assert not second.query_selector("#first-frame img") and not second.query_selector("#preview img")
    animate(second, dress)
    wait_for_status(second, "1 clip is made before yours")
    first.click("#stop")
    first.wait_for_selector("#stop:disabled")
    brake.release()
    wait_for_status(first, "Stopped")
    wait_for_status(second, "Done")


def test_what_is_no_photo_gets_a_sentence_and_the_next_photo_works(visit, url, dress, tmp_path):
    page = visit(url)
    letter = tmp_path / "letter.jpg"
    for content, sentence in ((b"", "The file is empty"), (b"This is a letter.", "not a picture")):
        letter.write_bytes(content)
        page.set_input_files("#photo input[type=file]", letter)
        page.wait_for_selector(f"#note :text('{sentence}')")
    page.click("#animate")
    wait_for_status(page, "No photo was given")
    choose(page, dress)
    page.wait_for_selector("#note .problem", state="detached")


def test_without_ffmpeg_the_finished_clip_is_shown_and_the_page_says_why(visit, url, dress, monkeypatch):
    monkeypatch.setenv("PATH", "")
    with serve(JobQueue(tiny.pipeline(default_num_frames=FRAMES))) as url:
        page = visit(url, **MOVING)
        assert "ffmpeg and ffprobe are not installed" in page.inner_text("#status")
        animate(page, dress)
        wait_for_status(page, "Done")
        page.wait_for_function("document.querySelector('#clip video')?.currentTime > 0.2")
        assert not page.query_selector("#player video")
        page.context.close()


def test_on_a_phone_everything_can_be_reached(visit, url, dress):
    page = visit(url, viewport=PHONE, has_touch=True, is_mobile=True)
    choose(page, dress)
    page.tap("#animate")
    wait_for_status(page, "Done")
    page.wait_for_function("document.querySelector('#clip video')?.readyState >= 3")
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    assert page.locator("#clip").bounding_box()["height"] <= 0.65 * PHONE["height"]
    page.wait_for_function(  # both in sight at once, as soon as the page has scrolled there
        """() => document.querySelector("#stop").getBoundingClientRect().top >= 0
            && document.querySelector("#clip").getBoundingClientRect().bottom <= window.innerHeight"""
    )
