"""White shoes on a white floor: found where the legs end, and nothing else is taken for shoes."""

import cv2
import numpy as np
import pytest

from fashionflow.photo.shoes import missed_shoes, with_missed_shoes


HEIGHT, WIDTH = 640, 512
LEGS = ((200, 230), (280, 310))  # columns of both legs


def scene(leg_end: int = 560) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A photo of somebody in white shoes before a white wall, with a soft shadow on the floor; the coverage of everything but the shoes;
    and where the shoes are."""
    photo = np.full((HEIGHT, WIDTH, 3), 235, np.uint8)
    photo[540:] = np.linspace(235, 205, 100)[:, None, None]  # the floor, which darkens towards the camera
    coverage, shoes = np.zeros((HEIGHT, WIDTH), np.float32), np.zeros((HEIGHT, WIDTH), np.uint8)
    coverage[40:340, 180:330] = 1
    for left, right in LEGS:
        coverage[300:leg_end, left:right] = 1
        cv2.ellipse(shoes, ((left + right) // 2, leg_end + 15), (28, 22), 0, 0, 360, 1, cv2.FILLED)
    shoes[:leg_end] = 0
    shadow = cv2.GaussianBlur(np.roll(shoes, -60, 1).astype(np.float32), (0, 0), 14)[..., None]
    photo = (photo * (1 - 0.3 * shadow)).astype(np.uint8)
    photo[shoes > 0] = 225
    for row in range(leg_end + 2, leg_end + 36, 7):  # laces, seams and a sole
        photo[row : row + 2][shoes[row : row + 2] > 0] = 150
    outline = cv2.morphologyEx(shoes, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8))
    photo[outline > 0] = 170
    photo[coverage > 0] = (150, 100, 70)
    return cv2.GaussianBlur(photo, (0, 0), 0.7), coverage, shoes > 0


def test_white_shoes_on_a_white_floor_are_found_without_the_floor_and_its_shadow():
    photo, coverage, shoes = scene()
    found = missed_shoes(photo, coverage)
    assert (found & shoes).sum() > 0.85 * (shoes & (coverage == 0)).sum()
    around = cv2.dilate(shoes.astype(np.uint8), np.ones((11, 11), np.uint8)) > 0
    assert not (found & ~around).any()
    whole = with_missed_shoes(photo, coverage)
    assert (whole >= coverage).all() and whole[shoes].mean() > 0.85 and whole.max() <= 1


@pytest.mark.parametrize("share", [0.5, 1])
def test_shoes_that_are_part_of_the_figure_stay_as_they_are(share):
    photo, coverage, shoes = scene()
    shoes[560 + round(36 * share) :] = False
    coverage[shoes] = 1
    np.testing.assert_array_equal(with_missed_shoes(photo, coverage), coverage)


@pytest.mark.parametrize("where", ["carpet", "cut", "nobody"])
def test_nothing_is_searched_for_where_shoes_cannot_be_told(where):
    photo, coverage, _ = scene(HEIGHT if where == "cut" else 560)
    if where == "carpet":
        pattern = np.random.default_rng(0).integers(-40, 40, (HEIGHT // 4, WIDTH // 4, 1), np.int16)
        photo = np.clip(photo + cv2.resize(pattern, (WIDTH, HEIGHT))[..., None], 0, 255).astype(np.uint8)
    if where == "nobody":
        coverage[:] = 0
    assert not missed_shoes(photo, coverage).any()
