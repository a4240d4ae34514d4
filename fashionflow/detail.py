"""Brings back what the autoencoder loses of the photo: fine prints and faces, for as long as they can be followed.

The first keyframe becomes the photo itself. The difference between it and what the autoencoder made of it travels along with
the optical flow of the keyframes, counts only where that flow can be believed and leads to the same colour, and fades, so that
no keyframe is suddenly less sharp than the one before it.
"""

from collections.abc import Iterable, Iterator
from itertools import islice

import numpy as np

from .flow import follow_back, look_up, pixel_grid


FAR = 24.0
"""How far detail may have travelled, in pixels, before it has lost most of its strength (to 1 / e): what has come far has
been turned away and looks different by now."""

OTHER_COLOUR = 12.0
"""How much a keyframe may differ from the first one at the two ends of a path, in grey levels, before the path loses most of
its strength (to 1 / e): another colour is another thing."""


def carry_detail(photo: np.ndarray, keyframes: Iterable[np.ndarray], fade: int) -> Iterator[np.ndarray]:
    """The keyframes with the photo's own detail, uint8 RGB, [H, W, 3], one at a time; the first one is the photo.

    Args:
        photo: what the first keyframe shows, uint8 RGB, [H, W, 3].
        keyframes: decoded keyframes of that size, uint8 RGB.
        fade: keyframes after which nothing of the detail is left.

    Raises:
        ValueError: if the photo's size is not that of the keyframes.
    """
    pixels = pixel_grid(*photo.shape[:2])
    keyframes = iter(keyframes)
    first = None
    for index, (keyframe, origin, belief) in enumerate(follow_back(islice(keyframes, fade))):
        if keyframe.shape != photo.shape:
            raise ValueError(f"`photo` must be as large as the keyframes, {keyframe.shape}, got {photo.shape}.")
        if first is None:
            first, detail = keyframe, photo.astype(np.float32) - keyframe
            yield photo
            continue
        nearness = np.exp(-np.square(origin - pixels).sum(axis=-1) / FAR**2)
        change = np.abs(look_up(first, origin).astype(np.float32) - keyframe).mean(axis=-1)
        sameness = np.exp(-np.square(change / OTHER_COLOUR))
        strength = (belief * nearness * sameness * (1 - index / fade))[..., None]
        yield (keyframe + strength * look_up(detail, origin)).round().clip(0, 255).astype(np.uint8)
    yield from keyframes
