"""A photo taken apart: the outline, the depths along it, the colours of its rim and what the back may look like."""

import cv2
import numpy as np
import pytest
import torch

from fashionflow.models.geometry import PhotoGeometry
from fashionflow.pipelines.motions import rows
from fashionflow.pipelines.photo_layers import CLEAR, CLOSING, CLOSING_WIDTH, beyond, closed, smooth_inside, take_apart
from fashionflow.pipelines.warp import warp

from .discs import GREEN, HEIGHT, WIDTH, disc, photo_of


def geometry_of(coverage: np.ndarray, depth: float = 12.0, axis: float | None = None) -> PhotoGeometry:
    """A shape as the network gives it: a body `depth` thick before and behind the axis."""
    coverage = torch.from_numpy(coverage.astype(np.float32))[None, None]
    axis = coverage.shape[3] / 2 if axis is None else axis
    return PhotoGeometry(coverage, torch.full_like(coverage, depth), torch.full_like(coverage, -depth), axis)


def test_front_and_back_meet_along_the_outline_and_beyond_it():
    coverage = disc(40)
    row, column = np.mgrid[:HEIGHT, :WIDTH].astype(np.float32)
    front, back = closed(coverage, 20 + column / 8, -10 - row / 8)
    mask = coverage > CLEAR
    np.testing.assert_array_equal(front[~mask], back[~mask])
    inside = cv2.distanceTransform(mask.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5)
    thickness = front - back
    assert (thickness >= 0).all()
    deep = inside > CLOSING * WIDTH / CLOSING_WIDTH + 1
    np.testing.assert_allclose(thickness[deep], (30 + (column + row) / 8)[deep], atol=0.2)
    rim = (inside > 0) & (inside < 1.2)
    assert thickness[rim].mean() < 0.75 * thickness[deep].mean()
    # What is just outside lies between the two, where they meet.
    middle = (20 + column / 8 - 10 - row / 8) / 2
    beside = ~mask & (cv2.dilate(mask.astype(np.uint8), np.ones((3, 3))) > 0)
    assert np.abs(front - middle)[beside].max() < 1
    assert front[80, 0] == front[80, 20] and front[80, -1] == front[80, -20]  # and goes on as it is there


@pytest.mark.parametrize("edge", ["left", "right", "top", "bottom"])
def test_the_photo_s_own_edge_is_no_outline(edge):
    coverage = np.zeros((HEIGHT, WIDTH), np.float32)
    coverage[40:120, 30:100] = 1
    rows_cut = {"top": np.s_[:120, 30:100], "bottom": np.s_[40:, 30:100]}
    columns_cut = {"left": np.s_[40:120, :100], "right": np.s_[40:120, 30:]}
    coverage[(rows_cut | columns_cut)[edge]] = 1
    flat = np.full(coverage.shape, 9.0, np.float32)
    front, back = closed(coverage, flat, -flat)
    at = {"left": (80, 0), "right": (80, WIDTH - 1), "top": (0, 64), "bottom": (HEIGHT - 1, 64)}[edge]
    other = {"left": (80, 99), "right": (80, 30), "top": (119, 64), "bottom": (40, 64)}[edge]
    assert front[at] - back[at] == pytest.approx(18)
    assert front[other] - back[other] < 14


def test_a_back_predicted_before_the_front_gives_a_body_without_thickness():
    coverage = disc(40)
    front, back = closed(coverage, np.full(coverage.shape, -5, np.float32), np.full(coverage.shape, 5, np.float32))
    assert (front >= back).all() and np.isfinite(front).all()


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_depths_close_without_a_figure_and_with_nothing_else(value):
    coverage = np.full((24, 16), value, np.float32)
    front, back = closed(coverage, np.full((24, 16), 3, np.float32), np.full((24, 16), -2, np.float32))
    assert (front - back == (5 if value else 0)).all()


def test_values_go_on_as_they_are_at_the_nearest_place_and_are_smoothed_inside_only():
    mask = np.zeros((20, 30), np.uint8)
    mask[:, 10:20] = 1
    values = np.where(mask > 0, np.arange(30), 1000).astype(np.float32)
    further = beyond(values, mask)
    np.testing.assert_array_equal(further[:, :10], 10)
    np.testing.assert_array_equal(further[:, 20:], 19)
    np.testing.assert_array_equal(further[:, 10:20], values[:, 10:20])
    assert not beyond(values, np.zeros_like(mask)).any()
    smooth = smooth_inside(values, mask, 2.0)
    assert smooth[mask > 0].min() >= 10 and smooth[mask > 0].max() <= 19 and (smooth[mask == 0] == 1000).all()


def test_a_photo_taken_apart_has_the_clip_s_size_and_its_depths_in_its_pixels():
    small = disc(20, (80, 64))
    photo = photo_of(disc(40))
    layers = take_apart(photo, geometry_of(small, depth=7.0, axis=30.25))
    assert layers.axis == 60.5 and not layers.back_known
    for name in ("coverage", "front", "back", "background_known"):
        assert getattr(layers, name).shape == (HEIGHT, WIDTH) and getattr(layers, name).dtype == torch.float32, name
    for name in ("front_colours", "back_colours", "background"):
        part = getattr(layers, name)
        assert part.shape == (3, HEIGHT, WIDTH) and part.min() >= 0 and part.max() <= 1, name
    assert layers.front[80, 64].item() == pytest.approx(14, abs=0.1)
    assert layers.back[80, 64].item() == pytest.approx(-14, abs=0.1)
    assert np.abs(layers.coverage.numpy() - disc(40)).mean() < 0.01
    across = layers.coverage.sum(0)
    middle = (across * (torch.arange(WIDTH) + 0.5)).sum() / across.sum()
    assert middle.item() == pytest.approx(64, abs=0.1)  # enlarged without a shift
    assert layers.background_known[80, 64] == 0 and layers.background_known[2, 2] == 1
    assert (layers.background[:, 80, 64] * 255 - torch.tensor(GREEN)).abs().max() < 3


@pytest.mark.parametrize("wider", [0.0, 1.5])
def test_the_rim_shows_the_figure_s_colours_and_none_of_the_ground(wider):
    layers = take_apart(photo_of(disc(40)), geometry_of(cv2.GaussianBlur(disc(40 + wider), (0, 0), 1)))
    frames = warp(layers, rows(np.array([0.0, 30, 75, 180]), np.zeros(4)))
    for pixels, outline in list(zip(frames.pixels, frames.outline, strict=True))[1:]:
        figure = outline[0] > 0.95
        assert figure.any() and (pixels[1][figure] * 255).max() < 80  # the figure's is 40 and the ground's 160


def test_a_figure_keeps_its_own_pixels_up_to_its_rim():
    row, column = np.mgrid[:HEIGHT, :WIDTH]
    mask = np.zeros((HEIGHT, WIDTH), np.float32)
    mask[20:140, 30:90] = 1
    mask[40:120, 96:98] = 1  # a strap two pixels wide, joined to the rest at its ends
    mask[40:43, 88:98], mask[117:120, 88:98] = 1, 1
    photo = photo_of(mask)
    photo[(mask > 0) & (column > 92)] = (210, 80, 30)
    layers = take_apart(photo, geometry_of(mask))
    colours = layers.front_colours.permute(1, 2, 0).numpy() * 255
    strap = np.abs(colours - photo)[50:110, 97]
    assert strap.mean() < 5


def test_without_a_figure_there_is_only_the_background():
    photo = np.random.default_rng(0).integers(0, 256, (96, 64, 3)).astype(np.uint8)
    layers = take_apart(photo, geometry_of(np.zeros((48, 32))))
    np.testing.assert_array_equal((layers.background * 255).round().permute(1, 2, 0).numpy(), photo)
    assert layers.coverage.max() == 0 and layers.background_known.min() == 1
    frames = warp(layers, rows(np.array([0.0, 120]), np.zeros(2)))
    torch.testing.assert_close(frames.pixels[1], layers.background)


def test_a_figure_that_fills_the_photo_leaves_no_background_and_does_not_crash():
    photo = np.random.default_rng(0).integers(0, 256, (96, 64, 3)).astype(np.uint8)
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        layers = take_apart(photo, geometry_of(np.ones((48, 32))))
    assert layers.coverage.min() == 1 and layers.background_known.max() == 0
    frames = warp(layers, rows(np.array([0.0, 120]), np.zeros(2)))
    assert frames.pixels.isfinite().all()
    assert np.abs(frames.pixels[0].permute(1, 2, 0).numpy() * 255 - photo).max() < 2


def test_another_size_has_the_same_shape_in_its_own_pixels():
    layers = take_apart(photo_of(disc(40)), geometry_of(disc(40), axis=60.0))
    small = layers.resized(HEIGHT // 2, WIDTH // 2)
    assert small.axis == 30 and small.coverage.shape == (HEIGHT // 2, WIDTH // 2)
    assert small.front[40, 32].item() == pytest.approx(layers.front[80, 64].item() / 2, abs=0.1)
    assert small.coverage.sum() == pytest.approx(layers.coverage.sum().item() / 4, rel=0.01)
    assert small.back_known == layers.back_known
