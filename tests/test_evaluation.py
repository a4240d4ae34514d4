"""The metrics that need no downloaded weights, each against what is known of the pictures."""

from pathlib import Path

import numpy as np
import pytest

from fashionflow.evaluation.colour import colour_difference, colour_drift, garment_region, pixel_colour_difference
from fashionflow.evaluation.metrics import METRICS, View, psnr_of
from fashionflow.evaluation.movement import first_step, movement
from fashionflow.evaluation.turn import is_turning, turn_error
from fashionflow.video.io import read_frames


CLIPS = Path(__file__).parent / "data" / "clips"


@pytest.fixture(scope="module")
def frame() -> np.ndarray:
    return read_frames(sorted(CLIPS.glob("*7.mp4"))[0])[0]


def recoloured(frame: np.ndarray, region: np.ndarray, factors: tuple[float, float, float]) -> np.ndarray:
    changed = frame.astype(np.float32)
    changed[region] *= factors
    return changed.clip(0, 255).astype(np.uint8)


def dress(colour: tuple[int, int, int]) -> np.ndarray:
    """A dress of one colour on a grey ground, uint8 [160, 128, 3]."""
    picture = np.full((160, 128, 3), 240, np.uint8)
    picture[10:150, 40:90] = colour
    return picture


def sliding(steps: list[int]) -> np.ndarray:
    """A smooth pattern that slides to the right by so many pixels from frame to frame, uint8 [F, 96, 96, 3]."""
    row = 127 + 100 * np.sin(np.arange(400) / 6.0)
    columns = 127 + 100 * np.sin(np.arange(96) / 9.0)
    picture = ((row[None] + columns[:, None]) / 2).astype(np.uint8)
    starts = 150 - np.cumsum([0, *steps])
    return np.stack([np.repeat(picture[:, start : start + 96, None], 3, axis=2) for start in starts])


def test_garment_region_is_on_the_body_and_not_on_the_background():
    picture = np.full((320, 256, 3), 240, np.uint8)
    picture[20:300, 100:160] = (200, 30, 30)
    region = garment_region(picture)
    rows, columns = np.flatnonzero(region.any(1)), np.flatnonzero(region.any(0))
    assert 75 <= rows[0] <= 90 and 135 <= rows[-1] <= 150
    assert 110 <= columns[0] <= 120 and 140 <= columns[-1] <= 150
    assert not garment_region(np.full((320, 256, 3), 240, np.uint8)).any()


def test_colour_difference_sees_the_garment_alone(frame):
    region = garment_region(frame)
    assert region.sum() > 500
    assert colour_difference(frame, frame) == 0
    greyer = recoloured(frame, region, (0.7, 1.0, 0.8))
    assert colour_difference(greyer, frame) > 3
    assert pixel_colour_difference(greyer, frame) > 3
    hat = frame.copy()
    hat[:15] = (255, 0, 0)
    hat[:15, :6] = hat[:15, -6:] = frame[:15, :6]
    assert pixel_colour_difference(hat, frame) == 0


def test_a_fading_garment_drifts_and_loses_saturation():
    frames = np.stack([dress(colour) for colour in ((200, 40, 40), (180, 70, 70), (150, 110, 110))])
    scores = colour_drift(frames)
    assert scores["drift_curve"][0] == 0 and scores["drift_curve"].shape == (3,)
    assert scores["drift_last"] > scores["drift"] > 5
    assert 0.1 < scores["saturation"] < 0.4
    still = colour_drift(frames[:1].repeat(3, axis=0))
    assert (still["drift"], still["drift_last"], still["saturation"]) == (0, 0, 1)


def test_a_frame_without_a_garment_does_not_hide_the_clip_s_colour_error():
    truth = np.stack([dress((200, 40, 40))] * 4)
    frames = np.stack([dress((200, 40, 40))] + [dress((150, 90, 90))] * 3)
    frames[2] = 240
    scores = METRICS["colour"].prepare()(View(frames, truth, None))
    assert scores["colour_error"] == pytest.approx(scores["colour_error_last"]) and scores["colour_error"] > 5


def test_drift_is_delta_e_2000():
    """The first pair of the data published with CIEDE2000 (Sharma, Wu and Dalal, 2005) differs by 2.0425."""
    from skimage.color import deltaE_ciede2000

    assert deltaE_ciede2000([50.0, 2.6772, -79.7751], [50.0, 0.0, -82.7485]) == pytest.approx(2.0425, abs=1e-4)


def test_a_grey_garment_has_no_saturation_and_an_empty_picture_no_colour():
    assert np.isnan(colour_drift(np.stack([dress((90, 90, 90))] * 3))["saturation"])
    empty = colour_drift(np.full((3, 160, 128, 3), 240, np.uint8))
    assert np.isnan(empty["drift"]) and np.isnan(empty["drift_last"])


def test_psnr_of_a_known_error():
    reference = np.full((2, 8, 8, 3), 100, np.uint8)
    assert psnr_of(reference + np.uint8(10), reference) == pytest.approx([20 * np.log10(25.5)] * 2, abs=1e-6)
    assert list(psnr_of(reference, reference)) == [99, 99]


def test_motion_is_measured_in_pixels_and_is_no_flicker():
    slides, stands = movement(sliding([2, 2, 2])), movement(sliding([0, 0, 0]))
    assert slides["motion"] == pytest.approx(2, abs=0.4)
    assert stands["motion"] == 0 and stands["flicker"] == 0
    unsteady = sliding([2, 2, 2]).astype(np.int16)
    unsteady[1::2] += 12  # every second frame is lighter
    assert slides["flicker"] < 2 < movement(unsteady.clip(0, 255).astype(np.uint8))["flicker"]


def test_first_step_is_a_jump_or_none():
    assert first_step(sliding([2, 2, 2, 2])) == pytest.approx(1, abs=0.1)
    assert first_step(sliding([6, 2, 2, 2])) > 2
    assert np.isnan(first_step(sliding([0, 0, 0])))


def test_turn_error_is_the_angle_between_what_was_asked_and_what_was_measured():
    asked = np.array([20.0, 60, 100, 170, 200])
    assert turn_error(asked, asked - 35) == 0  # both count from frame 0
    assert turn_error(asked, asked + np.array([0, 10, 10, 10, 10])) == pytest.approx(10)
    assert turn_error(asked, (asked + 180) % 360 - 180) == pytest.approx(0, abs=1e-9)  # 200 degrees is -160
    assert turn_error(asked, np.full(5, 20.0)) == pytest.approx((40 + 80 + 150 + 180) / 4)
    unseen = np.array([20.0, np.nan, np.nan, np.nan, 200])
    assert np.isnan(turn_error(asked, unseen)) and np.isnan(turn_error(asked, np.full(5, np.nan)))


def test_a_sway_is_no_turn():
    assert is_turning(np.array([0.0, 20, 50])) and is_turning(np.array([350.0, 300, 350]))
    assert not is_turning(np.array([0.0, 15, 0, -15]))
