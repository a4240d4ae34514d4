"""Measures whether the garment keeps its colour, in CIE Delta E 2000, where 1 is the smallest difference that people see.

Frames are uint8 RGB, [height, width, 3].
"""

import numpy as np

from .extras import optional


def garment_region(frame: np.ndarray) -> np.ndarray:
    """Where the upper garment is in a studio picture, bool [height, width].

    The body consists of the pixels that differ from the background (taken from the picture's left and right borders, row by row); the
    garment is the middle half of the body's width, between 22 and 45 % of its height: under the neckline and above the hands.
    """
    picture = frame.astype(np.float32)
    background = np.concatenate([picture[:, :6], picture[:, -6:]], axis=1).mean(1, keepdims=True)  # [height, 1, 3]
    body = np.abs(picture - background).max(-1) > 20
    lines, columns = np.flatnonzero(body.sum(1) > 3), np.flatnonzero(body.sum(0) > 3)
    region = np.zeros(body.shape, dtype=bool)
    if len(lines) and len(columns):
        top, tall = lines[0], lines[-1] - lines[0]
        left, wide = columns[0], columns[-1] - columns[0]
        region[top + int(0.22 * tall) : top + int(0.45 * tall), left + int(0.25 * wide) : left + int(0.75 * wide)] = (
            True
        )
    return region & body


def garment_colour(frame: np.ndarray) -> np.ndarray:
    """The median colour of the garment in CIE Lab, [3]; NaN if no garment is found."""
    pixels = frame[garment_region(frame)]  # [N, 3]
    return np.median(_lab(pixels), axis=0) if len(pixels) else np.full(3, np.nan)


def colour_difference(frame: np.ndarray, reference: np.ndarray) -> float:
    """Delta E between the median garment colours of two frames; NaN if one of them shows no garment."""
    return float(_delta_e(garment_colour(frame), garment_colour(reference)))


def pixel_colour_difference(frame: np.ndarray, reference: np.ndarray) -> float:
    """The median over the garment's pixels of Delta E between two aligned frames; NaN if there is no garment."""
    region = garment_region(reference)
    return float(np.median(_delta_e(_lab(frame[region]), _lab(reference[region])))) if region.any() else float("nan")


def colour_drift(frames: np.ndarray) -> dict[str, float | np.ndarray]:
    """How far the garment's colour moves away from frame 0 within a clip, uint8 [F, height, width, 3].

    Returns:
        `drift` and `drift_last`: Delta E to frame 0, the median over later frames and that of the last frame.
        `saturation`: the chroma of the last frame over that of frame 0. NaN for a grey garment, which has no saturation.
        `drift_curve`: Delta E of every frame to frame 0, [F].
    """
    colours = np.stack([garment_colour(frame) for frame in frames])  # [F, 3]
    curve = _delta_e(colours, np.broadcast_to(colours[:1], colours.shape))  # [F]
    chroma = np.hypot(colours[:, 1], colours[:, 2])
    return {
        "drift": float(np.nanmedian(curve[1:])) if np.isfinite(curve[1:]).any() else float("nan"),
        "drift_last": float(curve[-1]),
        "saturation": float(chroma[-1] / chroma[0]) if chroma[0] >= SMALLEST_CHROMA else float("nan"),
        "drift_curve": curve,
    }


SMALLEST_CHROMA = 8.0
"""Below this chroma in CIE Lab a garment is grey, black or white, and its saturation means nothing."""


def _lab(pixels: np.ndarray) -> np.ndarray:
    return optional("skimage.color").rgb2lab(pixels)


def _delta_e(colours: np.ndarray, reference: np.ndarray) -> np.ndarray:
    return optional("skimage.color").deltaE_ciede2000(colours, reference)
