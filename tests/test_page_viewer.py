"""A finished clip on the page: it takes over from the stream unseen, and is compared, explained and taken home."""

import json
import shlex
import time

import numpy as np
import pytest

from fashionflow.__main__ import make_parser
from fashionflow.evaluation.fidelity import SENTENCES, Fidelity
from fashionflow.generation.request import ClipRequest
from fashionflow.generation.settings import ClipSettings
from fashionflow.page.compare import verdict
from fashionflow.page.downloads import file_size
from fashionflow.page.languages import ENGLISH
from fashionflow.page.viewer import command, table
from fashionflow.video.io import read_settings

from . import tiny
from .browser import MOVING, PHONE, choose, set_slider, wait_for_status
from .waiting import files_below


FRAMES = 24  # three seconds: the stream is still playing when the file is finished

SETTINGS = {
    "seed": 7,
    "steps": 4,
    "frames": 24,
    "motion": "sway",
    "turn_angle": -30,
    "sampler": "euler",
    "quality": 20,
}
SETTINGS |= {
    "memory": "lean",
    "frame_rate": 8.0,
    "model": "fashionflow-mini",
    "version": "0.1.0",
    "date": "2026-11-22T19:40:57+00:00",
}

WATCH = """
() => {
  window.seen = [];
  const canvas = Object.assign(document.createElement("canvas"), {width: 16, height: 24});
  const context = canvas.getContext("2d", {willReadFrequently: true});
  const look = () => {
    const stage = document.querySelector("#stage").getBoundingClientRect();
    const [x, y] = [stage.left + stage.width / 2, stage.top + stage.height / 2];
    const block = document.elementFromPoint(x, y)?.closest("#preview, #player, #clip");
    const picture = block?.querySelector("video, img");
    let brightness = 0;
    if (picture?.complete === false) {
      brightness = 255;  // the next preview is on its way, and the browser goes on showing the last
    } else if (picture) {
      context.clearRect(0, 0, 16, 24);
      context.drawImage(picture, 0, 0, 16, 24);
      brightness = Math.max(...context.getImageData(0, 0, 16, 24).data.filter((_, index) => index % 4 < 3));
    }
    window.seen.push([block?.id ?? "nothing", picture?.currentTime ?? 0, brightness, stage.height, performance.now() / 1000]);
    requestAnimationFrame(look);
  };
  look();
}
"""
"""Notes what is on top in the middle of the stage at every frame that the browser draws: whose it is, its time, its brightest
value, the height of the stage, and when that was."""


ON_TOP_OF_EACH_OTHER = """
() => {
  const [photo, clip] = ["#compared-photo img", "#compared-clip video"].map((selector) =>
    document.querySelector(selector).getBoundingClientRect());
  return photo.height > 100 && Math.abs(photo.height - clip.height) < 2 && Math.abs(photo.top - clip.top) < 2
    && Math.abs(photo.left - clip.left) < 2;
}
"""


@pytest.fixture
def number(job_queue):
    """A finished job, which pages open by its number."""
    photo = job_queue.pipe.fit_photo(tiny.photo())
    job = job_queue.submit(
        ClipRequest(photo, ClipSettings(FRAMES, steps=2, seed=7, motion="turn-left", turn_angle=-80)), segments=False
    )
    list(job.follow())
    return job.number


def wait_for_clip(page) -> None:
    page.wait_for_selector("#clip[data-drawn]")
    page.wait_for_selector("#viewer")


def run_and_watch(page, photo) -> None:
    """A run to its clip, with what is seen of it gathered in `window.seen`."""
    choose(page, photo)
    set_slider(page, "frames", FRAMES)
    page.evaluate("document.querySelector('#stage').scrollIntoView()")
    page.eval_on_selector("#animate", "button => button.click()")
    page.wait_for_selector("#preview img")
    page.wait_for_timeout(100)
    page.evaluate(WATCH)
    wait_for_clip(page)


def turns(seen: list) -> list[str]:
    """What was seen, without repetition."""
    return [name for index, (name, *_) in enumerate(seen) if index == 0 or seen[index - 1][0] != name]


@pytest.mark.browser
def test_the_file_takes_over_from_the_stream_with_no_flash_and_no_restart(
    visit, url, dress, brake, job_queue, monkeypatch
):
    page = visit(url, **MOVING)
    # The file takes so long that the stream has begun before, also where other programs use the machine.
    vae = job_queue.pipe.vae
    decode = vae.decode
    monkeypatch.setattr(vae, "decode", lambda *args, **options: time.sleep(0.2) or decode(*args, **options))
    run_and_watch(page, dress)
    page.wait_for_timeout(400)
    seen = page.evaluate("window.seen")
    assert turns(seen) == ["preview", "player", "clip"]
    assert min(brightness for _, _, brightness, *_ in seen) > 60  # never nothing, never black
    assert len({height for *_, height, _ in seen}) == 1
    times = [time for name, time, *_ in seen if name != "preview"]
    length = page.eval_on_selector("#clip video", "video => video.duration")
    backwards = [(a, b) for a, b in zip(times, times[1:], strict=False) if 0.01 < a - b < length / 2]
    assert backwards == []  # but for the loop
    played = [(time, at) for name, time, *_, at in seen if name != "preview"]
    ahead = [(b - a) - (b_at - a_at) for (a, a_at), (b, b_at) in zip(played, played[1:], strict=False)]
    assert max(ahead) < 0.4  # and nothing is left out, however seldom the browser draws
    assert page.eval_on_selector("#player video", "video => video.paused")

    # Another run begins with its preview, also over the clip of the one before, and can be stopped.
    set_slider(page, "steps", 12)
    brake.hold()
    page.evaluate("document.querySelector('#stage').scrollIntoView()")
    page.evaluate("window.seen.length = 0")
    page.eval_on_selector("#animate", "button => button.click()")
    wait_for_status(page, "Step")
    assert turns(page.evaluate("window.seen"))[-1] == "preview"
    assert not page.is_visible("#viewer")
    page.eval_on_selector("#stop", "button => button.click()")
    page.wait_for_selector("#stop:disabled", state="attached")
    brake.release()
    wait_for_status(page, "Stopped; this is what was made")
    wait_for_clip(page)
    page.reload()  # no stream any more
    wait_for_clip(page)
    page.wait_for_function("document.querySelector('#clip video').currentTime > 0.2")
    assert not page.query_selector("#player video")


@pytest.mark.browser
def test_a_file_that_is_quicker_than_the_stream_is_shown_alone(visit, url, dress):
    page = visit(url, **MOVING)
    page.route("**/gradio_api/stream/**/*.ts", lambda route: None)  # never answered
    run_and_watch(page, dress)
    page.wait_for_function("document.querySelector('#clip video').currentTime > 0.2")
    seen = page.evaluate("window.seen")
    assert turns(seen) == ["preview", "clip"]
    assert min(brightness for _, _, brightness, *_ in seen) > 60
    page.unroute_all(behavior="ignoreErrors")


@pytest.mark.browser
@pytest.mark.parametrize(
    "looks", [{}, {"viewport": PHONE, "has_touch": True, "is_mobile": True}], ids=["desktop", "phone"]
)
def test_photo_and_clip_are_compared_under_one_bar(visit, url, number, looks):
    page = visit(f"{url}?job={number}", **looks)
    wait_for_clip(page)
    assert not page.is_visible("#compared-clip")
    page.click("#open-comparison")
    page.wait_for_function("document.querySelector('#compared-clip video')?.readyState >= 2")
    page.wait_for_function(ON_TOP_OF_EACH_OTHER)
    # It begins in the middle of the clip, where photo and clip differ.
    middle = "document.querySelector('#compared-clip video').duration / 2"
    page.wait_for_function(f"Math.abs(document.querySelector('#compared-clip video').currentTime - {middle}) < 0.05")
    page.wait_for_function(f"Math.abs(document.querySelector('#time-bar input[type=range]').value - {middle}) < 0.15")
    width = page.locator("#wiped").bounding_box()["width"]
    page.click("#wiped", position={"x": 0.8 * width, "y": 80})
    page.wait_for_function("document.querySelector('#wipe input[type=range]').value === '80'")
    assert (
        page.eval_on_selector("#compared-photo", "photo => getComputedStyle(photo).clipPath")
        == "inset(0px 20% 0px 0px)"
    )
    page.click("#charts > button")
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    for chart in ("#colour-difference", "#similarity"):
        page.wait_for_selector(f"{chart} svg path[aria-roledescription='line mark']", state="attached")
    assert "On average" in page.inner_text("#verdict")

    held = []  # the picture follows the finger, however far away the server is
    page.route("**/gradio_api/{run,queue}/**", lambda route: held.append(route))
    page.focus("#time-bar input[type=range]")
    page.keyboard.press("Home")
    for _ in range(10):
        page.keyboard.press("ArrowRight")
    page.wait_for_function("Math.abs(document.querySelector('#compared-clip video').currentTime - 0.4) < 0.01")
    assert page.eval_on_selector("#clip video", "video => video.paused")  # one thing moves at a time
    bar = page.locator("#time-bar input[type=range]").bounding_box()
    (page.touchscreen.tap if looks else page.mouse.click)(bar["x"] + bar["width"] / 2, bar["y"] + bar["height"] / 2)
    page.wait_for_function("Math.abs(document.querySelector('#compared-clip video').currentTime - 1.44) < 0.2")
    for route in held:
        route.continue_()
    page.unroute_all()

    page.click("#play-compared")
    page.wait_for_function("document.querySelector('#time-bar input[type=range]').value > 1.9")
    page.click("#play-compared")
    value, number_shown, time = page.evaluate(
        """() => [...document.querySelectorAll("#time-bar input[type=range], #time-bar input[type=number]")]
            .map((field) => Number(field.value)).concat(document.querySelector("#compared-clip video").currentTime)"""
    )
    assert abs(value - time) < 0.1 and abs(number_shown - time) < 0.1


@pytest.mark.browser
def test_the_settings_are_copied_also_where_there_is_no_clipboard(visit, url, job_queue, number):
    page = visit(f"{url}?job={number}")
    wait_for_clip(page)
    page.evaluate("Object.defineProperty(navigator, 'clipboard', {value: undefined})")  # as on plain http
    page.click("#copy")
    page.wait_for_selector("#copy:has-text('Copied')")
    page.evaluate("document.body.append(Object.assign(document.createElement('textarea'), {id: 'paste'}))")
    page.focus("#paste")
    page.keyboard.press("Control+V")
    pasted = page.input_value("#paste")
    settings = read_settings(job_queue.find(number).results[0].path)
    assert json.loads(pasted.splitlines()[1].removeprefix("# ")) == settings
    page.click("#clip-settings > button")
    page.wait_for_selector("#clip-settings :text('Turn left')")
    assert str(settings["seed"]) in page.inner_text("#clip-settings")


@pytest.mark.browser
def test_other_formats_are_made_on_demand_in_the_jobs_own_folder(visit, url, job_queue, number, tmp_path):
    page = visit(f"{url}?job={number}")
    wait_for_clip(page)
    folder = job_queue.find(number).folder
    with page.expect_download() as download:
        page.click("#download")
    assert download.value.suggested_filename == "fashionflow-7.mp4"
    page.click("#formats > button")
    page.wait_for_selector("#download-other:has-text('Download MP4')")
    page.get_by_label("GIF").click()
    page.wait_for_selector("#download-other:has-text('Download GIF')")
    page.get_by_label("Boomerang").click()
    page.wait_for_function("document.querySelector('#download-other').innerText.includes('Preparing')")
    page.wait_for_selector("#download-other:has-text('Download GIF')")
    with page.expect_download() as download:
        page.click("#download-other")
    file = tmp_path / "clip.gif"
    download.value.save_as(file)
    assert download.value.suggested_filename == "fashionflow-7-boomerang.gif"
    assert file.read_bytes().startswith(b"GIF89a")
    assert file_size(file.stat().st_size) in page.inner_text("#download-other")
    pictures = [path for path in files_below(job_queue.folder) if path.suffix == ".gif"]
    assert {path.parent.parent for path in pictures} == {folder}  # it goes when the job goes

    clip = job_queue.find(number).results[0].path
    hidden = clip.rename(clip.with_suffix(".gone"))
    page.get_by_label("WebP").click()
    page.wait_for_selector("#export-problem :text('deleted')")
    assert not page.is_visible("#download-other")
    hidden.rename(clip)
    page.get_by_label("Once").click()
    page.wait_for_selector("#download-other:has-text('Download WebP')")
    assert not page.is_visible("#export-problem")


def test_the_command_makes_the_clip_again():
    first, second = command(SETTINGS, "dress.mp4").splitlines()
    arguments = make_parser().parse_args(shlex.split(first)[3:])
    assert arguments.clip == "dress.mp4"
    for name in set(SETTINGS) & set(vars(arguments)) - {"model"}:
        assert getattr(arguments, name) == SETTINGS[name], name
    assert second.startswith("# ") and json.loads(second[2:]) == SETTINGS
    assert arguments.back is None
    with_back = command(SETTINGS | {"with_back_photo": True}, "dress.mp4").splitlines()[0]
    assert make_parser().parse_args(shlex.split(with_back)[3:]).back == "back.jpg"


def test_the_table_names_what_was_set_in_words():
    shown = table(ENGLISH, SETTINGS)
    for words in (
        "<dt>Motion</dt><dd>Sway</dd>",
        "<dd>Lean</dd>",
        "<dt>Frame rate</dt><dd>8</dd>",
        "2026-11-22 19:40:57 UTC",
    ):
        assert words in shown
    assert "Guidance" not in shown  # nothing is said of what is not known


def test_the_verdict_says_from_when_on():
    def judged(similarity):
        return Fidelity(np.arange(10), np.arange(10) / 4, np.full(10, 1.0), np.array(similarity), True)

    assert ENGLISH("viewer.begins", seconds="1.5") in verdict(ENGLISH, judged([0.9] * 6 + [0.2] * 4))
    whole = verdict(ENGLISH, judged([0.2] * 10))
    assert "pattern is not that of the photo" in whole and "begins" not in whole
    assert "keeps its colours and its pattern" in verdict(ENGLISH, judged([0.9] * 10))
    for key, sentence in SENTENCES.items():
        assert ENGLISH(f"viewer.{key.replace(' ', '_')}") == sentence


def test_sizes_are_said_as_people_say_them():
    assert [file_size(size) for size in (10, 65_000, 1_234_567)] == ["1 kB", "65 kB", "1.2 MB"]
