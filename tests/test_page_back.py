"""The photo of the back: for programs, on the page with its history and its lookbook, and what is said where there is none."""

from contextlib import suppress
from pathlib import Path

import gradio as gr
import httpx
import numpy as np
import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from PIL import Image

from fashionflow.generation.queue import JobQueue
from fashionflow.page import privacy
from fashionflow.page.context import PageContext
from fashionflow.page.history.entries import PHOTO_BYTES, data_uri
from fashionflow.page.history.list import History
from fashionflow.page.languages import ENGLISH, texts
from fashionflow.page.photo_box import PhotoBox
from fashionflow.page.run import Run
from fashionflow.page.settings import Settings
from fashionflow.pipelines.motions import surprise
from fashionflow.video.io import read_frames, read_settings

from . import tiny
from .browser import PHONE, choose, set_slider, switch, wait_for_status, wait_until
from .serve import serve, served
from .test_page_history import drop
from .waiting import files_below


QUICK = {"frames": 4, "steps": 1, "seed": 3}
GREEN = (0, 255, 0)


@pytest.fixture(scope="module")
def site():
    pipe = tiny.guided_pipeline(default_num_frames=4)
    pipe.model_name, pipe.model_hash = "tiny", "0" * 16
    with served(JobQueue(pipe)) as site:
        yield site


@pytest.fixture(scope="module")
def client(site, tmp_path_factory):
    return Client(
        site.url, verbose=False, download_files=tmp_path_factory.mktemp("downloads"), analytics_enabled=False
    )


@pytest.fixture(scope="module")
def green(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("photos") / "green.png"
    Image.new("RGB", (150, 210), GREEN).save(path)
    return path


def is_green(picture: np.ndarray) -> bool:
    """Whether the middle of a picture is, where the toy model sees a garment."""
    red, green, blue = picture[picture.shape[0] // 2, picture.shape[1] // 2].astype(int)
    return green > 200 and max(red, blue) < 60


def back_of(job, clip: int = 0) -> tuple | None:
    """The colour of a clip's photo of the back."""
    back = job.back_photo(clip)
    return back and back.getpixel((5, 5))


def ended(jobs, before: int = 0):
    """The last job, once it has ended; one that came after the first `before` jobs."""
    wait_until(lambda: len(jobs) > before and jobs[-1].has_ended)
    return jobs[-1]


def refusal(client, *values, **named) -> str:
    with pytest.raises(AppError) as caught:
        client.predict(*values, **QUICK, **named)
    sentence = str(caught.value)
    assert sentence.endswith(".") and "\n" not in sentence and "/tmp" not in sentence
    return sentence


# ---- Programs


def test_a_program_shows_the_real_back(client, dress, green):
    asked = {"motion": "show-the-back", **QUICK, "api_name": "/animate"}
    with_back, _ = client.predict(handle_file(dress), back_photo=handle_file(green), **asked)
    guessed, _ = client.predict(handle_file(dress), **asked)
    assert is_green(read_frames(with_back)[-1]) and not is_green(read_frames(guessed)[-1])
    assert not is_green(read_frames(with_back)[0])
    assert read_settings(with_back)["with_back_photo"] is True and "with_back_photo" not in read_settings(guessed)
    assert client.predict(handle_file(with_back), api_name="/settings_of")["with_back_photo"] is True


def test_all_clips_of_a_submitted_job_have_the_back_until_it_is_deleted(client, job_queue, jobs, dress, green):
    back = {"back_photo": handle_file(green), "more_motions": ["spin"]}
    number, clips, _ = client.predict(handle_file(dress), motion="walk", **QUICK, **back, api_name="/submit")
    job = ended(jobs)
    assert job.number == number and [back_of(job, clip) for clip in range(clips)] == [GREEN, GREEN]
    assert job.back_photo(0).size == (job_queue.pipe.width, job_queue.pipe.height)  # and no more of it is kept
    assert all(request.back_photo is None for request in job.requests)
    assert is_green(read_frames(job.results[1].path)[len(read_frames(job.results[1].path)) // 2])
    job_queue.discard(job)
    assert job.back_photo(0) is None and not job.folder.exists()


def test_a_bad_back_gets_one_sentence_that_says_which_photo_it_is(client, url, dress, tmp_path):
    letter = tmp_path / "letter.png"
    letter.write_text("This is a letter.")
    for endpoint in ("/animate", "/submit"):
        said = refusal(client, handle_file(dress), back_photo=handle_file(letter), api_name=endpoint)
        assert said.startswith("Photo of the back: The file is not a picture")
    path = httpx.post(f"{url}gradio_api/upload", files={"files": dress.read_bytes()}).json()[0]
    # No file of this machine can be named.
    data = {"photo": {"path": path}, "back_photo": {"path": str(dress), "meta": {"_type": "gradio.FileData"}}}
    for back in (data, data | {"back_photo": {"path": str(dress)}}):
        call = httpx.post(f"{url}gradio_api/call/v2/animate", json=back)
        told = httpx.get(f"{url}gradio_api/call/animate/{call.json()['event_id']}", timeout=60).text
        assert "event: error" in told and ".mp4" not in told and str(dress) not in told


# ---- The page


def give_back(page, photo: Path) -> None:
    page.set_input_files("#back-photo input[type=file]", photo)
    page.wait_for_selector("#back-photo img")
    page.wait_for_selector("#guessed", state="hidden")


def spin(page) -> None:
    page.get_by_label("Spin").check()


def animated(page, jobs):
    """The job of a click on the button, once it has ended."""
    before = len(jobs)
    page.click("#animate:enabled")
    return ended(jobs, before)


def no_back(page) -> None:
    page.wait_for_selector("#back-photo img", state="detached")


def wait_for(page, selector: str, text: str) -> None:
    page.wait_for_selector(f"{selector} :text('{text}')")


@pytest.mark.browser
def test_what_is_guessed_is_said_and_a_back_is_used_kept_and_brought_back(visit, url, jobs, dress, green, tmp_path):
    page = visit(url)
    choose(page, dress)
    page.wait_for_timeout(300)
    assert not page.is_visible("#guessed")  # a quarter turn does not show it
    spin(page)
    wait_for(page, "#guessed", "will be guessed from the front")
    page.wait_for_function("document.querySelector('#announcer').textContent.includes('guessed')")
    set_slider(page, "turn-angle", 90)
    page.wait_for_selector("#guessed", state="hidden")
    set_slider(page, "turn-angle", -360)
    wait_for(page, "#guessed", "Add a photo of the back")
    page.get_by_label("Surprise me").check()
    for drawn in ("walk", "show-the-back"):
        seed = next(seed for seed in range(100) if surprise(seed)[0] == drawn)
        page.fill("#seed input", str(seed))
        page.press("#seed input", "Enter")
        page.wait_for_selector("#guessed", state="hidden" if drawn == "walk" else "visible")
    spin(page)
    give_back(page, green)
    job = animated(page, jobs)
    assert back_of(job) == GREEN and is_green(
        read_frames(job.results[0].path)[len(read_frames(job.results[0].path)) // 2]
    )
    wait_for_status(page, "Done")
    page.click("#clip-settings > button")
    assert "--back back.jpg" in page.input_value("#command textarea")
    page.wait_for_function("localStorage['fashionflow-history']")
    page.wait_for_function("JSON.parse(sessionStorage['fashionflow-draft'])?.values[1]?.path")

    page.reload()
    wait_for_status(page, "Done")
    page.wait_for_selector("#first-frame img")
    page.wait_for_selector("#back-photo img")

    other = tmp_path / "other.png"
    tiny.photo().transpose(0).save(other)
    page.click("#photo [aria-label='Remove Image']")
    page.wait_for_selector("#first-frame img", state="detached")
    assert page.is_visible("#back-photo img")
    choose(page, other)  # whose back it is not
    wait_for(page, "#back-note", "belonged to another photo")
    no_back(page)
    wait_for(page, "#guessed", "will be guessed")
    assert back_of(animated(page, jobs)) is None
    page.wait_for_selector("#animate:enabled")

    page.click("#history > button")
    page.wait_for_selector("#history-gallery .thumbnail-item >> nth=1")
    page.click("#history-gallery .thumbnail-item >> nth=1")
    page.click("#history-use:enabled")
    wait_for(page, "#history-note", "are in the page")
    page.wait_for_selector("#back-photo img")
    page.wait_for_timeout(1000)  # in which the restored photo could take it out again
    assert page.is_visible("#back-photo img")
    again = animated(page, jobs)
    assert np.abs(np.array(back_of(again)) - GREEN).max() < 8  # the history's is a JPEG
    page.wait_for_selector("#animate:enabled")
    page.click("#history-gallery .thumbnail-item >> nth=1")  # made without
    page.click("#history-use:enabled")
    no_back(page)

    page.set_input_files("#history-file input[type=file]", job.results[0].path)
    wait_for(page, "#history-note", "made with a photo of the back, too")
    page.wait_for_timeout(300)
    assert not page.is_visible("#back-photo img")


def test_a_back_that_comes_with_its_photo_is_not_taken_out_for_it(job_queue):
    """Whichever of the two the browser tells first."""
    context = PageContext(job_queue, live=False)
    with gr.Blocks():
        photo_box, settings = PhotoBox(context), Settings(context)
        history = History(context, photo_box, settings, Run(context, photo_box, settings))
        for build in (photo_box.build, settings.build_motion, settings.build_advanced):
            build()
    uri = {"url": data_uri(tiny.photo(), PHOTO_BYTES)}
    asked = {"motion": "spin", "turn_angle": None, "sampler": "dpm++", **QUICK}
    *_, belongs_to = history.restore(ENGLISH, asked, uri, uri)
    back = {"path": "back.png"}
    assert photo_box.back.after(ENGLISH, "restored.png", False, back, belongs_to) == [
        gr.skip(),
        gr.skip(),
        "restored.png",
    ]
    assert photo_box.back.after(ENGLISH, "another.png", False, back, "restored.png")[0] is None


@pytest.mark.browser
def test_a_bad_back_is_said_at_once_and_the_clip_is_made_without(visit, url, jobs, green, tmp_path):
    letter, dark = tmp_path / "letter.png", tmp_path / "dark.png"
    letter.write_text("This is a letter.")
    tiny.photo().resize((384, 512)).point(lambda level: level // 5).save(dark)
    page = visit(url)
    page.set_input_files("#back-photo input[type=file]", letter)
    wait_for(page, "#back-note", "Photo of the back: The file is not a picture")
    no_back(page)
    give_back(page, green)
    page.wait_for_selector("#back-note", state="hidden")
    choose(page, dark)  # a back that was there first stays
    page.wait_for_timeout(500)
    assert page.is_visible("#back-photo img")
    page.click("#remedy-0:text('Brighten')")  # mended, it is the same photo
    page.wait_for_selector("#undo-remedy")
    page.wait_for_timeout(500)
    assert page.is_visible("#back-photo img")
    page.click("#back-photo [aria-label='Remove Image']")
    no_back(page)
    assert back_of(animated(page, jobs)) is None


@pytest.mark.browser
def test_a_photo_that_is_dropped_on_its_box_is_a_back_whatever_its_kind(visit, url, dress, tmp_path):
    """As a WebP, which the page otherwise takes for one of its own clips, or for the photo."""
    back = tmp_path / "back.webp"
    tiny.photo().save(back)
    page = visit(url)
    choose(page, dress)
    before = page.get_attribute("#first-frame img", "src")
    drop(page, back, "image/webp", "#back-photo button[aria-dropeffect]")
    page.wait_for_selector("#back-photo img")
    assert page.get_attribute("#first-frame img", "src") == before


@pytest.mark.browser
def test_a_lookbook_of_one_photo_has_its_back_and_one_of_several_says_that_it_has_not(
    visit, url, jobs, dress, green, tmp_path
):
    page = visit(url)
    choose(page, dress)
    give_back(page, green)
    set_slider(page, "steps", 1)
    page.click("#lookbook > button")
    field = page.locator("#lookbook-seeds input[type=number]")
    field.fill("1")
    field.press("Enter")
    wait_for(page, "#lookbook-time-estimate", "3 clips")
    assert "of the back" not in page.inner_text("#lookbook-time-estimate")
    page.click("#lookbook-make")
    wait_for(page, "#lookbook-status", "All 3 clips are made")
    (job,) = jobs
    assert [back_of(job, clip) for clip in range(3)] == [GREEN] * 3
    page.click("#lookbook-sheet .thumbnail-item >> nth=0")
    page.click("#lookbook-longer:enabled")
    assert back_of(ended(jobs, 1)) == GREEN
    wait_for_status(page, "Done")

    page.click("#lookbook-photos-fold > button")
    second = tmp_path / "second.png"
    tiny.photo().transpose(0).save(second)
    page.set_input_files("#lookbook-photos input[type=file]", [dress, second])
    wait_for(page, "#lookbook-time-estimate", "The photo of the back is not used for these photos")
    page.click("#lookbook-make")
    wait_for(page, "#lookbook-status", "All 6 clips are made")
    assert [back_of(jobs[-1], clip) for clip in range(6)] == [None] * 6


@pytest.mark.browser
def test_leave_nothing_deletes_the_back_too(visit, url, job_queue, jobs, dress, tmp_path, monkeypatch):
    monkeypatch.setattr(privacy, "GRACE_SECONDS", 1.0)
    back = tmp_path / "back.png"
    Image.new("RGB", (150, 200), GREEN).save(back)  # which no other visitor has, whose copy would stay
    content = back.read_bytes()

    def copies() -> list[Path]:
        pictures = [path for path in files_below(job_queue.folder) if path.suffix == ".png"]
        with suppress(FileNotFoundError):  # other visitors' files go at any time
            return [path for path in pictures if path.read_bytes() == content]
        return copies()

    page = visit(url)
    choose(page, dress)
    give_back(page, back)
    switch(page, "Leave nothing")
    page.wait_for_function("localStorage['fashionflow-leave-nothing'] === 'on'")
    job = animated(page, jobs)
    wait_for_status(page, "Done")
    assert copies() and back_of(job) == GREEN
    page.close()
    wait_until(lambda: not copies() and not job.folder.exists())


@pytest.mark.browser
def test_what_the_model_sees_is_shown_on_request(visit, url, dress):
    page = visit(url)
    choose(page, dress)
    page.click("#crop > button")
    assert not page.is_visible(".crop-view .cut-out")
    page.get_by_label("Show what the model sees").check()
    page.wait_for_selector(".crop-view .cut-out")
    assert page.is_visible(".crop-view .axis")


@pytest.mark.browser
def test_the_second_photo_fits_every_screen_and_has_a_name(visit, url, green):
    german = texts()["de"]
    axe = pytest.importorskip("tests.test_page_everyone")
    page = visit(url, locale="de-DE", viewport=PHONE, **axe.STILL)
    page.get_by_label(german["motion.show-the-back"]).check()
    wait_for(page, "#guessed", german["photo.back_guessed"][:40])
    assert axe.found_by_axe(page) == []
    name = page.locator("#back-photo button[aria-dropeffect]")
    page.wait_for_selector("#back-photo button[data-named]")
    assert name.get_attribute("aria-label").startswith(german["photo.back"])
    for width in (320, 1280):
        page.set_viewport_size({"width": width, "height": 800})
        page.wait_for_timeout(200)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        # All of the words are inside of the box.
        assert page.evaluate(
            """() => {
              const box = document.querySelector("#back-photo").getBoundingClientRect();
              const words = document.querySelector("#back-photo .wrap");
              const [label] = document.querySelector("#back-photo label").getClientRects();
              const range = new Range();
              range.selectNodeContents(words);
              return [...range.getClientRects()].every(
                (line) => line.bottom <= box.bottom && line.right <= box.right && line.top >= label.bottom - 1);
            }"""
        ), width
    give_back(page, green)
    assert page.locator("#back-photo img").bounding_box()["height"] < 120


@pytest.mark.browser
def test_a_model_without_geometry_has_no_place_for_it(visit, dress):
    with serve(JobQueue(tiny.pipeline())) as url:
        page = visit(url)
        choose(page, dress)
        spin(page)
        page.wait_for_timeout(500)
        assert not page.query_selector("#back-photo") and not page.query_selector("#guessed p")
