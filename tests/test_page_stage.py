"""The page on a stage: keys, recorded clips and live ones told apart, visits that leave nothing, and the audience's phones."""

import re
from dataclasses import dataclass
from urllib.parse import parse_qs, urlsplit

import cv2
import httpx
import numpy as np
import pytest

from fashionflow.generation.events import Step
from fashionflow.page import wording
from fashionflow.page.address import DarkFromTheStart, public_address
from fashionflow.page.languages import ENGLISH
from fashionflow.page.stage import draw_phones
from fashionflow.page.uploads import RECORDED

from .browser import LOST_CONNECTION, MOVING, PHONE, animate, wait_for_status, wait_until
from .serve import Site


@dataclass(frozen=True)
class Hall(Site):
    """The page for the tests of this file."""

    def stage(self, visit, query: str = ""):
        page = visit(f"{self.url}?stage=1{query}", viewport={"width": 1280, "height": 720}, **MOVING)
        page.wait_for_selector("#stage-screen .screen[data-seen]", state="attached")
        return page


@pytest.fixture
def hall(site, job_queue, monkeypatch):
    monkeypatch.setenv("FASHIONFLOW_ADDRESS", site.url)  # as phones would reach it if they were on this machine
    return Hall(site.job_queue, site.page, site.url)


@pytest.fixture
def hall_without_phones(site, job_queue, monkeypatch):
    monkeypatch.delenv("FASHIONFLOW_ADDRESS", raising=False)
    return Hall(site.job_queue, site.page, site.url)


def wait_for_phase(page, phase: str) -> None:
    page.wait_for_function(f"document.documentElement.dataset.phase === '{phase}'", polling=50)


def picture_of(page) -> np.ndarray:
    """The middle of the stage, where the clip is, [200, 200, 3] in [0, 255]."""
    png = page.screenshot(clip={"x": 540, "y": 260, "width": 200, "height": 200})
    return cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR).astype(np.float32)


def colour_beside_the_clip(page) -> np.ndarray:
    """The mean colours of the stage left and right of the clip, where there is no text: blue, green and red, in [0, 255]."""
    png = page.screenshot(clip={"x": 0, "y": 140, "width": 1280, "height": 120})
    pixels = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR)
    return np.array([part.mean((0, 1)) for part in (pixels[:, 40:300], pixels[:, 980:1240])])


def check_places(page) -> None:
    """The clip, or the photo, is as high as the screen, and no text is on it, on another text, or cut off."""
    width, height, texts, pictures = page.evaluate(PLACES)
    assert pictures and all(box[1:] == [0, width, height] for box in pictures), pictures
    clip = ["the clip", (width - 0.8 * height) / 2, 0, (width + 0.8 * height) / 2, height]
    assert len(texts) >= 2
    for name, left, top, right, bottom in texts:
        assert 0 <= left < right <= width and 0 <= top < bottom <= height, f"{name} is cut off at {width} x {height}"
    for index, (name, left, top, right, bottom) in enumerate(texts):
        for other, *box in [clip, *texts[:index]]:
            apart = right <= box[0] or box[2] <= left or bottom <= box[1] or box[3] <= top
            assert apart, f"{name} is on {other} at {width} x {height}: {(left, top, right, bottom)}, {box}"


def mark(page) -> None:
    """Marks the page, so that `wait_for_reload` can tell the next one from it."""
    page.evaluate("window.marked = true")


def wait_for_reload(page) -> None:
    page.wait_for_function("!window.marked && document.querySelector('#stage-screen .screen[data-seen]')")


def press_until_reloaded(page, key: str) -> None:
    mark(page)
    page.keyboard.press(key)
    wait_for_reload(page)


SEEN = "(selector) => [...document.querySelectorAll(selector)].filter((each) => each.checkVisibility({visibilityProperty: true}))"
COVERED = f"""
() => ({SEEN})("gradio-app *").map((each) => each.closest("[id]:not([id^='html-'])")?.id).filter((id, index, all) => all.indexOf(id) === index)
"""
"""Ids of what is seen of Gradio's page."""

WORDS = f"({SEEN})('body :not(#announcer)').filter((each) => !each.children.length).map((each) => each.textContent.trim()).filter(Boolean)"
"""All texts that are seen."""

PLACES = f"""
() => {{
  const own = "#recorded, #stage-made, #status, #stage-line, #stage-note, .screen > *";
  const texts = ({SEEN})(own).map((each) => {{
    const range = document.createRange(); // the text itself, which can be wider than its box
    range.selectNodeContents(each);
    const rects = [each.getBoundingClientRect(), range.getBoundingClientRect()];
    const most = (side, choose) => choose(...rects.map((rect) => rect[side]));
    return [each.id || each.className, most("left", Math.min), most("top", Math.min), most("right", Math.max), most("bottom", Math.max)];
  }});
  const pictures = ({SEEN})("#attract video.on-top, #first-frame img, #stage :is(img, video)").map((each) => {{
    const {{ top, width, height }} = each.getBoundingClientRect();
    return [each.closest("[id]").id, top, width, height];
  }});
  return [innerWidth, innerHeight, texts, pictures];
}}
"""
"""The size of the screen, the boxes of the texts that are seen (name, left, top, right, bottom), and of the pictures (name, top, width,
height)."""


@pytest.mark.browser
def test_a_visit_from_the_recorded_clips_to_a_live_one_and_back(hall, visit, jobs, brake):
    page = hall.stage(visit, "&reset=600")
    page.wait_for_function("document.querySelector('#attract video.on-top')?.currentTime > 0.1")
    assert page.locator("#recorded").is_visible() and page.inner_text("#recorded") == "Recorded"
    assert set(page.evaluate(COVERED)) <= {"stage-screen", "stage-line"}, "the ordinary page is seen"
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(0, 0, 0)"
    assert page.locator(".phones").is_visible()
    for width, height in ((1366, 768), (1920, 1080), (3840, 2160), (1280, 720)):
        page.set_viewport_size({"width": width, "height": height})
        check_places(page)
    wait_until(lambda: colour_beside_the_clip(page).min() > 10)
    beside = colour_beside_the_clip(page)

    page.keyboard.press("ArrowLeft")  # before the first comes the last
    page.wait_for_selector("#first-frame img")
    shown = page.get_attribute("#photo img", "src")
    assert shown.endswith("violet-checks.jpg") and not page.locator("#recorded").is_visible()
    wait_until(lambda: np.abs(colour_beside_the_clip(page) - beside).max() > 5)
    beside = colour_beside_the_clip(page)
    page.keyboard.press("PageUp")
    page.wait_for_function(f"document.querySelector('#photo img').src !== '{shown}'")
    wait_until(lambda: np.abs(colour_beside_the_clip(page) - beside).max() > 5)
    page.keyboard.press("5")
    page.wait_for_selector("#motion input[value=spin]:checked", state="attached")
    page.wait_for_selector(".choice .chosen:text('Spin')")
    check_places(page)

    page.evaluate(
        """() => {
          window.said = new Set();
          window.recordedSeen = false;
          setInterval(() => {
            if (document.documentElement.dataset.phase === "working") window.said.add(document.querySelector("#status").innerText);
            const label = document.querySelector("#recorded");
            if (label.checkVisibility({visibilityProperty: true})) window.recordedSeen = true;
          }, 20);
        }"""
    )
    photo = picture_of(page)
    brake.hold()
    page.keyboard.press("PageDown")
    wait_for_phase(page, "working")
    assert page.inner_text(".working") == "Live"
    page.wait_for_function("[...window.said].some((said) => said.startsWith('Step'))")
    check_places(page)
    assert (
        page.evaluate("parseFloat(getComputedStyle(document.querySelector('#status .bar'), '::before').fontSize)")
        > 720 / 10
    )
    brake.release()
    wait_for_phase(page, "finished")
    assert any(re.match(r"Step \d of 4\s.*left", said) for said in page.evaluate("[...window.said]"))
    assert re.fullmatch(r"Live, made just now in \d+ s", page.inner_text("#stage-made").strip())
    assert not page.evaluate("window.recordedSeen")
    box = page.wait_for_selector("#clip video").bounding_box()
    assert (box["width"], box["height"]) == (1280, 720)
    page.wait_for_function("document.querySelector('#clip video').currentTime > 0.1")
    check_places(page)
    assert colour_beside_the_clip(page).max() < 110  # dark, for white letters
    wait_until(lambda: np.abs(picture_of(page) - photo).mean() > 8)  # the toy model's clip is nothing like the photo
    assert not page.locator("#job-number").is_visible()

    page.keyboard.press("b")
    page.wait_for_function("getComputedStyle(document.body, '::after').opacity === '1'")
    page.keyboard.press("b")
    page.keyboard.press("h")
    assert page.locator(".help").is_visible()
    page.keyboard.press("h")
    small = page.locator(".qr").bounding_box()["width"]
    page.keyboard.press("q")
    assert page.locator(".qr").bounding_box()["width"] > 1.5 * small

    (job,) = jobs
    press_until_reloaded(page, "Escape")
    assert hall.job_queue.find(job.number) is None and not job.folder.exists()
    page.wait_for_selector("#recorded")
    assert urlsplit(page.url).query == "stage=1&reset=600"


@pytest.mark.browser
def test_a_visit_ends_by_itself_and_the_server_lets_go_of_it(hall, visit, jobs):
    sessions, streams = set(hall.page.state_holder.session_data), set(hall.page.pending_streams)
    page = hall.stage(visit, "&reset=1")
    mark(page)
    page.keyboard.press(" ")  # nothing was chosen: the first photo
    page.wait_for_function("['working', 'finished'].includes(document.documentElement.dataset.phase)", polling=20)
    wait_until(lambda: jobs and jobs[0].has_ended)
    assert jobs[0].results[0].whole
    wait_until(lambda: set(hall.page.pending_streams) - streams)
    own = set(hall.page.pending_streams) - streams
    wait_for_reload(page)
    assert hall.job_queue.find(jobs[0].number) is None
    wait_until(lambda: not own & set(hall.page.pending_streams))  # Gradio notices soon that the browser has gone
    page.keyboard.press("ArrowRight")
    page.wait_for_selector("#first-frame img")
    press_until_reloaded(page, "F5")
    assert (
        len(set(hall.page.state_holder.session_data) - sessions) <= 2
    )  # the one that is there, and one whose end Gradio may not have noticed


@pytest.mark.browser
def test_only_the_presenter_reads_about_set_up(hall_without_phones, visit):
    page = hall_without_phones.stage(visit)
    page.wait_for_function("document.querySelector('#stage-line').textContent")
    words = {"Recorded", ENGLISH("stage.title"), ENGLISH("stage.tagline")}
    page.wait_for_selector("#recorded")
    assert set(page.evaluate(WORDS)) == words
    page.keyboard.press("h")
    assert "--host 0.0.0.0" in page.inner_text(".help") and not page.locator(".unreachable").is_visible()
    page.keyboard.press("h")
    page.keyboard.press("q")
    assert set(page.evaluate(WORDS)) == words


@pytest.mark.parametrize(("address", "reason"), [(None, "--host"), ("http://10.1.2.3:7860/", "pip install segno")])
def test_without_a_working_code_the_audience_is_told_nothing(monkeypatch, address, reason):
    def fails(_):
        raise RuntimeError

    monkeypatch.setattr("fashionflow.page.stage.qr_code", fails)
    shown, presenters = draw_phones(address, ENGLISH)
    assert shown == "" and reason in presenters


def test_the_progress_counts_the_time_and_not_the_steps():
    assert "--done: 25" in wording.step(ENGLISH, Step(index=4, total=4, elapsed=6, remaining=18, preview=None))


@pytest.mark.browser
def test_when_the_server_is_lost_the_recorded_clips_go_on(hall, visit):
    page = hall.stage(visit)
    page.keyboard.press("ArrowRight")
    page.wait_for_selector("#first-frame img")
    page.wait_for_function(
        "(clips) => performance.getEntriesByType('resource').filter(({name}) => name.endsWith('.mp4')).length >= clips",
        arg=len(list(RECORDED.glob("*.mp4"))),
    )
    visit.expected += LOST_CONNECTION
    page.context.set_offline(True)
    page.keyboard.press("r")
    page.wait_for_selector("html.stage-lost")
    wait_for_phase(page, "attract")
    assert page.locator("#recorded").is_visible() and not page.locator(".phones").is_visible()
    assert not page.locator("#stage-note").is_visible()
    page.keyboard.press("h")
    assert page.locator(".unreachable").is_visible()
    page.keyboard.press("h")
    for _ in range(2):
        before = page.evaluate("document.querySelector('#attract video.on-top').currentTime")
        page.wait_for_function(f"document.querySelector('#attract video.on-top').currentTime !== {before}")
    mark(page)
    page.context.set_offline(False)
    wait_for_reload(page)  # what was left of the visit goes as soon as it can
    page.wait_for_selector("#recorded")
    assert page.locator(".phones").is_visible()


@pytest.mark.browser
def test_a_phone_gets_its_clip_by_number_and_the_stage_shows_none_of_it(hall, visit, dress):
    stage = hall.stage(visit)
    stage.keyboard.press("q")
    pixels = cv2.imdecode(np.frombuffer(stage.locator(".qr").screenshot(), np.uint8), cv2.IMREAD_COLOR)
    address, *_ = cv2.QRCodeDetector().detectAndDecode(pixels)
    assert address == f"{hall.url}?from=stage"
    stage.set_viewport_size({"width": 320, "height": 180})  # its pixels are drawn without a GPU here

    phone = visit(address, viewport=PHONE, is_mobile=True, has_touch=True)
    phone.wait_for_selector(".greeting")
    assert not phone.query_selector(".screen") and not phone.query_selector("#attract")
    assert phone.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    animate(phone, dress)
    wait_for_status(phone, "Done")
    number = re.search(r"[2-9A-Z]{3}-[2-9A-Z]{3}-[2-9A-Z]{3}", phone.inner_text("#job-number")).group()

    other = visit(address, viewport=PHONE)
    other.fill(".greeting input[name=job]", number.lower())
    with other.expect_navigation():
        other.click(".greeting button")
    assert parse_qs(urlsplit(other.url).query)["from"] == ["stage"]
    wait_for_status(other, "Done")
    assert other.wait_for_selector("#clip video").get_attribute("src") == phone.get_attribute("#clip video", "src")

    said = stage.evaluate("document.documentElement.textContent")
    assert number not in said and number.replace("-", "") not in said
    assert stage.evaluate("document.documentElement.dataset.phase") == "attract"
    assert not stage.query_selector("#clip video") and not stage.query_selector("#preview img")


@pytest.mark.browser
def test_the_ordinary_page_has_nothing_of_the_stage(hall, visit):
    page = visit(hall.url)
    page.wait_for_selector("#time-estimate .time-estimate")
    assert not page.evaluate("document.documentElement.classList.contains('on-stage')")
    for selector in (".screen", ".greeting", "#attract", "#stage-note", ".qr"):
        assert page.query_selector(selector) is None
    page.keyboard.press(" ")
    assert page.evaluate("document.documentElement.dataset.phase") is None


def test_a_stage_is_black_before_gradio_runs(hall):
    stage, ordinary = (httpx.get(hall.url + query).text for query in ("?stage=1", ""))
    head, _, _ = stage.partition("</head>")
    assert DarkFromTheStart.STYLE.decode() in head
    assert DarkFromTheStart.STYLE.decode() not in ordinary and "</html>" in stage


@pytest.mark.parametrize(
    ("named", "bar", "server_name", "address"),
    [
        ("https://show.example", "http://localhost:7860/?stage=1", "127.0.0.1", "https://show.example"),
        ("show.example:7860", "http://localhost:7860/?stage=1", "127.0.0.1", "http://show.example:7860"),
        ("", "http://192.168.1.7:7860/?stage=1&reset=9", "0.0.0.0", "http://192.168.1.7:7860/"),
        ("", "https://name.hf.space/?stage=1", "0.0.0.0", "https://name.hf.space/"),
        ("", "https://example.com/try/on?stage=1", "127.0.0.1", "https://example.com/try/on"),
        ("", "http://localhost:7860/?stage=1", "0.0.0.0", "http://10.1.2.3:7860/"),
        ("", "http://[::1]:7860/", "0.0.0.0", "http://10.1.2.3:7860/"),
        ("", "http://127.0.0.1:7860/?stage=1", "127.0.0.1", None),
        ("", "http://[::1]:7860/?stage=1", "[::]", "http://[2001:db8::7]:7860/"),
        ("", "http://[::1]:7860/?stage=1", "[::1]", None),
    ],
)
def test_the_address_for_phones_is_one_that_they_can_reach(monkeypatch, named, bar, server_name, address):
    monkeypatch.setenv("FASHIONFLOW_ADDRESS", named)
    own = {"0.0.0.0": "10.1.2.3", "[::]": "[2001:db8::7]"}
    monkeypatch.setattr("fashionflow.page.address.own_address", own.get)
    assert public_address(bar, server_name) == address
