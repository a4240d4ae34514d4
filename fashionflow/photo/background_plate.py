"""The background behind a figure, filled in once from the surroundings of the figure in the photo."""

import cv2
import numpy as np


MARGIN = 4.0
"""The background is also filled in this far around the figure, where its soft rim and its halo are; in pixels of a photo 256 wide."""
MARGIN_WIDTH = 256


def background_plate(
    photo: np.ndarray, coverage: np.ndarray, whole_width: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """The photo without its figure.

    The missing area gets its brightness and colour smoothly from all sides, and its fine detail from the mirror image of the area just
    outside, so that the edge of the filled area is not visible on a textured background.

    Args:
        photo: uint8 sRGB, [H, W, 3].
        coverage: share of each pixel that the figure covers, float32 in [0, 1], [H, W].
        whole_width: the width of the whole photo if `photo` is a part of it; by default `photo` is the whole photo.

    Returns:
        The background, uint8 [H, W, 3], and a mask, float32 [H, W]: 1 where the photo shows the background, 0 where it was filled in.
    """
    scale = (whole_width or photo.shape[1]) / MARGIN_WIDTH
    reach = max(1, round(MARGIN * scale))
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
    missing = cv2.dilate((coverage > 0.05).astype(np.uint8), disc)
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
