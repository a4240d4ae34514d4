"""What a browser keeps of its clips, what comes back, what goes for ever, and how a job outlives its connection."""

import base64
import threading
from pathlib import Path

import gradio as gr
import numpy as np
import pytest
from PIL import Image

from fashionflow.generation.job import Job, spoken_number
from fashionflow.generation.request import ClipRequest
from fashionflow.generation.settings import ClipSettings
from fashionflow.page import privacy
from fashionflow.page.context import PageContext, Visit
from fashionflow.page.history.entries import PHOTO_BYTES, data_uri
from fashionflow.page.history.list import History
from fashionflow.page.languages import ENGLISH
from fashionflow.page.photo_box import PhotoBox
from fashionflow.page.privacy import Privacy
from fashionflow.page.run import OUTPUTS, Run
from fashionflow.page.settings import Settings
from fashionflow.video.io import write_clip

from . import tiny
from .browser import DELETED_FILE, PHONE, animate, switch, wait_for_status, wait_until
from .waiting import files_below


pytestmark = pytest.mark.browser

HELD_STEPS = 12  # of a run that is held in the middle
KEPT = """
window.kept = [];
window.fashionflow = {
  set keep(keep) {
    Object.defineProperty(this, "keep", {value: (...given) => (window.kept.push(keep(...given)), window.kept.at(-1))});
  },
};
"""  # notes what the script answers to every entry that the server makes
OURS = "Object.keys(localStorage).filter((key) => key.startsWith('fashionflow-')).sort().join()"


def make(job_queue, **changes) -> Job:
    """A finished job of somebody without a browser."""
    photo = job_queue.pipe.fit_photo(tiny.photo())
    job = job_queue.submit(
        ClipRequest(photo, ClipSettings(**{"frames": 4, "steps": 1, "seed": 5, "motion": "spin"} | changes))
    )
    list(job.follow())
    return job


def unfold(page) -> None:
    if not page.is_visible("#history-number"):
        page.click("#history > button")
        page.wait_for_selector("#history-file input[type=file]", state="attached")


def wait_for_note(page, text: str) -> None:
    page.wait_for_selector(f"#history-note :text('{text}')")


def wait_for_photo(page) -> None:
    page.wait_for_selector("#first-frame img", state="attached")  # on a phone it may be out of sight


def wait_for_seed(page, seed: int) -> None:
    if not page.is_visible("#seed input"):
        page.click("#advanced button")
    page.wait_for_function(f"document.querySelector('#seed input')?.value === '{seed}'")


def test_the_history_outlives_a_reload_and_brings_back_the_clip_or_what_it_was_made_from(
    visit, url, job_queue, jobs, dress
):
    page = visit(url, fresh=True, viewport=PHONE)
    page.get_by_label("Walk").click()
    animate(page, dress)
    wait_for_status(page, "Done")
    (job,) = jobs
    seed = job.requests[0].settings.seed
    page.wait_for_function("localStorage['fashionflow-history']")
    page.reload()
    wait_for_status(page, "Done")
    wait_for_seed(page, seed)  # the draft, with the photo
    wait_for_photo(page)
    unfold(page)
    assert f"Walk · seed {seed}" in page.inner_text("#history-gallery .caption-label")

    page.click("#photo [aria-label='Remove Image']")
    page.wait_for_selector("#first-frame img", state="detached")
    page.get_by_label("Sway").click()
    page.click("#die")
    page.click("#history-gallery .thumbnail-item")
    page.click("#history-use:enabled")
    wait_for_note(page, "are in the page")
    wait_for_seed(page, seed)
    wait_for_photo(page)
    assert page.get_by_role("radio", name="Walk").is_checked()

    page.click("#photo [aria-label='Remove Image']")
    page.wait_for_selector("#first-frame img", state="detached")
    page.click("#die")
    visit.expected += DELETED_FILE  # the page may be asking for the clip at this moment
    job_queue.discard(job)
    page.click("#history-gallery .thumbnail-item")
    wait_for_note(page, "has been deleted")
    wait_for_seed(page, seed)
    wait_for_photo(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    page.click("#animate")  # from what the browser kept
    page.wait_for_selector("#history-gallery .thumbnail-item >> nth=1")
    assert jobs[-1] is not job and jobs[-1].requests[0] == job.requests[0]

    page.click("#history-gallery .thumbnail-item >> nth=0")
    page.click("#history-remove:enabled")
    page.wait_for_selector("#history-gallery .thumbnail-item >> nth=1", state="detached")
    page.click("#history-forget")
    page.wait_for_selector("#history-gallery", state="hidden")
    page.add_init_script(KEPT)
    page.reload()  # which shows the last clip again
    page.wait_for_function("window.kept.length")
    assert page.evaluate("window.kept.flat().some(Array.isArray)") is False
    unfold(page)
    page.wait_for_selector("#history-about")
    assert page.locator("#history-gallery .thumbnail-item").count() == 0


def test_twenty_four_entries_are_kept_in_far_less_than_browsers_allow():
    noise = np.random.default_rng(0).integers(0, 255, (512, 384, 3), dtype=np.uint8)
    smooth = tiny.photo().resize((384, 512))
    assert len(data_uri(smooth, PHOTO_BYTES)) < 1.4 * PHOTO_BYTES
    assert 24 * len(data_uri(Image.fromarray(noise), PHOTO_BYTES)) * 4 / 3 < 5_000_000  # even the worst of pictures


DROP = """
([content, name, type, selector]) => {
  const bytes = Uint8Array.from(atob(content), (letter) => letter.charCodeAt(0));
  const dataTransfer = new DataTransfer();
  dataTransfer.items.add(new File([bytes], name, {type}));
  document.querySelector(selector).dispatchEvent(new DragEvent("drop", {dataTransfer, bubbles: true, cancelable: true}));
}
"""


def drop(page, path: Path, kind: str, selector: str) -> None:
    content = base64.b64encode(path.read_bytes()).decode()
    page.evaluate(DROP, [content, path.name, kind, selector])


def test_a_dropped_clip_restores_its_settings_and_its_photo(visit, url, job_queue, tmp_path):
    page = visit(url)
    own = make(job_queue, seed=4711, motion="sway", steps=3).results[0].path
    drop(page, own, "video/mp4", "#photo")
    wait_for_note(page, "are in the page")
    wait_for_seed(page, 4711)
    wait_for_photo(page)
    assert page.get_by_role("radio", name="Sway").is_checked() and page.input_value("#steps input[type=number]") == "3"

    foreign = write_clip(tmp_path / "holiday.mp4", [np.zeros((64, 64, 3), np.uint8)] * 4, 8.0)
    page.set_input_files("#history-file input[type=file]", foreign)  # without a mouse
    wait_for_note(page, "was not made by FashionFlow")
    assert page.input_value("#seed input") == "4711"

    before = page.get_attribute("#first-frame img", "src")
    photo = tmp_path / "coat.webp"  # as web shops have them
    tiny.photo().rotate(90, expand=True).save(photo)
    drop(page, photo, "image/webp", "h1")
    page.wait_for_function(f"document.querySelector('#first-frame img')?.src !== '{before}'")


def test_no_file_of_the_server_can_be_named_as_a_clip(job_queue, tmp_path, monkeypatch):
    """The path comes from the browser, which can say what it likes."""
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(job_queue.folder))
    clip = make(job_queue, seed=4711).results[0].path
    stolen = tmp_path / "clip.mp4"
    stolen.write_bytes(clip.read_bytes())
    context = PageContext(job_queue, live=False)
    with gr.Blocks():
        photo_box, settings = PhotoBox(context), Settings(context)
        history = History(context, photo_box, settings, Run(context, photo_box, settings))
        for build in (photo_box.build, settings.build_motion, settings.build_main, settings.build_advanced):
            build()
    assert "are in the page" in history.open(None, {"path": str(clip)})[1]
    assert "has been deleted in the meantime" in history.open(None, {"path": str(stolen)})[1]
    assert "has been deleted in the meantime" in history.open(None, {"path": f"{job_queue.folder}/../{stolen}"})[1]


def test_a_clip_can_be_fetched_by_its_number_however_it_is_typed(visit, url, job_queue, brake):
    job = make(job_queue)
    page = visit(f"{url}?job={spoken_number(job.number).lower()}")
    wait_for_status(page, "Done")
    page = visit(f"{url}?job=ABCDEFGHJ")
    wait_for_status(page, "There is no clip with the number")
    unfold(page)
    for typed, said in (("", "Type the number"), ("<b>x</b>", "There is no clip"), ("K7QM3F2PX", "There is no clip")):
        page.fill("#history-number :is(input, textarea)", typed)
        page.click("#history-fetch-button")
        wait_for_note(page, said)
    page.fill("#history-number :is(input, textarea)", " " + spoken_number(job.number).lower())
    page.press("#history-number :is(input, textarea)", "Enter")
    wait_for_note(page, "is shown above")
    wait_for_status(page, "Done")
    assert page.is_enabled("#animate") and page.is_disabled("#stop")

    brake.hold()
    working = job_queue.submit(
        ClipRequest(job_queue.pipe.fit_photo(tiny.photo()), ClipSettings(4, HELD_STEPS, 6, motion="spin"))
    )
    page.fill("#history-number :is(input, textarea)", working.number)
    page.click("#history-fetch-button")
    wait_for_status(page, "Step")
    page.click("#stop")
    page.wait_for_selector("#stop:disabled")
    brake.release()
    wait_for_status(page, "Stopped")
    assert working.state == "stopped"


def test_two_runs_in_one_tab_are_not_told_at_once(visit, url, job_queue, jobs, dress, brake):
    job = make(job_queue, seed=99)
    page = visit(url)
    brake.hold()
    animate(page, dress, steps=HELD_STEPS)
    wait_for_status(page, "Step")
    unfold(page)
    page.fill("#history-number :is(input, textarea)", job.number)
    page.click("#history-fetch-button")
    wait_for_status(page, "seed 99")
    brake.release()
    wait_until(lambda: jobs[-1].has_ended)
    page.wait_for_timeout(300)  # in which the page could be told of it
    assert "seed 99" in page.inner_text("#status")


def test_what_was_on_its_way_is_not_the_last_word(job_queue, brake):
    """A step of one run can reach the page after the end of another."""
    context = PageContext(job_queue, live=False)
    run = Run(context, PhotoBox(context), Settings(context))
    done = make(job_queue, seed=99)
    brake.hold()
    working = job_queue.submit(ClipRequest(job_queue.pipe.fit_photo(tiny.photo()), ClipSettings(4, HELD_STEPS, 6)))
    visit, status = Visit(), OUTPUTS.index("status")
    told = run.show(visit, working, ENGLISH)
    while "Step" not in str(next(told)[status]):
        pass
    *_, last = run.show(visit, done, ENGLISH)
    assert "seed 99" in last[status]
    brake.release()
    (back,) = told
    assert back[status] == last[status]


def timers() -> list[threading.Timer]:
    """Those that will delete the files of tabs which have left by then."""
    pending = [thread for thread in threading.enumerate() if isinstance(thread, threading.Timer)]
    return [timer for timer in pending if timer.function.__name__ == Privacy.leave.__name__]


def test_leave_nothing_leaves_nothing_and_takes_nothing_from_others(visit, url, job_queue, jobs, dress, monkeypatch):
    assert privacy.GRACE_SECONDS == 60 and "a minute" in ENGLISH("history.leave_nothing_info")
    other = visit(url)
    animate(other, dress)  # the same photo, which Gradio keeps at the same path
    wait_for_status(other, "Done")
    (others_job,), before = jobs, files_below(job_queue.folder)

    page = visit(url)
    assert "deleted after one hour" in page.inner_text("#keeping")
    animate(page, dress)
    wait_for_status(page, "Done")
    page.wait_for_function("localStorage['fashionflow-history']")
    switch(page, "Leave nothing")
    page.wait_for_function(f"{OURS} === 'fashionflow-leave-nothing'")
    page.click("#animate:enabled")
    wait_until(lambda: len(jobs) == 3 and jobs[-1].has_ended)
    wait_for_status(page, "Done")
    own_jobs = jobs[1:]
    assert page.evaluate(OURS) == "fashionflow-leave-nothing"

    page.reload()
    wait_for_status(page, "Done")  # within the tab, a job is found again
    wait_until(page.get_by_label("Leave nothing").is_checked)
    wait_until(timers)
    for timer in timers():  # a minute later
        timer.cancel()
        timer.function(*timer.args)
    assert all(job_queue.find(job.number) for job in own_jobs)  # it came back in time
    made = files_below(job_queue.folder) - before
    assert made
    monkeypatch.setattr(privacy, "GRACE_SECONDS", 0.5)
    context = page.context
    page.close()
    wait_until(lambda: not any(job_queue.find(job.number) for job in own_jobs))
    wait_until(lambda: not made & files_below(job_queue.folder))
    assert job_queue.find(others_job.number) and before <= files_below(job_queue.folder)
    assert others_job.results[0].path.is_file()
    again = context.new_page()
    again.goto(url)
    again.wait_for_selector("#animate")
    unfold(again)
    assert again.evaluate(OURS) == "fashionflow-leave-nothing"
    wait_until(again.get_by_label("Leave nothing").is_checked)
    assert not again.query_selector("#first-frame img") and not again.query_selector("#history-gallery")


def test_the_page_chimes_only_if_it_is_asked_to(visit, url, dress):
    page = visit(url, fresh=True)
    page.add_init_script(
        "window.notes = 0; const start = OscillatorNode.prototype.start;"
        "OscillatorNode.prototype.start = function (...when) { window.notes++; return start.apply(this, when); };"
    )
    page.reload()
    page.wait_for_selector("#animate")
    animate(page, dress)
    wait_for_status(page, "Done")
    page.wait_for_function("localStorage['fashionflow-history']")
    assert page.evaluate("window.notes") == 0
    switch(page, "Chime when a clip is done")
    page.wait_for_function("window.notes === 2")  # how it sounds
    page.click("#animate")
    page.wait_for_function("window.notes === 4")
    page.reload()
    page.wait_for_selector("#animate")
    wait_until(page.get_by_label("Chime").is_checked)
