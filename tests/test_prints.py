"""A guessed back shows the cloth and not what is printed on the front."""

import cv2
import numpy as np
import pytest

from fashionflow.photo.prints import without_prints


HEIGHT, WIDTH = 320, 256
NAVY, WHITE, RED = (30, 40, 90), (240, 240, 235), (190, 40, 50)


def shirt(colour=NAVY) -> tuple[np.ndarray, np.ndarray]:
    """A plain shirt with some grain, uint8, continued beyond its outline, and where it is."""
    coverage = np.zeros((HEIGHT, WIDTH), np.float32)
    cv2.rectangle(coverage, (70, 60), (185, 280), 1, -1)
    cv2.rectangle(coverage, (30, 60), (225, 120), 1, -1)
    grain = np.random.default_rng(0).normal(0, 3, (HEIGHT, WIDTH, 1))
    return np.clip(np.array(colour) + grain, 0, 255).astype(np.uint8), coverage


def test_lettering_is_taken_off_and_the_rest_stays():
    plain, coverage = shirt()
    printed = plain.copy()
    cv2.putText(printed, "LOGO", (85, 160), cv2.FONT_HERSHEY_SIMPLEX, 1.0, WHITE, 5, cv2.LINE_AA)
    cv2.line(printed, (90, 175), (160, 175), WHITE, 2)
    found = without_prints(printed, coverage)
    assert np.abs(found[coverage > 0].astype(int) - plain[coverage > 0]).max() < 40
    assert np.abs(found[coverage > 0].astype(int) - plain[coverage > 0]).mean() < 3
    far = coverage > 0
    far[120:200, 75:180] = False
    np.testing.assert_array_equal(found[far], printed[far])


def test_a_label_with_letters_of_the_cloth_s_colour_is_taken_off_whole():
    plain, coverage = shirt()
    printed = plain.copy()
    cv2.rectangle(printed, (90, 130), (165, 170), RED, -1)
    cv2.putText(printed, "ABC", (98, 160), cv2.FONT_HERSHEY_SIMPLEX, 0.9, NAVY, 3)
    found = without_prints(printed, coverage)
    assert np.abs(found[128:172, 88:168].astype(int) - plain[128:172, 88:168]).max() < 40


@pytest.mark.parametrize("pattern", ["stripes", "dots", "two cloths", "hole"])
def test_patterns_other_cloths_and_holes_stay(pattern):
    picture, coverage = shirt()
    if pattern == "stripes":
        for row in range(60, 280, 16):
            picture[row : row + 8] = WHITE
    elif pattern == "dots":
        for row in range(66, 276, 14):
            for column in range(36, 224, 14):
                cv2.circle(picture, (column, row), 5, WHITE, -1)
    elif pattern == "two cloths":
        picture[:, :128] = RED
    else:
        coverage[140:170, 100:150] = 0
        picture[140:170, 100:150] = WHITE
    np.testing.assert_array_equal(without_prints(picture, coverage), picture)


def test_without_a_figure_nothing_is_changed():
    picture, coverage = shirt()
    np.testing.assert_array_equal(without_prints(picture, np.zeros_like(coverage)), picture)
