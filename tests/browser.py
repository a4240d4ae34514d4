"""A real browser for tests: Chromium, visitors who open the page, and the things that visitors do."""

import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlparse

import pytest
from PIL import Image


BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
QUIET = ("--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update")
DESKTOP = {"width": 1280, "height": 900}
PATIENCE_SECONDS = 60  # for anything: other programs may use the machine
PHONE = {"width": 390, "height": 844}
# A playing video takes half a core, because Chromium decodes and draws it without a GPU here. So pages are opened for a visitor
# who wants less motion, but for the tests of what moves.
STILL = {"reduced_motion": "reduce"}
MOVING = {"reduced_motion": "no-preference"}


@contextmanager
def started_browser() -> Iterator:
    """Chromium, or the test is left out; in CI it fails instead."""
    sync_api = pytest.importorskip("playwright.sync_api")
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        if os.environ.get("CI"):
            pytest.fail("No Chromium on PATH; CI must run the browser tests.")
        pytest.skip("No Chromium on PATH.")
    with sync_api.sync_playwright() as playwright, tempfile.TemporaryDirectory() as folder:
        camera = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
        camera.append(f"--use-file-for-fake-video-capture={camera_film(Path(folder))}")
        browser = playwright.chromium.launch(
            executable_path=found, args=["--no-sandbox", "--disable-gpu", "--disable-sync", *QUIET, *camera]
        )
        yield browser
        browser.close()


def camera_film(folder: Path) -> Path:
    """What the browser's camera sees: red on the left, blue on the right."""
    picture = Image.new("RGB", (320, 240), "red")
    picture.paste("blue", (160, 0, 320, 240))
    frame, film = folder / "camera.jpg", folder / "camera.mjpeg"
    picture.save(frame, quality=95)
    film.write_bytes(3 * frame.read_bytes())
    return film


# What a browser logs when a page is reloaded, or the network is lost, in the middle of an exchange with the server.
LOST_CONNECTION = ("AbortError", "Connection errored out", "event stream has broken off", "ERR_INTERNET_DISCONNECTED")
# The server forgets a page's streams when the page is left, and the page's player may ask for one once more.
FORGOTTEN_STREAM = ("/playlist.m3u8",)
DELETED_FILE = ("status of 404", "CONTENT_LENGTH")  # a clip that was deleted before it was asked for, or on its way


@contextmanager
def visitors(browser) -> Iterator[Callable]:
    """Gives a function that opens an address as a new visitor, and waits until there is `until` on the page. At the end, no visitor's browser may have left this machine or
    reported an error. A test that causes some says so: `open_page.expected += DELETED_FILE`. A lost connection and a forgotten
    stream are expected of every page that was reloaded."""
    contexts, hosts = [], set()
    errors, reloaded = [], set()  # (page, what it reported), pages

    def open_page(address: str, until: str = "#animate", **options):
        context = browser.new_context(**{"viewport": DESKTOP} | STILL | options)
        contexts.append(context)
        context.set_default_timeout(1000 * PATIENCE_SECONDS)
        context.on("request", lambda request: hosts.add(urlparse(request.url.removeprefix("blob:")).hostname))
        page = context.new_page()
        page.on("pageerror", lambda error: errors.append((page, str(error))))
        page.on("console", lambda message: message.type == "error" and errors.append((page, text_of(message))))
        page.goto(address)
        page.on("framenavigated", lambda frame: frame == page.main_frame and reloaded.add(page))
        page.wait_for_selector(until, state="attached")
        return page

    open_page.expected = ()
    yield open_page
    for context in contexts:
        context.close()
    assert hosts <= {"127.0.0.1", None}, hosts  # None: pictures inside the page itself
    unexpected = []
    for page, error in errors:
        expected = open_page.expected + (LOST_CONNECTION + FORGOTTEN_STREAM if page in reloaded else ())
        if not any(text in error for text in expected):
            unexpected.append(error)
    assert unexpected == [], unexpected


def text_of(message) -> str:
    """What a page wrote to the browser's console, and the address that it is about."""
    return f"{message.text} {message.location.get('url', '')}"


def choose(page, photo: Path) -> None:
    page.set_input_files("#photo input[type=file]", photo)
    page.wait_for_selector("#first-frame img")


def set_slider(page, name: str, value: float) -> None:
    """Types a value into the number beside a slider under Advanced; `name` is its id."""
    field = page.locator(f"#{name} input[type=number]")
    if not field.is_visible():
        page.click("#advanced button")
    field.fill(str(value))
    field.press("Enter")


def switch(page, label: str) -> None:
    """Changes a switch behind the header's button, and closes the popover."""
    page.click("#show-switches")
    page.get_by_label(label).click()
    page.keyboard.press("Escape")


def animate(page, photo: Path, steps: int | None = None) -> None:
    choose(page, photo)
    if steps:
        set_slider(page, "steps", steps)
    page.click("#animate")


def wait_for_status(page, text: str) -> None:
    try:
        page.wait_for_selector(f"#status :text('{text}')")
    except Exception as error:
        error.add_note(f"The page says: {page.inner_text('#status')!r}; it keeps {page.evaluate(KEPT_KEYS)}.")
        raise


def wait_until(condition: Callable[[], object], seconds: float = PATIENCE_SECONDS) -> None:
    """Waits for something that is not on the page."""
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.02)


KEPT_KEYS = "[Object.keys(localStorage), Object.keys(sessionStorage)].join(' and ')"
DRAWN_PIXELS = """
(selector) => {
  const video = document.querySelector(selector);
  const canvas = Object.assign(document.createElement("canvas"), {width: 32, height: 48});
  const context = canvas.getContext("2d");
  context.drawImage(video, 0, 0, 32, 48);
  return Array.from(context.getImageData(0, 0, 32, 48).data);
}
"""
