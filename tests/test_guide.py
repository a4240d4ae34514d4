"""The guide of a clip between its frames and at every size, and the clips of a pipeline that is guided."""

import math

import numpy as np
import pytest
import torch
from PIL import Image

from fashionflow import FashionFlowPipeline
from fashionflow.pipelines import ClipGuide
from fashionflow.pipelines.clip_decoding import latents_at
from fashionflow.pipelines.guide import catmull_rom, guide_frames, motion_at
from fashionflow.pipelines.motions import motion_rows, rows
from fashionflow.pipelines.warp import warp
from fashionflow.video.decoding import ClipDecoder

from . import tiny


def degrees(motion: torch.Tensor) -> np.ndarray:
    return np.degrees(np.unwrap(np.arctan2(motion[:, 0].double().numpy(), motion[:, 1].double().numpy())))


@pytest.fixture(scope="module")
def pipe():
    return tiny.guided_pipeline()


@pytest.fixture(scope="module")
def clip(pipe):
    """A finished turn: its motion, guide and latents."""
    motion = motion_rows("show-the-back", tiny.FRAMES)
    guide = pipe.guide(tiny.photo(), motion, tiny.FRAMES)
    return motion, guide, pipe(**tiny.inputs(motion=motion, output_type="latent")).frames


@pytest.mark.parametrize("name", ["spin", "walk", "sway", "turn-left", "turn-and-back"])
def test_a_motion_is_exact_at_whole_frames_and_between_them_it_is_a_turn(name):
    motion = motion_rows(name, 12)
    torch.testing.assert_close(motion_at(motion, torch.arange(12)), motion, atol=1e-5, rtol=0)
    between = motion_at(motion, torch.linspace(0, 11, 89))
    torch.testing.assert_close(between[:, :2].norm(dim=1), torch.ones(89))


def test_a_spin_goes_on_through_180_and_360_degrees_without_a_jump():
    motion = motion_rows("spin", 12)
    angles = degrees(motion_at(motion, torch.linspace(0, 11, 89)))
    assert angles[0] == pytest.approx(0) and angles[-1] == pytest.approx(360, abs=0.01)
    steps = np.diff(angles)
    assert steps.min() >= -1e-6 and steps.max() < 1.3 * np.diff(degrees(motion)).max() / 8
    for frame in range(11):  # what lies between two frames of a turn in one direction lies between their angles
        inner = angles[8 * frame : 8 * frame + 9]
        assert inner[0] - 1e-3 <= inner.min() and inner.max() <= inner[-1] + 1e-3


def test_the_curve_between_frames_is_smooth():
    yaw = 60 * np.sin(np.linspace(0, math.pi, 9))
    angles = degrees(motion_at(rows(yaw, np.zeros(9)), torch.linspace(0, 8, 65)))
    expected = 60 * np.sin(np.linspace(0, math.pi, 65))
    assert np.abs(angles - expected).max() < 1
    straight = np.interp(np.linspace(0, 8, 65), np.arange(9), yaw)
    assert np.abs(angles - expected)[8:-8].max() < 0.3 * np.abs(straight - expected)[8:-8].max()


def test_a_motion_of_one_frame_and_one_left_to_the_model_stand_still():
    one = rows(np.zeros(1), np.zeros(1))
    torch.testing.assert_close(motion_at(one, torch.tensor([0.0, 0.0])), one.expand(2, -1))
    left = motion_at(torch.zeros(4, 3), torch.tensor([0.0, 1.5, 3.0]))
    torch.testing.assert_close(left, one.expand(3, -1))
    points = np.array([[1.0], [3.0]])
    np.testing.assert_allclose(catmull_rom(points, np.array([0, 0.5, 1])), [[1], [2], [3]])


def test_a_guide_s_frames_have_the_clip_s_size_or_a_smaller_one(pipe, clip):
    motion, guide, _ = clip
    frames = guide.frames(torch.tensor([0.0, 2.5]))
    assert frames.pixels.shape == (2, 3, 2 * tiny.HEIGHT, 2 * tiny.WIDTH) == (2, 3, pipe.height, pipe.width)
    small = guide.frames(torch.tensor([0.0, 2.5]), pipe.code_size)
    assert small.pixels.shape == (2, 3, tiny.HEIGHT, tiny.WIDTH) and small.known.shape[1] == 4
    expected = torch.nn.functional.interpolate(frames.pixels, pipe.code_size, mode="area")
    assert (small.pixels - expected).abs().mean() < 0.02
    whole = guide.frames(torch.arange(tiny.FRAMES))
    torch.testing.assert_close(whole.pixels, warp(guide.layers, motion).pixels, atol=1e-3, rtol=0)
    as_decoded = guide_frames(frames)
    torch.testing.assert_close(as_decoded.pixels, 2 * frames.pixels - 1)
    assert as_decoded.known is frames.known


def test_frames_between_two_lie_between_them(clip):
    _, guide, _ = clip
    known = (
        guide.frames(torch.tensor([2.0, 2.25, 2.5, 2.75, 3.0])).known[:, 1].sum((1, 2))
    )  # more and more of the back
    assert (known.diff() > 0).all()


def test_latents_between_two_frames_are_mixed_from_them():
    latents = torch.arange(4.0)[None, None, :, None, None].expand(1, 2, 4, 3, 3)
    mixed = latents_at(latents, torch.tensor([0.0, 0.25, 2.5, 3.0]))
    assert mixed.shape == (4, 2, 3, 3)
    torch.testing.assert_close(mixed[:, 0, 0, 0], torch.tensor([0.0, 0.25, 2.5, 3.0]))


def test_a_clip_is_larger_than_the_autoencoder_s_pictures(pipe):
    assert pipe.code_size == (tiny.HEIGHT, tiny.WIDTH)
    assert (pipe.height, pipe.width) == (2 * tiny.HEIGHT, 2 * tiny.WIDTH)
    frames = pipe(**tiny.inputs(motion="turn-right")).frames
    assert frames.shape == (1, tiny.FRAMES, 3, 2 * tiny.HEIGHT, 2 * tiny.WIDTH)
    assert frames.min() >= 0 and frames.max() <= 1


def test_the_photo_s_own_pixels_are_kept_at_the_clip_s_size(pipe, clip):
    _, guide, latents = clip
    moments = torch.tensor([0.0, 1.0])
    frames = torch.cat(list(pipe.decode_guided(latents, guide, moments)), dim=2)[0].transpose(0, 1)
    warped = guide.frames(moments)
    certain = (warped.known[:, [0, 2]].sum(1, keepdim=True) > 0.999).expand_as(frames)
    assert certain.float().mean() > 0.5
    assert (frames - warped.pixels)[certain].abs().max() < 0.005


def test_what_the_guide_does_not_know_is_drawn_from_the_latents(pipe, clip):
    _, guide, latents = clip
    moment = torch.tensor([float(tiny.FRAMES - 1)])
    one, other = (next(pipe.decode_guided(part, guide, moment)) for part in (latents, latents + 3))
    certain = guide.frames(moment).known[:, [0, 2]].sum(1) > 0.999
    changed = (one - other)[0, :, 0].abs().amax(0)
    assert changed[certain[0]].max() < 0.01 < changed[~certain[0]].max()


@pytest.mark.parametrize("factor", [1, 3])
def test_a_clip_is_played_at_any_rate_from_the_photo_itself_on(pipe, clip, factor):
    _, guide, latents = clip
    frames = list(ClipDecoder(pipe, latents, factor, tiny.photo(), guide).frames())
    assert len(frames) == factor * (tiny.FRAMES - 1) + 1
    assert all(frame.dtype == np.uint8 and frame.shape == (pipe.height, pipe.width, 3) for frame in frames)
    np.testing.assert_array_equal(frames[0], np.asarray(pipe.fit_photo(tiny.photo())))
    slow = list(ClipDecoder(pipe, latents, 1, tiny.photo(), guide).frames())
    for frame, expected in zip(frames[::factor], slow, strict=True):
        assert np.abs(frame.astype(int) - expected).max() <= 1
    steps = [np.abs(a.astype(float) - b).mean() for a, b in zip(frames[1:], frames, strict=False)]
    assert min(steps) > 0  # every frame is another one


@pytest.mark.parametrize("start", [1, 4, 15])
def test_a_clip_that_is_resumed_goes_on_with_the_same_frames(pipe, clip, start):
    _, guide, latents = clip
    whole = list(ClipDecoder(pipe, latents, 3, tiny.photo(), guide).frames())
    rest = list(ClipDecoder(pipe, latents, 3, tiny.photo(), guide, chunk_frames=3).frames(start))
    assert len(rest) == len(whole) - start
    for frame, expected in zip(rest, whole[start:], strict=True):
        assert np.abs(frame.astype(int) - expected).max() <= 1


def test_a_guide_made_beforehand_gives_the_same_clip(pipe, clip):
    motion, guide, latents = clip
    again = pipe(**tiny.inputs(motion=motion, output_type="latent", guide=guide)).frames
    torch.testing.assert_close(again, latents, atol=0, rtol=0)


def test_a_photo_of_the_back_changes_what_is_turned_into_view_and_not_the_first_frame(pipe):
    back = Image.new("RGB", tiny.photo().size, (20, 160, 60))
    motion = rows(np.array([0.0, 40, 80, 120, 160, 180]), np.zeros(6))
    with_back, without = (pipe(**tiny.inputs(motion=motion, back_image=photo)).frames[0] for photo in (back, None))
    change = (with_back - without).abs().mean((1, 2, 3))
    guides = [pipe.guide(tiny.photo(), motion, 6, photo).frames(torch.arange(6)).pixels for photo in (back, None)]
    seen = (guides[0] - guides[1]).abs().mean((1, 2, 3))
    assert seen[0] < 1e-3 and seen[3:].min() > 10 * max(seen[0].item(), 1e-3) and seen[5] > 2 * seen[1]
    assert change[5] > 2 * change[0]
    # The lens, turned by 180 degrees, is of the back's colour.
    height, width = guides[0].shape[2:]
    middle = guides[0][5][:, height // 2, width // 2] * 255
    assert (middle - torch.tensor([20.0, 160, 60])).abs().max() < 12


@pytest.mark.parametrize(
    "call, words",
    [
        (
            lambda pipe: pipe(**tiny.inputs(back_image=tiny.photo())),
            "`back_image` must be None for a model without geometry.",
        ),
        (
            lambda pipe: pipe.take_apart(tiny.photo()),
            "`take_apart` needs a model with geometry, which this one has not.",
        ),
    ],
)
def test_a_model_without_geometry_refuses_a_back_in_one_sentence(call, words):
    with pytest.raises(ValueError) as caught:
        call(tiny.pipeline())
    assert str(caught.value) == words


def test_a_model_without_geometry_has_no_guide_and_sees_nothing():
    plain = tiny.pipeline()
    assert not plain.has_geometry
    assert plain.guide(tiny.photo(), None, tiny.FRAMES) is None and plain.coverage_of(tiny.photo()) is None


def test_guide_channels_or_a_larger_clip_need_geometry():
    with pytest.raises(ValueError, match="`geometry` must be given"):
        tiny.guided_pipeline(geometry=None)
    with pytest.raises(ValueError, match="`geometry` must be given"):
        tiny.pipeline(clip_scale=2)


def test_a_motion_left_to_the_model_has_a_guide_that_stands_still(pipe):
    guide = pipe.guide(tiny.photo(), None, tiny.FRAMES)
    assert isinstance(guide, ClipGuide) and guide.motion.shape == (tiny.FRAMES, 3)
    frames = guide.frames(torch.tensor([0.0, tiny.FRAMES - 1.0]))
    torch.testing.assert_close(frames.pixels[0], frames.pixels[1])
    assert pipe(**tiny.inputs()).frames.isfinite().all()


def test_a_guided_pipeline_is_saved_and_loaded_with_its_geometry(pipe, clip, tmp_path):
    motion, _, latents = clip
    pipe.save_pretrained(tmp_path)
    loaded = FashionFlowPipeline.from_pretrained(tmp_path)
    loaded.set_progress_bar_config(disable=True)
    assert loaded.has_geometry and loaded.config.clip_scale == 2 and (loaded.height, loaded.width) == (192, 128)
    again = loaded(**tiny.inputs(motion=motion, output_type="latent")).frames
    torch.testing.assert_close(again, latents, atol=1e-5, rtol=1e-5)
