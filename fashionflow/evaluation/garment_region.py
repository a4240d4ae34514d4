"""Finds the garment in a picture: the figure, by its coverage or in front of a plain background, and the cloth in its middle.

Frames are uint8 RGB, [height, width, 3]; colours CIE Lab, float32 [height, width, 3].
"""

from dataclasses import dataclass

import cv2
import numpy as np

from ..photo.segmentation import covered


DIFFERENT = 8
"""Grey levels by which the figure differs from the background of its row. White cloth differs little from a white studio background."""
VERY_DIFFERENT = 24
"""Grey levels by which a shadow on the floor seldom differs from the background."""

SMALLEST_SHARE = 0.01
"""The smallest share of the picture that a figure covers."""

NECKLINE = 0.2
"""Where the garment begins, as a share of the figure's height: below the head and most necklines, and on a hanger still on the cloth."""
CHEST = (0.22, 0.45)
"""The part of the figure's height that is certainly garment: under the neckline and above the hands. Everything below that continues in
the same colours belongs to the garment."""
MIDDLE = 0.6
"""The share of the figure's width, around its middle, that remains when the arms hang at the sides."""


@dataclass(frozen=True)
class Figure:
    """A figure from row `top` to the row before `bottom`. `left` and `right` are its ends in every row of the picture, [height], and NaN
    in rows without the figure. `mask` marks the pixels of the figure, bool [height, width]."""

    top: int
    bottom: int
    left: np.ndarray
    right: np.ndarray
    mask: np.ndarray

    @property
    def height(self) -> int:
        return self.bottom - self.top

    def row(self, share: float) -> int:
        """The row at a share of the figure's height, from its top."""
        return self.top + int(share * self.height)


def find_figure(frame: np.ndarray, coverage: np.ndarray | None = None) -> Figure | None:
    """The figure in front of the background; `None` if there is none.

    Args:
        frame: uint8 RGB, [height, width, 3].
        coverage: where a model with geometry sees the figure, in [0, 1], at any size, [h, w]. Without it the figure consists of the
            pixels that differ from the background, which is taken row by row from the picture's left and right borders.
    """
    if coverage is not None:
        mask = covered(coverage, frame.shape[:2]) > 0
        rows = np.flatnonzero(mask.sum(axis=1) > 2)
    else:
        mask, rows = _by_colour(frame)
    if mask.mean() < SMALLEST_SHARE or len(rows) < 10:
        return None
    left = np.where(mask.any(axis=1), mask.argmax(axis=1), np.nan)
    right = np.where(mask.any(axis=1), mask.shape[1] - mask[:, ::-1].argmax(axis=1), np.nan)
    return Figure(int(rows[0]), int(rows[-1]) + 1, left, right, mask)


def _by_colour(frame: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The pixels that differ from the background, bool [height, width], and the rows from the figure's head to its feet, [N]."""
    margin = max(2, frame.shape[1] // 40)
    borders = np.concatenate([frame[:, :margin], frame[:, -margin:]], axis=1)
    background = np.median(borders, axis=1).astype(np.uint8)  # [height, 3]
    difference = cv2.absdiff(frame, np.broadcast_to(background[:, None], frame.shape)).max(axis=-1)
    mask = (difference > DIFFERENT).astype(np.uint8)
    mask = cv2.morphologyEx(mask, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    mask = cv2.morphologyEx(mask, cv2.MORPH_CLOSE, np.ones((7, 7), np.uint8))
    _, labels, statistics, _ = cv2.connectedComponentsWithStats(mask)
    areas = statistics[:, cv2.CC_STAT_AREA].copy()
    areas[0] = 0  # the background
    mask = (areas >= max(1, areas.max() / 10))[labels]
    rows = np.flatnonzero(mask.sum(axis=1) > 2)
    # Shadows on the floor differ little from the background. If head and shoes differ more, they are the ends of the figure.
    clear = np.flatnonzero((mask & (difference > VERY_DIFFERENT)).sum(axis=1) > 2)
    if len(clear) and np.ptp(clear) > 0.7 * np.ptp(rows):
        rows = clear
    return mask, rows


def garment_region(
    shape: tuple[int, ...], figure: Figure | None, top: float, bottom: float, share: float = MIDDLE
) -> np.ndarray:
    """The middle of a figure between two shares of its height, `share` of its width, bool [height, width]."""
    region = np.zeros(shape[:2], dtype=bool)
    if figure is None:
        return region
    rows = slice(figure.row(top), figure.row(bottom))
    left, right = figure.left[rows, None], figure.right[rows, None]
    columns = np.arange(shape[1])
    with np.errstate(invalid="ignore"):
        region[rows] = np.abs(columns + 0.5 - (left + right) / 2) <= (right - left) / 2 * share
    return region


def garment_bottom(lab: np.ndarray, figure: Figure | None) -> float:
    """Where the garment on the chest ends, as a share of the figure's height: below it, its colours no longer fill half of a row."""
    start = CHEST[1]
    chest = lab[garment_region(lab.shape, figure, *CHEST)]
    if not len(chest):
        return start
    colours = chest[:: max(1, len(chest) // 200)]  # [N, 3]
    middle = garment_region(lab.shape, figure, start, 1.0)
    for share in np.arange(start, 0.97, 0.02):
        row = figure.row(share)
        pixels = lab[row, middle[row]]  # [n, 3]
        nearest = np.linalg.norm(pixels[:, None] - colours, axis=-1).min(axis=1)
        if (nearest < 8).mean() < 0.5 if len(pixels) else True:
            return float(share)
    return 0.97
