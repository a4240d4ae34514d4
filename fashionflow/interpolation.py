"""Keyframes become a clip at the playing rate: what lies between two of them is found by optical flow.

A *path* says where each pixel of the frame wanted comes from: a position in the first keyframe and one in the second. The
flow from the first to the second gives one path, the flow back gives another. Where the two flows disagree, something is
hidden in one of the keyframes, and that path counts little; where neither can be trusted, the keyframes are just blended.

Flows and positions are float32 [H, W, 2], (x, y) in pixels; frames are uint8 RGB [H, W, 3].
"""

from collections.abc import Iterable, Iterator

import cv2
import numpy as np


DISAGREEMENT = 8.0
"""How far apart the two flows may end, in pixels, before a path loses most of its weight (to 1 / e)."""

SMALLEST_SIDE = 32
"""Frames with a shorter side than this, in pixels, show too little for flow to be found; they are just blended."""

PLAIN_WEIGHT = 0.05
"""The weight of the plain blend beside paths that weigh up to 1."""


def interpolate(keyframes: Iterable[np.ndarray], factor: int) -> Iterator[np.ndarray]:
    """The keyframes, unchanged, with `factor - 1` frames between each and the next: factor * (F - 1) + 1 frames for F.

    Only one pair of keyframes is held at a time, so a clip may be of any length.

    Args:
        keyframes: uint8 RGB frames, [H, W, 3], all of one size.
        factor: how many times more frames a second the clip shall have; 1 leaves it as it is.

    Raises:
        ValueError: if `factor` is below 1, at once; or, when it is reached, for a frame of another kind or size.
    """
    if factor < 1:
        raise ValueError(f"`factor` must be at least 1, got {factor}.")
    return _interpolate(keyframes, factor)


def between(first: np.ndarray, second: np.ndarray, num_frames: int) -> list[np.ndarray]:
    """Frames between two neighbours, evenly spaced in time; one frame is the middle.

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
    pixels = np.stack(np.meshgrid(np.arange(width), np.arange(height)), axis=-1).astype(np.float32)  # [H, W, 2]
    forward, backward = _flows(first, second)
    forward_trust = _trust(forward, backward, pixels)
    backward_trust = _trust(backward, forward, pixels)

    frames = []
    for index in range(1, num_frames + 1):
        moment = index / (num_frames + 1)  # 0 is `first`, 1 is `second`
        blend = cv2.addWeighted(first, 1 - moment, second, moment, 0, dtype=cv2.CV_32F)
        total, weights = PLAIN_WEIGHT * blend, np.full((height, width, 1), PLAIN_WEIGHT, np.float32)

        # The path that starts in the nearer keyframe strays less, so it counts more.
        in_first = _origin(pixels, forward, moment)
        weight = (1 - moment) * _at(forward_trust, in_first)[..., None]
        in_second = in_first + _at(forward, in_first)
        total += weight * _blend_along(first, in_first, second, in_second, moment)
        weights += weight

        in_second = _origin(pixels, backward, 1 - moment)
        weight = moment * _at(backward_trust, in_second)[..., None]
        in_first = in_second + _at(backward, in_second)
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


def _flows(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
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


def _trust(flow: np.ndarray, flow_back: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    """How well going along `flow` and back ends where it began, [H, W] in [0, 1]."""
    gap = flow + _at(flow_back, pixels + flow)
    return np.exp(-np.square(gap).sum(axis=-1) / DISAGREEMENT**2)


def _origin(pixels: np.ndarray, flow: np.ndarray, moment: float) -> np.ndarray:
    """The positions that have arrived at `pixels` after going `moment` of the way along the flow."""
    origin = pixels - moment * flow
    for _ in range(2):  # the flow at the origin is the one that counts, not the flow where it arrives
        origin = pixels - moment * _at(flow, origin)
    return origin


def _blend_along(
    first: np.ndarray, in_first: np.ndarray, second: np.ndarray, in_second: np.ndarray, moment: float
) -> np.ndarray:
    """Both keyframes, each taken where a path says, mixed by the moment; float32 [H, W, 3]."""
    return cv2.addWeighted(_at(first, in_first), 1 - moment, _at(second, in_second), moment, 0, dtype=cv2.CV_32F)


def _at(picture: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """A picture or a flow looked up between its pixels; its edge goes on beyond the border."""
    return cv2.remap(picture, positions, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
