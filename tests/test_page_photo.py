"""The photo box in a real browser: the crop by slider and by hand, advice with its remedies, and what is promised before the click."""

import re

import numpy as np
import pytest
from PIL import Image

from .browser import animate, choose, set_slider, wait_for_status


pytestmark = pytest.mark.browser

SLIDERS = "[...document.querySelectorAll('#crop input[type=range]')].map((slider) => Number(slider.value))"


def busy_photo(path) -> None:
    """A figure in plain red in front of coarse noise."""
    noise = np.random.default_rng(0).integers(0, 256, (24, 18, 3), dtype=np.uint8)
    picture = np.array(Image.fromarray(noise).resize((360, 480)))
    picture[60:460, 120:240] = (200, 20, 30)
    Image.fromarray(picture).save(path)


def drawn(page) -> str:
    return page.get_attribute("#first-frame img", "src")


def test_the_crop_follows_the_hand_and_the_wheel(visit, url, dress):
    page = visit(url)
    choose(page, dress)
    before = drawn(page)
    page.click("#crop button")
    page.wait_for_selector("#crop-zoom input[type=range]")
    frame = page.locator("#first-frame img").bounding_box()
    middle = frame["x"] + frame["width"] / 2, frame["y"] + frame["height"] / 2
    page.mouse.move(*middle)
    for _ in range(5):
        page.mouse.wheel(0, -100)
    page.wait_for_function(f"{SLIDERS}[0] === 1.5")
    page.mouse.down()
    page.mouse.move(middle[0] + frame["width"] / 4, middle[1] - frame["height"] / 4, steps=4)
    page.mouse.up()
    page.mouse.move(*middle)  # no longer held
    page.wait_for_function(
        f"{SLIDERS}[1] < -0.3 && {SLIDERS}[2] > 0.3"
    )  # the photo goes with the hand, the crop against it
    page.wait_for_function(f"document.querySelector('#first-frame img').src !== '{before}'")


def test_advice_comes_with_a_remedy_that_can_be_undone(visit, url, tmp_path):
    busy_photo(tmp_path / "busy.png")
    page = visit(url)
    choose(page, tmp_path / "busy.png")
    page.wait_for_selector("#note :text('The background is busy')")
    before = drawn(page)
    page.click("#remedy-0:text('Clean the background')")
    page.wait_for_selector("#undo-remedy")
    page.wait_for_function(f"document.querySelector('#first-frame img').src !== '{before}'")
    page.wait_for_selector("#note :text('The background is busy')", state="detached")
    page.click("#undo-remedy")
    page.wait_for_selector("#note :text('The background is busy')")
    page.wait_for_selector("#undo-remedy", state="hidden")


def test_the_time_is_promised_before_the_click_with_the_line(visit, url, dress, brake):
    page = visit(url)
    page.wait_for_selector("#time-estimate :text('Takes about')")
    assert "ahead" not in page.inner_text("#time-estimate")
    worker = visit(url)
    brake.hold()
    animate(worker, dress, steps=12)
    page.wait_for_selector("#time-estimate :text('1 clip ahead of you')")
    worker.click("#stop")
    worker.wait_for_selector("#stop:disabled")
    brake.release()
    set_slider(page, "steps", 50)
    wait_for_status(worker, "Stopped")
    page.wait_for_function("!document.querySelector('#time-estimate').innerText.includes('ahead')")
    assert re.fullmatch(r"Takes about (\d+ min )?\d+ s\.", page.inner_text("#time-estimate").strip())
