"""The crop that a model takes by itself: what of a figure it shows, and what of nothing."""

import numpy as np
import pytest
from PIL import Image

from fashionflow.photo.cropping import ROOM, Crop, cropped, figure_crop

from . import tiny


ASPECT = 0.8  # of 512 x 640


def box_of(size: tuple[int, int], figure) -> tuple[float, float, float, float]:
    """What the crop shows, in the photo's pixels; it must be one that a photo can have."""
    crop = figure_crop(size, ASPECT, figure)
    crop.check()
    left, top, right, bottom = crop.box(size, ASPECT)
    assert (right - left) / (bottom - top) == pytest.approx(ASPECT, rel=0.01)
    return left, top, right, bottom


@pytest.mark.parametrize(
    "size, figure",
    [
        ((400, 1000), (100, 50, 300, 950)),
        ((400, 1000), (20, 50, 380, 950)),  # its elbows are near the photo's sides, and not cut off
        ((400, 1000), (2, 50, 300, 950)),
        ((800, 1000), (200, 30, 600, 970)),
        ((600, 1000), (150, 500, 450, 900)),
        ((1500, 1000), (1000, 50, 1400, 950)),
        ((1500, 1000), (30, 50, 300, 950)),
        ((1500, 1000), (100, 200, 1400, 900)),  # wider than the crop's usual part
        ((1000, 1000), (20, 300, 980, 700)),
    ],
)
def test_a_figure_that_the_photo_shows_whole_is_shown_whole_with_room_around_it(size, figure):
    left, top, right, bottom = box_of(size, figure)
    room = ROOM * (figure[3] - figure[1])
    assert (
        top <= figure[1] - min(0.9 * room, figure[1]) + 1
        and bottom >= figure[3] + 0.9 * min(room, size[1] - figure[3]) - 1
    )
    assert left <= figure[0] and right >= figure[2]


def test_a_crop_shows_no_less_of_the_photo_than_its_largest_part():
    for figure in ((180, 480, 220, 520), (0, 0, 400, 1000), (100, 50, 300, 950)):
        left, _, right, _ = box_of((400, 1000), figure)
        assert right - left >= 400


def test_a_figure_at_the_side_is_brought_to_the_middle_as_far_as_the_photo_goes():
    left, _, right, _ = box_of((2000, 1000), (1300, 100, 1500, 900))
    assert (left + right) / 2 == pytest.approx(1400, abs=1)
    assert box_of((1500, 1000), (1300, 50, 1500, 950))[2] == 1500
    assert box_of((1500, 1000), (0, 50, 200, 950))[0] == 0


@pytest.mark.parametrize(
    "size, figure",
    [
        ((800, 1200), (150, 200, 650, 1200)),
        ((400, 1000), (100, 300, 300, 1000)),
        ((1000, 1000), (50, 100, 950, 1000)),  # so wide that ground is added above
        ((1500, 1000), (200, 100, 1300, 1000)),
    ],
)
def test_below_a_torso_that_the_photo_cuts_off_no_ground_is_added(size, figure):
    _, top, _, bottom = box_of(size, figure)
    assert bottom <= size[1] + 1
    assert top <= figure[1]


@pytest.mark.parametrize("figure", [(0, 50, 400, 950), (0, 0, 400, 1000)])
def test_beside_a_figure_that_the_photo_cuts_off_at_both_sides_no_ground_is_added(figure):
    left, top, right, _ = box_of((400, 1000), figure)
    assert left >= -1 and right <= 401
    assert top <= figure[1]  # rather the head than the feet


def test_where_not_all_of_a_figure_fits_its_head_is_shown():
    left, top, right, bottom = box_of((200, 1000), (20, 10, 180, 990))
    assert top <= 10 and bottom < 990


def test_without_a_figure_the_centre_is_shown():
    assert figure_crop((400, 1000), ASPECT, None) == Crop()


@pytest.mark.parametrize("figure", [(0, 0, 1, 1), (399, 999, 400, 1000), (0, 0, 400, 1000), (0, 999, 400, 1000)])
def test_odd_figures_give_a_crop_that_a_photo_has(figure):
    box_of((400, 1000), figure)


def test_a_pipeline_crops_round_what_its_geometry_sees():
    pipe = tiny.guided_pipeline(photo_fit="figure")
    wide = Image.new("RGB", (300, 150), (230, 220, 210))
    coverage = pipe.coverage_of(wide)
    assert coverage.shape == (32, 64)  # of the network's frame of 96 x 64 the photo's part
    crop = pipe.crop_of(wide)
    rows, columns = np.nonzero(coverage > 0.5)
    figure = (
        columns.min() * 300 / 64,
        rows.min() * 150 / 32,
        (columns.max() + 1) * 300 / 64,
        (rows.max() + 1) * 150 / 32,
    )
    left, _, right, _ = crop.box(wide.size, pipe.width / pipe.height)
    assert (left + right) / 2 == pytest.approx((figure[0] + figure[2]) / 2, abs=6)
    expected = cropped(wide, pipe.width, pipe.height, crop)
    np.testing.assert_array_equal(np.asarray(pipe.fit_photo(wide)), np.asarray(expected))
    # What is fitted once stays as it is.
    assert pipe.crop_of(expected) == Crop() and pipe.fit_photo(expected).tobytes() == expected.tobytes()
