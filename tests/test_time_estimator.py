"""Time estimates of clips: measured on a real pipeline, learnt from clips, compared with what came true."""

import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
import torch

from fashionflow.generation import profiler
from fashionflow.generation.profiler import measure
from fashionflow.generation.rates import SHIPPED_RATES, Rates
from fashionflow.generation.request import ClipRequest
from fashionflow.generation.settings import ClipSettings
from fashionflow.generation.time_estimator import UNKNOWN_DURATION, TimeEstimator

from . import tiny


RATES = Rates(clip=1.0, step=0.5, denoised_frame=0.1, decoded_frame=0.2, frame_between=0.03, shown_frame=0.01)


@pytest.fixture(scope="module")
def pipe():
    return tiny.pipeline()


def asked(**changes) -> ClipSettings:
    return ClipSettings(**{"frames": 11, "steps": 4, "seed": 0, "motion": "spin"} | changes)


def told(time_estimator: TimeEstimator, *factors: float) -> TimeEstimator:
    """An estimator that has seen clips which took so many times as long as `RATES` say."""
    plain = TimeEstimator(RATES)
    for factor in factors:
        time_estimator.learn(asked(), factor * plain.denoising(asked()), factor * plain.decoding(asked()))
    return time_estimator


def test_a_clip_is_the_sum_of_what_it_is_made_of():
    time_estimator = TimeEstimator(RATES, playing_factor=3)
    assert time_estimator.denoising(asked()) == pytest.approx(1 + 4 * (0.5 + 11 * 0.1))
    # 10 pairs of frames, with 2 between each, and 31 shown.
    assert time_estimator.decoding(asked()) == pytest.approx(11 * 0.2 + 20 * 0.03 + 31 * 0.01)
    assert time_estimator.seconds(asked()) == time_estimator.denoising(asked()) + time_estimator.decoding(asked())
    # Guidance needs a second pass for every step, and other interpolation other frames.
    assert time_estimator.denoising(asked(guidance=2.0)) == pytest.approx(1 + 4 * (0.5 + 2 * 11 * 0.1))
    assert time_estimator.decoding(asked(interpolation=1)) == pytest.approx(11 * 0.2 + 11 * 0.01)


def test_steps_that_borrow_deep_features_take_their_share():
    time_estimator = TimeEstimator(replace(RATES, shallow_share=0.4), deep_interval=2)
    assert time_estimator.denoising(asked()) == pytest.approx(1 + 4 * 0.5 + (2 + 2 * 0.4) * 11 * 0.1)
    assert time_estimator.denoising(asked(steps=5)) == pytest.approx(1 + 5 * 0.5 + (3 + 2 * 0.4) * 11 * 0.1)


def test_measuring_finds_what_borrowing_saves():
    """With coarser levels that take far longer than all else."""
    pipe = tiny.pipeline()
    pipe.register_to_config(deep_interval=3)
    pipe.unet.mid_block.register_forward_pre_hook(lambda module, inputs: time.sleep(0.02 * inputs[0].shape[1]))
    time_estimator = TimeEstimator()
    rates = time_estimator.measure(pipe, budget=20)
    assert rates.shallow_share < 0.5
    request = asked(frames=24, steps=3)
    one_step = time_estimator.denoising(asked(frames=24, steps=1)) - rates.clip
    assert time_estimator.denoising(request) - rates.clip < 2.2 * one_step
    pipe.register_to_config(deep_interval=1)
    assert time_estimator.measure(pipe, budget=20).shallow_share == 1


def test_a_borrowing_pass_that_was_cut_short_is_not_believed(monkeypatch):
    """Its time would be concluded from a few of its layers, as if it had them all."""
    pipe = tiny.pipeline()
    pipe.register_to_config(deep_interval=2)
    plain = pipe.unet.forward

    def forward(*args, deep_features=None, **kwargs):
        if deep_features is not None:
            pipe.unet.time_embed(torch.zeros(1, pipe.unet.config.stem_channels))  # one layer of many
            raise profiler._OutOfTime
        time.sleep(0.1)
        return plain(*args, deep_features=None, **kwargs)

    monkeypatch.setattr(pipe.unet, "forward", forward)
    assert measure(pipe, budget=20).shallow_share == 1


def test_clips_teach():
    time_estimator = told(TimeEstimator(RATES), 2.0, 2.1)
    assert time_estimator.is_known
    assert time_estimator.seconds(asked()) == pytest.approx(2 * TimeEstimator(RATES).seconds(asked()), rel=0.06)
    assert time_estimator.denoising(asked(steps=8)) == pytest.approx(
        2 * TimeEstimator(RATES).denoising(asked(steps=8)), rel=0.06
    )


def test_denoising_and_decoding_are_learnt_apart():
    time_estimator = TimeEstimator(RATES)
    time_estimator.learn(asked(), 3 * time_estimator.denoising(asked()), time_estimator.decoding(asked()))
    assert time_estimator.denoising(asked()) == pytest.approx(3 * TimeEstimator(RATES).denoising(asked()))
    assert time_estimator.decoding(asked()) == pytest.approx(TimeEstimator(RATES).decoding(asked()))


def test_one_slow_clip_changes_nothing():
    usual = told(TimeEstimator(RATES), 1.0, 1.02, 1.01).seconds(asked())
    assert told(TimeEstimator(RATES), 1.0, 1.02, 1.01, 9.0).seconds(asked()) == pytest.approx(usual, rel=0.05)
    assert told(TimeEstimator(RATES), 1.0, 9.0, 1.02, 1.01).seconds(asked()) == pytest.approx(usual, rel=0.05)


def test_what_was_long_ago_is_forgotten():
    """Ten quick clips, then a device that stays slow: four clips later that is believed."""
    time_estimator = told(TimeEstimator(RATES), *[1.0] * 10, *[3.0] * 4)
    assert time_estimator.seconds(asked()) == pytest.approx(3 * TimeEstimator(RATES).seconds(asked()), rel=0.05)


def test_waiting_is_what_those_before_have_left():
    assert TimeEstimator(RATES).waiting([]) == 0
    assert TimeEstimator(RATES).waiting([4.0, -2.5, 6.0]) == 10  # the second is overdue


def test_duration_is_what_zerogpu_may_be_asked_for():
    time_estimator = TimeEstimator(RATES)
    assert (
        time_estimator.duration(ClipRequest(tiny.photo(), asked())) == UNKNOWN_DURATION
    )  # nothing is known of that device yet
    told(time_estimator, 1.0)
    request = ClipRequest(tiny.photo(), asked())
    one, two = (
        time_estimator.duration("photo", request=request, progress=None),
        time_estimator.duration([request, request]),
    )
    assert isinstance(one, int)
    assert one == int(1.5 * time_estimator.seconds(asked()) + 5) + 1
    assert two == int(2 * 1.5 * time_estimator.seconds(asked()) + 5) + 1
    assert time_estimator.duration("photo") == UNKNOWN_DURATION


def test_accuracy_is_the_usual_error():
    time_estimator = TimeEstimator(RATES)
    assert time_estimator.accuracy() is None
    for estimated, actual in ((10, 8), (9, 10), (100, 1), (10, 10), (21, 20)):
        time_estimator.record(estimated, actual)
    assert time_estimator.accuracy() == pytest.approx(0.1)
    for _ in range(50):
        time_estimator.record(3, 2)
    assert time_estimator.accuracy() == pytest.approx(0.5)  # the first ones are forgotten


def test_measuring_finds_what_each_part_takes(pipe):
    """With a denoiser, a decoder and an encoder that take a known time on top of their own."""
    delays = {"unet": lambda inputs: 0.03 + 0.04 * inputs[0].shape[2], "conditioner": lambda inputs: 0.1}
    hooks = [
        getattr(pipe, part).register_forward_pre_hook(lambda module, inputs, delay=delay: time.sleep(delay(inputs)))
        for part, delay in delays.items()
    ]
    plain = pipe.vae.decode
    pipe.vae.decode = lambda latents, **kwargs: time.sleep(0.02 * len(latents)) or plain(latents, **kwargs)
    try:
        time_estimator = TimeEstimator()
        rates = time_estimator.measure(pipe, budget=20)
    finally:
        del pipe.vae.decode
        for hook in hooks:
            hook.remove()
    assert time_estimator.is_known
    # The first two are differences of two times, so a little of what disturbs either may be missing.
    assert 0.9 * 0.04 <= rates.denoised_frame < 0.08
    assert 0.9 * (0.03 + 4 * 0.02) <= rates.step < 1.5  # its preview decodes four frames
    assert 0.1 <= rates.clip < 1
    assert 0.02 <= rates.decoded_frame < 0.15
    assert 0 < rates.frame_between < 1 and 0 < rates.shown_frame < 1
    assert rates.shown_frame != SHIPPED_RATES.shown_frame and rates.frame_between != SHIPPED_RATES.frame_between


@pytest.mark.parametrize("make", [tiny.pipeline, tiny.released_pipeline])
def test_measuring_leaves_the_pipeline_as_it_was(make):
    pipe = make()
    steps, frames = 2, 8
    inputs = tiny.inputs(num_frames=frames, num_inference_steps=steps)
    before = pipe(**tiny.inputs(num_frames=frames)).frames
    scheduler, config, random = pipe.scheduler, dict(pipe.scheduler.config), torch.get_rng_state()
    timesteps = pipe.scheduler.timesteps.clone()
    measure(pipe)
    assert pipe.scheduler is scheduler and dict(scheduler.config) == config
    assert torch.equal(scheduler.timesteps, timesteps)
    assert torch.equal(torch.get_rng_state(), random)
    for part in pipe.components.values():
        if isinstance(part, torch.nn.Module):
            assert not any(module._forward_hooks or module._forward_pre_hooks for module in part.modules())
    torch.testing.assert_close(pipe(**inputs).frames, before)


def test_measuring_a_slow_model_ends_in_time():
    pipe = tiny.pipeline()
    layers = [layer for layer in pipe.unet.modules() if not list(layer.children())]
    for layer in layers:
        layer.register_forward_pre_hook(lambda *_: time.sleep(0.05))
    started = time.monotonic()
    rates = measure(pipe, budget=1.0)
    assert time.monotonic() - started < 1.4
    # Concluded from the layers that were reached: the delays of a whole pass at two frames, within a factor of two.
    assert rates.denoised_frame == pytest.approx(0.05 * len(layers) / 2, rel=1)
    assert rates.denoised_frame > 0.05 * len(layers) / 4
    assert not any(len(layer._forward_pre_hooks) > 1 for layer in layers)


def test_a_clip_takes_about_as_long_as_estimated(pipe):
    """The real pipeline, with time added where it is known, so that it holds on a busy machine too."""
    hook = pipe.unet.register_forward_pre_hook(lambda module, inputs: time.sleep(0.02 * inputs[0].shape[2]))
    try:
        time_estimator = TimeEstimator()
        time_estimator.measure(pipe, budget=20)
        settings = asked(frames=24, steps=3)
        started = time.monotonic()
        ClipRequest(tiny.photo(), settings).denoise(pipe, None)
        actual = time.monotonic() - started
    finally:
        hook.remove()
    assert time_estimator.denoising(settings) == pytest.approx(actual, rel=0.6)


def test_many_may_ask_and_tell_at_once():
    time_estimator, started = TimeEstimator(RATES), threading.Barrier(4)

    def tell(_) -> None:
        started.wait()
        for _ in range(1500):
            time_estimator.learn(asked(), 3.0, 2.0)
            time_estimator.seconds(asked())
            time_estimator.record(1, 1)
            time_estimator.accuracy()

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(tell, range(4)))  # raises what went wrong in a thread
    finally:
        sys.setswitchinterval(interval)


def test_what_was_measured_replaces_what_was_learnt(pipe):
    time_estimator = told(TimeEstimator(replace(RATES, clip=50.0)), 5.0, 5.0)
    rates = time_estimator.measure(pipe)
    expected = TimeEstimator(rates).seconds(asked())
    assert time_estimator.seconds(asked()) == pytest.approx(expected)
    # The first clip counts as much as what was measured, which logarithms meet half-way.
    time_estimator.learn(asked(), 4 * time_estimator.denoising(asked()), 4 * time_estimator.decoding(asked()))
    assert time_estimator.seconds(asked()) == pytest.approx(2 * expected)
