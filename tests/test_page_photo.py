"""The photo box in a real browser: the crop by slider and by hand, advice with its remedies, and what is promised before the click."""

import re

import numpy as np
import pillow_heif
import pytest
from PIL import Image

from .browser import animate, choose, set_slider, wait_for_status


pytestmark = pytest.mark.browser

REDS = """
async () => {
  const picture = document.querySelector("#photo img");
  await picture.decode();
  const canvas = Object.assign(document.createElement("canvas"), {width: 20, height: 20});
  const context = canvas.getContext("2d");
  context.drawImage(picture, 0, 0, 20, 20);
  return [2, 17].map((x) => context.getImageData(x, 10, 1, 1).data[0]);
}
"""
"""How red a photo is on its left and on its right."""

SLIDERS = "[...document.querySelectorAll('#crop input[type=range]')].map((slider) => Number(slider.value))"


def busy_photo(path) -> None:
    """A figure in plain red in front of coarse noise."""
    noise = np.random.default_rng(0).integers(0, 256, (24, 18, 3), dtype=np.uint8)
    picture = np.array(Image.fromarray(noise).resize((360, 480)))
    picture[60:460, 120:240] = (200, 20, 30)
    Image.fromarray(picture).save(path)


def drawn(page) -> str:
    return page.get_attribute("#first-frame img", "src")


def test_the_frame_of_the_crop_follows_the_hand_and_the_wheel(visit, url, dress):
    page = visit(url)
    choose(page, dress)
    before = drawn(page)
    page.click("#crop button")
    page.wait_for_selector("#crop-zoom input[type=range]")
    view = page.locator(".crop-view").bounding_box()
    middle = view["x"] + view["width"] / 2, view["y"] + view["height"] / 2
    page.mouse.move(*middle)
    for _ in range(5):
        page.mouse.wheel(0, -100)
    page.wait_for_function(f"{SLIDERS}[0] === 1.5")
    page.wait_for_function("parseFloat(document.querySelector('.crop-view .frame').style.height) < 70")
    page.mouse.down()
    page.mouse.move(middle[0] + view["width"] / 8, middle[1] - view["height"] / 8, steps=4)
    page.mouse.up()
    page.mouse.move(*middle)  # no longer held
    page.wait_for_function(f"{SLIDERS}[1] > 0.3 && {SLIDERS}[2] < -0.3")
    page.wait_for_function(f"document.querySelector('#first-frame img').src !== '{before}'")
    # At the photo's edge the frame stays, however far the hand goes on.
    page.mouse.down()
    page.mouse.move(middle[0] + 3 * view["width"], middle[1], steps=6)
    page.wait_for_function(f"{SLIDERS}[1] === 1")
    page.wait_for_timeout(500)
    frame, photo = (page.locator(f".crop-view .{name}").bounding_box() for name in ("frame", "photo"))
    assert abs(frame["x"] + frame["width"] - photo["x"] - photo["width"]) < 3
    page.mouse.move(middle[0], middle[1], steps=6)
    page.mouse.up()
    # The frame lies where the hand has moved it: an eighth of the photo to the right of the middle.
    left = "parseFloat(document.querySelector('.crop-view .frame').style.left)"
    width = "parseFloat(document.querySelector('.crop-view .frame').style.width)"
    page.wait_for_function(f"Math.abs({left} + {width} / 2 - 62.5) < 4")


def test_a_photo_that_browsers_cannot_show_is_shown_as_a_copy(visit, url, dress, tmp_path):
    pillow_heif.register_heif_opener()
    path = tmp_path / "IMG_0001.heic"
    Image.open(dress).save(path)
    page = visit(url)
    page.set_input_files("#photo input[type=file]", path)
    page.wait_for_selector(".crop-view img")
    page.wait_for_function("document.querySelector('#photo img')?.src.endsWith('.jpg')")
    assert page.evaluate("document.querySelector('#photo img').naturalWidth") == Image.open(dress).width


def test_the_camera_is_not_mirrored(visit, url):
    page = visit(url, permissions=["camera"])
    page.click("#photo [aria-label='Capture from camera']")
    page.click("#photo .access-wrap button, #photo button:has-text('Access Webcam')")
    page.wait_for_function("document.querySelector('#photo video')?.videoWidth > 0")
    page.click("#photo [aria-label='capture photo']")
    page.wait_for_selector(".crop-view img")
    left, right = page.evaluate(REDS)
    assert left > 200 and right < 60  # as `camera_film` has it


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
