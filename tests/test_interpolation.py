"""What comes between keyframes, measured on rendered clips with frames left out and on one moving square."""

import weakref
from pathlib import Path

import numpy as np
import pytest

from fashionflow.video.interpolation import _origin, between, interpolate
from fashionflow.video.io import read_frames
from fashionflow.video.optical_flow import trust_in


CLIPS = Path(__file__).parent / "data" / "clips"


def noise(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Coarse random colours that flow can follow, [height, width, 3]."""
    cells = np.random.default_rng(seed).integers(0, 256, (-(-height // 4), -(-width // 4), 3), np.uint8)
    return cells.repeat(4, axis=0).repeat(4, axis=1)[:height, :width]


def with_square(left: int, top: int = 36, backdrop: int = 230) -> np.ndarray:
    """A patterned 24 x 24 square on a plain 96 x 96 backdrop."""
    frame = np.full((96, 96, 3), backdrop, np.uint8)
    frame[top : top + 24, left : left + 24] = noise(24, 24)
    return frame


def psnr(frame: np.ndarray, truth: np.ndarray) -> float:
    """Peak signal-to-noise ratio, decibels."""
    return float(10 * np.log10(255**2 / np.mean((frame.astype(np.float64) - truth) ** 2)))


@pytest.mark.parametrize(
    "clip, stride, gain",
    [
        ("001007", 2, 1.0),  # turn
        ("001007", 3, 0.4),
        ("001067", 2, 1.0),  # sway
        ("001067", 4, 0.4),
        ("001167", 2, 0.8),  # spin
        ("001167", 3, 0.3),
    ],
)
def test_frames_left_out_come_back_better_than_by_blending(clip, stride, gain):
    """Mean over the left-out frames, in decibels above the plain blend."""
    frames = read_frames(CLIPS / f"{clip}.mp4")
    frames = frames[: (len(frames) - 1) // stride * stride + 1]
    made = list(interpolate(frames[::stride], stride))
    assert len(made) == len(frames)
    gains = []
    for index, truth in enumerate(frames):
        moment = index % stride / stride
        if moment:
            first, second = frames[index - index % stride], frames[index - index % stride + stride]
            blend = first * (1 - moment) + second * moment
            gains.append(psnr(made[index], truth) - psnr(blend, truth))
    assert np.mean(gains) > gain


@pytest.mark.parametrize("shift", [(8, 0), (-8, 0), (0, 8), (6, -6)])
def test_square_is_where_it_should_be_at_every_moment(shift):
    right, down = shift
    made = between(with_square(36, 36), with_square(36 + right, 36 + down), 3)
    for quarter, frame in enumerate(made, start=1):
        truth = [with_square(36 + round(right * part / 4), 36 + round(down * part / 4)) for part in range(5)]
        errors = [np.abs(frame.astype(int) - at).mean() for at in truth]
        if right * quarter % 4 == down * quarter % 4 == 0:
            assert np.argmin(errors) == quarter and errors[quarter] < 0.4 * min(errors[0], errors[4])


def test_light_that_changes_in_place_changes_evenly():
    frame = noise(64, 64)
    made = between(frame // 2, frame // 2 + 100, 3)
    for quarter, brighter in enumerate(made, start=1):
        np.testing.assert_allclose(brighter.mean(), (frame // 2).mean() + 25 * quarter, atol=2)


def test_where_nothing_can_be_followed_the_keyframes_are_blended():
    first, second = noise(64, 64, seed=1), noise(64, 64, seed=2)
    blend = (first.astype(float) + second) / 2
    (made,) = between(first, second, 1)
    assert psnr(made, blend) > 17


def test_a_path_counts_little_where_the_two_flows_disagree():
    pixels = np.stack(np.meshgrid(np.arange(64), np.arange(48)), axis=-1).astype(np.float32)
    flow = np.broadcast_to(np.float32([6, -3]), pixels.shape)
    np.testing.assert_allclose(trust_in(flow, -flow, pixels), 1)
    hidden = -flow.copy()
    hidden[:, 32:] += 24  # what the second keyframe shows there came from somewhere else
    trust = trust_in(flow, hidden, pixels)
    assert trust[:, :25].min() > 0.99 and trust[:, 27:].max() < 0.01


def test_a_path_starts_where_its_flow_leads_here():
    """Everything spreads from the left edge, so the flow where a pixel starts is not the flow where it arrives."""
    pixels = np.stack(np.meshgrid(np.arange(64), np.arange(48)), axis=-1).astype(np.float32)
    flow = pixels * np.float32([0.2, 0])
    np.testing.assert_allclose(_origin(pixels, flow, 0.5)[..., 0], pixels[..., 0] / 1.1, atol=0.1)


@pytest.mark.parametrize("factor", [1, 2, 3, 5])
def test_keyframes_are_kept_and_the_count_is_right(factor):
    keyframes = [with_square(left) for left in (30, 34, 40)]
    made = list(interpolate(iter(keyframes), factor))
    assert len(made) == factor * 2 + 1
    for keyframe, kept in zip(keyframes, made[::factor], strict=True):
        assert np.array_equal(kept, keyframe)
    assert all(frame.dtype == np.uint8 and frame.shape == (96, 96, 3) for frame in made)


@pytest.mark.parametrize("num_keyframes", [0, 1])
def test_fewer_than_two_keyframes_pass_through(num_keyframes):
    assert len(list(interpolate([with_square(30)] * num_keyframes, 4))) == num_keyframes


def test_only_a_pair_of_keyframes_is_held():
    references = []

    def keyframes():
        for left in range(30, 42):
            frame = with_square(left)
            references.append(weakref.ref(frame))
            yield frame
            del frame

    held = []
    for _ in interpolate(keyframes(), 2):
        held.append(sum(reference() is not None for reference in references))
    assert len(references) == 12 and max(held) <= 2


def test_first_frame_is_there_before_the_second_keyframe():
    def keyframes():
        yield with_square(30)
        raise AssertionError("asked for too early")

    assert np.array_equal(next(interpolate(keyframes(), 2)), with_square(30))


@pytest.mark.parametrize("size", [(2, 2), (16, 200), (32, 24), (32, 32), (33, 47)])
def test_small_and_odd_sizes(size):
    frame = noise(*size)
    (made,) = between(frame, frame, 1)
    np.testing.assert_allclose(made.astype(int), frame, atol=1)


@pytest.mark.parametrize("factor", [0, -1])
def test_wrong_factor_is_refused_at_once(factor):
    with pytest.raises(ValueError, match=f"`factor` must be at least 1, got {factor}"):
        interpolate([], factor)


@pytest.mark.parametrize("other", [np.zeros((96, 64, 3), np.uint8), np.zeros((96, 96, 3), np.float32)])
def test_frames_that_do_not_match_are_refused(other):
    for pair in ([with_square(30), other], [other, with_square(30)]):
        with pytest.raises(ValueError, match="`keyframes` must all be uint8"):
            list(interpolate(pair, 2))
