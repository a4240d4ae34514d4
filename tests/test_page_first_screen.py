"""The first screen: photo, motion, "Animate", the main settings and a playing example, without scrolling and without jumps."""

import pytest

from .browser import DESKTOP, MOVING, PHONE, STILL, animate, switch, wait_for_status


pytestmark = pytest.mark.browser

SCREENS = {"desktop": {"width": 1366, "height": 768}, "phone": PHONE}

# Adds up what moves without the visitor's doing, as browsers measure it (Layout Instability API).
WATCH_SHIFTS = """
() => {
  window.shifted = 0;
  new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) if (!entry.hadRecentInput) window.shifted += entry.value;
  }).observe({type: "layout-shift"});
}
"""
FIRST_LOAD = """
() => {
  const loaded = performance.getEntriesByType("resource").filter((each) => !each.name.endsWith(".mp4"));
  const [page] = performance.getEntriesByType("navigation");
  return {
    requests: loaded.length, page: page.encodedBodySize, rest: loaded.reduce((sum, each) => sum + each.encodedBodySize, 0),
    painted: performance.getEntriesByName("first-contentful-paint")[0].startTime, ready: performance.now(),
  };
}
"""
"""What the first load took, but for the example clip: requests, bytes of the page itself and of the rest, and milliseconds to the first paint
and until now."""

WITHOUT_STORAGE = """
for (const name of ["localStorage", "sessionStorage"])
  Object.defineProperty(window, name, {configurable: true, get() { throw new DOMException("Access is denied."); }});
"""


def is_on_screen(page, selector: str) -> bool:
    box, screen = page.locator(selector).bounding_box(), page.viewport_size
    return (
        box["y"] >= 0 and box["y"] + box["height"] <= screen["height"] and box["x"] + box["width"] <= screen["width"]
    )


@pytest.mark.parametrize("screen", SCREENS)
def test_photo_motion_animate_and_an_example_are_on_the_first_screen(visit, url, screen):
    page = visit(url, viewport=SCREENS[screen], **MOVING)
    page.wait_for_function("document.querySelector('#example-clip video')?.currentTime > 0.1")
    assert all(
        is_on_screen(page, each) for each in ("#photo", "#motion", "#animate", "#example-clip", "#example-label")
    )
    assert page.inner_text("#example-label") == "Example"
    if screen == "desktop":
        assert all(is_on_screen(page, each) for each in ("#steps", "#frames", "#seed", "#die", "#turn-angle"))
    assert page.evaluate("document.documentElement.scrollWidth") <= SCREENS[screen]["width"]
    assert not page.get_by_label("Leave nothing").is_visible()


def test_the_example_makes_way_for_the_visitors_clip_and_nothing_jumps(visit, url, dress):
    page = visit(url, viewport=SCREENS["desktop"], **MOVING)
    page.set_input_files("#photo input[type=file]", dress)
    page.wait_for_selector("#first-frame img")
    page.wait_for_timeout(500)  # until Gradio has drawn the sliders of the crop
    page.evaluate(WATCH_SHIFTS)
    page.click("#animate")
    page.wait_for_selector("#example-clip", state="hidden")
    assert not page.locator("#example-label").is_visible()
    wait_for_status(page, "Done")
    page.wait_for_selector("#download")
    assert page.evaluate("window.shifted") < 0.02


def test_the_photo_gives_way_to_the_part_of_it_that_becomes_the_clip(visit, url, dress):
    page = visit(url, viewport=DESKTOP)
    page.set_input_files("#photo input[type=file]", dress)
    page.wait_for_selector("#first-frame img")
    photo, frame = (page.locator(each).bounding_box() for each in ("#photo", "#first-frame"))
    assert photo == frame
    page.click("#photo [aria-label='Remove Image']")  # which is on top
    page.wait_for_selector("#first-frame", state="hidden")


def test_the_first_load_is_small_and_something_is_seen_early(visit, url):
    page = visit(url, fresh=True, viewport=PHONE)
    load = page.evaluate(FIRST_LOAD)
    assert load["requests"] < 140, load  # Gradio's own, one for each kind of component
    assert load["page"] < 150_000 and load["rest"] < 1_000_000, load
    assert load["painted"] < 0.8 * load["ready"], load


def test_a_slow_phone_on_a_slow_network_gets_its_clip(visit, url, dress):
    page = visit(url, viewport=PHONE, has_touch=True, is_mobile=True, **MOVING)
    profile = page.context.new_cdp_session(page)
    profile.send("Network.enable")
    slow = {
        "offline": False,
        "latency": 150,
        "downloadThroughput": 200_000,
        "uploadThroughput": 94_000,
    }  # milliseconds, bytes a second
    profile.send("Network.emulateNetworkConditions", slow)
    profile.send("Emulation.setCPUThrottlingRate", {"rate": 4})
    page.reload()
    page.wait_for_selector("#animate")
    animate(page, dress)
    wait_for_status(page, "Done")
    page.wait_for_selector("#clip[data-drawn]")
    page.wait_for_function("document.querySelector('#clip video').currentTime > 0.1")


def test_less_motion_stops_the_example_and_the_tiles(visit, url):
    page = visit(url, **STILL)
    page.wait_for_function("document.querySelector('#example-clip video')?.readyState >= 2")
    page.wait_for_function("document.querySelector('#example-clip video').paused")
    assert page.evaluate("document.getAnimations().filter((each) => each.playState === 'running').length") == 0


def test_a_browser_that_keeps_nothing_shows_the_page_and_makes_a_clip(visit, url, dress):
    page = visit(url, fresh=True)
    page.add_init_script(WITHOUT_STORAGE)
    page.reload()
    page.wait_for_selector("#animate")
    animate(page, dress)
    wait_for_status(page, "Done")
    switch(page, "Leave nothing")
    assert page.get_by_label("Leave nothing").is_checked()
