"""Continues a turned figure's cloth where the photo shows it only from the side: by the mirror image of the cloth beside it.

Turned, the steep sides of a body come to the front, where a few columns of the photo are spread over many of the frame. What is drawn
there has the right colours, but its folds and prints become streaks. The mirror image of what is beside it goes on without a seam, and
looks like cloth.

Shape letters used in this file:
    R rows   N columns of the frame   P pixels that are continued   r, n rows and columns of `COARSE` by `COARSE` pixels
"""

import torch
import torch.nn.functional as F

from .segments import columns_beside


LOOSE = 0.3
"""Share of uncertain pixels around one up to which it stays as it is; it is replaced where there are twice as many."""

NEAR = 9
"""Rows and columns over which that share is taken."""

BETTER = 0.02
"""By so much more alike one side must be than the other to be most of what is seen."""

ALIKE, UNLIKE = 0.07, 0.14
"""Difference of two mean colours, in [0, 1], hue more than lightness: up to the one two parts are of the same cloth, from the other on they
are not."""

COARSE = 4
"""Colours are compared in pixels of so many rows and columns."""

ROWS, COLUMNS = 11, 21
"""Coarse rows and columns over which they are compared."""


def with_mirrored_cloth(
    colours: torch.Tensor, share: torch.Tensor, loose: torch.Tensor, head_rows: int, most: float
) -> torch.Tensor:
    """The figure's colours, multiplied by their share of the pixel, with mirrored cloth where they are uncertain and there is cloth like
    them on the left or on the right, [3, R, N].

    Args:
        colours: of the drawn figure, multiplied by their share of the pixel, [3, R, N].
        share: of each pixel that the figure covers, [1, R, N].
        loose: the part of the figure's pixels that is uncertain, in [0, 1], [1, R, N].
        head_rows: how many of the rows, from above, show the head; a face has no mirror image.
        most: how much of what is uncertain is replaced, in [0, 1].
    """
    around = mean_around(loose, NEAR)[0]  # [R, N]
    around[:head_rows] = 0
    inside = (around > LOOSE) & (share[0] > 0)
    places = torch.nonzero(inside.flatten())[:, 0]  # [P]
    if not len(places):
        return colours
    sound = (share[0] > 0.99) & ~inside
    at = lambda values: values.flatten(-2).index_select(-1, places)  # noqa: E731
    drawn, covered = at(colours), at(share)  # [3, P], [1, P]
    drawn = drawn / covered.clamp(min=1e-4)
    cloth, found, difference, alike = [], [], [], []
    # In a mirror that stands before the first column of a part, or behind its last one.
    for beside, step in zip(columns_beside(inside, -1, inside.shape[1]), (1, -1), strict=True):
        image, has_image = _mirror_image(colours, sound, places, at(2 * beside + step))
        cloth.append(image)
        found.append(has_image)
        compared = _comparison(image - drawn, has_image, places, inside.shape)
        apart, same = (at(F.interpolate(coarse, inside.shape, mode="bilinear")[0, 0]) for coarse in compared)
        difference.append(apart)
        alike.append(same)
    cloth, found, difference, alike = (torch.stack(part) for part in (cloth, found, difference, alike))
    # The side that is more like what is drawn there is taken; where both are, they pass into each other.
    weights = torch.softmax(-difference / BETTER, 0) * found  # [2, P]
    weights = weights / weights.sum(0).clamp(min=1e-4)
    cloth = (weights[:, None] * cloth).sum(0) * covered  # [3, P]
    instead = most * (weights * alike).sum(0) * (at(around) / LOOSE - 1).clamp(0, 1)
    mixed = colours.flatten(1).index_copy(1, places, torch.lerp(at(colours), cloth, instead))
    return mixed.view_as(colours)


def _mirror_image(
    colours: torch.Tensor, sound: torch.Tensor, places: torch.Tensor, mirrors: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """What is on one side of the uncertain parts, mirrored into them, [3, P], and where there is any, [P].

    Args:
        colours: of the figure, [3, R, N].
        sound: which pixels can be mirrored, bool [R, N].
        places: the pixels of the parts, row by row, [P].
        mirrors: the sum of the columns of each pixel and its mirror image, [P].
    """
    width = sound.shape[1]
    column = places % width
    source = mirrors - column
    there = (source >= 0) & (source < width)
    source = places - column + source.clamp(0, width - 1)
    return colours.flatten(1).index_select(1, source), sound.flatten().index_select(0, source) & there


def _comparison(
    difference: torch.Tensor, found: torch.Tensor, places: torch.Tensor, size: tuple[int, int]
) -> tuple[torch.Tensor, torch.Tensor]:
    """How much mirrored colours differ from those drawn there, and to what extent they are of the same cloth, in [0, 1]; [1, 1, r, n] each.

    It is the mean over a neighbourhood, because a stripe is not where its mirror image is.

    Args:
        difference: of the colours, [3, P].
        found: where there are mirrored colours, [P].
        places: the pixels, row by row, [P].
        size: rows and columns, R and N.
    """
    rows, columns = (-(-length // COARSE) for length in size)
    coarse = places // size[1] // COARSE * columns + places % size[1] // COARSE
    values = torch.cat([difference * found, found[None].float(), torch.ones_like(found)[None].float()])  # [5, P]
    sums = values.new_zeros(5, rows * columns).index_add_(1, coarse, values).view(1, 5, rows, columns)
    sums = F.avg_pool2d(sums, (ROWS, 1), stride=1, padding=(ROWS // 2, 0))
    sums = F.avg_pool2d(sums, (1, COLUMNS), stride=1, padding=(0, COLUMNS // 2))
    red, green, blue, weight, all_pixels = sums.split(1, 1)  # [1, 1, r, n] each
    red, green, blue = (part / weight.clamp(min=1e-4) for part in (red, green, blue))
    apart = (red + green + blue).abs() / 9 + (red - green).abs() + (green - blue).abs() / 2
    found = (weight / all_pixels.clamp(min=1e-4)).clamp(0, 1)
    return apart, ((UNLIKE - apart) / (UNLIKE - ALIKE)).clamp(0, 1) * (2 * found - 0.5).clamp(0, 1)


def mean_around(values: torch.Tensor, size: int) -> torch.Tensor:
    """The mean over `size` rows and columns around each pixel, an odd number; [1, R, N] and the same."""
    values = F.pad(values, (size // 2,) * 4, mode="replicate")
    return F.avg_pool2d(F.avg_pool2d(values, (size, 1), stride=1), (1, size), stride=1)
