"""The finished clip: its row of actions, the badge of its verdict, no jump when they appear, and all clips of the history in a file."""

import zipfile

import pytest

from fashionflow.evaluation.fidelity import VERDICTS
from fashionflow.generation.job import Job
from fashionflow.generation.request import ClipRequest
from fashionflow.generation.settings import ClipSettings
from fashionflow.page import compare
from fashionflow.page.again import submit_again
from fashionflow.page.context import PageContext, Visit
from fashionflow.page.history import all_clips
from fashionflow.page.languages import ENGLISH

from . import tiny
from .browser import DELETED_FILE, PHONE, choose, set_slider, wait_for_status, wait_until
from .test_page_first_screen import SCREENS, WATCH_SHIFTS
from .waiting import files_below


ACTIONS = ("download", "again", "longer", "open-comparison", "copy")


def make(job_queue, **changes) -> Job:
    """A finished job of somebody without a browser."""
    photo = job_queue.pipe.fit_photo(tiny.photo())
    settings = ClipSettings(**{"frames": 4, "steps": 1, "seed": 5, "motion": "walk"} | changes)
    job = job_queue.submit(ClipRequest(photo, settings), segments=False)
    list(job.follow())
    wait_until(lambda: job.has_ended)
    return job


def boxes(page) -> list[dict]:
    return [page.locator(f"#actions #{name}").bounding_box() for name in ACTIONS]


@pytest.mark.browser
@pytest.mark.parametrize("screen", SCREENS)
def test_nothing_jumps_when_the_result_comes(visit, url, dress, brake, screen):
    page = visit(url, viewport=SCREENS[screen])
    choose(page, dress)
    page.wait_for_timeout(500)  # until Gradio has drawn the sliders of the crop
    assert not page.is_visible("#actions")
    brake.hold()
    page.click("#animate")
    page.wait_for_selector("#workplace.has-begun", state="attached")
    wait_for_status(page, "Step")
    page.evaluate(WATCH_SHIFTS)  # after the click has made room, however slow the machine is
    assert not page.is_visible("#actions") and page.locator("#actions").bounding_box()["height"] >= 44
    brake.release()
    wait_for_status(page, "Done")
    page.wait_for_selector("#download")
    page.wait_for_timeout(300)  # in which something could move
    assert page.evaluate("window.shifted") < 0.01
    assert all(box["height"] >= 44 for box in boxes(page))
    rows = {box["y"] for box in boxes(page)}
    assert len(rows) == {"desktop": 1, "phone": 2}[screen]
    if screen == "desktop":
        assert max(rows) + 44 <= SCREENS[screen]["height"]  # without scrolling


@pytest.mark.browser
def test_a_clip_is_made_again_with_another_seed_and_longer_until_it_is_as_long_as_possible(
    visit, url, job_queue, jobs, brake
):
    first = make(job_queue, motion="sway", frames=12, steps=2, seed=7)
    page = visit(f"{url}?job={first.number}")
    brake.hold()
    page.click("#again")  # there is no photo in the page: the clip's own is used
    page.wait_for_selector("#actions", state="hidden")
    brake.release()
    page.wait_for_selector("#again")
    again = jobs[-1].requests[0].settings
    assert again.seed != 7 and (again.motion, again.steps, again.frames) == ("sway", 2, 12)
    page.wait_for_function(f"document.querySelector('#seed input').value === '{again.seed}'")

    set_slider(page, "steps", 5)
    brake.hold()
    page.click("#longer")
    page.wait_for_selector("#actions", state="hidden")
    brake.release()
    page.wait_for_selector("#longer:disabled:text('Longest')")  # which says why
    longer = jobs[-1].requests[0].settings
    assert (longer.seed, longer.frames, longer.steps) == (again.seed, 24, 2)
    assert page.input_value("#frames input[type=number]") == "24"
    assert page.input_value("#steps input[type=number]") == "5"  # what the visitor chooses meanwhile stays

    visit.expected += DELETED_FILE
    job_queue.discard(jobs[-1])
    page.click("#again")
    wait_for_status(page, "has been deleted")
    assert len(jobs) == 3


def test_one_clip_at_a_time_is_made_again(job_queue, brake):
    done, context, visit = make(job_queue), PageContext(job_queue, live=False), Visit()
    settings = done.requests[0].settings
    brake.hold()
    visit.number = job_queue.submit(ClipRequest(done.photo(0), settings)).number
    with pytest.raises(ValueError, match="still being made"):
        submit_again(context, visit, ENGLISH, done, 0, settings, "lost")
    brake.release()
    wait_until(lambda: job_queue.find(visit.number).has_ended)
    assert submit_again(context, visit, ENGLISH, done, 0, settings, "lost").requests[0].settings == settings


@pytest.mark.browser
def test_the_badge_says_the_verdict_and_opens_the_charts(visit, url, job_queue, monkeypatch):
    judged = []
    fidelity = compare.fidelity
    monkeypatch.setattr(compare, "fidelity", lambda *given: judged.append(1) or fidelity(*given))
    page = visit(f"{url}?job={make(job_queue).number}", viewport=PHONE)
    page.wait_for_selector("#open-comparison")
    assert not page.is_visible("#compare") and not judged  # it costs too much to be done unasked
    page.click("#open-comparison")
    page.wait_for_selector("#badge")
    assert page.inner_text("#badge").split(" ")[0] in compare.SIGNS.values()
    colours = set()
    for kind in VERDICTS:
        page.eval_on_selector(".verdict", f"verdict => (verdict.className = 'verdict {kind.replace(' ', '-')}')")
        colours.add(page.eval_on_selector("#badge", "badge => getComputedStyle(badge).backgroundColor"))
    assert len(colours) == len(VERDICTS)
    plain = page.eval_on_selector("#copy", "button => getComputedStyle(button).backgroundColor")
    assert plain not in colours
    page.click("#badge")
    page.wait_for_selector("#similarity svg", state="attached")
    page.click("#badge")
    assert page.is_visible("#similarity")  # it only opens
    page.click("#compare > button")
    page.wait_for_selector("#compare", state="hidden")
    page.wait_for_function("document.activeElement.id === 'open-comparison'")


@pytest.mark.browser
def test_all_clips_of_the_history_come_in_one_file(visit, url, job_queue, tmp_path):
    others = make(job_queue, seed=99)
    jobs = [make(job_queue, seed=seed) for seed in (1, 2, 3)]
    page = visit(url)
    page.click("#history > button")
    for index, job in enumerate(jobs):
        page.fill("#history-number :is(input, textarea)", job.number)
        page.click("#history-fetch-button")
        page.wait_for_selector(f"#history-gallery .thumbnail-item >> nth={index}")
    visit.expected += DELETED_FILE
    job_queue.discard(jobs[1])
    with page.expect_download() as download:
        page.click("#history-zip")
    path = tmp_path / download.value.suggested_filename
    download.value.save_as(path)
    assert path.name == "fashionflow-clips.zip"
    with zipfile.ZipFile(path) as archive:
        assert archive.namelist() == ["01-walk-1.mp4", "02-walk-3.mp4"]
        assert archive.read("01-walk-1.mp4") == jobs[0].results[0].path.read_bytes()
    note = page.inner_text("#history-note")
    assert "Walk · seed 2" in note and "seed 1" not in note and "seed 99" not in note
    assert others.results[0].path.is_file()
    zips = [each for each in files_below(job_queue.folder) if each.suffix == ".zip"]
    assert len(zips) == 1 and jobs[0].folder in zips[0].parents
    for job in (jobs[0], jobs[2]):
        job_queue.discard(job)
    assert not zips[0].exists()
    page.click("#history-zip")
    page.wait_for_selector("#history-note :text('All clips of this list have been deleted')")


def test_only_clips_that_the_history_names_are_packed(job_queue):
    one, two = make(job_queue, seed=1), make(job_queue, seed=2)
    context = PageContext(job_queue, live=False)

    def named(number, clip=0, caption="Walk"):
        return {"job": number, "clip": clip, "caption": caption}

    wrong = ["x", None, named(3), named(one.number, "0"), named(one.number, True), named(one.number, 0, None)]
    asked = [named(two.number), named("ABCDEFGHJ", caption="Spin " * 99), named(one.number, -1, "Sway"), *wrong]
    found, gone = all_clips.take_apart(context, asked, ENGLISH)
    assert found == [(two, 0)] and gone == [("Spin " * 99)[:80], "Sway"]
    assert all_clips.take_apart(context, {"job": one.number}, ENGLISH) == ([], [])
    assert len(all_clips.take_apart(context, [named(one.number, 9)] * 99, ENGLISH)[1]) == all_clips.MOST_CLIPS
    assert all_clips.take_apart(context, [named(one.number)] * 2, ENGLISH)[0] == [(one, 0)]


def test_a_file_of_all_clips_goes_with_the_first_of_its_jobs_and_has_a_name_of_its_own(job_queue):
    one, two = make(job_queue, seed=1), make(job_queue, seed=2)
    both = all_clips.pack([(two, 0), (one, 0)])
    assert one.folder in both.parents
    with zipfile.ZipFile(both) as archive:
        assert {each.compress_type for each in archive.infolist()} == {zipfile.ZIP_STORED}
    alone = all_clips.pack([(one, 0)])
    assert alone.parent.name != both.parent.name  # nobody who knows one number gets what somebody else has packed
    assert alone.is_file() and not both.exists()
    assert all_clips.pack([(one, 0)]).is_file()  # a second time
    one.discard()
    assert not alone.exists()
    with pytest.raises(OSError):
        all_clips.pack([(one, 0)])
