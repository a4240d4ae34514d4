"""Shoes that the geometry network has missed, such as white ones on a white floor: what stands out from a plain floor where the legs end.

Pictures are uint8 sRGB, [H, W, 3]; coverage is float32 in [0, 1]. Lengths are shares of the figure's height.

Shape letters used in this file:
    H, W pixels
"""

import cv2
import numpy as np

from .matte import CLEAR, with_pieces


ABOVE, BELOW, BESIDE = 0.05, 0.09, 0.075
"""How far shoes reach above the end of a leg, below it, and to both sides of it."""

STRONG = 16.0
"""The gradient from which something may be an edge of a shoe, in units of CIE lightness (0 to 100) over the figure's 500th part."""

STRONGER = 2.2
"""How much stronger than most of the floor beside the feet, which may darken, an edge of a shoe must be."""

GAP = 0.014
"""Edges that are closer to each other enclose a part of the same shoe."""

FOUND = 0.3
"""The share of a shoe from which the network has not missed it; `matte` has found its edge then."""


def with_missed_shoes(photo: np.ndarray, coverage: np.ndarray) -> np.ndarray:
    """The coverage, with the shoes that it lacks; arguments as for `missed_shoes`."""
    return with_pieces(coverage, missed_shoes(photo, coverage))


def missed_shoes(photo: np.ndarray, coverage: np.ndarray) -> np.ndarray:
    """Where there are shoes that `coverage` may lack, bool, [H, W]. Nothing where the picture ends above the feet, or where the
    floor has edges as strong as those of a shoe.

    Args:
        photo: [H, W, 3].
        coverage: the figure without its shoes, or with parts of them, [H, W].
    """
    nothing = np.zeros(coverage.shape, bool)
    clear = coverage > CLEAR
    rows = np.flatnonzero(clear.any(1))
    if not len(rows):
        return nothing
    height = rows[-1] - rows[0]
    near = _around_the_ends_of_legs(clear, height)
    edges = _edges(photo, height)
    floor = near.any(1)[:, None] & ~near & ~clear  # on both sides of the feet
    if not floor.any():
        return nothing
    shoes = near & (edges > max(STRONG, STRONGER * np.quantile(edges[floor], 0.8)))
    side = lambda share: 2 * max(1, round(share * height / 2)) + 1  # noqa: E731
    disc = lambda share: cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side(share), side(share)))  # noqa: E731
    solid = (shoes | (clear & near)).astype(np.uint8)
    solid = cv2.morphologyEx(
        cv2.copyMakeBorder(solid, 50, 50, 50, 50, cv2.BORDER_CONSTANT), cv2.MORPH_CLOSE, disc(2 * GAP)
    )
    outlines, _ = cv2.findContours(solid, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    solid = cv2.drawContours(np.zeros_like(solid), outlines, -1, 1, cv2.FILLED)
    solid = cv2.morphologyEx(solid, cv2.MORPH_OPEN, disc(GAP / 2))[50:-50, 50:-50]
    _, labels = cv2.connectedComponents(solid)
    missed = nothing.copy()
    for label in np.unique(labels[(solid > 0) & clear]):  # only what hangs together with a leg
        shoe = (labels == label) & near
        if (clear & shoe).sum() < FOUND * shoe.sum():
            # A leg's own edge is no part of it, which leaves a thin stripe of the wall beside the leg.
            thick = cv2.morphologyEx((shoe & ~clear).astype(np.uint8), cv2.MORPH_OPEN, disc(GAP))
            missed |= shoe & ~clear & (cv2.dilate(thick, disc(GAP / 2)) > 0)
    return missed


def _around_the_ends_of_legs(clear: np.ndarray, height: int) -> np.ndarray:
    """Where shoes can be, around the lower end of each leg, bool, [H, W]."""
    above, below, beside = (round(share * height) for share in (ABOVE, BELOW, BESIDE))
    near = np.zeros_like(clear)
    last_rows = np.where(clear.any(0), clear.shape[0] - 1 - clear[::-1].argmax(0), -1)  # of each column
    bottom = last_rows.max()
    ends = (last_rows > bottom - 0.12 * height).astype(np.uint8)[None]
    _, labels, statistics, _ = cv2.connectedComponentsWithStats(ends)
    for label, (left, _, width, _, _) in enumerate(statistics[1:], start=1):
        end = last_rows[labels[0] == label].max()
        near[max(0, end - above) : end + below, max(0, left - beside) : left + width + beside] = True
    return near


def _edges(photo: np.ndarray, height: int) -> np.ndarray:
    """How quickly the lightness changes, in the units of `STRONG`, [H, W]."""
    lightness = cv2.cvtColor(photo.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)[..., 0]
    lightness = cv2.GaussianBlur(lightness, (0, 0), max(0.5, height / 500))
    return np.hypot(cv2.Sobel(lightness, -1, 1, 0), cv2.Sobel(lightness, -1, 0, 1)) * (height / 500)
