"""A photo of the back, fitted to the outline of the photo of the front: product shots come in pairs.

Seen through the front's pixels, the back is a mirror image. Its figure is moved and sized to lie over the front's, then each row is
stretched to end where the front's row ends, so that a slightly other pose, crop or size does not matter.

Shape letters used in this file:
    H, W pixels
"""

from dataclasses import replace

import cv2
import numpy as np
import torch

from ..photo.matte import CLEAR
from .photo_layers import PhotoLayers


LARGEST_STRETCH = 1.6
"""Rows are stretched or squeezed by so much at most; where more would be needed, the two outlines differ."""

LEAST_MATCH = 0.7
"""Of the two figures' outlines, laid over each other: intersection over union below which they do not match."""

SMOOTH_ROWS = 0.01  # of the height: how far a row's ends follow those of its neighbours


def fit_back(front: PhotoLayers, back: PhotoLayers) -> PhotoLayers:
    """The front's layers with the colours of a photo of the back.

    Args:
        front: layers of the photo.
        back: layers of the photo of the back, of the same size; its own front is what the photo shows.
    """
    across, down = _mapping(front, back)
    colours = back.front_colours.permute(1, 2, 0).cpu().numpy()
    fitted = cv2.remap(colours, across, down, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE).clip(0, 1)
    return replace(front, back_colours=torch.from_numpy(fitted).permute(2, 0, 1), back_known=True)


def outline_match(front: PhotoLayers, back: PhotoLayers) -> float:
    """How well the figure of a photo of the back lies over the front's once it is mirrored, moved and sized: intersection over
    union, in [0, 1]. Below `LEAST_MATCH` they are hardly of one garment in one pose."""
    mask = front.coverage.cpu().numpy() > CLEAR
    scale, (left, top), (back_left, back_top) = _placement(front, back)
    rows, columns = np.mgrid[0 : mask.shape[0], 0 : mask.shape[1]].astype(np.float32)
    mirrored = back.coverage.cpu().numpy()[:, ::-1].astype(np.float32)
    across = (columns - left) * scale[0] + back_left
    down = (rows - top) * scale[1] + back_top
    moved = cv2.remap(np.ascontiguousarray(mirrored), across, down, cv2.INTER_LINEAR) > CLEAR
    return float((mask & moved).sum() / max(1, (mask | moved).sum()))


def _placement(front: PhotoLayers, back: PhotoLayers) -> tuple[np.ndarray, tuple[int, int], tuple[int, int]]:
    """Pixels of the mirrored back for one of the front, (across, down), and the left and top of both figures."""
    boxes = []
    for layers, mirrored in ((front, False), (back, True)):
        mask = layers.coverage.cpu().numpy() > CLEAR
        boxes.append(cv2.boundingRect((mask[:, ::-1] if mirrored else mask).astype(np.uint8)))
    (left, top, width, height), (back_left, back_top, back_width, back_height) = boxes
    scale = np.array([max(1, back_width) / max(1, width), max(1, back_height) / max(1, height)], np.float32)
    return scale, (left, top), (back_left, back_top)


def _mapping(front: PhotoLayers, back: PhotoLayers) -> tuple[np.ndarray, np.ndarray]:
    """For every pixel of the front, column and row of the back's photo (not mirrored), float32 [H, W] each."""
    mask = front.coverage.cpu().numpy() > CLEAR
    mirrored = back.coverage.cpu().numpy()[:, ::-1] > CLEAR
    height, width = mask.shape
    scale, (left, top), (back_left, back_top) = _placement(front, back)
    down = (np.arange(height, dtype=np.float32) - top) * scale[1] + back_top  # [H]
    nearest = down.round().astype(int).clip(0, height - 1)
    starts, ends = _row_ends(mask)
    back_starts, back_ends = (values[nearest] for values in _row_ends(mirrored))
    whole_start, whole_end = (starts - left) * scale[0] + back_left, (ends - left) * scale[0] + back_left
    usable = np.isfinite(starts) & np.isfinite(back_starts)
    # Where a row of the one is much wider than that of the other, such as at a hand on the hip, it is not stretched.
    stretch = (back_ends - back_starts) / np.maximum(whole_end - whole_start, 1)
    usable &= (stretch < LARGEST_STRETCH) & (stretch > 1 / LARGEST_STRETCH)
    slope = np.where(usable, (back_ends - back_starts) / np.maximum(ends - starts, 1), scale[0])
    offset = np.where(usable, back_starts - slope * starts, back_left - scale[0] * left)
    softness = max(1.0, SMOOTH_ROWS * height)
    slope, offset = (
        cv2.GaussianBlur(values.astype(np.float32)[:, None], (0, 0), softness, borderType=cv2.BORDER_REPLICATE)
        for values in (slope, offset)
    )  # [H, 1]
    across = width - 1 - (np.arange(width, dtype=np.float32) * slope + offset)
    return across.astype(np.float32), np.broadcast_to(down[:, None], (height, width)).astype(np.float32).copy()


def _row_ends(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """First and last column of a mask (bool) in every row, [H] each, not a number in rows without it."""
    there = mask.any(axis=1)
    starts = np.where(there, mask.argmax(axis=1), np.nan)
    ends = np.where(there, mask.shape[1] - 1 - mask[:, ::-1].argmax(axis=1), np.nan)
    return starts, ends
