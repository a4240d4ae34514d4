"""The page in a real browser: what a visitor sees, presses and gets."""

import os
import shutil
from urllib.parse import urlparse

import pytest

from fashionflow.studio import Studio
from fashionflow.video import read_settings

from . import tiny
from .serve import serve


sync_api = pytest.importorskip("playwright.sync_api")
pytestmark = pytest.mark.browser

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
QUIET = ("--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update")
FRAMES = 24  # three seconds: several pieces, and time to see them move
SLOW_STEPS = 50  # the slider's most: some seconds of work for the toy model
PHONE = {"width": 390, "height": 844}


@pytest.fixture(scope="module")
def url():
    with serve(Studio(tiny.pipeline(default_num_frames=FRAMES))) as url:
        yield url


@pytest.fixture(scope="module")
def browser():
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        if os.environ.get("CI"):
            pytest.fail("No Chromium on PATH; CI must run the browser tests.")
        pytest.skip("No Chromium on PATH.")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=found, args=["--no-sandbox", "--disable-gpu", "--disable-sync", *QUIET]
        )
        yield browser
        browser.close()


@pytest.fixture
def visit(browser, url):
    """Opens the page as a new visitor. At the end, no visitor's browser may have left this machine or reported an error."""
    contexts, hosts, errors = [], set(), []

    def open_page(address=url, **options):
        context = browser.new_context(**options)
        contexts.append(context)
        context.set_default_timeout(30_000)
        context.on("request", lambda request: hosts.add(urlparse(request.url.removeprefix("blob:")).hostname))
        page = context.new_page()
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda message: message.type == "error" and errors.append(message.text))
        page.goto(address)
        page.wait_for_selector("#animate")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert hosts <= {"127.0.0.1", None}, hosts  # None: pictures inside the page itself
    assert errors == []


@pytest.fixture(scope="module")
def photo(tmp_path_factory):
    path = tmp_path_factory.mktemp("photos") / "dress.png"
    tiny.photo().save(path)
    return path


def choose(page, photo) -> None:
    page.set_input_files("#photo input[type=file]", photo)


def animate(page, photo, steps: int | None = None) -> None:
    choose(page, photo)
    page.wait_for_selector("#first-frame img")
    if steps:
        page.click("#advanced button")
        page.get_by_label("number input for Steps").fill(str(steps))
        page.get_by_label("number input for Steps").press("Enter")
    page.click("#animate")


def wait_for_status(page, text: str) -> None:
    page.wait_for_selector(f"#status :text('{text}')")


FRAME_DRAWN = """
(selector) => {
  const video = document.querySelector(selector);
  const canvas = Object.assign(document.createElement("canvas"), {width: 32, height: 48});
  const context = canvas.getContext("2d");
  context.drawImage(video, 0, 0, 32, 48);
  return Array.from(context.getImageData(0, 0, 32, 48).data);
}
"""


def test_from_a_photo_to_a_playing_clip_and_its_file(visit, photo, tmp_path):
    page = visit()
    choose(page, photo)
    page.wait_for_selector("#first-frame img")
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
    page.click("#animate")
    wait_for_status(page, "Done")
    said = page.evaluate("[...new Set(window.said)]")
    steps = [text for text in said if text.startswith("Step")]
    assert len(steps) > 2 and all("elapsed" in text and "left" in text for text in steps), said
    assert page.evaluate("window.shown.size") > 2  # previews

    page.wait_for_function("document.querySelector('#player video')?.readyState >= 3")
    for _ in range(2):  # it plays, and after its end it plays again
        time = page.eval_on_selector("#player video", "video => video.currentTime")
        first = page.evaluate(FRAME_DRAWN, "#player video")
        page.wait_for_function(f"Math.abs(document.querySelector('#player video').currentTime - {time}) > 0.4")
        second = page.evaluate(FRAME_DRAWN, "#player video")
        assert sum(abs(a - b) for a, b in zip(first, second, strict=True)) / len(first) > 1
        page.wait_for_timeout(1000 * FRAMES / 8)

    seed = page.inner_text("#status").rpartition("seed ")[2]
    with page.expect_download() as download:
        page.click("#download")
    clip = tmp_path / "clip.mp4"
    download.value.save_as(clip)
    assert download.value.suggested_filename == f"fashionflow-{seed}.mp4"
    assert read_settings(clip)["seed"] == int(seed)


def test_the_die_draws_a_seed_and_the_turn_angle_follows_the_motion(visit):
    page = visit()
    page.click("#advanced button")
    before = page.input_value("#seed input")
    page.click("#die")
    page.wait_for_function(f"document.querySelector('#seed input').value != '{before}'")
    page.get_by_label("Show the back").click()
    page.wait_for_function("document.querySelector('#turn-angle input[type=number]').value == '180'")
    page.get_by_label("Surprise me").click()
    page.wait_for_function("document.querySelector('#turn-angle input[type=number]').disabled")


def test_stop_ends_the_run_and_the_next_one_is_whole(visit, photo):
    page = visit()
    animate(page, photo, steps=SLOW_STEPS)
    wait_for_status(page, "Step")
    page.click("#stop")
    wait_for_status(page, "Stopped")
    assert not page.query_selector("#player video")
    page.get_by_label("number input for Steps").fill("4")
    page.get_by_label("number input for Steps").press("Enter")
    page.click("#animate")
    wait_for_status(page, "Done")


def test_a_second_visitor_waits_and_sees_nothing_of_the_first(visit, photo):
    first, second = visit(), visit()
    animate(first, photo, steps=SLOW_STEPS)
    wait_for_status(first, "Step")
    assert not second.query_selector("#first-frame img") and not second.query_selector("#preview img")
    animate(second, photo)
    wait_for_status(second, "1 clip is made before yours")
    first.click("#stop")
    wait_for_status(second, "Done")
    assert "Stopped" in first.inner_text("#status")


def test_what_is_no_photo_gets_a_sentence_and_the_next_photo_works(visit, photo, tmp_path):
    page = visit()
    letter = tmp_path / "letter.jpg"
    for content, sentence in ((b"", "The file is empty"), (b"This is a letter.", "not a picture")):
        letter.write_bytes(content)
        choose(page, letter)
        page.wait_for_selector(f"#note :text('{sentence}')")
    page.click("#animate")
    wait_for_status(page, "No photo was given")
    choose(page, photo)
    page.wait_for_selector("#first-frame img")
    page.wait_for_selector("#note", state="hidden")


def test_without_ffmpeg_the_finished_clip_is_shown_and_the_page_says_why(visit, photo, monkeypatch):
    monkeypatch.setenv("PATH", "")
    with serve(Studio(tiny.pipeline(default_num_frames=FRAMES))) as url:
        page = visit(url)
        assert "ffmpeg and ffprobe are not installed" in page.inner_text("#status")
        animate(page, photo)
        wait_for_status(page, "Done")
        page.wait_for_function("document.querySelector('#clip video')?.currentTime > 0.2")
        assert not page.query_selector("#player video")
        page.context.close()


def test_on_a_phone_everything_can_be_reached(visit, photo):
    page = visit(viewport=PHONE, has_touch=True, is_mobile=True)
    choose(page, photo)
    page.wait_for_selector("#first-frame img")
    page.tap("#animate")
    wait_for_status(page, "Done")
    page.wait_for_function("document.querySelector('#player video')?.readyState >= 3")
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    assert page.locator("#player").bounding_box()["height"] <= 0.65 * PHONE["height"]
    page.wait_for_function(  # both in sight at once, as soon as the page has scrolled there
        """() => document.querySelector("#stop").getBoundingClientRect().top >= 0
            && document.querySelector("#player").getBoundingClientRect().bottom <= window.innerHeight""",
        timeout=5000,
    )
