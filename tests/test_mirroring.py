"""Cloth that is mirrored into what a photo shows only from the side: where, what and from which side."""

import pytest
import torch

from fashionflow.pipelines.mirroring import LOOSE, NEAR, with_mirrored_cloth
from fashionflow.pipelines.warp import MIRRORED_TO, NOT_MIRRORED, warp

from .bodies import box, layers_of, turned


HEIGHT, WIDTH = 80, 160
FROM, TO = 60, 100
"""The columns that are uncertain."""


def cloth(red: float, green: float, blue: float, seed: int = 0) -> torch.Tensor:
    """A plain colour with some weave, [3, HEIGHT, WIDTH]."""
    weave = torch.rand(HEIGHT, WIDTH, generator=torch.Generator().manual_seed(seed)) * 0.2 - 0.1
    return torch.tensor([red, green, blue])[:, None, None] + weave


def streaks(picture: torch.Tensor) -> torch.Tensor:
    """The picture, whose uncertain columns show the mean of their row."""
    picture = picture.clone()
    picture[:, :, FROM:TO] = picture.mean(2, keepdim=True)
    return picture


def mirrored(picture, share=None, head_rows=0, most=1.0, loose=1.0) -> torch.Tensor:
    """What becomes of a picture whose columns from `FROM` to `TO` are uncertain."""
    share = torch.ones(1, HEIGHT, WIDTH) if share is None else share
    uncertain = torch.zeros(1, HEIGHT, WIDTH)
    uncertain[:, :, FROM:TO] = loose
    return with_mirrored_cloth(picture * share, share, uncertain, head_rows, most)


def test_a_streaked_part_shows_the_mirror_image_of_the_cloth_beside_it():
    picture = streaks(cloth(0.5, 0.3, 0.3))
    picture[:, :, TO:] = torch.tensor([0.1, 0.7, 0.2])[:, None, None]  # another cloth
    seen = mirrored(picture)
    # Where the part begins is seen from the mean over `NEAR` columns.
    begins = FROM + round(NEAR * (LOOSE - 0.5))
    inner = slice(begins + 4, 90)
    expected = picture[:, :, 2 * begins - 89 : 2 * begins - begins - 3].flip(2)
    errors = [
        (seen[:, :, inner] - expected.roll(step, 2)).abs()[:, :, 2:-2].mean().item() for step in (-2, -1, 0, 1, 2)
    ]
    assert min(errors) < 1e-4 and min(errors) < 0.05 * max(errors)
    assert torch.equal(seen[:, :, : FROM - NEAR], picture[:, :, : FROM - NEAR])
    assert torch.equal(seen[:, :, TO + NEAR :], picture[:, :, TO + NEAR :])
    assert (seen[0, :, inner] > seen[1, :, inner]).all()  # nothing of the green one


@pytest.mark.parametrize("left", [True, False])
def test_the_side_that_is_more_like_what_is_there_is_taken(left):
    red, blue = cloth(0.6, 0.2, 0.2), cloth(0.2, 0.2, 0.6)
    picture = torch.cat([red, blue][:: 1 if left else -1], 2)[:, :, WIDTH // 2 : WIDTH // 2 + WIDTH].clone()
    picture[:, :, FROM:TO] = red.mean((1, 2))[:, None, None]
    seen = mirrored(picture)[:, :, FROM + 5 : TO - 5]
    assert (seen[0] > seen[2] + 0.2).all() and seen.std(2).mean() > 0.03


def test_what_is_unlike_on_both_sides_stays_as_it_is():
    picture = cloth(0.6, 0.2, 0.2)
    picture[:, :, FROM:TO] = torch.tensor([0.2, 0.5, 0.3])[:, None, None]
    assert torch.equal(mirrored(picture), picture)


def test_the_head_certain_pixels_and_a_figure_of_which_nothing_is_loose_stay_as_they_are():
    picture = streaks(cloth(0.5, 0.3, 0.3))
    seen = mirrored(picture, head_rows=30)
    assert torch.equal(seen[:, :30], picture[:, :30])
    assert (seen[:, 30:, 70:90] - picture[:, 30:, 70:90]).abs().mean() > 0.02
    for unchanged in (mirrored(picture, loose=0.0), mirrored(picture, loose=0.9 * LOOSE), mirrored(picture, most=0.0)):
        assert torch.equal(unchanged, picture)
    whole, half = (mirrored(picture, most=most) for most in (1.0, 0.5))
    torch.testing.assert_close(half, (whole + picture) / 2)


def test_where_there_is_too_little_cloth_beside_it_a_part_stays_as_it_is():
    picture = streaks(cloth(0.12, 0.1, 0.1))  # nearly as black as what is beyond the figure
    share = torch.zeros(1, HEIGHT, WIDTH)
    share[:, :, FROM - 10 : TO + 10] = 1
    share[:, :, [FROM - 10, TO + 9]] = 0.5
    assert torch.equal(mirrored(picture, share), picture * share)
    share[:, :, FROM - 40 :] = 1
    assert not torch.equal(mirrored(picture, share), picture * share)


def test_the_side_of_a_turned_body_is_cloth_and_a_face_is_not_doubled():
    size = (60, 256)
    front = torch.where(torch.arange(256) < 128, 0.0, 40.0).expand(size).contiguous()  # the right half is nearer
    picture = torch.rand(1, 60, 64, generator=torch.Generator().manual_seed(0)).repeat_interleave(4, 2) * 0.4 + 0.2

    def uncovered(yaw: float, head_ends: float = 0.0) -> float:
        layers = layers_of(box(2, 58, 60, 200, size), front, -5.0, front_colours=picture.expand(3, -1, -1))
        layers.head_ends = head_ends
        part = warp(layers, turned(yaw)).pixels[0, 0, 20:40, 134:146]
        return (part[:, 1:] - part[:, :-1]).abs().mean().item()

    assert uncovered(40) > 8 * uncovered(40, head_ends=50)
    assert MIRRORED_TO > 45 and uncovered(MIRRORED_TO - 1) > 8 * uncovered(NOT_MIRRORED + 1)
