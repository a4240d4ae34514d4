"""Optical flow between two frames: the movement of each pixel, and its reliability.

Flows and positions are float32 [H, W, 2], (x, y) in pixels; frames are uint8 RGB [H, W, 3].
"""

import cv2
import numpy as np


DISAGREEMENT = 8.0
"""The distance between the ends of the two flows, in pixels, at which a path loses most of its weight (to 1 / e)."""

SMALLEST_SIDE = 32
"""Frames with a shorter side than this, in pixels, show too little to find a flow; their flow is zero."""


def pixel_grid(height: int, width: int) -> np.ndarray:
    """The position of every pixel, [height, width, 2]."""
    return np.stack(np.meshgrid(np.arange(width), np.arange(height)), axis=-1).astype(np.float32)


def find_flows(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The flow of each pixel from the first frame to the second, and from the second to the first."""
    height, width = first.shape[:2]
    if min(height, width) < SMALLEST_SIDE:
        return np.zeros((height, width, 2), np.float32), np.zeros((height, width, 2), np.float32)
    # Half the resolution takes half the time, and finds the movement of a whole leg rather than of a stripe on it.
    half = (width // 2, height // 2)
    grey = [
        cv2.resize(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), half, interpolation=cv2.INTER_AREA)
        for frame in (first, second)
    ]
    method = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    method.setPatchSize(6)
    method.setPatchStride(2)
    to_pixels = np.float32([width / half[0], height / half[1]])
    forward, backward = (
        cv2.resize(method.calc(start, end, None), (width, height), interpolation=cv2.INTER_LINEAR) * to_pixels
        for start, end in (grey, grey[::-1])
    )
    return forward, backward


def trust_in(flow: np.ndarray, flow_back: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    """The reliability of `flow`, [H, W] in [0, 1]: how exactly a pixel returns to its start by `flow` and then `flow_back`."""
    gap = flow + look_up(flow_back, pixels + flow)
    return np.exp(-np.square(gap).sum(axis=-1) / DISAGREEMENT**2)


def look_up(picture: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """Samples a picture or a flow at positions between its pixels; the edge pixels are repeated beyond the border."""
    return cv2.remap(picture, positions, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
