"""Rows of pixels that are bent: the segment that every pixel of the frame takes, and a row's colours at places between its pixels.

Shape letters used in this file:
    R rows   S columns of what is drawn   N columns of the frame   P pixels of the frame where something is   C channels
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F


EMPTY = -1
"""Where no segment covers a pixel's middle."""


@dataclass
class Segments:
    """What was found for the pixels of the frame where there is something, or beside it, [P] each but for the last.

    Args:
        places: the pixels, row by row.
        row: of each.
        left: number of the segment: that of the sheet's pixel at its left end.
        share: how far along the segment.
        depth: how near it is, pixels.
        stretch: how long the segment is, pixels.
        runs_away: 1 where the segment's right end is the farther one, else 0.
        found: whether there is one; beside it, where there is none, it goes on.
        everywhere: the same for every pixel, [R, N].
    """

    places: torch.Tensor
    row: torch.Tensor
    left: torch.Tensor
    share: torch.Tensor
    depth: torch.Tensor
    stretch: torch.Tensor
    runs_away: torch.Tensor
    found: torch.Tensor
    everywhere: torch.Tensor


def nearest_segments(place: torch.Tensor, depth: torch.Tensor, covered: torch.Tensor, width: int) -> Segments:
    """For the middle of every pixel of the frame, the nearest segment of its row that covers it and runs to the right.

    Args:
        place: columns of the frame that the row's pixels are taken to, [R, S].
        depth: how near they are then, pixels, [R, S].
        covered: which of the row's pixels belong to the figure, bool [R, S].
        width: of the frame, N.
    """
    num_rows, length = place.shape
    # The pixels whose middle a segment covers: neighbours share an end, so none is left out and none is covered twice.
    first, end = ((place - 0.5).ceil().clamp(0, width).long()[:, part] for part in (slice(-1), slice(1, None)))
    count = ((end - first).clamp(min=0) * (covered[:, :-1] | covered[:, 1:])).flatten()
    segment = torch.repeat_interleave(count)  # once for every pixel that it covers
    earlier = count.cumsum(0) - count
    column = (first.flatten() - earlier).index_select(0, segment) + torch.arange(len(segment), device=place.device)
    row = segment // (length - 1)
    left = segment - row * (length - 1)
    ends = row * length + left
    ends = [
        (line.flatten().index_select(0, ends), line.flatten().index_select(0, ends + 1)) for line in (place, depth)
    ]
    level = _along(*ends, column)[2]
    best = torch.full((num_rows, width), EMPTY, dtype=torch.int32, device=place.device)
    if len(segment):
        # Nearness and number in one whole number, so that the largest wins; 2 ** 19 steps of nearness are some 400 a pixel.
        level = (level - level.min()) / (level.max() - level.min()).clamp(min=1e-3)
        steps = 2**30 // length
        key = (level * (steps - 1)).int() * length + left.int()
        best.view(-1).scatter_reduce_(0, row * width + column, key, "amax")
    found = best > EMPTY
    # What was not found takes what is beside it, for the soft edge.
    before, after = F.pad(found[:, :-1], (1, 0)), F.pad(found[:, 1:], (0, 1))
    places = torch.nonzero((found | before | after).flatten())[:, 0]
    found_here, before = (part.flatten().index_select(0, places) for part in (found, before))
    beside = torch.where(found_here, 0, torch.where(before, -1, 1))
    left = best.flatten().index_select(0, places + beside).long() % length
    row = places // width
    ends = row * length + left
    ends = [
        (line.flatten().index_select(0, ends), line.flatten().index_select(0, ends + 1)) for line in (place, depth)
    ]
    share, stretch, level = _along(*ends, places - row * width)
    runs_away = (ends[1][1] < ends[1][0]).float()
    return Segments(places, row, left, share, level, stretch, runs_away, found_here, found)


def columns_beside(inside: torch.Tensor, left: int, right: int) -> tuple[torch.Tensor, torch.Tensor]:
    """For each pixel, the last column before it and the first one after it in its row that are not inside, itself if it is not, int32
    [R, N] each.

    Args:
        inside: bool [R, N].
        left, right: what stands for a column that there is not.
    """
    columns = torch.arange(inside.shape[1], dtype=torch.int32, device=inside.device).expand_as(inside)
    before = torch.where(inside, left, columns).cummax(1).values
    after = torch.where(inside, right, columns).flip(1).cummin(1).values.flip(1)
    return before, after


def _along(
    place: tuple[torch.Tensor, torch.Tensor], depth: tuple[torch.Tensor, torch.Tensor], column: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """How far along segments the middles of pixels are, in [0, 1], how long these are, and how near there.

    Args:
        place, depth: of the segments' left and right ends.
        column: of the pixel in each.
    """
    start, end = place
    length = (end - start).clamp(min=1e-4)
    share = ((column + 0.5 - start) / length).clamp(0, 1)
    return share, length, torch.lerp(*depth, share)


def look_up(picture: torch.Tensor, row: torch.Tensor, source: torch.Tensor) -> torch.Tensor:
    """A picture's colours at places along its rows, by cubic interpolation (Catmull-Rom), [C, P].

    Args:
        picture: with one pixel more on the left and two on the right, [C, R, S + 3].
        row, source: of each place, [P]; columns are counted from the middle of the first pixel, without the one more.
    """
    left = source.floor()
    t = source - left
    weights = (
        ((-0.5 * t + 1) * t - 0.5) * t,
        (1.5 * t - 2.5) * t * t + 1,
        ((-1.5 * t + 2) * t + 0.5) * t,
        (0.5 * t - 0.5) * t * t,
    )
    index = row * picture.shape[2] + left.long()
    picture = picture.flatten(1)
    total = weights[0] * picture.index_select(1, index)
    for offset in (1, 2, 3):
        total.addcmul_(weights[offset], picture.index_select(1, index + offset))
    return total.clamp_(0, 1)
