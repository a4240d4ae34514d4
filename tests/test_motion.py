import math

import pytest
import torch

from fashionflow.pipelines.motions import MOTIONS, PRESETS, motion_rows, rows, surprise, turns_past_the_side


def angles(motion: torch.Tensor) -> torch.Tensor:
    """Degrees turned since frame 0, [F], without jumps at half a turn."""
    turn = torch.atan2(motion[:, 0], motion[:, 1])
    steps = torch.remainder(turn.diff() + math.pi, 2 * math.pi) - math.pi
    return torch.rad2deg(torch.cat([torch.zeros(1), steps.cumsum(0)]))


def test_rows_count_from_frame_0():
    motion = rows([30, 120, -60], [0.1, 0.2, 0.4])
    torch.testing.assert_close(motion, torch.tensor([[0.0, 1, 0], [1, 0, 0.1], [-1, 0, 0.3]]), atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    ("name", "last", "furthest"),
    [
        ("turn-left", -45, -45),
        ("turn-right", 45, 45),
        ("turn-and-back", 0, 45),
        ("show-the-back", 180, 180),
        ("spin", 360, 360),
        ("walk", 0, 0),
    ],
)
def test_presets_turn_as_they_say(name, last, furthest):
    turned = angles(motion_rows(name, 49))
    assert abs(turned[-1] - last) < 0.5
    assert abs(turned[turned.abs().argmax()] - furthest) < 0.5


def test_sway_goes_to_both_sides():
    turned = angles(motion_rows("sway", 49))
    assert abs(turned.max() - 20) < 0.5 and abs(turned.min() + 20) < 0.5


def test_only_walk_walks():
    for name in PRESETS:
        assert motion_rows(name, 24)[-1, 2].item() == pytest.approx(0.55 if name == "walk" else 0)


def test_every_motion_starts_as_in_the_photo_and_no_row_is_zero():
    for name in MOTIONS:
        motion = motion_rows(name, 24)
        assert motion.shape == (24, 3) and motion.dtype == torch.float32
        assert motion[0].tolist() == [0, 1, 0]
        assert motion.abs().sum(1).min() > 0.9, "a row of zeros would leave the frame to the model"


def test_angle_replaces_the_presets_own():
    assert abs(angles(motion_rows("turn-right", 49, turn_angle=-30))[-1] + 30) < 0.5


def test_surprise_follows_its_seed():
    drawn = [motion_rows("surprise-me", 12, seed=seed) for seed in range(12)]
    assert torch.equal(drawn[3], motion_rows("surprise-me", 12, seed=3))
    assert len({tuple(motion.flatten().tolist()) for motion in drawn}) == 12


def test_wrong_motion_says_what_is_allowed():
    with pytest.raises(ValueError, match="`motion` must be one of turn-left, .*surprise-me, got 'fly'"):
        motion_rows("fly", 12)
    with pytest.raises(ValueError, match="between -360 and 360 degrees, got 400"):
        motion_rows("spin", 12, turn_angle=400)


def test_what_turns_past_the_side_shows_what_a_photo_of_the_front_does_not():
    assert [name for name in PRESETS if turns_past_the_side(name)] == ["show-the-back", "spin"]
    for name in ("turn-left", "turn-right", "turn-and-back", "sway"):
        for side in (-1, 1):
            assert not turns_past_the_side(name, side * 99.0) and turns_past_the_side(name, side * 101.0), (name, side)
    assert not turns_past_the_side("spin", 90.0)
    drawn = {turns_past_the_side("surprise-me", seed=seed): surprise(seed)[0] for seed in range(30)}
    assert drawn[True] in ("show-the-back", "spin") and drawn[False] not in ("show-the-back", "spin")
