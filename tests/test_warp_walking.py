"""The warp of a figure that walks: it comes nearer, and lifts one foot in turn."""

import math

import pytest
import torch

from fashionflow.pipelines.walking import STRIDE
from fashionflow.pipelines.warp import WALKING_DISTANCE, turn_and_size, warp

from .bodies import box, layers_of, turned


def person() -> torch.Tensor:
    """A head, a trunk and two legs from row 20 on, the feet in row 259 of 320."""
    size = (320, 256)
    parts = [box(20, 60, 114, 142, size), box(60, 150, 90, 166, size)]
    return torch.stack([*parts, box(150, 260, 90, 120, size), box(150, 260, 136, 166, size)]).amax(0)


def test_rows_become_a_turn_and_a_size():
    angle, size = turn_and_size(torch.tensor([[0.0, 1.0, 0.0], [1.0, 0.0, 0.5], [0.0, 0.0, 0.0], [0.0, -1.0, 100.0]]))
    torch.testing.assert_close(angle, torch.tensor([0, math.pi / 2, 0, math.pi]))
    assert size[0] == 1 and size[1].item() == pytest.approx(WALKING_DISTANCE / (WALKING_DISTANCE - 0.5))
    assert size[2] == 1 and size[3].isfinite()


def test_a_walk_makes_the_figure_larger_round_its_face():
    coverage = person()
    before, after = (warp(layers_of(coverage), turned(0, walked=way)).outline[0, 0] for way in (0.0, STRIDE))
    factor = WALKING_DISTANCE / (WALKING_DISTANCE - STRIDE)
    assert after[25:120].sum(1).median() == pytest.approx(factor * before[25:120].sum(1).median().item(), abs=4)
    tops = [torch.nonzero(outline.amax(1) > 0.5)[0].item() for outline in (before, after)]
    assert abs(tops[0] - tops[1]) < 8


def test_a_walk_lifts_one_foot_in_turn_and_the_body_goes_over_the_other():
    coverage, column = person(), torch.arange(256) + 0.5
    lowest, aside = {}, {}
    for share in (0.3, 0.8):
        walked = share * STRIDE
        outline = warp(layers_of(coverage), turned(0, walked=walked)).outline[0, 0]
        factor = WALKING_DISTANCE / (WALKING_DISTANCE - walked)
        places = (round(128 + side * 23 * factor) for side in (-1, 1))
        lowest[share] = [torch.nonzero(outline[:, place] > 0.5).max().item() for place in places]
        head = outline[26:50]
        aside[share] = ((head.sum(0) * column).sum() / head.sum()).item() - 128
    (left, right), (left_later, right_later) = lowest[0.3], lowest[0.8]
    assert right < left - 3 and left_later < right_later - 3  # higher rows have smaller numbers
    assert aside[0.3] < -0.5 and aside[0.8] > 0.5


def test_a_walk_begins_where_the_figure_stands():
    layers = layers_of(person(), front_colours=torch.rand(3, 320, 256, generator=torch.Generator().manual_seed(0)))
    standing, begun = warp(layers, torch.cat([turned(20), turned(20, walked=2e-4)])).pixels
    assert (standing - begun).abs().mean() < 0.004


def test_a_figure_without_feet_lifts_none():
    coverage = box(20, 320, 90, 166, (320, 256))
    colours = torch.linspace(0, 1, 320)[None, :, None].expand(3, 320, 256).contiguous()
    layers = layers_of(coverage, front_colours=colours)
    pixels = warp(layers, turned(0, walked=0.3 * STRIDE)).pixels[0, 0]
    assert (pixels[200:, 110] - pixels[200:, 146]).abs().max() < 1e-3
    layers.coverage[300:] = 0  # now its feet are in the picture
    pixels = warp(layers, turned(0, walked=0.3 * STRIDE)).pixels[0, 0]
    assert (pixels[200:280, 110] - pixels[200:280, 146]).abs().max() > 0.01


def test_a_walk_backwards_makes_the_figure_smaller():
    coverage = person()
    away = warp(layers_of(coverage), turned(0, walked=-1.5)).outline[0]
    smaller = WALKING_DISTANCE / (WALKING_DISTANCE + 1.5)
    assert away.sum() == pytest.approx(coverage.sum().item() * smaller**2, rel=0.05)
