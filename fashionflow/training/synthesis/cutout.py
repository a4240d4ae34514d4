"""Cuts a garment out of a photo without a trained network: GrabCut seeded by the colours at the photo's border.

Pictures are uint8 sRGB, [height, width, 3]; coverage is float32 in [0, 1], [height, width], 1 where the garment is.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from PIL import Image

from ...photo.segmentation import (
    cleaned,
    continued,
    coordinates,
    cut,
    difference_from_border,
    middle,
    outline_contrast,
    shrunk,
    split,
)


LONG_SIDE = 384  # pixels; a 320-pixel-high frame needs no more, and GrabCut's time grows with the area
SMALL_SIDE = 224  # pixels, the size at which the two searches for the garment are compared
EDGE_SOFTNESS = 0.8  # pixels, the standard deviation of the coverage's edge


@dataclass(frozen=True)
class Cutout:
    """A garment cut out of its photo.

    Args:
        picture: the photo, uint8 sRGB, [height, width, 3].
        colours: the garment's colours, continued beyond its edge so that no background shines through there, same shape.
        coverage: where the garment is, float32 in [0, 1], [height, width].
    """

    picture: np.ndarray
    colours: np.ndarray
    coverage: np.ndarray


def cut_out(photo: Image.Image) -> Cutout:
    """Cuts out the garment of a photo that shows one garment on a different background.

    Args:
        photo: any size; a larger one is shrunk to `LONG_SIDE` pixels.

    Raises:
        ValueError: if no garment can be separated from its surroundings.
    """
    picture = np.asarray(shrunk(photo.convert("RGB"), LONG_SIDE))
    mask = _search(picture)
    _check(picture, mask)
    inner = cv2.erode(mask, np.ones((3, 3), np.uint8), iterations=2, borderType=cv2.BORDER_REFLECT)
    coverage = cv2.GaussianBlur(mask.astype(np.float32), (0, 0), EDGE_SOFTNESS, borderType=cv2.BORDER_REFLECT)
    return Cutout(picture, continued(picture, inner.astype(bool)), coverage)


def _search(picture: np.ndarray) -> np.ndarray:
    """The garment's mask, uint8 0 or 1, [height, width].

    Two searches with different starts must agree. In a clear photo they do, and in an unclear photo they seldom do.
    """
    height, width = picture.shape[:2]
    scale = min(1.0, SMALL_SIDE / max(height, width))
    small = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    difference = difference_from_border(small)
    threshold = split(difference)
    rows, columns = coordinates(*small.shape[:2])
    by_colour = difference * (0.4 + middle(rows, columns)) > threshold * 0.75
    by_place = np.maximum(abs(columns), abs(rows)) < 0.8
    first, second = (_grab(small, start, difference, threshold) for start in (by_colour, by_place & (difference > 6)))
    union = (first | second).sum()
    if union == 0 or (first & second).sum() < 0.85 * union:
        raise ValueError(
            "The garment cannot be told from its background; use a photo of one garment on a plain ground."
        )
    both = cv2.resize(first, (width, height), interpolation=cv2.INTER_LINEAR)
    # The small mask is refined at full size in a band along its edge.
    band = np.ones((5, 5), np.uint8)
    start = np.where(both > 0, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
    start[cv2.erode(both, band, iterations=2, borderType=cv2.BORDER_REFLECT) > 0] = cv2.GC_FGD
    start[cv2.dilate(both, band, iterations=2) == 0] = cv2.GC_BGD
    return cleaned(cut(picture, start, 2))


def _grab(picture: np.ndarray, probable: np.ndarray, difference: np.ndarray, threshold: float) -> np.ndarray:
    start = np.where(probable, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
    edge = np.ones(start.shape, bool)
    edge[3:-3, 3:-3] = False
    start[edge & (difference < threshold)] = cv2.GC_BGD
    return cleaned(cut(picture, start, 5))


def _check(picture: np.ndarray, mask: np.ndarray) -> None:
    """Raises a ValueError, with a sentence for the photo's owner, if the mask is not a plausible garment."""
    height, width = mask.shape
    area = mask.mean()
    if not 0.1 < area < 0.75:
        raise ValueError(f"The garment found covers {area:.0%} of the photo; it should cover 10 % to 75 %.")
    sides = {"left": mask[:, 0], "right": mask[:, -1], "top": mask[0], "bottom": mask[-1]}
    touching = [name for name, line in sides.items() if line.mean() > 0.06]
    if touching:
        raise ValueError(f"The garment runs out of the photo ({', '.join(touching)}); show all of it.")
    points = cv2.findNonZero(mask)
    hull = cv2.contourArea(cv2.convexHull(points))
    solidity = mask.sum() / max(hull, 1)
    _, _, box_width, box_height = cv2.boundingRect(points)
    if solidity < 0.62 or box_height < 0.4 * height or not 0.3 < box_width / box_height < 2.2:
        raise ValueError(
            "What was found in the photo is not shaped like a garment; use a photo of one garment spread out."
        )
    # The colours must change along the outline; otherwise the outline is a guess.
    if (outline_contrast(picture, mask, 5) > 8).mean() < 0.7:
        raise ValueError("The garment has nearly the colour of its background; use a ground of another colour.")
