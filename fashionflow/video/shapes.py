"""Puts a clip into an upright or square picture, where its background is extended to the rest.

Frames are uint8 RGB, [height, width, 3]. F is the number of frames of a clip. An edge is extended line by line: its line is a row of pixels
at the top or the bottom, or a column at the left or the right.
"""

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from PIL import Image


EDGE_LINES = 4  # the extended background starts with their mean
BLUR_LEVELS = 9  # each level doubles the blur, which grows with the distance from the clip
BLUR_SLOPE = 0.8  # standard deviation of the blur, divided by the distance
FADE = 40  # pixels over which what stands before the background fades to 1/e of itself

SAMPLES = 128  # of an edge, where the background is searched
WINDOW = 77  # samples; what is narrower than half of it stands before the background
SAME = 24  # levels of 255; what differs less from the median is background
CUT = 60  # levels of 255; what differs more from the background is cut off by the edge
CUT_SHARE = 0.02  # of an edge


PLACES = {"start": 0.0, "middle": 0.5, "end": 1.0}
"""Where a clip is put in its shape: the share of the extension that lies above or left of it."""


@dataclass(frozen=True)
class Placement:
    """How the frames of one clip are put into a shape; the same for all of them, so that neither the clip nor the extension jumps.

    Args:
        size: of the shape, width and height in pixels.
        place: a name from `PLACES`.
        before, after: the extended background, float32 [lines, length, 3]; the first line is the one beside the clip.
    """

    size: tuple[int, int]
    place: str
    before: np.ndarray
    after: np.ndarray


def place(frames: np.ndarray, size: tuple[int, int]) -> Placement:
    """Finds how a clip, [F, height, width, 3], is put into `size` (width, height).

    It is put in the middle. But if the upper edge cuts the figure off, the clip is put at the top, and if only the lower edge does, at the
    bottom, so that the figure leaves the picture where it leaves the clip, and does not end before a wall.
    """
    sideways, (width, height) = _fit(frames[0], size)
    length, missing = (height, size[0] - width) if sideways else (width, size[1] - height)
    if sideways:  # the same with rows and columns exchanged
        frames = frames.transpose(0, 2, 1, 3)
    edges = [np.median(lines.mean(axis=1), axis=0) for lines in (frames[:, :EDGE_LINES], frames[:, -EDGE_LINES:])]
    samples = [cv2.resize(edge[None], (SAMPLES, 1), interpolation=cv2.INTER_AREA).astype(np.float32) for edge in edges]
    backgrounds = [_background(line) for line in samples]
    cut = [
        (np.abs(line - background).max(axis=-1) > CUT).mean() > CUT_SHARE
        for line, background in zip(samples, backgrounds, strict=True)
    ]
    where = "middle" if sideways or not any(cut) else "start" if cut[0] else "end"
    before = int(missing * PLACES[where])
    extended = (
        _spread(cv2.resize(background, (length, 1), interpolation=cv2.INTER_LINEAR), depth)
        for background, depth in zip(backgrounds, (before, missing - before), strict=True)
    )
    return Placement(size, where, *extended)


def reshape(frame: np.ndarray, placement: Placement) -> np.ndarray:
    """The whole frame, as large as it fits in the shape; its background is extended to the rest.

    The extension starts with the colours of the frame's own edges and becomes softer with the distance. So the wall and the floor of a
    studio continue, and the frame and its extension meet without a seam. What stands before the background at an edge, such as a shoe,
    fades quickly.
    """
    sideways, fitted = _fit(frame, placement.size)
    picture = np.asarray(Image.fromarray(frame).resize(fitted, Image.Resampling.LANCZOS))
    if sideways:
        picture = picture.transpose(1, 0, 2)
    before = _extension(picture[:EDGE_LINES], placement.before)[::-1]
    after = _extension(picture[-EDGE_LINES:], placement.after)
    whole = np.concatenate([before, picture, after])
    return np.ascontiguousarray(whole.transpose(1, 0, 2) if sideways else whole)


def _fit(frame: np.ndarray, size: tuple[int, int]) -> tuple[bool, tuple[int, int]]:
    """Whether the background is extended to the left and the right, and the width and the height of the frame in `size`."""
    scale = min(size[0] / frame.shape[1], size[1] / frame.shape[0])
    width, height = min(size[0], round(frame.shape[1] * scale)), min(size[1], round(frame.shape[0] * scale))
    return width < size[0], (width, height)


def _background(line: np.ndarray) -> np.ndarray:
    """The background along an edge, float32 [1, SAMPLES, 3], without what stands before it: what differs from the median around it is
    replaced by what is beside it."""
    half = WINDOW // 2
    padded = np.pad(line[0], ((half, half), (0, 0)), mode="reflect")
    median = np.median(np.lib.stride_tricks.sliding_window_view(padded, WINDOW, axis=0), axis=-1)
    known = np.flatnonzero(np.abs(line[0] - median).max(axis=-1) < SAME)
    if len(known) == 0:
        known = np.arange(SAMPLES)
    filled = [np.interp(np.arange(SAMPLES), known, line[0, known, channel]) for channel in range(3)]
    return cv2.GaussianBlur(np.stack(filled, axis=-1)[None].astype(np.float32), (0, 0), 3.0)


def _extension(edge: np.ndarray, background: np.ndarray) -> np.ndarray:
    """The extended background, [depth, length, 3], joined to the lines of an edge, [EDGE_LINES, length, 3]."""
    if len(background) == 0:
        return edge[:0]
    line = edge.mean(axis=0, dtype=np.float32)[None]  # [1, length, 3]
    joined, depth = background.copy(), min(len(background), 6 * FADE)  # further away, less than one level is left
    share = np.exp(-np.arange(depth, dtype=np.float32) / FADE)[:, None, None]
    joined[:depth] += share * _spread(line - background[:1], depth)
    return joined.round().clip(0, 255).astype(np.uint8)


def _spread(line: np.ndarray, depth: int) -> np.ndarray:
    """A line, [1, length, 3], that is repeated and becomes softer, float32 [depth, length, 3]."""
    if depth == 0:
        return np.empty((0, *line.shape[1:]), np.float32)
    blurs = (
        cv2.GaussianBlur(line, (0, 0), 2.0**level, borderType=cv2.BORDER_REFLECT) for level in range(1, BLUR_LEVELS)
    )
    levels = np.concatenate([line, *blurs])  # [BLUR_LEVELS, length, 3]
    return cv2.remap(levels, *_blur_map(line.shape[1], depth), cv2.INTER_LINEAR)


@lru_cache(maxsize=8)
def _blur_map(length: int, depth: int) -> tuple[np.ndarray, np.ndarray]:
    """The column and the blur level of every pixel of an extension, both float32 [depth, length]."""
    deviation = BLUR_SLOPE * np.arange(1, depth + 1)
    level = np.where(deviation < 2, deviation / 2, np.log2(np.maximum(deviation, 2))).clip(0, BLUR_LEVELS - 1)
    columns, rows = np.meshgrid(np.arange(length), level)
    return columns.astype(np.float32), rows.astype(np.float32)
