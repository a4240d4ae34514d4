"""A photo of the back, laid over the front's outline."""

import cv2
import numpy as np
import pytest
import torch

from fashionflow.models.geometry import PhotoGeometry
from fashionflow.pipelines.back_photo import LEAST_MATCH, fit_back, outline_match
from fashionflow.pipelines.motions import rows
from fashionflow.pipelines.photo_layers import PhotoLayers, take_apart
from fashionflow.pipelines.warp import warp

from . import tiny


HEIGHT, WIDTH = 160, 128
GROUND = 225


def garment(scale: float = 1.0, right: float = 0.0, down: float = 0.0, turned_over: bool = False) -> np.ndarray:
    """Where a lopsided garment is: a trunk, a short sleeve on one side and a long one on the other, float32 [H, W]."""
    outline = np.array(
        [
            [44, 20],
            [76, 20],
            [100, 34],
            [112, 76],
            [100, 80],
            [86, 54],
            [88, 140],
            [34, 140],
            [36, 54],
            [22, 50],
            [28, 32],
        ]
    )
    middle = np.array([64, 80])
    places = (outline - middle) * scale * ([-1, 1] if turned_over else [1, 1]) + middle + [right, down]
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    cv2.fillPoly(mask, [(places * 16).round().astype(np.int32)], 1, cv2.LINE_AA, 4)
    return mask.astype(np.float32)


def photo_of(mask: np.ndarray, pattern: np.ndarray) -> np.ndarray:
    return np.where(mask[..., None] > 0, pattern, GROUND).astype(np.uint8)


def pattern(scale: float = 1.0, right: float = 0.0, down: float = 0.0, turned_over: bool = False) -> np.ndarray:
    """A print that has no symmetry and lies on the garment, uint8 [H, W, 3]."""
    row, column = np.mgrid[:HEIGHT, :WIDTH].astype(np.float32)
    across, along = (column + 0.5 - 64 - right) / scale, (row + 0.5 - 80 - down) / scale
    across = -across if turned_over else across
    waves = [np.sin(across / 7 + along / 19), np.sin(along / 9 - across / 23), np.cos(across / 13)]
    return (110 + 70 * np.stack(waves, axis=-1)).clip(0, 255).astype(np.uint8)


def layers_of(mask: np.ndarray, colours: np.ndarray) -> PhotoLayers:
    coverage = torch.from_numpy(cv2.GaussianBlur(mask, (0, 0), 0.7))[None, None]
    depth = torch.full_like(coverage, 6.0)
    return take_apart(photo_of(mask, colours), PhotoGeometry(coverage, depth, -depth, WIDTH / 2))


@pytest.fixture(scope="module")
def front() -> PhotoLayers:
    return layers_of(garment(), np.full((HEIGHT, WIDTH, 3), (180, 60, 60), np.uint8))


@pytest.mark.parametrize(
    "moved", [{}, {"scale": 0.8, "right": 9, "down": -6}, {"scale": 1.1, "right": -4.5, "down": 3}]
)
def test_turned_round_a_garment_shows_the_photo_of_its_back(front, moved):
    # Somebody walks round the garment: the long sleeve is on the other side, and the back's print is seen.
    back = layers_of(garment(**moved, turned_over=True), pattern(**moved))
    assert outline_match(front, back) > 0.93
    fitted = fit_back(front, back)
    assert fitted.back_known and not front.back_known
    frame = warp(fitted, rows(np.array([0.0, 180.0]), np.zeros(2))).pixels[1].permute(1, 2, 0).numpy() * 255
    inside = cv2.erode(garment(turned_over=True), np.ones((9, 9))) > 0
    expected = pattern().astype(np.float32)
    assert np.corrcoef(frame[inside].ravel(), expected[inside].ravel())[0, 1] > 0.97
    assert np.abs(frame - expected)[inside].mean() < 10
    # And not as in a mirror.
    assert np.corrcoef(frame[inside].ravel(), expected[:, ::-1][inside].ravel())[0, 1] < 0.7


def test_the_front_stays_as_it_was(front):
    fitted = fit_back(front, layers_of(garment(turned_over=True), pattern()))
    for name in ("front_colours", "coverage", "front", "back", "background"):
        assert getattr(fitted, name) is getattr(front, name)
    assert fitted.back_colours.shape == front.back_colours.shape
    assert fitted.back_colours.min() >= 0 and fitted.back_colours.max() <= 1


def test_a_garment_that_hangs_a_little_wider_or_has_swung_aside_shows_no_ground(front):
    mask = garment(turned_over=True)
    swung = mask.copy()
    swung[100:] = np.roll(mask[100:], 6, axis=1)
    for other in (cv2.dilate(mask, np.ones((1, 7))), swung):
        fitted = fit_back(front, layers_of(other, np.full((HEIGHT, WIDTH, 3), (30, 60, 200), np.uint8)))
        fitted = fitted.back_colours.permute(1, 2, 0).numpy() * 255
        assert np.abs(fitted - (30, 60, 200))[garment() > 0].max() < 12
    # A stripe down the middle of the lower half is in the middle again.
    colours = np.full((HEIGHT, WIDTH, 3), (30, 60, 200), np.uint8)
    first, last = np.flatnonzero(swung[120])[[0, -1]]
    colours[:, (first + last) // 2 - 1 : (first + last) // 2 + 3] = (240, 240, 30)
    row = fit_back(front, layers_of(swung, colours)).back_colours[0, 120].numpy()
    ends = np.flatnonzero(garment()[120])[[0, -1]]
    stripe = np.flatnonzero(row > 0.5)
    assert stripe.mean() == pytest.approx(ends.mean(), abs=1.5)


def test_a_row_with_a_hand_on_the_hip_is_not_stretched_to_it(front):
    mask = garment(turned_over=True)
    mask[90:110, 10:110] = 1
    stripes = (
        np.repeat((np.arange(WIDTH) // 4 % 2 * 200)[None, :, None], HEIGHT, axis=0).repeat(3, axis=2).astype(np.uint8)
    )
    fitted = fit_back(front, layers_of(mask, stripes))
    lines = (fitted.back_colours[0] * 255).numpy()[:, 40:84] > 100
    changes = (lines[:, 1:] != lines[:, :-1]).sum(1)
    assert abs(changes[100] - changes[80]) <= 2


def test_another_shape_does_not_match(front):
    skirt = np.zeros((HEIGHT, WIDTH), np.uint8)
    cv2.fillPoly(skirt, [np.array([[60, 10], [68, 10], [124, 150], [4, 150]])], 1)
    other = layers_of(skirt.astype(np.float32), pattern())
    assert outline_match(front, other) < LEAST_MATCH
    # The same garment, but photographed from the front again.
    same = layers_of(garment(), pattern())
    assert outline_match(front, same) < 0.9 < outline_match(front, layers_of(garment(turned_over=True), pattern()))


@pytest.mark.parametrize("which", ["front", "back"])
def test_a_photo_without_a_figure_matches_nothing_and_does_not_crash(front, which):
    nothing = layers_of(np.zeros((HEIGHT, WIDTH), np.float32), pattern())
    pair = (nothing, front) if which == "front" else (front, nothing)
    assert outline_match(*pair) < LEAST_MATCH
    fitted = fit_back(*pair)
    assert fitted.back_colours.isfinite().all()
    assert warp(fitted, rows(np.array([0.0, 180.0]), np.zeros(2))).pixels.isfinite().all()


def test_a_pipeline_tells_whether_a_back_fits_and_lays_it_over():
    pipe = tiny.guided_pipeline()
    photo = tiny.photo()
    assert pipe.backs_match(photo, photo)  # the toy network sees the same lens in every photo
    layers = pipe.take_apart(photo, photo)
    assert layers.back_known
    with pytest.raises(ValueError, match="model with geometry"):
        tiny.pipeline().backs_match(photo, photo)
