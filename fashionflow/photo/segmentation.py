"""Separates the garment or person in a photo from its surroundings: by the coverage from a model with geometry
(`FashionFlowPipeline.coverage_of`), or else by colour alone; the functions are the steps of such a search.

Pictures are uint8 sRGB, [height, width, 3]; masks are uint8 0 or 1, [height, width].
"""

import cv2
import numpy as np
from PIL import Image

from ..errors import PhotoError


UNSURE = 0.55
"""The `blurriness` from which a model does not know where the figure ends. No photo with a plain background has more than 0.25; 15 % of
330 photos of garments at home, on carpets and in front of wardrobes, have more than this."""


def shrunk(photo: Image.Image, long_side: int) -> Image.Image:
    """The photo, scaled down to a longer side of at most `long_side` pixels."""
    scale = min(1.0, long_side / max(photo.size))
    return photo.resize([max(1, round(side * scale)) for side in photo.size], Image.LANCZOS)


def covered(coverage: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The mask of a figure, of `size` (height, width), from its coverage, in [0, 1], at another size."""
    return (cv2.resize(coverage.astype(np.float32), size[::-1], interpolation=cv2.INTER_AREA) > 0.5).astype(np.uint8)


def blurriness(coverage: np.ndarray) -> float:
    """The width of the border between the covered and the uncovered part: the share of the picture in which the border lies, for a figure
    that fills the picture. Half-covered pixels count fully.

    Args:
        coverage: in [0, 1], [height, width].
    """
    # The length of the border grows with the square root of the figure's area.
    return float((4 * coverage * (1 - coverage)).mean() / np.sqrt(max((coverage > 0.5).mean(), 1e-6)))


def find_figure(picture: np.ndarray) -> np.ndarray | None:
    """The garment or person in the middle of a small picture (about 112 pixels; 15 ms there), or None if no plausible
    one was found. It may run out of the picture, best at the lower edge.

    Returns:
        The mask, uint8 0 or 1, [height, width].
    """
    height, width = picture.shape[:2]
    sixth, strip = width // 6, max(2, round(0.04 * max(height, width)))
    lower = height * 2 // 3
    # People are cut off at the lower edge, so only its corners count as background.
    ground = [
        np.s_[:lower, :strip],
        np.s_[:lower, -strip:],
        np.s_[:strip],
        np.s_[-strip:, :sixth],
        np.s_[-strip:, -sixth:],
    ]
    difference = _difference(picture, ground, softness=1.0)
    threshold = split(difference)
    probable = difference * (0.4 + middle(*coordinates(height, width))) > threshold * 0.75
    start = np.where(probable, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
    edge = np.ones(start.shape, bool)
    edge[2:-2, 2:-2] = False
    start[edge & (difference < threshold)] = cv2.GC_BGD
    if not (start & 1).any() or (start & 1).all():
        return None
    mask = cleaned(cut(picture, start, 2))
    if not 0.04 < mask.mean() < 0.93 or (outline_contrast(picture, mask, 3) > 8).mean() < 0.6:
        return None
    return mask


def is_certain(picture: np.ndarray, mask: np.ndarray) -> bool:
    """Whether a second search, which starts from the position alone, finds the same as `find_figure`, with a clear outline.

    The two searches agree if a photo is clear; they seldom agree if only a print or the carpet was found.
    """
    height, width = mask.shape
    rows, columns = coordinates(height, width)
    difference = difference_from_border(picture)
    lowest = 1 if mask[-1].any() else 0.8  # people are often cut off there
    probable = (abs(columns) < 0.8) & (rows > -0.8) & (rows <= lowest) & (difference > 6)
    start = np.where(probable, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
    edge = np.ones(start.shape, bool)
    edge[2:-2, 2:-2] = False
    start[edge & (difference < split(difference))] = cv2.GC_BGD
    if not probable.any():
        return False
    second = cleaned(cut(picture, start, 3))
    agreement = (mask & second).sum() / (mask | second).sum()
    clear = (outline_contrast(picture, mask, 3) > 8).mean()  # limbs are too thin to be clear everywhere
    return agreement > 0.8 and clear > 0.85 or agreement > 0.97 and clear > 0.7


def coordinates(height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Each pixel's row and column, -1 to 1 from edge to edge, both [height, width]."""
    rows, columns = np.mgrid[0:height, 0:width]
    return rows / (height - 1) * 2 - 1, columns / (width - 1) * 2 - 1


def middle(rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """How likely a garment is at a position, only because people aim at it: 1 in the middle, 0.15 in the corners."""
    return np.exp(-(columns**2 + 0.6 * rows**2) * 1.2)


def split(difference: np.ndarray) -> float:
    """Otsu's threshold for the result of `difference_from_border`."""
    return cv2.threshold(np.clip(difference * 4, 0, 255).astype(np.uint8), 0, 255, cv2.THRESH_OTSU)[0] / 4


def difference_from_border(picture: np.ndarray) -> np.ndarray:
    """The distance of each pixel's colour from all common colours of the border, in CIE Lab units, [height, width]."""
    strip = max(2, round(0.04 * max(picture.shape)))
    border = [np.s_[:, :strip], np.s_[:, -strip:], np.s_[:strip], np.s_[-strip // 2 :]]
    return _difference(picture, border, softness=1.2)


def _difference(picture: np.ndarray, ground: list, softness: float) -> np.ndarray:
    """The distance of each pixel's colour from all common colours of the parts `ground`, in CIE Lab units, [height, width]."""
    lab = cv2.cvtColor(picture.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    lab = cv2.GaussianBlur(lab, (0, 0), softness)
    samples = np.concatenate([lab[part].reshape(-1, 3) for part in ground])
    # Lightness counts half, because shadows on the background are not a garment.
    weights = np.array([0.5, 1, 1], np.float32)
    return np.sqrt(squared_distances(lab * weights, common_colours(samples, 5, 0.08) * weights).min(-1))


def common_colours(samples: np.ndarray, most: int, least_share: float = 0.0) -> np.ndarray:
    """The common colours of samples, float32 [N, 3], by k-means: at most `most` colours, and only those with more than `least_share` of
    the samples, float32 [K, 3]."""
    criteria = (cv2.TERM_CRITERIA_EPS + cv2.TERM_CRITERIA_MAX_ITER, 20, 0.5)
    cv2.setRNGSeed(0)
    _, labels, centres = cv2.kmeans(samples, min(most, len(samples)), None, criteria, 1, cv2.KMEANS_PP_CENTERS)
    return centres[np.bincount(labels.ravel(), minlength=len(centres)) > least_share * len(samples)]


def squared_distances(picture: np.ndarray, colours: np.ndarray) -> np.ndarray:
    """The squared difference between every pixel of a picture, float32 [height, width, 3], and each of some colours, float32 [K, 3];
    float32 [height, width, K]."""
    products = picture @ colours.T
    distances = (picture**2).sum(-1, keepdims=True) - 2 * products + (colours**2).sum(-1)
    return np.maximum(distances, 0)  # rounding may give values slightly below 0


def outline_contrast(picture: np.ndarray, mask: np.ndarray, distance: int) -> np.ndarray:
    """The difference of the colours across a mask's outline, in CIE Lab units, for each point of the outline, [points].

    Args:
        distance: how far inside and outside of the outline the colours are compared, pixels.
    """
    lab = cv2.cvtColor(picture.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    lab = cv2.GaussianBlur(lab, (0, 0), 0.3 * distance)
    outlines = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)[0]
    outline = max(outlines, key=len)[:, 0].astype(np.float32)  # [points, 2], x and y
    tangent = np.roll(outline, 1 - distance, axis=0) - np.roll(outline, distance - 1, axis=0)
    normal = np.stack([tangent[:, 1], -tangent[:, 0]], axis=1)
    normal /= np.linalg.norm(tangent, axis=1, keepdims=True) + 1e-6
    one, other = (
        cv2.remap(
            lab, *np.split(outline + step * normal, 2, axis=1), cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        )
        for step in (-distance, distance)
    )
    return np.linalg.norm(one - other, axis=-1).ravel()


def cut(picture: np.ndarray, start: np.ndarray, iterations: int) -> np.ndarray:
    """GrabCut's mask, uint8 0 or 1, [height, width]; `start` holds OpenCV's GC_ values and is overwritten.

    Raises:
        PhotoError: if `start` holds no foreground, or no background.
    """
    if not ((start & 1) == 1).any() or not ((start & 1) == 0).any():
        raise PhotoError("no-garment")
    cv2.setRNGSeed(0)
    cv2.grabCut(picture, start, None, np.zeros((1, 65)), np.zeros((1, 65)), iterations, cv2.GC_INIT_WITH_MASK)
    return (start & 1).astype(np.uint8)


def cleaned(mask: np.ndarray) -> np.ndarray:
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
        # A larger hole shows the background between two straps.
        if inside and area < 0.015 * mask.size:
            mask[labels == label] = 1
    soft = cv2.GaussianBlur(mask.astype(np.float32), (0, 0), size / 3, borderType=cv2.BORDER_REFLECT)
    return (soft > 0.5).astype(np.uint8)


def continued(picture: np.ndarray, known: np.ndarray) -> np.ndarray:
    """The picture with every pixel outside `known` (bool, [height, width]) in the colour of the nearest known pixel,
    softened a little so that the continuation shows no rays."""
    _, labels = cv2.distanceTransformWithLabels(
        (~known).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_PIXEL
    )
    colour_of_label = np.zeros((labels.max() + 1, 3), np.uint8)
    colour_of_label[labels[known]] = picture[known]
    filled = cv2.GaussianBlur(colour_of_label[labels], (0, 0), 1.5)
    return np.where(known[..., None], picture, filled)
