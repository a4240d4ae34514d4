"""Interpolates keyframes to a clip at the playing rate, by optical flow.

A *path* gives the origin of each pixel of a new frame: a position in the first keyframe and one in the second. The flow from the first
to the second keyframe gives one path, the flow back gives another. Where the two flows disagree, something is hidden in one of the
keyframes, and that path has little weight; where no path is reliable, the keyframes are only blended.

Flows and positions are float32 [H, W, 2], (x, y) in pixels; frames are uint8 RGB [H, W, 3].
"""

from collections.abc import Iterable, Iterator

import cv2
import numpy as np

from .optical_flow import find_flows, look_up, pixel_grid, trust_in


PLAIN_WEIGHT = 0.05
"""The weight of the plain blend; a path has a weight of up to 1."""


def interpolate(keyframes: Iterable[np.ndarray], factor: int) -> Iterator[np.ndarray]:
    """The unchanged keyframes, with `factor - 1` frames between each and the next: F keyframes give factor * (F - 1) + 1 frames.

    Only one pair of keyframes is in memory at a time, so a clip may be of any length.

    Args:
        keyframes: uint8 RGB frames, [H, W, 3], all of one size.
        factor: the number by which the frame rate is multiplied; 1 leaves the clip unchanged.

    Raises:
        ValueError: at once, if `factor` is below 1; later, when a frame of another kind or size is reached.
    """
    if factor < 1:
        raise ValueError(f"`factor` must be at least 1, got {factor}.")
    return _interpolate(keyframes, factor)


def between(first: np.ndarray, second: np.ndarray, num_frames: int) -> list[np.ndarray]:
    """Frames between two neighbouring keyframes, evenly spaced in time; a single frame is in the middle.

    Args:
        first, second: uint8 RGB frames of one size, [H, W, 3].
        num_frames: how many frames to make.

    Raises:
        ValueError: if the two are not uint8 RGB frames of one size.
    """
    for frame in (first, second):
        if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3 or frame.shape != first.shape:
            raise ValueError(
                f"`keyframes` must all be uint8 [H, W, 3] of one size, got {first.dtype} {list(first.shape)} "
                f"and {second.dtype} {list(second.shape)}."
            )
    height, width = first.shape[:2]
    pixels = pixel_grid(height, width)
    forward, backward = find_flows(first, second)
    forward_trust = trust_in(forward, backward, pixels)
    backward_trust = trust_in(backward, forward, pixels)

    frames = []
    for index in range(1, num_frames + 1):
        moment = index / (num_frames + 1)  # 0 is `first`, 1 is `second`
        blend = cv2.addWeighted(first, 1 - moment, second, moment, 0, dtype=cv2.CV_32F)
        total, weights = PLAIN_WEIGHT * blend, np.full((height, width, 1), PLAIN_WEIGHT, np.float32)

        # The path that starts in the nearer keyframe is more exact, so it has more weight.
        in_first = _origin(pixels, forward, moment)
        weight = (1 - moment) * look_up(forward_trust, in_first)[..., None]
        in_second = in_first + look_up(forward, in_first)
        total += weight * _blend_along(first, in_first, second, in_second, moment)
        weights += weight

        in_second = _origin(pixels, backward, 1 - moment)
        weight = moment * look_up(backward_trust, in_second)[..., None]
        in_first = in_second + look_up(backward, in_second)
        total += weight * _blend_along(first, in_first, second, in_second, moment)
        weights += weight

        frames.append((total / weights).round().clip(0, 255).astype(np.uint8))
    return frames


def _interpolate(keyframes: Iterable[np.ndarray], factor: int) -> Iterator[np.ndarray]:
    previous = None
    for keyframe in keyframes:
        if previous is not None and factor > 1:
            yield from between(previous, keyframe, factor - 1)
        yield keyframe
        previous = keyframe


def _origin(pixels: np.ndarray, flow: np.ndarray, moment: float) -> np.ndarray:
    """The start positions from which the flow reaches `pixels` after the part `moment` of its way."""
    origin = pixels - moment * flow
    for _ in range(2):  # the flow at the origin is needed, not the flow at the arrival
        origin = pixels - moment * look_up(flow, origin)
    return origin


def _blend_along(
    first: np.ndarray, in_first: np.ndarray, second: np.ndarray, in_second: np.ndarray, moment: float
) -> np.ndarray:
    """Both keyframes, sampled at the positions of a path and mixed by `moment`; float32 [H, W, 3]."""
    return cv2.addWeighted(
        look_up(first, in_first), 1 - moment, look_up(second, in_second), moment, 0, dtype=cv2.CV_32F
    )
