"""Measures how a clip moves: how much, how evenly, and how much of the change between neighbouring frames is not movement.

Clips are uint8 RGB, [F, height, width, 3].
"""

import numpy as np

from ..video.optical_flow import find_flows, look_up, pixel_grid, trust_in


def movement(frames: np.ndarray) -> dict[str, float]:
    """Measures the optical flow between neighbouring frames, and the difference that remains after one is moved onto the other.

    Returns:
        `motion`: the mean length of the flow in pixels per frame, over the whole picture and clip.
        `flicker`: the mean absolute difference in grey levels (of 255) between a frame and the previous frame after it is moved along the
            flow, at places where the flow is reliable.
    """
    pixels = pixel_grid(*frames.shape[1:3])
    lengths, differences = [], []
    for before, after in zip(frames[:-1], frames[1:], strict=True):
        back, forth = find_flows(after, before)
        trust = trust_in(back, forth, pixels)  # [height, width]
        moved = look_up(before.astype(np.float32), pixels + back)
        difference = np.abs(moved - after).mean(axis=-1)
        lengths.append(np.linalg.norm(back, axis=-1).mean())
        differences.append((difference * trust).sum() / trust.sum())
    return {"motion": float(np.mean(lengths)), "flicker": float(np.mean(differences))}


STANDSTILL = 0.1
"""Grey levels per frame. Below them a clip stands still, and its changes come only from the compression of its frames."""


def step_sizes(frames: np.ndarray) -> np.ndarray:
    """The mean absolute difference in grey levels between each frame and the one before it, [F - 1]."""
    return np.abs(np.diff(frames.astype(np.int16), axis=0)).mean(axis=(1, 2, 3))


def first_step(frames: np.ndarray) -> float:
    """The step from frame 0 to frame 1 divided by the median later step. Above 1, the clip jumps at its start.

    NaN if there are fewer than three frames or nothing moves.
    """
    steps = step_sizes(frames)
    later = np.median(steps[1:]) if len(steps) > 1 else 0.0
    return float(steps[0] / later) if later > STANDSTILL else float("nan")
