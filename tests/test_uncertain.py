"""Pixels of which the geometry network is not certain go to the figure or to the background by their colours and the photo's edges."""

import cv2
import numpy as np
import pytest

from fashionflow.photo.uncertain import decided, unlikeness

from .discs import GREEN, HEIGHT, RED, WIDTH, disc, photo_of


WALL, SHIRT, SKIN = (206, 200, 190), (196, 170, 226), (178, 117, 92)


def blurred(coverage: np.ndarray) -> np.ndarray:
    return cv2.GaussianBlur(coverage.astype(np.float32), (0, 0), 1.5)


@pytest.mark.parametrize("figure", [RED, (225, 225, 225)])
def test_what_is_in_doubt_goes_to_what_looks_like_it(figure):
    """A hole between arm and body that was taken for the figure, and a sleeve that was nearly missed."""
    truth = disc(60)
    truth[60:100, 20:32] = 0  # a hole
    predicted = blurred(disc(60))
    predicted[58:102, 18:34] = 0.8  # in doubt, and on the wrong side
    predicted[60:100, 76:90] = 0.2
    found = decided(photo_of(truth, figure), predicted)
    assert found[64:96, 23:29].max() < 0.3 and found[64:96, 79:87].min() > 0.9
    sure = (blurred(predicted) > 0.99) | (predicted < 0.03)
    np.testing.assert_allclose(found[sure], predicted[sure], atol=0.05)


def test_white_on_white_stays_as_predicted():
    predicted = blurred(disc(60))
    found = decided(photo_of(disc(60), GREEN), predicted) > 0.5
    assert (found & (predicted > 0.5)).sum() / (found | (predicted > 0.5)).sum() > 0.95


@pytest.mark.parametrize(("figure", "stays"), [(WALL, True), (RED, False)])
def test_what_looks_like_the_wall_stays_with_a_figure_that_looks_like_it_too(figure, stays):
    """A white collar with dark edges, before a white wall: the network is less certain about it. In a red dress it is a hole."""
    predicted, photo = blurred(disc(60)), photo_of(disc(60), figure, WALL)
    cv2.rectangle(photo, (39, 59), (60, 90), (60, 60, 60), 1)
    photo[60:90, 40:60] = WALL
    predicted[60:90, 40:60] = 0.85
    assert (decided(photo, predicted)[62:88, 42:58] > 0.5).all() == stays


def beside_a_shirt(colour: tuple) -> np.ndarray:
    """A shirt before a wall and a thin stripe in another colour beside it, which the network nearly missed: the coverage found there."""
    photo, coverage = np.full((HEIGHT, WIDTH, 3), WALL, np.uint8), np.zeros((HEIGHT, WIDTH), np.float32)
    photo[20:140, 60:110], coverage[20:140, 60:110] = SHIRT, 1
    photo[40:110, 50:60], coverage[40:110, 50:60] = colour, 0.3
    return decided(photo, coverage)[44:106, 51:58]


def test_a_thin_arm_beside_a_shirt_belongs_to_the_figure():
    assert beside_a_shirt(SKIN).min() > 0.9


@pytest.mark.parametrize("light", [1, 0.8, 0.6, 1.2], ids=["wall", "shadow", "dark shadow", "light"])
def test_the_wall_beside_a_shirt_does_not_in_whatever_light(light):
    assert beside_a_shirt(tuple(round(light * value) for value in WALL)).max() < 0.5


def test_a_gap_is_found_up_to_its_corner():
    """The network saw only the wide end of the gap between arm and body."""
    photo, truth = np.full((HEIGHT, WIDTH, 3), WALL, np.uint8), np.zeros((HEIGHT, WIDTH), np.uint8)
    photo[20:140, 20:108], truth[20:140, 20:108] = SHIRT, 1
    corner = np.array([[64, 40], [58, 139], [70, 139]])
    cv2.fillPoly(photo, [corner], WALL)
    cv2.fillPoly(truth, [corner], 0)
    predicted = cv2.GaussianBlur(truth.astype(np.float32), (0, 0), 4)
    predicted[:90, 50:78] = 0.75
    found = decided(photo, predicted) > 0.5
    assert (predicted[60:130] > 0.5)[truth[60:130] == 0][:100].any()
    assert (found != truth)[40:130, 30:98].sum() < 30


@pytest.mark.parametrize("value", [0.0, 0.5, 1.0])
def test_nothing_sure_to_compare_with_leaves_the_prediction(value):
    predicted = np.full((HEIGHT, WIDTH), value, np.float32)
    np.testing.assert_array_equal(decided(photo_of(disc(60)), predicted), predicted)


def test_a_shadow_is_not_unlike_the_background_but_black_is():
    wall = np.full((1, 4, 3), WALL, np.uint8)
    photo = np.array([[WALL, [round(0.7 * value) for value in WALL], SKIN, (30, 30, 30)]], np.uint8)
    alike, shaded, skin, black = unlikeness(photo, wall)[0]
    assert alike == -1 and shaded < 0 and skin == 1 and black > 0
