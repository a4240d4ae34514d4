"""Optical flow between two frames: where each pixel goes, and how far that can be believed.

Flows and positions are float32 [H, W, 2], (x, y) in pixels; frames are uint8 RGB [H, W, 3].
"""

import cv2
import numpy as np


DISAGREEMENT = 8.0
"""How far apart the two flows may end, in pixels, before a path loses most of its weight (to 1 / e)."""

SMALLEST_SIDE = 32
"""Frames with a shorter side than this, in pixels, show too little for flow to be found; nothing moves in them."""


def pixel_grid(height: int, width: int) -> np.ndarray:
    """The position of every pixel, [height, width, 2]."""
    return np.stack(np.meshgrid(np.arange(width), np.arange(height)), axis=-1).astype(np.float32)


def find_flows(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where each pixel of the first frame goes in the second, and the other way round."""
    height, width = first.shape[:2]
    if min(height, width) < SMALLEST_SIDE:
        return np.zeros((height, width, 2), np.float32), np.zeros((height, width, 2), np.float32)
    # Half the resolution costs half the time, and sees the movement of a whole leg rather than of a stripe on it.
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
    """How well going along `flow` and back ends where it began, [H, W] in [0, 1]."""
    gap = flow + look_up(flow_back, pixels + flow)
    return np.exp(-np.square(gap).sum(axis=-1) / DISAGREEMENT**2)


def look_up(picture: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """A picture or a flow looked up between its pixels; its edge goes on beyond the border."""
    return cv2.remap(picture, positions, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
