"""The head of a figure: where it is, its hair, and what it may look like from behind."""

import cv2
import numpy as np
import pytest

from fashionflow.photo.head import find_hair, find_head, guessed_back, is_skin, seen_through_hair
from fashionflow.photo.segmentation import continued


HEIGHT, WIDTH = 160, 128
SKIN, BLACK, BROWN, FAIR = (222, 170, 140), (25, 25, 30), (70, 45, 30), (170, 125, 70)


def person(hair=BLACK) -> tuple[np.ndarray, np.ndarray]:
    """A drawn person from the front, uint8, and where it is: hair round a face, a neck, and a blue garment down to the edge."""
    picture = np.full((HEIGHT, WIDTH, 3), 225, np.uint8)
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    for colour, draw in (
        (SKIN, lambda to, value: cv2.rectangle(to, (59, 44), (68, 60), value, -1)),
        ((40, 70, 150), lambda to, value: cv2.rectangle(to, (30, 57), (97, HEIGHT), value, -1)),
        (hair, lambda to, value: cv2.ellipse(to, (64, 30), (14, 19), 0, 0, 360, value, -1)),
        (SKIN, lambda to, value: cv2.ellipse(to, (64, 34), (10, 14), 0, 0, 360, value, -1)),
    ):
        draw(picture, colour)
        draw(mask, 1)
    picture[28:30, 58:61] = picture[28:30, 67:70] = picture[41:43, 60:68] = (120, 30, 30)  # eyes and a mouth
    return picture, mask.astype(np.float32)


def test_a_head_is_found_on_a_person():
    picture, coverage = person()
    top, bottom, left, right = find_head(picture, coverage)
    assert top == 11 and 45 <= bottom <= 58
    assert 48 <= left <= 52 and 77 <= right <= 80


def test_a_head_is_no_wider_for_a_neck_that_was_missed():
    picture, coverage = person()
    ends = find_head(picture, coverage)[2:]
    coverage[50:53] = 0
    assert find_head(picture, coverage)[2:] == ends


def test_no_head_is_found_on_a_garment_laid_flat_nor_where_nothing_is():
    coverage = np.zeros((HEIGHT, WIDTH), np.float32)
    cv2.fillPoly(coverage, [np.array([[54, 20], [74, 20], [100, 35], [92, 140], [36, 140], [28, 35]])], 1)
    assert find_head(np.full((HEIGHT, WIDTH, 3), SKIN, np.uint8), coverage) is None
    picture, mask = person()
    mannequin = np.where(is_skin(picture)[..., None], (30, 90, 160), picture).astype(np.uint8)
    assert find_head(mannequin, mask) is None  # the shape of a person, and no skin
    assert find_head(picture, np.zeros_like(mask)) is None


@pytest.mark.parametrize("hair", [BLACK, BROWN, FAIR], ids=["black", "brown", "fair"])
def test_hair_is_told_from_the_face_it_frames(hair):
    picture, coverage = person(hair)
    found = find_hair(picture, coverage, find_head(picture, coverage))
    inner = np.zeros_like(found)
    inner[14:19, 58:71] = True  # above the forehead
    assert found[inner].mean() > 0.9
    assert not found[28:48, 57:72].any()  # eyes and mouth included
    assert not found[62:].any()


def test_hair_that_hangs_on_both_sides_covers_the_neck_from_behind_and_short_hair_does_not():
    picture, coverage = person()
    short = guessed_back(picture, coverage, find_head(picture, coverage))
    for side in (slice(50, 57), slice(71, 78)):
        picture[30:66, side] = BLACK
        coverage[30:66, side] = 1
    long = guessed_back(picture, coverage, find_head(picture, coverage))
    assert np.abs(long[48:60, 61:68].astype(int) - BLACK).max() < 40
    assert np.abs(short[52:56, 61:67].astype(int) - SKIN).max() < 40


def test_shoulders_that_slope_up_to_the_neck_belong_to_no_head():
    picture, coverage = person()
    slope = np.array([[59, 50], [68, 50], [97, 62], [97, 70], [30, 70], [30, 62]])
    for drawn, value in ((picture, (40, 70, 150)), (coverage, 1)):
        cv2.fillPoly(drawn, [slope], value)
    top, bottom, left, right = find_head(picture, coverage)
    assert bottom > 52 and 48 <= left <= 52 and 77 <= right <= 80
    back = guessed_back(picture, coverage, find_head(picture, coverage))
    garment = (np.abs(picture.astype(int) - (40, 70, 150)).max(-1) == 0) & (coverage > 0)
    garment[:, 47:82] = False
    np.testing.assert_array_equal(back[garment], picture[garment])


def test_the_background_shines_through_hair_and_not_through_what_is_beside_it():
    picture, coverage = person()
    for side in (slice(46, 57), slice(71, 82)):
        picture[24:66, side], coverage[24:66, side] = BLACK, 1
    ground = np.full_like(picture, 225)
    colours = continued(picture, coverage > 0.5)
    assert not seen_through_hair(colours, coverage, ground, find_head(colours, coverage)).any()
    picture[34:42, 46:49] = 225
    picture[80:88, 30:33] = 225  # a white stripe of the garment
    picture[44:47, 60:63] = 225  # teeth
    colours = continued(picture, coverage > 0.5)
    through = seen_through_hair(colours, coverage, ground, find_head(colours, coverage))
    assert through[34:42, 46:49].all()
    through[32:44, 44:51] = False
    assert not through.any()


def test_a_bald_head_has_no_hair():
    picture, coverage = person(SKIN)
    assert not find_hair(picture, coverage, find_head(picture, coverage)).any()
    assert (
        np.abs(guessed_back(picture, coverage, find_head(picture, coverage))[16:56, 60:67].astype(int) - SKIN).max()
        < 40
    )


@pytest.mark.parametrize("hair", [BLACK, BROWN, FAIR], ids=["black", "brown", "fair"])
def test_the_guessed_back_shows_hair_and_no_face_and_the_garment_as_it_is(hair):
    picture, coverage = person(hair)
    back = guessed_back(picture, coverage, find_head(picture, coverage))
    upper = back[20:40, 57:72].astype(int)
    assert np.abs(upper - hair).mean() < 15
    assert np.abs(upper - SKIN).sum(-1).min() > 60
    # Nothing is left of the mouth.
    mouth = back[40:44, 59:69].astype(int)
    assert np.ptp(mouth, axis=1).max() < 40
    np.testing.assert_array_equal(back[62:], picture[62:])
    np.testing.assert_array_equal(back[:, :40], picture[:, :40])


def test_the_guessed_back_of_a_garment_is_its_front():
    coverage = np.zeros((HEIGHT, WIDTH), np.float32)
    cv2.circle(coverage, (WIDTH // 2, HEIGHT // 2), 50, 1, -1)
    photo = np.full((HEIGHT, WIDTH, 3), (190, 40, 30), np.uint8)
    np.testing.assert_array_equal(guessed_back(photo, coverage, find_head(photo, coverage)), photo)
