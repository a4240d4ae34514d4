"""The photo with the crop's frame on it: where everything lies. Positions are per cent of the view."""

import re

import numpy as np
import pytest
from PIL import Image

from fashionflow.page.crop_view import crop_view
from fashionflow.page.languages import ENGLISH
from fashionflow.photo.reading import Crop


WIDE, TALL = Image.new("RGB", (400, 200), "white"), Image.new("RGB", (200, 400), "white")


def places(html: str, name: str) -> list[float]:
    """Left, top, width and height of the part with this class."""
    style = re.search(rf'class="{name}" style="([^"]+)"', html)[1]
    return [float(number) for number in re.findall(r":(-?[\d.]+)%", style)]


@pytest.mark.parametrize(
    "photo, crop, frame",
    [
        (WIDE, Crop(), [30, 0, 40, 100]),
        (WIDE, Crop(1, 1, 0), [60, 0, 40, 100]),
        (WIDE, Crop(2, 0, -1), [40, 0, 20, 50]),
        (TALL, Crop(1, 0, -1), [0, 0, 100, 62.5]),
    ],
)
def test_the_frame_lies_where_the_crop_is(photo, crop, frame):
    html = crop_view(ENGLISH, photo, crop, 0.8)
    assert places(html, "photo") == [0, 0, 100, 100]
    np.testing.assert_allclose(places(html, "frame"), frame, atol=0.01)


def test_the_view_grows_where_the_frame_reaches_beyond_the_photo():
    html = crop_view(ENGLISH, TALL, Crop(0.5), 0.8)  # the whole height and 15 % more, 368 px wide
    np.testing.assert_allclose(places(html, "frame"), [0, 0, 100, 100], atol=0.01)
    left, top, width, height = places(html, "photo")
    assert width < 60 and height == pytest.approx(100 / 1.15, abs=0.1)
    assert left == pytest.approx((100 - width) / 2, abs=0.01) and top == pytest.approx((100 - height) / 2, abs=0.01)


@pytest.mark.parametrize("crop", [Crop(2, 0.2, 0.1), Crop(0.6, -0.3, 0.4), Crop(3, 0, 0)])
@pytest.mark.parametrize("photo", [WIDE, TALL])
def test_the_script_is_told_by_how_much_a_drag_changes_the_crop(photo, crop):
    """A frame that is moved by a hundredth of the view lies a hundredth farther, as far as it can move at all."""
    html = crop_view(ENGLISH, photo, crop, 0.8)
    across, down, is_across, is_down = (
        float(number) for number in re.search(r'data-places="([^"]+)"', html)[1].split()
    )
    assert (is_across, is_down) == (crop.across, crop.down)
    moved = crop_view(ENGLISH, photo, Crop(crop.zoom, crop.across + across / 100, crop.down + down / 100), 0.8)

    def centre(view: str) -> np.ndarray:  # seen from the photo, since the view itself may have grown
        (left, top, width, height), (x, y, wide, high) = places(view, "frame"), places(view, "photo")
        return np.array([(left + width / 2 - x) / wide, (top + height / 2 - y) / high])

    _, _, wide, high = places(html, "photo")
    np.testing.assert_allclose(centre(moved) - centre(html), [1 / wide, 1 / high], atol=2e-4)


def test_the_figure_and_its_axis_lie_over_the_photo():
    coverage = np.zeros((48, 96), np.float32)
    html = crop_view(ENGLISH, WIDE, Crop(), 0.8, coverage, axis=0.25)
    assert places(html, "cut-out") == places(html, "photo")
    assert places(html, "axis") == [25, 0, 0, 100]
    assert "cut-out" not in crop_view(ENGLISH, WIDE, Crop(), 0.8)
