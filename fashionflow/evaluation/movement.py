"""How a clip moves: how much, how evenly, and how much of the change between neighbours is no movement at all.

Clips are uint8 RGB, [F, height, width, 3].
"""

import numpy as np

from ..video.optical_flow import find_flows, look_up, pixel_grid, trust_in


def movement(frames: np.ndarray) -> dict[str, float]:
    """Optical flow between neighbours, and what is left of their difference once they are moved onto each other.

    Returns:
        `motion`: the mean length of the flow in pixels a frame, over the whole picture and clip.
        `flicker`: the mean absolute difference in grey levels (of 255) between a frame and the one before it moved along the
            flow, where the flow can be believed.
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
"""Grey levels a frame below which a clip stands still, and what changes is only how its frames were compressed."""


def step_sizes(frames: np.ndarray) -> np.ndarray:
    """The mean absolute difference in grey levels between each frame and the one before it, [F - 1]."""
    return np.abs(np.diff(frames.astype(np.int16), axis=0)).mean(axis=(1, 2, 3))


def first_step(frames: np.ndarray) -> float:
    """The step from frame 0 to frame 1 over the median later step: above 1, the clip jumps at its start.

    Not a number where there are fewer than three frames or nothing moves.
    """
    steps = step_sizes(frames)
    later = np.median(steps[1:]) if len(steps) > 1 else 0.0
    return float(steps[0] / later) if later > STANDSTILL else float("nan")
