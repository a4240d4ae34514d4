"""Jobs in a line, made one clip at a time, told in order, stopped within a step, found again, and nothing left behind."""

import threading
import time
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import ImageOps

from fashionflow.generation.events import Finished, Segment, Step, Waiting
from fashionflow.generation.job import NUMBER_LETTERS, plain_number, spoken_number
from fashionflow.generation.queue import MOST_CLIPS, JobQueue
from fashionflow.generation.request import ClipRequest
from fashionflow.generation.settings import ClipSettings
from fashionflow.pipelines.schedulers import SAMPLERS, training_scheduler
from fashionflow.video.decoding import decode_frames
from fashionflow.video.io import read_frames, read_settings
from fashionflow.video.preview import Preview

from . import tiny
from .waiting import wait_until_idle


MANY_STEPS = 300  # several seconds of work even for the toy model, so that there is something to stop


@pytest.fixture(scope="module")
def job_queue():
    return JobQueue(tiny.pipeline())


@pytest.fixture
def calls(job_queue):
    """The times at which the denoiser was called."""
    times = []
    hook = job_queue.pipe.unet.register_forward_pre_hook(lambda *_: times.append(time.monotonic()))
    yield times
    hook.remove()


def request(back_photo=None, **changes) -> ClipRequest:
    settings = ClipSettings(**{"frames": tiny.FRAMES, "steps": 3, "seed": 7, "motion": "spin"} | changes)
    return ClipRequest(tiny.photo(), settings, back_photo)


def run(job_queue, **changes) -> list:
    return list(job_queue.submit(request(**changes)).follow())


def begun(job_queue, **changes):
    """A job whose first step is done, and its events from then on."""
    job = job_queue.submit(request(**{"steps": MANY_STEPS} | changes))
    events = job.follow()
    next(event for event in events if isinstance(event, Step))
    return job, events


def test_events_come_in_order_and_end_with_the_file(job_queue):
    events = run(job_queue, frames=30)
    while isinstance(events[0], Waiting):
        events.pop(0)
    kinds = [type(event) for event in events]
    num_steps, num_segments = kinds.count(Step), kinds.count(Segment)
    assert kinds == [*[Step] * num_steps, *[Segment] * num_segments, Finished]
    assert num_segments > 1
    steps = events[:num_steps]  # one that was overtaken by the next is not told
    assert [event.index for event in steps] == sorted({event.index for event in steps}) and steps[-1].index == 3
    assert steps[-1].remaining <= steps[0].remaining and events[-2].remaining < 1
    finished = events[-1]
    frames = read_frames(finished.path)
    assert len(frames) == finished.frames and frames.shape[1:] == (tiny.HEIGHT, tiny.WIDTH, 3)
    pieces = np.concatenate([read_frames(event.path) for event in events if isinstance(event, Segment)])
    assert len(pieces) == len(frames)
    assert np.abs(pieces.astype(float) - frames).mean() < 6  # the same clip, encoded twice
    settings = read_settings(finished.path)
    assert settings["seed"] == finished.seed == 7
    assert settings["motion"] == "spin" and settings["frames"] == 30 and settings["steps"] == 3
    assert {"model", "version", "date"} <= settings.keys()


def test_same_seed_same_clip(job_queue):
    first, again, other = (read_frames(run(job_queue, seed=seed)[-1].path) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first.astype(float) - other).max() > 10


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("make", [tiny.pipeline, tiny.released_pipeline])
def test_previews_have_the_shape_of_the_clip(make, sampler):
    pipe = make()
    job_queue = JobQueue(pipe)
    motion = "walk" if pipe.has_motion else None
    steps = [event for event in run(job_queue, motion=motion, sampler=sampler) if isinstance(event, Step)]
    assert len(steps) == 3
    for step in steps:
        assert step.preview.width / step.preview.height == pipe.width / pipe.height
        assert step.preview.width >= pipe.width


def test_the_photos_own_pixels_move_in_a_preview_before_the_first_step():
    """Denoising the first step takes most of the time until something else can be shown."""
    pipe = tiny.guided_pipeline()
    submitted, told = threading.Event(), []

    def before_a_step(*_) -> None:
        submitted.wait()
        told.append([event for _, event in job._events if isinstance(event, Step)])

    hook = pipe.unet.register_forward_pre_hook(before_a_step)
    asked = request(motion="turn-right", turn_angle=60)
    job = JobQueue(pipe).submit(asked)
    submitted.set()
    list(job.follow())
    hook.remove()
    (first,) = told[0]
    assert first.index == 0 and first.remaining > 0
    shown = np.asarray(first.preview).astype(float)
    guide = asked.guide(pipe).frames(torch.tensor([0, tiny.FRAMES - 1]), pipe.code_size).pixels * 255
    start, end = guide.permute(0, 2, 3, 1).numpy()
    height, width = pipe.code_size
    np.testing.assert_allclose(shown[:height, :width], start, atol=1)
    np.testing.assert_allclose(shown[height:, width:], end, atol=1)
    assert np.abs(start - end).max() > 30


@pytest.mark.parametrize("prediction_type", ["sample", "epsilon", "v_prediction"])
def test_the_last_preview_shows_the_finished_clip(prediction_type):
    """Its lower right quarter is the last frame: ddim's last step lands on what the denoiser said."""
    pipe = tiny.pipeline(scheduler=training_scheduler(prediction_type))
    with Preview(pipe) as preview:
        last = pipe(**tiny.inputs(sampler="ddim", output_type="np")).frames[0, -1] * 255
        picture = np.asarray(preview.picture()).astype(float)
    np.testing.assert_allclose(picture[tiny.HEIGHT :, tiny.WIDTH :], last, atol=1)


def test_stop_ends_the_denoising_within_one_step_and_what_was_made_can_be_played(job_queue, calls):
    job, events = begun(job_queue)
    job_queue.stop(job)
    calls_at_stop = len(calls)
    *_, finished = events
    assert len(calls) <= calls_at_stop + 1
    assert isinstance(finished, Finished) and not finished.whole
    frames = read_frames(finished.path)
    assert len(frames) == finished.frames > tiny.FRAMES
    latents = job_queue.pipe.encode_image(tiny.photo())[1]
    first = next(decode_frames(job_queue.pipe, latents)).astype(float)
    assert np.abs(frames[0] - first).mean() < 10  # the photo, as the autoencoder shows it
    assert job.state == "stopped" and not job_queue.in_line


def test_stop_while_the_clip_is_decoded_keeps_the_frames_so_far(job_queue):
    job = job_queue.submit(request(frames=60))
    events = job.follow()
    next(event for event in events if isinstance(event, Segment))
    job_queue.stop(job)
    finished = [event for event in events if isinstance(event, Finished)][-1]
    assert not finished.whole and 2 <= len(read_frames(finished.path)) == finished.frames < 3 * 59 + 1
    assert job.state == "stopped"


def test_a_job_is_made_though_nobody_follows_it_and_can_be_followed_by_many(job_queue):
    job = job_queue.submit(request())
    wait_until_idle(job_queue)
    assert job.state == "finished"
    late = [list(job.follow()) for _ in range(2)]
    assert late[0] == late[1] and [type(event) for event in late[0]] == [Finished]

    job, events = begun(job_queue, steps=30, frames=30)
    joined = list(job.follow())  # in the middle
    assert isinstance(joined[0], (Waiting, Step))
    assert [event for event in joined if isinstance(event, Segment)] == [e for e in events if isinstance(e, Segment)]
    assert joined[-1] == job.results[0]


def test_a_job_is_found_by_its_number_however_it_is_typed_and_by_no_other(job_queue):
    job = job_queue.submit(request())
    wait_until_idle(job_queue)
    typed = spoken_number(job.number).lower().replace("-", " ")
    assert job_queue.find(job.number) is job_queue.find(typed) is job
    assert plain_number(typed) == job.number and set(job.number) <= set(NUMBER_LETTERS)
    other = job.number[:-1] + next(letter for letter in NUMBER_LETTERS if letter != job.number[-1])
    for wrong in (other, "", None, 7, job.number[:-1], "*" * 1000):
        assert job_queue.find(wrong) is None
    assert len({job_queue.submit(request()).number for _ in range(3)}) == 3
    wait_until_idle(job_queue)


def test_the_photo_of_an_ended_job_is_kept_in_its_folder_and_not_in_memory(job_queue):
    job = job_queue.submit(request())
    wait_until_idle(job_queue)
    assert job.requests[0].photo is None
    np.testing.assert_array_equal(np.asarray(job.photo(0)), np.asarray(tiny.photo()))


def test_a_discarded_job_leaves_nothing_whatever_its_state(job_queue, calls):
    working, _ = begun(job_queue)
    waiting = job_queue.submit(request())
    ended_folders = []
    for job in (waiting, working):
        job_queue.discard(job)
        assert job_queue.find(job.number) is None
        ended_folders.append(job.folder)
    calls_at_stop = len(calls)
    wait_until_idle(job_queue)
    assert len(calls) <= calls_at_stop + 1
    finished = job_queue.submit(request())
    wait_until_idle(job_queue)
    job_queue.discard(finished)
    assert not any(folder.exists() for folder in [*ended_folders, finished.folder])
    assert list(working.follow()) == [] and working.state == "stopped"


def test_a_job_of_several_clips_tells_each_and_lets_others_in_between(job_queue):
    several = job_queue.submit([request(seed=seed, steps=20) for seed in (1, 2, 3)])
    single = job_queue.submit(request(seed=9))
    order = []
    reader = threading.Thread(target=lambda: order.extend(("single", e) for e in single.follow()))
    reader.start()
    told = list(several.follow())
    reader.join()
    assert [event.clip for event in told if isinstance(event, Finished)] == [0, 1, 2]
    assert [result.seed for result in several.results] == [1, 2, 3]
    assert len({result.path for result in several.results}) == 3
    first, second, _ = (result.path.stat().st_mtime for result in several.results)
    assert first < single.results[0].path.stat().st_mtime < second
    assert Waiting in {type(event) for event in told}


def test_stopping_a_job_of_several_clips_keeps_those_that_are_finished(job_queue):
    job = job_queue.submit([request(seed=1), request(seed=2, steps=MANY_STEPS), request(seed=3)])
    events = job.follow()
    next(event for event in events if isinstance(event, Step) and event.clip == 1)
    job_queue.stop(job)
    list(events)
    assert job.state == "stopped"
    assert job.results[0].whole and not job.results[1].whole and job.results[2] is None


@pytest.mark.parametrize("count", [0, MOST_CLIPS + 1])
def test_a_job_has_some_clips_but_not_too_many(job_queue, count):
    with pytest.raises(ValueError, match=f"1 to {MOST_CLIPS} clips, got {count}"):
        job_queue.submit([request()] * count)


def test_a_photo_that_clips_share_is_kept_once(job_queue):
    shared, other = request(), replace(request(), photo=ImageOps.invert(tiny.photo()))
    job = job_queue.submit([shared, shared.with_settings(seed=2), other])
    assert len(list(job.folder.glob("*.png"))) == 2
    for clip, asked in enumerate((shared, shared, other)):
        np.testing.assert_array_equal(np.asarray(job.photo(clip)), np.asarray(asked.photo))
    job_queue.discard(job)


def test_time_estimates_are_kept_beside_the_actual_times(job_queue):
    before = len(job_queue.time_estimator._kept)
    finished = run(job_queue)[-1]
    estimated, actual = job_queue.time_estimator._kept[-1]
    assert len(job_queue.time_estimator._kept) == before + 1 and estimated == finished.time_estimate
    assert finished.seconds <= actual < finished.seconds + 2 and job_queue.time_estimator.accuracy() is not None


def test_estimates_grow_with_the_line_and_shrink_as_it_is_worked_off(job_queue):
    run(job_queue)  # so that something is known about the time
    alone = job_queue.estimate([request(steps=200).settings])
    assert (alone.ahead, alone.ahead_seconds) == (0, 0) and alone.seconds > 0
    assert job_queue.estimate([request(steps=200).settings] * 2).seconds == pytest.approx(2 * alone.seconds)
    working, events = begun(job_queue, steps=200)
    waiting = job_queue.submit([request(steps=200)] * 2)
    behind = job_queue.estimate([request().settings])
    assert behind.ahead == 2 and alone.seconds < behind.ahead_seconds < 2 * alone.seconds
    said = next(waiting.follow())
    assert said.ahead == 1 and 0 < said.seconds < alone.seconds
    for job in (waiting, working):
        job_queue.discard(job)
    wait_until_idle(job_queue)


@pytest.mark.parametrize("photo_fit", ["crop", "pad", "stretch"])
def test_a_photo_fitted_before_it_stands_in_line_is_fitted_the_same(photo_fit):
    pipe = tiny.pipeline(photo_fit=photo_fit)
    fitted = pipe.fit_photo(tiny.photo().resize((300, 170)))
    assert fitted.size == (tiny.WIDTH, tiny.HEIGHT)
    np.testing.assert_array_equal(np.asarray(pipe.fit_photo(fitted)), np.asarray(fitted))


def test_the_next_job_starts_when_the_last_one_has_ended_and_runs_clean(job_queue):
    alone = read_frames(run(job_queue)[-1].path)
    first, _ = begun(job_queue)
    second = job_queue.submit(request())
    events = second.follow()
    assert next(events).ahead == 1
    job_queue.stop(first)
    np.testing.assert_array_equal(read_frames(list(events)[-1].path), alone)
    written_ago = time.time() - second.results[0].path.stat().st_mtime
    assert first.ended_at <= time.monotonic() - written_ago + 0.1


def test_stop_while_waiting_leaves_the_line_at_once(job_queue):
    first, _ = begun(job_queue)
    waiting = job_queue.submit(request())
    events = waiting.follow()
    assert next(events).ahead == 1 and job_queue.in_line == 2
    job_queue.stop(waiting)
    assert job_queue.in_line == 1 and waiting.state == "stopped"
    assert all(isinstance(event, Waiting) for event in events)
    job_queue.discard(first)
    wait_until_idle(job_queue)


def test_an_error_at_work_reaches_the_reader_and_the_next_job_runs(job_queue):
    def fail(*_, **__):
        raise RuntimeError("out of memory")

    hook = job_queue.pipe.unet.register_forward_pre_hook(fail)
    try:
        with pytest.raises(RuntimeError, match="out of memory"):
            run(job_queue)
    finally:
        hook.remove()
    wait_until_idle(job_queue)
    assert isinstance(run(job_queue)[-1], Finished)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"frames": 1}, "`frames` must be a whole number from 2 to 280, got 1"),
        ({"frames": 281}, "`frames` must be"),
        ({"frames": 6.5}, "`frames` must be"),
        ({"frames": None}, "`frames` must be"),
        ({"steps": 0}, "`steps` must be a whole number from 1 to 1000, got 0"),
        ({"steps": 1001}, "`steps` must be"),
        ({"steps": True}, "`steps` must be"),
        ({"seed": -1}, "`seed` must be a whole number from 0 to 4294967295, got -1"),
        ({"seed": 2**32}, "`seed` must be"),
        ({"seed": "7"}, "`seed` must be"),
        ({"motion": "fly"}, "`motion` must be one of turn-left.*got 'fly'"),
        ({"turn_angle": 361}, "`turn_angle` must be between -360 and 360 degrees, got 361"),
        ({"turn_angle": float("nan")}, "`turn_angle` must be"),
        ({"motion": None, "turn_angle": 10}, "`turn_angle` must be empty"),
        ({"sampler": "magic"}, "`sampler` must be one of dpm.*got 'magic'"),
        ({"guidance": 0.5}, "`guidance` must be between 1 and 5, got 0.5"),
        ({"guidance": 2, "motion": None}, "`guidance` must be 1 where no motion is chosen"),
        ({"frame_rate": 0}, "`frame_rate` must be between 1 and 60, got 0"),
        ({"interpolation": 9}, "`interpolation` must be a whole number from 1 to 8, got 9"),
        ({"quality": 0}, "`quality` must be a whole number from 1 to 51, got 0"),
        ({"memory": "vast"}, "`memory` must be one of auto, lean, normal, fast, got 'vast'"),
        ({"back_photo": tiny.photo()}, "`back_photo` must be empty for this model, which uses one photo only"),
    ],
)
def test_what_cannot_be_made_is_refused_at_once(job_queue, changes, sentence):
    with pytest.raises(ValueError, match=sentence):
        job_queue.submit(request(**changes))


def test_a_model_that_compresses_time_or_has_no_motion_says_so():
    job_queue = JobQueue(tiny.released_pipeline())
    with pytest.raises(ValueError, match="`frames` must be a multiple of 2 from 2 to 280, got 5"):
        job_queue.submit(request(frames=5, motion=None))
    with pytest.raises(ValueError, match="`motion` must be empty for this model"):
        job_queue.submit(request())


def test_frame_rate_and_interpolation_make_the_clip_that_was_asked_for(job_queue):
    slow = run(job_queue, frame_rate=4, interpolation=2)[-1]
    assert slow.fps == 8 and slow.frames == 2 * (tiny.FRAMES - 1) + 1 == len(read_frames(slow.path))
    plain = run(job_queue, interpolation=1)[-1]
    assert plain.fps == 8 and plain.frames == tiny.FRAMES
    assert plain.path.stat().st_size > run(job_queue, interpolation=1, quality=45)[-1].path.stat().st_size


def test_memory_modes_and_no_guidance_make_the_same_clip_and_guidance_another(job_queue):
    normal, lean, fast = (read_frames(run(job_queue, memory=memory)[-1].path) for memory in ("normal", "lean", "fast"))
    for frames in (lean, fast):
        assert np.abs(frames.astype(float) - normal).max() <= 2  # decoded in other groups, so rounded otherwise
    guided = read_frames(run(job_queue, guidance=3)[-1].path)
    assert np.abs(guided.astype(float) - normal).max() > 10


def test_old_jobs_are_deleted_and_folders_are_private(job_queue):
    old, new = (job_queue.submit(request()) for _ in range(2))
    wait_until_idle(job_queue)
    assert old.folder.stat().st_mode & 0o777 == 0o700 and job_queue.folder.stat().st_mode & 0o777 == 0o700
    old.ended_at -= 4000
    job_queue.sweep(3000)
    assert not old.folder.exists() and job_queue.find(old.number) is None
    assert new.folder.exists() and job_queue.find(new.number) is new


def test_a_job_queue_that_is_gone_leaves_nothing(tmp_path):
    job_queue = JobQueue(tiny.pipeline(), tmp_path)
    run(job_queue)
    assert list(tmp_path.rglob("*.mp4"))
    wait_until_idle(job_queue)
    while any(thread.name == "animate" for thread in threading.enumerate()):
        time.sleep(0.01)
    del job_queue
    assert not list(tmp_path.iterdir())
