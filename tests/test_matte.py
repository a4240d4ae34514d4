"""Coverage that follows the photo's colours and edges."""

import time

import cv2
import numpy as np
import pytest

from fashionflow.photo.matte import CLEAR, OWN_COLOURS, colours_apart, matte, settled, whole, with_pieces

from .discs import GREEN, HEIGHT, RED, WIDTH, disc, photo_of


def test_specks_are_dropped_and_pieces_of_the_figure_kept_with_their_soft_edges():
    coverage = np.zeros((HEIGHT, WIDTH), np.float32)
    coverage[20:140, 20:70], coverage[20:140, 19] = 1, 0.1
    coverage[60:100, 80:100] = 1  # a sleeve that lies apart: 13 per cent
    coverage[5:13, 110:118] = 1  # a mistake: 1 per cent
    coverage[150:158, 5:120] = 0.3  # a shadow: never more than half
    kept = whole(coverage)
    assert kept[80, 40] and kept[80, 90] and kept[80, 19]
    assert not kept[8, 112] and not kept[154, 60] and not kept[80, 75]
    assert not whole(np.zeros((9, 9), np.float32)).any()


@pytest.mark.parametrize("off", [-2, 2])
def test_the_matte_follows_a_clear_edge_that_the_prediction_missed(off):
    truth = np.zeros((24, 512), np.float32)
    truth[:, 200:320] = 1
    predicted = cv2.GaussianBlur(np.roll(truth, off, axis=1), (0, 0), 1.5)
    found = matte(photo_of(truth), predicted)
    assert found.min() >= 0 and found.max() <= 1
    wrong = (found > CLEAR) != (truth > CLEAR)
    assert wrong.sum(1).max() <= 2 < ((predicted > CLEAR) != (truth > CLEAR)).sum(1).min()
    assert np.abs(found - truth).sum() < 0.75 * np.abs(predicted - truth).sum()


def test_a_print_does_not_shine_through_the_matte():
    truth = disc(60)
    photo = photo_of(truth)
    photo[::2][truth[::2] > 0.99] = GREEN  # rows in the colour of the ground
    found = matte(photo, cv2.GaussianBlur(truth, (0, 0), 1))
    assert found[disc(57) > 0.99].min() > 0.99


def test_a_strip_many_times_as_high_as_wide_is_no_more_work():
    """Enlarged to a width that suits other pictures, this one would have 26 million pixels."""
    truth = np.zeros((1024, 10), np.float32)
    truth[300:700, 2:8] = 1
    start = time.perf_counter()
    found = matte(photo_of(truth), truth)
    assert time.perf_counter() - start < 2
    assert found[320:680, 4:6].min() > 0.9 and found[:280].max() < 0.1


@pytest.mark.parametrize("figure", [RED, (225, 225, 225)])
def test_what_is_in_doubt_goes_to_what_looks_like_it(figure):
    """A hole between arm and body that was taken for the figure, and a sleeve that was nearly missed."""
    truth = disc(60)
    truth[60:100, 20:32] = 0  # a hole
    predicted = cv2.GaussianBlur(disc(60), (0, 0), 1.5)
    predicted[58:102, 18:34] = 0.8  # in doubt, and on the wrong side
    predicted[60:100, 76:90] = 0.2
    found = settled(photo_of(truth, figure), predicted)
    assert found[64:96, 23:29].max() < 0.2 and found[64:96, 79:87].min() > 0.9
    sure = (predicted > 0.99) | (predicted < 0.03)
    np.testing.assert_allclose(found[sure], predicted[sure], atol=0.03)


def test_where_colours_do_not_tell_the_prediction_stays():
    truth = disc(60)
    predicted = cv2.GaussianBlur(truth, (0, 0), 1.5)
    same = photo_of(truth, GREEN)  # white on white
    np.testing.assert_allclose(settled(same, predicted), predicted, atol=0.2)
    predicted[60:100, 40:52] = 0.7
    # A shoe that looks like nothing near it.
    other = photo_of(truth)
    other[60:100, 40:52] = (30, 40, 200)
    np.testing.assert_allclose(settled(other, predicted)[63:97, 43:49], 0.7, atol=0.02)


@pytest.mark.parametrize("value", [0.0, 0.5, 1.0])
def test_nothing_sure_to_compare_with_leaves_the_prediction(value):
    predicted = np.full((HEIGHT, WIDTH), value, np.float32)
    np.testing.assert_array_equal(settled(photo_of(disc(60)), predicted), predicted)


def arm_beside_a_shirt(
    colour: tuple, arm_coverage: float = 0.5
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """A shirt on a grey wall, and beside it a thin stripe in another colour, of which the prediction is in doubt: the photo, the coverage,
    the shirt's colours continued, and the wall."""
    wall = np.full((120, 160, 3), (138, 138, 138), np.uint8)
    shirt = np.full_like(wall, (196, 170, 226))
    coverage = np.zeros((120, 160), np.float32)
    coverage[10:110, 60:140] = 1
    photo = np.where(coverage[..., None] > 0, shirt, wall)
    photo[30:80, 50:60] = colour
    coverage[30:80, 50:60] = arm_coverage
    return cv2.GaussianBlur(photo, (0, 0), 0.7), coverage, shirt, wall


def test_a_thin_arm_beside_a_shirt_belongs_to_the_figure():
    photo, coverage, shirt, wall = arm_beside_a_shirt((178, 117, 92))
    apart = colours_apart(photo, coverage, shirt, wall)
    assert apart[32:78, 52:58].all() and not apart[:, :48].any() and not apart[:, 62:].any()
    assert with_pieces(coverage, apart)[32:78, 52:58].min() > OWN_COLOURS


@pytest.mark.parametrize(
    "colour",
    [(138, 138, 138), (90, 90, 90), (230, 230, 230), (167, 154, 182)],
    ids=["wall", "shadow", "light", "mixture"],
)
def test_shadows_and_mixtures_of_figure_and_background_do_not(colour):
    assert not colours_apart(*arm_beside_a_shirt(colour)).any()


def test_what_the_prediction_rules_out_and_specks_are_no_part_of_it():
    assert not colours_apart(*arm_beside_a_shirt((178, 117, 92), arm_coverage=0)).any()
    photo, coverage, shirt, wall = arm_beside_a_shirt((138, 138, 138))
    photo[50:53, 53:56] = (178, 117, 92)
    assert not colours_apart(photo, coverage, shirt, wall).any()
    np.testing.assert_array_equal(with_pieces(coverage, np.zeros(coverage.shape, bool)), coverage)
