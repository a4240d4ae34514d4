"""The share of each pixel that a figure covers: the geometry network's prediction, refined by the photo's own colours and edges.

Pictures are uint8 sRGB, [H, W, 3]; coverage is float32 in [0, 1].

Shape letters used in this file:
    H, W pixels
"""

import cv2
import numpy as np

from .uncertain import decided


CLEAR = 0.5
"""Coverage from which a pixel belongs to the figure."""

OWN_COLOURS = 0.9
"""Coverage from which a pixel shows the figure's own colours and nothing of the background."""

DOUBT_WIDTH, DOUBT_HEIGHT = 256, 640
"""The width, and the maximum height, of the picture in which uncertain pixels are decided, pixels."""

SMALLEST_PIECE = 0.03
"""Pieces of the figure that are smaller than this share of its largest piece count as errors."""


def matte(photo: np.ndarray, coverage: np.ndarray) -> np.ndarray:
    """Coverage that follows the photo's own edges, [H, W].

    Uncertain pixels are decided by their colour and their neighbours (`uncertain.py`); then a guided filter (He et al. 2010) finds the
    edge: in every small window, the coverage is a linear function of the photo's colours.

    Args:
        photo: [H, W, 3].
        coverage: the prediction, of any size with the same aspect; its edges may be a few pixels off.
    """
    height, width = photo.shape[:2]
    scale = min(DOUBT_WIDTH / width, DOUBT_HEIGHT / height)
    small = (max(1, round(scale * width)), max(1, round(scale * height)))
    coverage = cv2.resize(
        coverage, small, interpolation=cv2.INTER_AREA if coverage.shape[1] > small[0] else cv2.INTER_LINEAR
    )
    coverage = decided(cv2.resize(photo, small, interpolation=cv2.INTER_AREA), coverage)
    coverage = cv2.resize(coverage, (width, height), interpolation=cv2.INTER_LINEAR)
    reach = max(2, round(6 * width / 512))
    guide = photo.astype(np.float32) / 255
    soft = guided_filter(guide, coverage, reach, 1e-4)
    # Away from the edge, the prediction is certain, and the photo's prints must not have an effect.
    edge = cv2.GaussianBlur(4 * coverage * (1 - coverage), (0, 0), reach / 2)
    weight = np.clip(3 * edge, 0, 1)
    mixed = weight * soft + (1 - weight) * coverage
    mixed = cv2.GaussianBlur(mixed, (0, 0), 0.8 * width / 512)
    return np.clip((mixed - 0.3) / 0.4, 0, 1).astype(np.float32)


def with_pieces(coverage: np.ndarray, pieces: np.ndarray) -> np.ndarray:
    """The coverage with pieces, bool [H, W], that belong to the figure too, with soft edges, [H, W]."""
    if not pieces.any():
        return coverage
    return np.maximum(coverage, cv2.GaussianBlur(pieces.astype(np.float32), (0, 0), 0.8))


def whole(coverage: np.ndarray) -> np.ndarray:
    """Where the figure is, bool, [H, W]: its pieces and their soft edges, without the small pieces, which are errors."""
    touched = (coverage > 0.02).astype(np.uint8)
    clear = (coverage > CLEAR).astype(np.uint8)
    _, labels, statistics, _ = cv2.connectedComponentsWithStats(touched)
    areas = np.bincount(labels.ravel(), weights=clear.ravel(), minlength=len(statistics))
    areas[0] = 0
    return (areas > SMALLEST_PIECE * areas.max())[labels] if areas.max() > 0 else np.zeros(coverage.shape, bool)


def without_small_pieces(coverage: np.ndarray) -> np.ndarray:
    """The coverage of the figure's `whole` pieces only, [H, W]."""
    return np.where(whole(coverage), coverage, 0).astype(np.float32)


def guided_filter(guide: np.ndarray, values: np.ndarray, reach: int, smoothness: float) -> np.ndarray:
    """Values, float32 [H, W], filtered to a local linear function of the colours of `guide`, float32 [H, W, 3].

    Args:
        reach: half the side of a window, pixels.
        smoothness: variance of colours below which a window counts as plain.
    """
    size = (2 * reach + 1, 2 * reach + 1)
    mean = lambda picture: cv2.blur(picture, size)  # noqa: E731
    mean_guide, mean_values = mean(guide), mean(values)
    x, y, z = np.moveaxis(mean(guide * values[..., None]) - mean_guide * mean_values[..., None], -1, 0)
    # The covariance of the colours in each window, [[a, b, c], [b, d, e], [c, e, f]].
    a, b, c, d, e, f = (
        mean(guide[..., i] * guide[..., j]) - mean_guide[..., i] * mean_guide[..., j] + smoothness * (i == j)
        for i, j in ((0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2))
    )
    # Gaussian elimination for all pixels at once is several times as fast as a general solver for each pixel.
    to_second, to_third = b / a, c / a
    y, z = y - to_second * x, z - to_third * x
    d, e, f = d - to_second * b, e - to_second * c, f - to_third * c
    to_third = e / d
    z = (z - to_third * y) / (f - to_third * e)
    y = (y - e * z) / d
    x = (x - b * y - c * z) / a
    slope = np.stack([x, y, z], axis=-1)  # [H, W, 3]
    offset = mean_values - (slope * mean_guide).sum(-1)
    return (mean(slope) * guide).sum(-1) + mean(offset)
