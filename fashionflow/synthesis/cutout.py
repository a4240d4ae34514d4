"""Cuts a garment out of a photo, without a learnt network: GrabCut seeded by the colours at the photo's border.

Pictures are uint8 sRGB, [height, width, 3]; coverage is float32 in [0, 1], [height, width], 1 where the garment is.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from PIL import Image


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
    """The garment of a photo that shows one garment on something else.

    Args:
        photo: any size; a larger one is shrunk to `LONG_SIDE` pixels.

    Raises:
        ValueError: if no garment can be told from what is around it.
    """
    picture = np.asarray(_shrunk(photo.convert("RGB"), LONG_SIDE))
    mask = _search(picture)
    _check(picture, mask)
    inner = cv2.erode(mask, np.ones((3, 3), np.uint8), iterations=2, borderType=cv2.BORDER_REFLECT)
    coverage = cv2.GaussianBlur(mask.astype(np.float32), (0, 0), EDGE_SOFTNESS, borderType=cv2.BORDER_REFLECT)
    return Cutout(picture, continued(picture, inner.astype(bool)), coverage)


def continued(picture: np.ndarray, known: np.ndarray) -> np.ndarray:
    """The picture with every pixel outside `known` (bool, [height, width]) in the colour of the nearest known one,
    softened a little so that the continuation shows no rays."""
    _, labels = cv2.distanceTransformWithLabels(
        (~known).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_PIXEL
    )
    colour_of_label = np.zeros((labels.max() + 1, 3), np.uint8)
    colour_of_label[labels[known]] = picture[known]
    filled = cv2.GaussianBlur(colour_of_label[labels], (0, 0), 1.5)
    return np.where(known[..., None], picture, filled)


def _shrunk(photo: Image.Image, long_side: int) -> Image.Image:
    scale = min(1.0, long_side / max(photo.size))
    return photo.resize([max(1, round(side * scale)) for side in photo.size], Image.LANCZOS)


def _search(picture: np.ndarray) -> np.ndarray:
    """The garment's mask, uint8 0 or 1, [height, width].

    Two searches with different starts must agree: where a photo is clear they do, and where it is not they seldom do.
    """
    height, width = picture.shape[:2]
    scale = min(1.0, SMALL_SIDE / max(height, width))
    small = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    difference = _difference_from_border(small)
    rows, columns = np.mgrid[0 : small.shape[0], 0 : small.shape[1]]
    rows, columns = rows / (small.shape[0] - 1) * 2 - 1, columns / (small.shape[1] - 1) * 2 - 1
    centre = np.exp(-(columns**2 + 0.6 * rows**2) * 1.2)
    threshold = cv2.threshold(np.clip(difference * 4, 0, 255).astype(np.uint8), 0, 255, cv2.THRESH_OTSU)[0] / 4
    by_colour = difference * (0.4 + centre) > threshold * 0.75
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
    return _cleaned(_cut(picture, start, 2))


def _difference_from_border(picture: np.ndarray) -> np.ndarray:
    """How far each pixel's colour is from all the colours common at the border, in CIE Lab units, [height, width]."""
    lab = cv2.cvtColor(picture.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    lab = cv2.GaussianBlur(lab, (0, 0), 1.2)
    strip = max(2, round(0.04 * max(picture.shape)))
    border = np.concatenate(
        [part.reshape(-1, 3) for part in (lab[:, :strip], lab[:, -strip:], lab[:strip], lab[-strip // 2 :])]
    )
    criteria = (cv2.TERM_CRITERIA_EPS + cv2.TERM_CRITERIA_MAX_ITER, 20, 0.5)
    cv2.setRNGSeed(0)
    _, labels, centres = cv2.kmeans(border, min(5, len(border)), None, criteria, 1, cv2.KMEANS_PP_CENTERS)
    common = np.bincount(labels.ravel(), minlength=len(centres)) > 0.08 * len(border)
    # Lightness counts half: shadows on the ground are no garment.
    weights = np.array([0.5, 1, 1], np.float32)
    distances = [np.linalg.norm((lab - centre) * weights, axis=-1) for centre in centres[common]]
    return np.min(distances, axis=0)


def _grab(picture: np.ndarray, probable: np.ndarray, difference: np.ndarray, threshold: float) -> np.ndarray:
    start = np.where(probable, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
    edge = np.ones(start.shape, bool)
    edge[3:-3, 3:-3] = False
    start[edge & (difference < threshold)] = cv2.GC_BGD
    return _cleaned(_cut(picture, start, 5))


def _cut(picture: np.ndarray, start: np.ndarray, iterations: int) -> np.ndarray:
    if not ((start & 1) == 1).any() or not ((start & 1) == 0).any():
        raise ValueError("No garment was found; use a photo of one garment on a ground of another colour.")
    cv2.setRNGSeed(0)
    cv2.grabCut(picture, start, None, np.zeros((1, 65)), np.zeros((1, 65)), iterations, cv2.GC_INIT_WITH_MASK)
    return (start & 1).astype(np.uint8)


def _cleaned(mask: np.ndarray) -> np.ndarray:
    """The largest piece of a mask, its outline smoothed and its small holes filled."""
    size = max(3, round(max(mask.shape) * 0.012) | 1)
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size))
    mask = cv2.morphologyEx(mask, cv2.MORPH_OPEN, disc)
    mask = cv2.morphologyEx(mask, cv2.MORPH_CLOSE, disc)
    _, labels, statistics, _ = cv2.connectedComponentsWithStats(mask)
    if len(statistics) > 1:
        mask = (labels == 1 + statistics[1:, cv2.CC_STAT_AREA].argmax()).astype(np.uint8)
    _, labels, statistics, _ = cv2.connectedComponentsWithStats(1 - mask)
    for label in range(1, len(statistics)):
        left, top, width, height, area = statistics[label]
        inside = left > 0 and top > 0 and left + width < mask.shape[1] and top + height < mask.shape[0]
        # A larger hole is the ground seen between two straps.
        if inside and area < 0.015 * mask.size:
            mask[labels == label] = 1
    soft = cv2.GaussianBlur(mask.astype(np.float32), (0, 0), size / 3, borderType=cv2.BORDER_REFLECT)
    return (soft > 0.5).astype(np.uint8)


def _check(picture: np.ndarray, mask: np.ndarray) -> None:
    """Raises ValueError, in words for the photo's owner, if the mask is no believable garment."""
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
    # Along the outline the colours must change, or the outline is a guess.
    lab = cv2.GaussianBlur(cv2.cvtColor(picture.astype(np.float32) / 255, cv2.COLOR_RGB2LAB), (0, 0), 1.5)
    outline = max(cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)[0], key=len)[:, 0].astype(
        np.float32
    )
    tangent = np.roll(outline, -4, axis=0) - np.roll(outline, 4, axis=0)
    normal = np.stack([tangent[:, 1], -tangent[:, 0]], axis=1) / (
        np.linalg.norm(tangent, axis=1, keepdims=True) + 1e-6
    )
    one, other = (
        cv2.remap(
            lab, *np.split(outline + step * normal, 2, axis=1), cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        )
        for step in (-5, 5)
    )
    contrast = np.linalg.norm(one - other, axis=-1).ravel()
    if (contrast > 8).mean() < 0.7:
        raise ValueError("The garment has nearly the colour of its background; use a ground of another colour.")
