"""One job at a time, told in order, stopped within a step, and nothing left behind."""

import os
import threading
import time
from dataclasses import replace

import numpy as np
import pytest

from fashionflow.animation import AnimationRequest, Finished, Segment, Step, Waiting
from fashionflow.preview import Preview
from fashionflow.schedulers import SAMPLERS, training_scheduler
from fashionflow.studio import Studio, sweep
from fashionflow.video import read_frames, read_settings

from . import tiny


MANY_STEPS = 300  # several seconds of work even for the toy model, so that there is something to stop


@pytest.fixture(scope="module")
def studio():
    return Studio(tiny.pipeline())


@pytest.fixture
def calls(studio):
    """The threads that called the denoiser, in order."""
    threads = []
    hook = studio.pipe.unet.register_forward_pre_hook(lambda *_: threads.append(threading.current_thread()))
    yield threads
    hook.remove()


def request(**changes) -> AnimationRequest:
    return replace(AnimationRequest(tiny.photo(), frames=tiny.FRAMES, steps=3, seed=7, motion="spin"), **changes)


def run(studio, **changes) -> list:
    return list(studio.animate(request(**changes), threading.Event()))


def is_idle(studio) -> bool:
    return not studio.in_line and not any(thread.name == "animate" for thread in threading.enumerate())


def wait_until_idle(studio) -> None:
    while not is_idle(studio):
        time.sleep(0.01)


def test_events_come_in_order_and_end_with_the_file(studio):
    events = run(studio, frames=30)
    kinds = [type(event) for event in events]
    num_segments = kinds.count(Segment)
    assert kinds == [Waiting, *[Step] * 3, *[Segment] * num_segments, Finished]
    assert num_segments > 1
    assert [event.index for event in events[1:4]] == [1, 2, 3]
    assert events[3].remaining < events[1].remaining
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


def test_same_seed_same_clip(studio):
    first, again, other = (read_frames(run(studio, seed=seed)[-1].path) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first.astype(float) - other).max() > 10


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("make", [tiny.pipeline, tiny.released_pipeline])
def test_previews_have_the_shape_of_the_clip(make, sampler):
    pipe = make()
    studio = Studio(pipe)
    motion = "walk" if pipe.has_motion else None
    steps = [event for event in run(studio, motion=motion, sampler=sampler) if isinstance(event, Step)]
    assert len(steps) == 3
    for step in steps:
        assert step.preview.width / step.preview.height == pipe.width / pipe.height
        assert step.preview.width >= pipe.width


@pytest.mark.parametrize("prediction_type", ["sample", "epsilon", "v_prediction"])
def test_the_last_preview_shows_the_finished_clip(prediction_type):
    """Its lower right quarter is the last frame: ddim's last step lands on what the denoiser said."""
    pipe = tiny.pipeline(scheduler=training_scheduler(prediction_type))
    with Preview(pipe) as preview:
        last = pipe(**tiny.inputs(sampler="ddim", output_type="np")).frames[0, -1] * 255
        picture = np.asarray(preview.picture()).astype(float)
    np.testing.assert_allclose(picture[tiny.HEIGHT :, tiny.WIDTH :], last, atol=1)


def test_stop_ends_the_work_within_one_step(studio, calls):
    stop = threading.Event()
    for event in studio.animate(request(steps=MANY_STEPS), stop):
        assert not isinstance(event, (Segment, Finished))
        if isinstance(event, Step) and event.index == 2:
            stop.set()
            calls_at_stop = len(calls)
    assert len(calls) <= calls_at_stop + 1
    assert is_idle(studio)


def test_closing_the_iterator_ends_the_work_within_one_step(studio, calls):
    events = studio.animate(request(steps=MANY_STEPS), threading.Event())
    next(event for event in events if isinstance(event, Step))
    calls_at_stop = len(calls)
    events.close()
    wait_until_idle(studio)
    assert len(calls) <= calls_at_stop + 1


def test_closing_the_iterator_in_mid_step_returns_at_once_and_the_device_is_kept_until_the_step_ends(studio, calls):
    entered, go_on = threading.Event(), threading.Event()

    def step_that_takes_its_time(*_):
        if len(calls) == 3:
            entered.set()
            go_on.wait(60)

    hook = studio.pipe.unet.register_forward_hook(step_that_takes_its_time)
    try:
        first = studio.animate(request(steps=MANY_STEPS), threading.Event())
        next(event for event in first if isinstance(event, Step))
        assert entered.wait(60)
        closed = threading.Thread(target=first.close, daemon=True)
        closed.start()
        closed.join(5)
        assert not closed.is_alive()  # the step is still at work
        second = studio.animate(request(), threading.Event())
        assert next(second) == next(second) == Waiting(1)
        assert len(calls) == 3
        go_on.set()
        assert isinstance(list(second)[-1], Finished)
        assert len(set(calls[:3])) == 1 and calls[2] not in calls[3:]
    finally:
        go_on.set()
        hook.remove()
    assert is_idle(studio)


def test_an_iterator_closed_while_it_waits_or_never_started_leaves_the_line(studio):
    first = studio.animate(request(steps=MANY_STEPS), threading.Event())
    next(event for event in first if isinstance(event, Step))
    waiting = studio.animate(request(), threading.Event())
    assert next(waiting) == Waiting(1) and studio.in_line == 2
    waiting.close()
    studio.animate(request(), threading.Event()).close()
    assert studio.in_line == 1
    first.close()
    assert isinstance(run(studio)[-1], Finished)
    assert is_idle(studio)


@pytest.mark.parametrize("photo_fit", ["crop", "pad", "stretch"])
def test_a_photo_fitted_before_it_stands_in_line_is_fitted_the_same(photo_fit):
    pipe = tiny.pipeline(photo_fit=photo_fit)
    fitted = pipe.fit_photo(tiny.photo().resize((300, 170)))
    assert fitted.size == (tiny.WIDTH, tiny.HEIGHT)
    np.testing.assert_array_equal(np.asarray(pipe.fit_photo(fitted)), np.asarray(fitted))


def test_the_next_job_starts_when_the_last_one_has_ended_and_runs_clean(studio, calls):
    alone = read_frames(run(studio)[-1].path)
    calls.clear()
    stop, second = threading.Event(), []
    first = studio.animate(request(steps=MANY_STEPS), stop)
    next(event for event in first if isinstance(event, Step))
    other = threading.Thread(target=lambda: second.extend(run(studio)))
    other.start()
    while not second_waits(studio):
        time.sleep(0.01)
    stop.set()
    assert not any(isinstance(event, Finished) for event in first)
    other.join()
    assert sum(a is not b for a, b in zip(calls, calls[1:], strict=False)) == 1  # the two never took turns
    assert second[0] == Waiting(1)
    np.testing.assert_array_equal(read_frames(second[-1].path), alone)


def second_waits(studio) -> bool:
    return studio.in_line == 2


def test_stop_while_waiting_leaves_the_line(studio, calls):
    first = studio.animate(request(steps=MANY_STEPS), threading.Event())
    next(event for event in first if isinstance(event, Step))
    stop = threading.Event()
    waiting = studio.animate(request(), stop)
    assert next(waiting) == Waiting(1)
    stop.set()
    assert list(waiting) == []
    first.close()
    wait_until_idle(studio)
    assert len(set(calls)) == 1


def test_an_error_at_work_reaches_the_reader_and_the_next_job_runs(studio):
    def fail(*_):
        raise RuntimeError("out of memory")

    hook = studio.pipe.unet.register_forward_pre_hook(fail)
    try:
        with pytest.raises(RuntimeError, match="out of memory"):
            run(studio)
    finally:
        hook.remove()
    assert is_idle(studio)
    assert isinstance(run(studio)[-1], Finished)


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
    ],
)
def test_what_cannot_be_made_is_refused_at_once(studio, changes, sentence):
    with pytest.raises(ValueError, match=sentence):
        studio.animate(request(**changes), threading.Event())


def test_a_model_that_compresses_time_or_has_no_motion_says_so():
    studio = Studio(tiny.released_pipeline())
    with pytest.raises(ValueError, match="`frames` must be a multiple of 2 from 2 to 280, got 5"):
        studio.animate(request(frames=5, motion=None), threading.Event())
    with pytest.raises(ValueError, match="`motion` must be empty for this model"):
        studio.animate(request(), threading.Event())


def test_old_jobs_are_deleted_and_folders_are_private(studio):
    old, new = (run(studio)[-1].path.parent for _ in range(2))
    assert old.stat().st_mode & 0o777 == 0o700 and studio.folder.stat().st_mode & 0o777 == 0o700
    os.utime(old, (time.time() - 4000,) * 2)
    sweep(studio.folder, 3000)
    assert not old.exists() and new.exists()


def test_a_studio_that_is_gone_leaves_nothing(tmp_path):
    studio = Studio(tiny.pipeline(), tmp_path)
    run(studio)
    assert list(tmp_path.rglob("*.mp4"))
    del studio
    assert not list(tmp_path.iterdir())
