"""The background behind a figure: what is filled in, and what is said of it."""

import numpy as np
import pytest

from fashionflow.photo.background_plate import MARGIN_WIDTH, RIM, background_plate, filled, reflected


HEIGHT, WIDTH = 96, 64


def coverage() -> np.ndarray:
    covered = np.zeros((HEIGHT, WIDTH), np.float32)
    covered[20:80, 22:42] = 1
    return covered


def behind_red(ground: np.ndarray) -> np.ndarray:
    photo = ground.copy()
    photo[coverage() > 0] = (255, 0, 0)
    return photo


def test_a_plain_ground_goes_on_exactly():
    ground = np.full((HEIGHT, WIDTH, 3), (200, 190, 180), np.uint8)
    plate, known = background_plate(behind_red(ground), coverage())
    np.testing.assert_array_equal(plate, ground)
    assert plate.dtype == np.uint8 and known.dtype == np.float32


def test_a_gradient_goes_on():
    row, column = np.mgrid[:HEIGHT, :WIDTH]
    ground = np.repeat((100 + row + 0.5 * column)[..., None], 3, axis=2).round().astype(np.uint8)
    plate, _ = background_plate(behind_red(ground), coverage())
    error = np.abs(plate.astype(int) - ground)
    assert error.max() <= 6 and error.mean() < 0.6


def test_a_texture_stays_as_rough_and_as_bright_and_has_no_edge():
    ground = (128 + 30 * np.random.default_rng(0).standard_normal((HEIGHT, WIDTH, 3))).clip(0, 255).astype(np.uint8)
    plate, known = background_plate(behind_red(ground), coverage())
    filled_in = plate[known == 0].astype(float)
    assert filled_in.std() == pytest.approx(ground.std(), rel=0.3)
    assert filled_in.mean() == pytest.approx(ground.mean(), abs=4)
    np.testing.assert_array_equal(plate[known > 0], ground[known > 0])


def test_nothing_of_the_figure_nor_of_its_soft_rim_is_known():
    soft = coverage()
    soft[20:80, 21] = soft[20:80, 42] = 0.2
    _, known = background_plate(behind_red(np.full((HEIGHT, WIDTH, 3), 200, np.uint8)), soft)
    reach = max(1, round(RIM * WIDTH / MARGIN_WIDTH))
    assert set(np.unique(known)) == {0, 1}
    assert known[20 - reach : 80 + reach, 21:43].max() == 0
    assert known[50, 21 - reach : 43 + reach].max() == 0
    assert known[50, : 21 - reach].min() == 1 and known[50, 43 + reach :].min() == 1


@pytest.mark.parametrize("has_wisps", [False, True])
def test_the_margin_grows_with_the_photo_and_is_wider_where_the_photo_is_not_plain(has_wisps):
    covered = np.zeros((40, 512), np.float32)
    covered[:, 200:300] = 1
    photo = np.full((40, 512, 3), 200, np.uint8)
    if has_wisps:
        photo[:, 170:200:2] = 60
    plate, known = background_plate(photo, covered)
    assert (known[20] == 0).sum() == (8 if has_wisps else 6) + 100 + 6
    assert not has_wisps or known[20, 192:200].max() == 0 and known[20, 190] == 1


@pytest.mark.parametrize(("end", "known_after"), [(175, 0), (256, 1)], ids=["wisp", "skirting board"])
def test_a_small_thing_near_the_figure_goes_with_it_and_what_goes_on_stays(end, known_after):
    """A wisp of hair would hang in the air; a line on the wall belongs there."""
    photo, covered = np.full((384, 256, 3), 200, np.uint8), np.zeros((384, 256), np.float32)
    covered[80:320, 88:168] = 1
    photo[200:202, 168:end] = 60
    _, known = background_plate(photo, covered)
    assert known[200, 170] == 0 and known[200, 174] == known_after


def test_what_is_in_doubt_is_background_where_it_is_as_plain_as_its_surroundings():
    """The floor between the feet, which gets darker towards the viewer, stays as it is; a lace on it goes."""
    row = np.mgrid[:HEIGHT, :WIDTH][0]
    photo = np.repeat((220 - row)[..., None], 3, axis=2).astype(np.uint8)
    photo[60:64, 24:34] = (200, 40, 40)
    legs, doubtful = np.zeros((HEIGHT, WIDTH), np.float32), np.zeros((HEIGHT, WIDTH), np.float32)
    legs[20:90, 10:18] = legs[20:90, 40:48] = 1
    doubtful[20:90, 10:48] = 0.4
    plate, known = background_plate(photo, legs, doubtful=doubtful)
    assert known[70:88, 22:36].min() == 1 and known[60:64, 24:34].max() == 0
    np.testing.assert_array_equal(plate[70:85, 24:34], photo[70:85, 24:34])
    assert np.abs(plate[60:64, 24:34].astype(int) - (220 - row[60:64, 24:34, None])).max() < 12


@pytest.mark.parametrize("covered", [0.0, 1.0])
def test_a_photo_without_a_figure_and_one_that_is_all_figure_stay_as_they_are(covered):
    photo = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3)).astype(np.uint8)
    plate, known = background_plate(photo, np.full((HEIGHT, WIDTH), covered, np.float32))
    np.testing.assert_array_equal(plate, photo)
    assert (known == 1 - covered).all()


def test_a_single_known_corner_is_enough():
    covered = np.ones((HEIGHT, WIDTH), np.float32)
    covered[:12, :12] = 0
    photo = np.full((HEIGHT, WIDTH, 3), (255, 0, 0), np.uint8)
    photo[:12, :12] = (10, 200, 30)
    plate, known = background_plate(photo, covered)
    assert known.sum() > 0
    np.testing.assert_array_equal(plate[-1, -1], (10, 200, 30))


def test_places_are_folded_back_at_both_ends():
    places = np.array([-3, -1, 0, 4, 5, 6, 9])
    np.testing.assert_array_equal(reflected(places, 5), [3, 1, 0, 4, 3, 2, 1])
    np.testing.assert_array_equal(reflected(places, 1), 0)


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (33, 17)])
def test_what_is_known_stays_and_what_is_not_is_between(size):
    random = np.random.default_rng(0)
    pixels = random.uniform(50, 200, (*size, 3)).astype(np.float32)
    weights = (random.random(size) < 0.3).astype(np.float32)
    weights.flat[0] = 1
    result = filled(pixels, weights)
    if min(size) > 1:
        np.testing.assert_allclose(result[weights > 0], pixels[weights > 0], rtol=1e-5)
    known = pixels[weights > 0]
    assert result.shape == pixels.shape
    assert known.min() - 40 < result.min() and result.max() < known.max() + 40
