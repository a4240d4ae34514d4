"""Finds the reason why a figure cannot be turned well, for a figure that a model with geometry sees in a photo.

Pictures are uint8 sRGB, [height, width, 3]; masks are uint8 0 or 1, [height, width].
"""

import cv2
import numpy as np

from .head import is_skin
from .segmentation import UNSURE, blurriness, covered


OBSTACLES = {
    "no-figure": "no-garment",
    "several": "several",
    "fills": "cut-off",
    "drawing": "no-garment",
    "unclear": "busy-background",
}
"""The possible results of `obstacle`, and the kind of advice for each."""

# Chosen on 330 photos of garments taken at home, 20 of people, the example photos, and pictures made to fail.
LEAST_FIGURE = 0.02  # the minimum share of the crop that a figure covers
FILLED, FILLED_EDGES = 0.8, 0.4  # shares of the crop and of all its edges above which a garment fills it
ANOTHER = 0.35  # share of the largest area above which a second figure is another person or garment; also for heads
HEADS = 0.16  # share of the figures' height, from the top, in which heads are
HEAD_AREA = 0.012  # the minimum share of the figures' area
HEAD_WIDTH = 0.4, 1.6  # the minimum and maximum of a head's width, as shares of its height
HEAD_SKIN = 0.5  # the minimum share of a head; hair has colours of skin, too
PAPER = 6.0  # CIE Lab units within which a figure has the background's colour
PAPER_SHARE = 0.8  # share of a figure in this colour: a drawing has all of it, no photo more than half
LINE = 9  # pixels, wider than a drawing's lines in a picture of 450 to 900
LEAST_LINES = 0.01  # share of a figure and its surroundings; pale cloth on a pale background has no lines


def obstacle(
    picture: np.ndarray, figure: np.ndarray, seen: tuple[slice, slice], coverage: np.ndarray, larger: np.ndarray
) -> str | None:
    """A key of `OBSTACLES`, or `None` for a figure that can be turned.

    Args:
        picture, figure: the photo, about 112 pixels large, and the figure's mask in it.
        seen: the crop's rows and columns there.
        coverage: the coverage from which the mask was made, in [0, 1], of any size, [h, w].
        larger: the photo again, 450 to 900 pixels large.
    """
    picture, figure = picture[seen], np.ascontiguousarray(figure[seen])
    if not figure.size or figure.mean() < LEAST_FIGURE:
        return "no-figure"
    pieces = cv2.connectedComponentsWithStats(figure)[2][1:, cv2.CC_STAT_AREA]
    if _alike(pieces) > 1 or _heads(picture, figure) > 1:
        return "several"
    edges = np.mean([edge.mean() for edge in (figure[0], figure[-1], figure[:, 0], figure[:, -1])])
    if figure.mean() > FILLED and edges > FILLED_EDGES:
        return "fills"
    if _is_drawn(larger, covered(coverage, larger.shape[:2])):
        return "drawing"
    return "unclear" if blurriness(coverage) > UNSURE else None


def piece_in(figure: np.ndarray, seen: tuple[slice, slice]) -> np.ndarray:
    """The piece of a mask that fills most of a crop; the whole mask if the crop shows no piece. Other people are not part of the clip."""
    _, labels = cv2.connectedComponents(figure)
    areas = np.bincount(labels[seen].ravel(), minlength=2)[1:]
    return (labels == 1 + areas.argmax()).astype(np.uint8) if areas.any() else figure


def _alike(areas: np.ndarray) -> int:
    """The number of areas, [N], that are not much smaller than the largest."""
    return int((areas > ANOTHER * areas.max(initial=0)).sum())


def _heads(picture: np.ndarray, figure: np.ndarray) -> int:
    """The number of heads side by side, even of people who stand so close that they are one figure."""
    rows = np.flatnonzero(figure.any(axis=1))
    upper = slice(rows[0], rows[0] + 1 + round(HEADS * len(rows)))
    _, labels, statistics, _ = cv2.connectedComponentsWithStats(figure[upper])
    skin = is_skin(picture[upper])
    heads = []
    for label, (_, _, width, height, area) in enumerate(statistics[1:], start=1):
        is_shaped = HEAD_WIDTH[0] < width / height < HEAD_WIDTH[1] and area > HEAD_AREA * figure.sum()
        if is_shaped and skin[labels == label].mean() > HEAD_SKIN:
            heads.append(area)
    return _alike(np.array(heads))


def _is_drawn(picture: np.ndarray, figure: np.ndarray) -> bool:
    """Whether a figure is drawn in dark lines: without the lines, it has the colour of the plain background."""
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (LINE, LINE))
    ground, inside = cv2.dilate(figure, disc, iterations=2) == 0, cv2.erode(figure, disc) > 0
    if not ground.any() or not inside.any():
        return False
    with_lines, without = (
        cv2.cvtColor(pixels.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
        for pixels in (picture, cv2.morphologyEx(picture, cv2.MORPH_CLOSE, disc))
    )
    if (np.linalg.norm(with_lines - without, axis=-1) > PAPER)[~ground].mean() < LEAST_LINES:
        return False
    paper = np.median(without[ground], axis=0)
    return all(
        (np.linalg.norm(colours - paper, axis=-1) < PAPER).mean() > PAPER_SHARE
        for colours in (with_lines[ground], without[inside])
    )
