"""The page for every eye, hand and screen: axe, the keyboard, screen readers, reduced motion, and widths from 320 px to 4K."""

from pathlib import Path

import pytest

from .browser import PHONE, STILL, choose, set_slider, wait_for_status


axe_package = pytest.importorskip("axe_playwright_python")
pytestmark = pytest.mark.browser

AXE = Path(axe_package.__file__).with_name("axe.min.js")
FOLDS = (
    "crop",
    "advanced",
    "formats",
    "clip-settings",
    "lookbook",
    "lookbook-photos-fold",
    "history",
)
WIDTHS = ((320, 640), (390, 844), (768, 1024), (1280, 900), (1920, 1080), (3840, 2160))

BESIDE_THE_WINDOW = """
() => [...document.querySelectorAll("h1, p, label, button, input, dd, .block")].filter((element) => {
  const box = element.getBoundingClientRect();
  const scrolls = element.closest("#examples .gallery"); // on a phone, by itself
  return box.width && !scrolls && (box.right > innerWidth + 1 || box.left < -1);
}).map((element) => element.outerHTML.slice(0, 120))
"""


def found_by_axe(page) -> list[tuple]:
    """What axe calls serious or critical, in both colours of the page."""
    if not page.evaluate("'axe' in window"):
        page.evaluate(AXE.read_text())
    page.wait_for_function("!document.querySelector('.empty[aria-label]')")  # scripts/everyone.js comes a moment after
    page.wait_for_timeout(300)
    found = []
    for dark in (False, True):
        page.evaluate("dark => document.body.classList.toggle('dark', dark)", dark)
        rules = "runOnly: ['color-contrast']," if dark else ""  # nothing else depends on it, and axe is slow
        results = page.evaluate(f"() => axe.run({{{rules} resultTypes: ['violations']}})")
        for violation in results["violations"]:
            if violation["impact"] in ("serious", "critical"):
                found += [(violation["id"], dark, node["html"][:160]) for node in violation["nodes"]]
    page.evaluate("document.body.classList.remove('dark')")
    return found


def outside(page) -> list[str]:
    """What does not fit into the window, beside it."""
    widest = page.evaluate("document.documentElement.scrollWidth - innerWidth")
    return page.evaluate(BESIDE_THE_WINDOW) + ([f"{widest} px to scroll"] if widest > 0 else [])


def test_axe_finds_nothing_serious_and_everything_fits(visit, url, dress, brake):
    page = visit(url, **STILL)
    assert found_by_axe(page) == []  # empty
    choose(page, dress)
    page.wait_for_selector("#note .advice")
    set_slider(page, "steps", 12)
    brake.hold()
    page.click("#animate")
    wait_for_status(page, "Step")
    assert found_by_axe(page) == []  # at work, with advice
    brake.release()
    wait_for_status(page, "Done")
    set_slider(page, "steps", 4)
    for fold in FOLDS:
        page.click(f"#{fold} > button")
    page.click("#open-comparison")
    page.click("#meaning > button")
    page.wait_for_selector("#badge")
    page.wait_for_selector("#lookbook-time-estimate p")
    assert found_by_axe(page) == []  # everything open
    for width, height in WIDTHS:
        page.set_viewport_size({"width": width, "height": height})
        page.wait_for_timeout(200)
        assert outside(page) == [], width
    size = "Number(getComputedStyle(document.querySelector('main')).zoom)"
    assert page.evaluate(size) > 1.5  # larger at 4K
    page.set_viewport_size(PHONE)
    assert page.evaluate(size) == 1
    assert found_by_axe(page) == []

    brake.hold()
    page.click("#lookbook-make")
    page.wait_for_selector("#lookbook-status :text('Step'), #lookbook-status :text('Clip')")
    page.click("#lookbook-stop")
    brake.release()
    page.wait_for_selector("#lookbook-status :text('Stopped')")
    assert found_by_axe(page) == [] and outside(page) == []


def test_axe_finds_nothing_serious_on_the_stage(visit, url):
    page = visit(f"{url}?stage=1")
    page.wait_for_selector("html.on-stage .screen[data-seen]", state="attached")
    assert found_by_axe(page) == []


def test_with_tab_alone_from_an_example_to_the_file(visit, url, brake):
    page = visit(url)
    page.wait_for_selector("#examples .gallery-item")

    def tab_to(selector: str) -> None:
        for _ in range(60):
            page.keyboard.press("Tab")
            shown = page.evaluate(
                """() => {
                  const seen = (element) => parseFloat(getComputedStyle(element).outlineWidth) > 0
                    && getComputedStyle(element).outlineStyle !== "none";
                  const here = document.activeElement;
                  return here === document.body || seen(here) || [...document.querySelectorAll("label")].some(
                    (label) => label.contains(here) && seen(label)) || here.outerHTML.slice(0, 200);
                }"""
            )
            assert shown is True, f"nobody sees that this has the focus: {shown}"
            if page.evaluate("selector => document.activeElement.matches(selector)", selector):
                return
        raise AssertionError(f"Tab never comes to {selector}.")

    tab_to("#examples .gallery-item")
    page.keyboard.press("Enter")
    page.wait_for_selector("#first-frame img")
    tab_to("#motion input[value='turn-right']")  # Gradio's radio buttons are a stop each
    page.keyboard.press("Space")
    page.wait_for_selector("#motion input[value='turn-right']:checked")
    set_slider(page, "steps", 12)
    page.click("#advanced > button")
    page.focus("#motion input:checked")
    tab_to("#animate")
    brake.hold()
    page.keyboard.press("Enter")
    page.wait_for_selector("#stop:not([disabled])")
    tab_to("#stop")
    wait_for_status(page, "Step")
    page.keyboard.press("Enter")
    page.wait_for_selector("#stop:disabled")
    brake.release()
    wait_for_status(page, "Stopped")
    set_slider(page, "steps", 2)
    page.focus("#animate")
    page.keyboard.press("Enter")
    wait_for_status(page, "Done")
    page.wait_for_selector("#download")
    tab_to("#download, #download *")
    with page.expect_download():
        page.keyboard.press("Enter")


def test_who_wants_less_motion_starts_clips_by_hand_and_hears_what_happens(visit, url, dress):
    page = visit(url, **STILL)
    page.evaluate(
        """() => {
          window.heard = []; window.played = 0;
          const voice = document.querySelector("#announcer");
          new MutationObserver(() => window.heard.push(voice.textContent)).observe(voice, { childList: true });
          setInterval(() => document.querySelectorAll("#stage video").forEach(
            (video) => window.played = Math.max(window.played, video.currentTime)), 20);
        }"""
    )
    assert page.get_attribute("#announcer", "role") == "status"
    choose(page, dress)
    set_slider(page, "steps", 20)
    page.click("#animate")
    wait_for_status(page, "Done")
    page.wait_for_selector("#clip[data-drawn]", state="attached")
    page.wait_for_timeout(800)
    heard = page.evaluate("window.heard")
    assert any("blurry" in said for said in heard) and "Done" in heard[-1]
    assert sum("Step" in said for said in heard) <= 3  # of 20

    assert page.evaluate("window.played") < 0.2
    assert page.eval_on_selector("#clip video", "video => video.paused && video.readyState >= 2")
    assert page.eval_on_selector("#clip .controls", "controls => getComputedStyle(controls).opacity") == "1"
    page.click("#clip video")
    page.wait_for_function("window.played > 0.3")
    assert page.evaluate("[...document.querySelectorAll('video')].every((video) => video.muted || !video.audioTracks)")
    assert page.eval_on_selector("#animate", "button => getComputedStyle(button).transitionProperty") == "none"
