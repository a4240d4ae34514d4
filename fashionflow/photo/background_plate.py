"""The background behind a figure, filled in once from the surroundings of the figure in the photo."""

import cv2
import numpy as np


RIM, MARGIN, NEAR = 3.0, 4.0, 10.0
"""The background is also filled in around the figure: so far in any case, because the figure's soft edge is there; so far where the photo is
not plain, because of the figure's halo; and so far for small things such as a wisp of hair or a loose thread. In pixels of a photo 256
wide."""
MARGIN_WIDTH = 256

PLAIN = 2.0
"""The difference from its surroundings, in CIE Lab units, up to which a pixel is plain."""


def background_plate(
    photo: np.ndarray, coverage: np.ndarray, whole_width: int | None = None, doubtful: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """The photo without its figure.

    The missing area gets its brightness and colour smoothly from all sides, and its fine detail from the mirror image of the area just
    outside, so that the edge of the filled area is not visible on a textured background.

    Args:
        photo: uint8 sRGB, [H, W, 3].
        coverage: share of each pixel that the figure covers, float32 in [0, 1], [H, W].
        whole_width: the width of the whole photo if `photo` is a part of it; by default `photo` is the whole photo.
        doubtful: like `coverage`, of what may belong to the figure: the background is filled in there where the photo is not plain.

    Returns:
        The background, uint8 [H, W, 3], and a mask, float32 [H, W]: 1 where the photo shows the background, 0 where it was filled in.
    """
    scale = (whole_width or photo.shape[1]) / MARGIN_WIDTH
    missing = _around(coverage > 0.05, RIM * scale)
    possible = (coverage if doubtful is None else np.maximum(coverage, doubtful)) > 0.05
    uneven = ~_plain(photo, ~missing, scale) & ~missing
    halo = _around(possible, MARGIN * scale)
    wisps = _inside(uneven & ~halo, _around(possible, NEAR * scale))
    missing = (missing | (_around((uneven & halo) | wisps, scale) & (halo | _around(wisps, scale)))).astype(np.uint8)
    known = 1 - missing
    if not known.any():
        return photo.copy(), known.astype(np.float32)
    if not missing.any():
        return photo.copy(), known.astype(np.float32)
    pixels = photo.astype(np.float32)
    smooth = filled(pixels, known.astype(np.float32))
    soft_known = cv2.GaussianBlur(known.astype(np.float32), (0, 0), 3 * scale)[..., None]
    low = cv2.GaussianBlur(pixels * known[..., None], (0, 0), 3 * scale) / np.maximum(soft_known, 1e-3)
    detail = np.where(known[..., None] > 0, pixels - low, 0)
    # Every missing pixel takes its detail from its mirror position beyond the nearest known pixel.
    _, labels = cv2.distanceTransformWithLabels(missing, cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_PIXEL)
    rows, columns = np.indices(known.shape)
    nearest = np.zeros((labels.max() + 1, 2), np.int32)
    nearest[labels[known > 0]] = np.stack([rows[known > 0], columns[known > 0]], axis=1)
    nearest = nearest[labels]
    mirrored = [
        reflected(2 * nearest[..., axis] - place, side)
        for axis, (place, side) in enumerate(zip((rows, columns), known.shape, strict=True))
    ]
    mirrored_known = known[mirrored[0], mirrored[1]][..., None]
    plate = np.where(missing[..., None] > 0, smooth + detail[mirrored[0], mirrored[1]] * mirrored_known, pixels)
    # A few pixels inside the known background, the filled background blends into the photo.
    inside = cv2.GaussianBlur(cv2.erode(known, np.ones((3, 3), np.uint8)).astype(np.float32), (0, 0), 1.0 * scale)
    blend = np.clip(np.where(known > 0, 2 * inside - 1, 0), 0, 1)[..., None]
    plate = plate * (1 - blend) + pixels * blend
    return plate.round().clip(0, 255).astype(np.uint8), known.astype(np.float32)


def _plain(photo: np.ndarray, known: np.ndarray, scale: float) -> np.ndarray:
    """Where a photo looks like its known surroundings, bool, [H, W]; `known` is bool, [H, W], and `scale` pixels are one of a photo
    `MARGIN_WIDTH` wide."""
    lab = cv2.cvtColor(photo.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    weights = known.astype(np.float32)
    mean = cv2.GaussianBlur(lab * weights[..., None], (0, 0), 3 * scale)
    mean /= np.maximum(cv2.GaussianBlur(weights, (0, 0), 3 * scale), 1e-3)[..., None]
    return np.linalg.norm(cv2.GaussianBlur(lab, (0, 0), 0.35 * scale) - mean, axis=-1) < PLAIN


def _inside(mask: np.ndarray, region: np.ndarray) -> np.ndarray:
    """The pieces of a mask that lie inside a region with all their pixels, bool, [H, W] each."""
    _, labels = cv2.connectedComponents(mask.astype(np.uint8))
    return mask & ~np.isin(labels, np.unique(labels[mask & ~region]))


def _around(mask: np.ndarray, reach: float) -> np.ndarray:
    """A mask, bool [H, W], and all pixels that are not farther from it than `reach`, at least one pixel."""
    side = 2 * max(1, round(reach)) + 1
    return cv2.dilate(mask.astype(np.uint8), cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))) > 0


def reflected(places: np.ndarray, side: int) -> np.ndarray:
    """Positions reflected into [0, side) at both ends."""
    places = np.abs(places) % (2 * side - 2) if side > 1 else np.zeros_like(places)
    return np.where(places >= side, 2 * side - 2 - places, places)


def filled(pixels: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Pixels, float32 [H, W, 3], where those of weight 0 are filled in smoothly from the others (pull and push, Gortler et al. 1996).

    Args:
        weights: the degree to which each pixel is known, float32 in [0, 1], [H, W].
    """
    height, width = weights.shape
    if min(height, width) < 2:
        total = weights.sum()
        mean = (pixels * weights[..., None]).sum((0, 1)) / max(total, 1e-6)
        return np.broadcast_to(mean, pixels.shape).astype(np.float32)
    half = ((width + 1) // 2, (height + 1) // 2)
    smaller_weights = cv2.resize(weights, half, interpolation=cv2.INTER_AREA)
    smaller = cv2.resize(pixels * weights[..., None], half, interpolation=cv2.INTER_AREA)
    smaller = smaller / np.maximum(smaller_weights, 1e-6)[..., None]
    coarse = filled(smaller, np.clip(4 * smaller_weights, 0, 1))
    coarse = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    return pixels * weights[..., None] + coarse * (1 - weights[..., None])
