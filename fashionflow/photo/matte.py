"""The share of each pixel that a figure covers: the geometry network's prediction, refined by the photo's own colours and edges.

Pictures are uint8 sRGB, [H, W, 3]; coverage is float32 in [0, 1].

Shape letters used in this file:
    H, W pixels   N uncertain pixels
"""

import cv2
import numpy as np


CLEAR = 0.5
"""Coverage from which a pixel belongs to the figure."""

OWN_COLOURS = 0.9
"""Coverage from which a pixel shows the figure's own colours and nothing of the background."""

POSSIBLE = 0.05
"""Coverage from which a pixel may belong to the figure, if its colour tells so."""

APART = 12.0
"""The difference in hue and saturation (CIE a and b) from which a colour is neither one of two others nor a mixture of them."""

SMALLEST_APART = 0.002
"""Pieces in a colour of their own that are smaller than this share of the figure stay as they are."""

SURE = (0.04, 0.985)
"""The coverage up to which a pixel is certainly background, and from which it is certainly the figure."""

DOUBT_WIDTH, DOUBT_HEIGHT = 256, 640
"""The width, and the maximum height, of the picture in which uncertain pixels are decided, pixels."""

RINGS = ((3, 8), (6, 12), (10, 12), (15, 16), (21, 16), (28, 16), (38, 16))
"""Where certain pixels are searched for around an uncertain pixel: the distance in pixels, and the number of directions."""

ALIKE = 7.0
"""The difference in CIE Lab units, summed over the three channels, from which two colours do not count as the same."""

FARTHER = 0.15
"""The difference that each pixel of distance adds, in the same units."""

TRUST = 6.0
"""The amount that a colour adds to the coverage's log-odds if it is the same as the figure's and not as the background's."""

SMALLEST_PIECE = 0.03
"""Pieces of the figure that are smaller than this share of its largest piece count as errors."""


def matte(photo: np.ndarray, coverage: np.ndarray) -> np.ndarray:
    """Coverage that follows the photo's own edges, [H, W].

    Uncertain pixels are decided by colour; then a guided filter (He et al. 2010) finds the edge: in every small window, the coverage is a
    linear function of the photo's colours.

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
    coverage = settled(cv2.resize(photo, small, interpolation=cv2.INTER_AREA), coverage)
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


def colours_apart(photo: np.ndarray, coverage: np.ndarray, figure: np.ndarray, background: np.ndarray) -> np.ndarray:
    """Where the photo shows neither the figure's neighbouring colours nor the background, nor a mixture of both, bool [H, W]: a part of the
    figure in another colour, such as a thin arm beside a shirt. Lightness does not count, because shadows change it.

    Args:
        photo: [H, W, 3].
        coverage: [H, W]; only where it is more than `POSSIBLE`.
        figure: the figure's certain colours, continued to its surroundings, [H, W, 3].
        background: the photo without the figure, [H, W, 3].
    """
    of = lambda picture: cv2.cvtColor(picture.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)[..., 1:]  # noqa: E731
    own, figure, background = of(cv2.GaussianBlur(photo, (0, 0), 0.7)), of(figure), of(background)
    way = figure - background
    share = ((own - background) * way).sum(-1) / np.maximum((way**2).sum(-1), 1e-6)
    mixture = background + np.clip(share, 0, 1)[..., None] * way
    apart = np.linalg.norm(own - mixture, axis=-1) > APART
    apart &= coverage > POSSIBLE
    apart = cv2.morphologyEx(apart.astype(np.uint8), cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    _, labels, statistics, _ = cv2.connectedComponentsWithStats(apart)
    large = statistics[:, cv2.CC_STAT_AREA] > SMALLEST_APART * (coverage > CLEAR).sum()
    large[0] = False
    return large[labels]


def with_pieces(coverage: np.ndarray, pieces: np.ndarray) -> np.ndarray:
    """The coverage with pieces, bool [H, W], that belong to the figure too, with soft edges, [H, W]."""
    if not pieces.any():
        return coverage
    return np.maximum(coverage, cv2.GaussianBlur(pieces.astype(np.float32), (0, 0), 0.8))


def settled(photo: np.ndarray, coverage: np.ndarray) -> np.ndarray:
    """Coverage in which uncertain pixels are decided by colour, [H, W]: a pixel goes to the figure if nearby certain pixels of the figure
    look like it, to the background if those of the background do, and stays as predicted if both or neither do.

    Args:
        photo, coverage: of the same size.
    """
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (3, 3))
    figure = cv2.erode((coverage > SURE[1]).astype(np.uint8), disc)
    ground = cv2.erode((coverage < SURE[0]).astype(np.uint8), disc)
    rows, columns = np.nonzero((figure == 0) & (ground == 0))
    if not len(rows) or not figure.any() or not ground.any():
        return coverage
    lab = cv2.cvtColor(cv2.GaussianBlur(photo, (0, 0), 0.7).astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    own = lab[rows, columns]  # [N, 3]
    margin = RINGS[-1][0]
    lab = np.pad(lab, ((margin, margin), (margin, margin), (0, 0)))
    sure = np.pad(figure, margin) + 2 * np.pad(ground, margin)  # 0 neither, 1 figure, 2 background
    nearest = np.full((3, len(rows)), np.inf, np.float32)
    every = np.arange(len(rows))
    for away, directions in RINGS:
        for angle in np.arange(directions) * 2 * np.pi / directions:
            row = rows + round(away * np.sin(angle)) + margin
            column = columns + round(away * np.cos(angle)) + margin
            difference = np.abs(lab[row, column] - own).sum(-1) + FARTHER * away
            kind = sure[row, column]
            nearest[kind, every] = np.minimum(nearest[kind, every], difference)
    like_figure, like_ground = np.exp(-((nearest[1:] / ALIKE) ** 2))
    evidence = np.zeros(coverage.shape, np.float32)
    evidence[rows, columns] = like_figure - like_ground
    evidence = cv2.GaussianBlur(evidence, (0, 0), 0.8)[rows, columns]
    predicted = np.clip(coverage[rows, columns], 1e-3, 1 - 1e-3)
    result = coverage.copy()
    result[rows, columns] = 1 / (1 + np.exp(-(np.log(predicted / (1 - predicted)) + TRUST * evidence)))
    return result


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
