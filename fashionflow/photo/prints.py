"""Removes the prints from a garment, because the prints on the front of a garment are seldom on its back.

Shape letters used in this file:
    H, W pixels   K colours
"""

import cv2
import numpy as np

from .background_plate import background_plate, filled
from .matte import CLEAR
from .segmentation import common_colours, squared_distances


NUM_COLOURS = 6
"""The number of colours by which a figure's pixels are sorted."""

CLOTH_SHARE = 0.2
"""The minimum share of the figure that one colour must cover to count as a cloth that may have prints."""

LARGEST_PRINT = 0.35
"""The largest share of a cloth that all its enclosed parts together may cover; a pattern covers more, and continues on the back."""

GRAIN = 8.0
"""The cloth's detail, up to this many grey levels, is continued where a print was."""


SURROUNDINGS = 24.0
"""The width of the cloth around the prints that is used, pixels of a photo 256 wide."""


def without_prints(colours: np.ndarray, coverage: np.ndarray) -> np.ndarray:
    """A figure's colours, uint8 [H, W, 3], without everything that lies wholly within a plain cloth: letters, logos, buttons, a hand.

    Stripes, checks and other patterns stay, because they reach the cloth's edge or cover too much of it.

    Args:
        colours: uint8 sRGB, [H, W, 3].
        coverage: share of each pixel that the figure covers, float32 in [0, 1], [H, W].
    """
    figure = coverage > CLEAR
    if not figure.any():
        return colours
    labels, num_colours = _sorted_by_colour(colours, figure)
    scale = colours.shape[1] / 256
    enclosed = np.zeros(coverage.shape, np.uint8)
    for label in range(num_colours):
        cloth = labels == label
        if cloth.sum() < CLOTH_SHARE * figure.sum():
            continue
        # Folds and grain make gaps in a cloth that is in one piece.
        size = 2 * round(0.5 * scale) + 1
        own = cloth
        cloth = cv2.morphologyEx(cloth.astype(np.uint8), cv2.MORPH_CLOSE, np.ones((size, size), np.uint8))
        _, parts, statistics, _ = cv2.connectedComponentsWithStats(cloth)
        cloth = (parts == 1 + statistics[1:, cv2.CC_STAT_AREA].argmax()).astype(np.uint8)
        holes = _holes(cloth, figure)
        if 0 < holes.sum() < LARGEST_PRINT * cloth.sum():
            # Include the fine strokes beside them, which were closed as if they were gaps.
            near = cv2.dilate(holes, np.ones((2 * round(5 * scale) + 1,) * 2, np.uint8))
            enclosed |= holes | (near & cloth & ~own)
    if not enclosed.any():
        return colours
    rows, columns = (np.flatnonzero(enclosed.any(axis)) for axis in (1, 0))
    margin = round(SURROUNDINGS * scale)
    region = tuple(slice(max(0, places[0] - margin), places[-1] + margin + 1) for places in (rows, columns))
    result = colours.copy()
    result[region] = _without_enclosed(colours[region], enclosed[region], figure[region], colours.shape[1])
    return result


def _without_enclosed(colours: np.ndarray, enclosed: np.ndarray, figure: np.ndarray, whole_width: int) -> np.ndarray:
    """Colours in which the enclosed parts, uint8 [H, W], look like the cloth around them."""
    plain, known = background_plate(colours, enclosed.astype(np.float32), whole_width)
    # The grain continues, but the remains of a letter's edge do not.
    smooth = filled(colours.astype(np.float32), known * figure)
    plain = smooth + np.clip(plain - smooth, -GRAIN, GRAIN)
    taken = cv2.dilate(enclosed, np.ones((2 * round(whole_width / 256) + 1,) * 2, np.uint8))[..., None] > 0
    return np.where(taken, plain.round().clip(0, 255), colours).astype(np.uint8)


def _sorted_by_colour(colours: np.ndarray, figure: np.ndarray) -> tuple[np.ndarray, int]:
    """The index of the nearest of the figure's most common colours, -1 outside the figure, [H, W]; and the number of these colours, K."""
    lab = cv2.cvtColor(cv2.GaussianBlur(colours, (0, 0), 1).astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    lab *= np.array([0.6, 1, 1], np.float32)  # less weight for lightness, because folds are lighter and darker
    samples = lab[figure]
    samples = samples[:: max(1, len(samples) // 5000)]
    centres = _merged(common_colours(samples, NUM_COLOURS))
    return np.where(figure, squared_distances(lab, centres).argmin(-1), -1), len(centres)


def _merged(centres: np.ndarray, nearest: float = 12.0) -> np.ndarray:
    """The colours, [K, 3], without those that are nearer than `nearest` to an earlier one."""
    kept: list[np.ndarray] = []
    for centre in centres:
        if all(np.linalg.norm(centre - other) >= nearest for other in kept):
            kept.append(centre)
    return np.stack(kept)


def _holes(cloth: np.ndarray, figure: np.ndarray) -> np.ndarray:
    """The parts of the figure that a cloth, uint8 [H, W], encloses on all sides, uint8 [H, W]; the photo's edge encloses nothing."""
    rest = np.pad((cloth == 0).astype(np.uint8), 1, constant_values=1)
    _, parts = cv2.connectedComponents(rest, connectivity=8)
    inside = (parts != parts[0, 0])[1:-1, 1:-1] & (cloth == 0)
    # A hole that shows the background stays a hole.
    _, parts = cv2.connectedComponents(inside.astype(np.uint8), connectivity=8)
    through = np.unique(parts[inside & ~figure])
    return (inside & ~np.isin(parts, through)).astype(np.uint8)
