"""A real browser for tests: Chromium, visitors who open the page, and the things that visitors do."""

import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urljoin, urlparse
from weakref import WeakKeyDictionary

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


class Visitor:
    """A visitor's browser with one page in it, and what it reports.

    Attributes:
        errors: what the page reported, since the visitor came.
        hosts: all that the page asked for something.
        has_reloaded: whether the page was loaded again.
    """

    def __init__(self, browser, options: dict):
        self.context = browser.new_context(**{"viewport": DESKTOP} | STILL | options)
        self.context.set_default_timeout(1000 * PATIENCE_SECONDS)
        self.context.on("request", lambda request: self.hosts.add(host_of(request.url)))
        self.page = self.context.new_page()
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("console", lambda message: message.type == "error" and self.errors.append(text_of(message)))
        self.page.on("framenavigated", self._navigated)
        self.begin()

    def begin(self) -> None:
        self.errors, self.hosts, self.has_reloaded, self._has_come = [], set(), False, False

    def come(self, address: str, until: str) -> None:
        self.page.goto(address)
        self._has_come = True
        self.page.wait_for_selector(until, state="attached")

    def leave(self) -> bool:
        """Leaves the page, and takes everything along that was kept in the browser. Returns whether somebody else can come in the same tab."""
        try:
            for page in self.context.pages:
                if page != self.page:
                    page.close()
            self.context.set_offline(False)
            self.page.unroute_all(behavior="ignoreErrors")
            self.page.goto(urljoin(self.page.url, "/robots.txt"), timeout=5000)
            self.page.evaluate("localStorage.clear(); sessionStorage.clear()")
            self.context.clear_cookies()
        except Exception:  # it is closed, its server has gone, or it shows a file
            return False
        return True

    def _navigated(self, frame) -> None:
        self.has_reloaded |= self._has_come and frame == self.page.main_frame


_free: WeakKeyDictionary = WeakKeyDictionary()
"""Of each browser: visitors who have left, and whose tabs are open. A page loads in half the time of the processor where it was open
before."""

MOST_FREE = 3
CHANGEABLE = {"viewport", "reduced_motion"}  # options that a tab can still change


@contextmanager
def visitors(browser) -> Iterator[Callable]:
    """Gives a function that opens an address as a new visitor, and waits until there is `until` on the page. At the end, no visitor's
    browser may have left this machine or reported an error. A test that causes some says so: `open_page.expected += DELETED_FILE`. A lost
    connection and a forgotten stream are expected of every page that was reloaded.

    A test that changes the browser itself, or needs one that has loaded nothing yet, asks for a `fresh` one."""
    here: list[tuple[Visitor, bool]] = []  # and whether somebody else may come in the same tab
    free = _free.setdefault(browser, [])

    def open_page(address: str, until: str = "#animate", fresh: bool = False, **options):
        is_plain = not fresh and CHANGEABLE.issuperset(options)
        if is_plain and free:
            visitor = free.pop()
            looks = {"viewport": DESKTOP} | STILL | options
            visitor.page.set_viewport_size(looks["viewport"])
            visitor.page.emulate_media(reduced_motion=looks["reduced_motion"])
            visitor.begin()
        else:
            visitor = Visitor(browser, options)
        here.append((visitor, is_plain))
        visitor.come(address, until)
        return visitor.page

    open_page.expected = ()
    yield open_page
    hosts = set().union(*(visitor.hosts for visitor, _ in here))
    unexpected = []
    for visitor, is_plain in here:
        errors = visitor.errors
        visitor.errors = []  # of leaving
        expected = open_page.expected + (LOST_CONNECTION + FORGOTTEN_STREAM if visitor.has_reloaded else ())
        unexpected += [error for error in errors if not any(text in error for text in expected)]
        if is_plain and len(free) < MOST_FREE and visitor.leave():
            free.append(visitor)
        else:
            visitor.context.close()
    assert hosts <= {"127.0.0.1", None}, hosts  # None: pictures inside the page itself
    assert unexpected == [], unexpected


def host_of(address: str) -> str | None:
    return urlparse(address.removeprefix("blob:")).hostname


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
