"""Decides the pixels of which the geometry network is not certain: do they belong to the figure or to the background?

Two things decide: whether a pixel looks like the background behind it, and its neighbours, as far as no edge of the photo is between them
(a random walker with priors, Grady 2005). So a gap between arm and body is found up to its corner, and a pale arm before a pale wall stays
whole, although the network saw only parts of both.

Pictures are uint8 sRGB, [H, W, 3]; coverage is float32 in [0, 1].

Shape letters used in this file:
    H, W pixels
"""

import cv2
import numpy as np

from .background_plate import background_plate


SURE = (0.03, 0.97)
"""The coverage up to which a pixel is certainly background, and from which it is certainly the figure, if its surroundings are so too."""

SURROUNDINGS = (2, 4)
"""How far these surroundings reach, pixels of a photo `SURE_WIDTH` wide: of the background, and of the figure."""
SURE_WIDTH = 256

LIKE, UNLIKE = 4.0, 14.0
"""The difference in CIE Lab units up to which a pixel looks like the background, and from which it does not."""

SHADED = 0.15
"""The part of a difference in lightness alone that counts: a shadow or a light on the background is no part of the figure."""

BACKGROUND_EVIDENCE, FIGURE_EVIDENCE = 2.5, 4.0
"""What it adds to the log-odds of the prediction that a pixel looks like the background, or does not."""

ALIKE_AROUND = 8.0
"""How far around a pixel the figure is looked at, to see whether it looks like the background there; pixels, a Gaussian's sigma."""

EDGE = 3.0
"""The squared difference of two neighbours, in CIE Lab units, at which their bond is 1 / e."""
WEAKEST = 1e-4
"""The weakest bond between two neighbours."""

OWN = 0.01
"""How strongly a pixel keeps to its own evidence, where a bond between equal neighbours is 1."""
LEAST = 0.05
"""The share of it that a pixel without any evidence has."""

STEPS = 100
"""Steps of the solver; after them the coverage of a picture `SURE_WIDTH` wide changes by less than 0.05."""


def decided(photo: np.ndarray, coverage: np.ndarray) -> np.ndarray:
    """Coverage in which uncertain pixels are decided, [H, W].

    Args:
        photo, coverage: of the same size.
    """
    scale = photo.shape[1] / SURE_WIDTH
    around_background, around_figure = (_disc(round(scale * reach)) for reach in SURROUNDINGS)
    figure = cv2.erode((coverage > SURE[1]).astype(np.uint8), around_figure) > 0
    background = cv2.erode((coverage < SURE[0]).astype(np.uint8), around_background) > 0
    if not figure.any() or not background.any():
        return coverage
    plate, _ = background_plate(photo, coverage)
    evidence = unlikeness(photo, plate)
    # Where the figure itself looks like the background, such as white clothes on a white wall, that tells nothing.
    around = lambda mask: cv2.GaussianBlur(mask.astype(np.float32), (0, 0), ALIKE_AROUND * scale)  # noqa: E731
    alike = around(figure & (evidence < 0)) / np.maximum(around(figure), 1e-3)
    odds = np.clip(coverage, 1e-3, 1 - 1e-3)
    odds = np.log(odds / (1 - odds))
    odds += np.where(evidence > 0, FIGURE_EVIDENCE, BACKGROUND_EVIDENCE * (1 - alike.clip(0, 1))) * evidence
    own = 1 / (1 + np.exp(-odds))
    sure = figure | background
    weight = np.where(sure, 1, OWN * (LEAST + (2 * own - 1) ** 2)).astype(np.float32)
    return walked(photo, np.where(sure, figure, own).astype(np.float32), weight)


def unlikeness(photo: np.ndarray, background: np.ndarray) -> np.ndarray:
    """How a photo differs from the background behind the figure, [H, W]: from -1, looks like it, to 1, looks different. What is only
    darker or lighter is at most 0."""
    photo = photo.astype(np.float32)
    background = np.maximum(background.astype(np.float32), 1)
    light = np.clip((photo * background).sum(-1) / (background**2).sum(-1), 0.3, 1.3)[..., None]
    shaded = _lab(light * background)
    colour = np.linalg.norm(_lab(photo) - shaded, axis=-1)
    lightness = np.abs(_lab(background) - shaded)[..., 0]
    scaled = lambda difference: np.clip(2 * (difference - LIKE) / (UNLIKE - LIKE) - 1, -1, 1)  # noqa: E731
    return np.maximum(scaled(colour), np.minimum(scaled(colour + SHADED * lightness), 0))


def walked(photo: np.ndarray, values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Values, float32 [H, W], that keep to their own as far as their weights say, and are like their neighbours where no edge of the photo
    is between the two: the minimum of sum(weights * (x - values)^2) + sum(bonds * (x - neighbour)^2), by conjugate gradients."""
    lab = _lab(photo.astype(np.float32))
    pairs = []
    for one, other in NEIGHBOURS:
        pairs.append((one, other, np.exp(-((lab[one] - lab[other]) ** 2).sum(-1) / EDGE) + np.float32(WEAKEST)))
    diagonal = weights.copy()
    for one, other, bond in pairs:
        diagonal[one] += bond
        diagonal[other] += bond

    def applied(x: np.ndarray) -> np.ndarray:
        result = diagonal * x
        for one, other, bond in pairs:
            result[one] -= bond * x[other]
            result[other] -= bond * x[one]
        return result

    x = values.copy()
    rest = weights * values - applied(x)
    way = step = rest / diagonal
    product = np.vdot(rest, step)
    for _ in range(STEPS):
        bent = applied(way)
        length = product / max(np.vdot(way, bent), 1e-12)
        x += length * way
        rest -= length * bent
        step = rest / diagonal
        before, product = product, np.vdot(rest, step)
        way = step + product / max(before, 1e-12) * way
    return np.clip(x, 0, 1)


_ALL, _FIRST, _LAST = slice(None), slice(None, -1), slice(1, None)
NEIGHBOURS = (
    ((_ALL, _FIRST), (_ALL, _LAST)),
    ((_FIRST, _ALL), (_LAST, _ALL)),
    ((_FIRST, _FIRST), (_LAST, _LAST)),
    ((_FIRST, _LAST), (_LAST, _FIRST)),
)
"""Each pixel beside its neighbour to the right, below, and on both diagonals."""


def _lab(picture: np.ndarray) -> np.ndarray:
    """CIE Lab of sRGB in 0 to 255, float32 [H, W, 3]."""
    return cv2.cvtColor(picture.clip(0, 255) / np.float32(255), cv2.COLOR_RGB2LAB)


def _disc(reach: int) -> np.ndarray:
    """A disc that reaches so many pixels from its middle."""
    return cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
