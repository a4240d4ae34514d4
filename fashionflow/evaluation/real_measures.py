"""Measures how good a clip of a real photo is, without a true clip.

Without a true clip, we know the photo itself, and where its pixels and its figure should be in every frame. These places come from the
guide of a model with geometry and from the requested motion, for the clips of every system. Therefore:
    - A figure that moves its arms out of the outline scores slightly worse in `haze` and `ghosts`.
    - Parts of the figure that the geometry missed count as background. `missed` says how large they are.
    - The warp row of the table shows the measures of the photo's own pixels. A turn brings parts into view whose edges differ from those
      of the parts that it hides, so its `sharpness` is not 1. Writing a clip to a file costs about 0.6 of `colour`.
These numbers compare systems on the same photos. By themselves they say little.

Shape letters used in this file:
    F frames   H, W pixels
"""

from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np

from .colour import SMALLEST_CHROMA
from .extras import optional


INSET = 0.01
"""The part that certainly belongs to the figure begins this far inside its outline, as a share of the frame's width."""

CLOSING = 0.015
"""Cracks and holes in the outline up to twice this wide, as a share of the frame's width, count as figure, because the figure should be
there."""

RING = (0.015, 0.06)
"""The ring around the figure: where it begins and ends outside the outline, as shares of the frame's width."""

AROUND = 0.02
"""Nothing within this distance of either outline counts as a ghost, as a share of the frame's width, because the rims there are soft."""

SMALLEST_REGION = 0.002
"""The share of the frame that a region must cover to be measured. A flat garment seen from its side has no inside."""

FAINTEST = 0.5
"""Grey levels. A figure with weaker edges has no sharpness to keep. This number is also added to the unrest of the rings before they are
compared."""

STRONGEST = 8.0
"""Grey levels. A stronger edge in the ring counts as this strong, because it belongs to an object and is not haze."""


@dataclass(frozen=True, eq=False)
class Asked:
    """The request for a clip: a photo, and where its figure should be.

    Args:
        photo: the photo at the clip's size, uint8 RGB, [H, W, 3].
        warped: the photo's pixels at the places to which its guide moves them, uint8 RGB, [F, H, W, 3].
        outline: where the figure should be in each frame, bool [F, H, W]; that of frame 0 is the photo's.
        front: where the frame should show the photo's side of the figure, bool [F, H, W].
        turn: degrees since frame 0, [F].
        size: the size of the figure relative to its size in the photo, [F]; 1 unless it walks.
    """

    photo: np.ndarray
    warped: np.ndarray
    outline: np.ndarray
    front: np.ndarray
    turn: np.ndarray
    size: np.ndarray

    @cached_property
    def whole(self) -> np.ndarray:
        """The outlines without cracks and small holes, bool [F, H, W]."""
        reach = max(1, round(CLOSING * self.outline.shape[2]))
        disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
        close = lambda outline: cv2.morphologyEx(outline.astype(np.uint8), cv2.MORPH_CLOSE, disc) > 0  # noqa: E731
        return np.stack([close(outline) for outline in self.outline])

    @cached_property
    def inside(self) -> np.ndarray:
        """The figure without its edge, bool [F, H, W]."""
        return np.stack([distance_inside(outline) > INSET * outline.shape[1] for outline in self.whole])

    @cached_property
    def outside(self) -> np.ndarray:
        """The distance of each pixel outside the outline, in frame widths, 0 inside, float32 [F, H, W]."""
        return np.stack([distance_inside(~outline) / outline.shape[1] for outline in self.whole])


def distance_inside(region: np.ndarray) -> np.ndarray:
    """The distance of each pixel of a region, bool [H, W], to the nearest pixel outside it, in pixels, float32. The picture's edges do
    not count.

    If the region is the whole picture, the distance is infinite.
    """
    if region.all():
        return np.full(region.shape, np.inf, np.float32)
    return cv2.distanceTransform(region.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5)


def sharpness(frames: np.ndarray, asked: Asked) -> np.ndarray:
    """The root mean square difference between vertical neighbours inside the figure, relative to the photo's own, [F].

    1.0 means kept, lower means softer, higher means rougher. Only the direction along the turning axis is measured: a turn squeezes a
    print across the axis and leaves it unchanged along the axis, so that the turn itself changes nothing. A figure that comes nearer is
    larger and its edges are softer by the same factor, which is divided out. NaN if the figure is too small or has no edges.

    Args:
        frames: uint8 RGB, [F, H, W, 3].
    """
    own = edges_along_axis(asked.photo, asked.inside[0])
    if not own >= FAINTEST:
        return np.full(len(frames), np.nan)
    edges = [edges_along_axis(frame, inside) for frame, inside in zip(frames, asked.inside, strict=True)]
    return np.array(edges) * asked.size / own


def edges_along_axis(picture: np.ndarray, region: np.ndarray) -> float:
    """The root mean square difference in grey levels between vertical neighbours, uint8 RGB [H, W, 3], in a region, bool [H, W]."""
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.float32)
    return float(np.sqrt(mean_of(np.diff(grey, axis=0) ** 2, region[1:] & region[:-1])))


def haze(frames: np.ndarray, asked: Asked) -> np.ndarray:
    """The mean difference between neighbouring pixels in a ring around the figure, relative to that in the photo's own ring, [F].

    1.0 is clean. Higher values mean haze, ghosts or a frayed edge. Lower values mean a background that is smoother than the photo's, such
    as a filled-in one.

    Args:
        frames: uint8 RGB, [F, H, W, 3].
    """
    rings = (asked.outside > RING[0]) & (asked.outside <= RING[1])
    own = unrest(asked.photo, rings[0])
    found = np.array([unrest(frame, ring) for frame, ring in zip(frames, rings, strict=True)])
    return (found + FAINTEST) / (own + FAINTEST)


def unrest(picture: np.ndarray, region: np.ndarray) -> float:
    """The mean absolute difference in grey levels between neighbouring pixels, across and down, each at most `STRONGEST`, uint8 RGB
    [H, W, 3], in a region, bool [H, W]."""
    colours = picture.astype(np.float32)
    across = np.abs(np.diff(colours, axis=1))[:-1].mean(-1)
    down = np.abs(np.diff(colours, axis=0))[:, :-1].mean(-1)
    return mean_of(np.minimum((across + down) / 2, STRONGEST), region[:-1, :-1])


def ghosts(frames: np.ndarray, asked: Asked) -> np.ndarray:
    """The mean absolute change from the clip's own frame 0, in grey levels, at places without the figure in both frames, [F].

    A shadow that moves with the figure counts too.

    Args:
        frames: uint8 RGB, [F, H, W, 3].
    """
    free = asked.outside > AROUND
    changes = np.abs(frames.astype(np.int16) - frames[:1]).mean(-1)  # [F, H, W]
    return np.array([mean_of(change, there & free[0]) for change, there in zip(changes, free, strict=True)])


def missed(figure: np.ndarray, asked: Asked) -> float:
    """The share of the photo's figure that lies clearly outside its outline. The geometry missed this part, so it will not move.

    Args:
        figure: where another network sees the figure in the photo, bool [H, W].
    """
    return mean_of(asked.outside[0] > INSET, figure)


def colour(frames: np.ndarray, asked: Asked) -> dict[str, float]:
    """How the figure's colours have changed in the last third of the clip, where it shows the photo's side.

    They are compared with the same pixels of the photo, at the places to which the guide moves them, so that parts that a turn shows or
    hides do not count.

    Args:
        frames: uint8 RGB, [F, H, W, 3].

    Returns:
        `saturation`: mean chroma in CIE Lab divided by the photo's own; NaN for a grey figure. `colour`: the difference (CIEDE2000)
            between mean colours. Both are means over frames; NaN if no frame shows enough of the photo's side.
    """
    library = optional("skimage.color")
    saturations, differences = [], []
    for index in range(len(frames) * 2 // 3, len(frames)):
        region = asked.front[index] & asked.inside[index]
        if region.sum() < SMALLEST_REGION * region.size:
            continue
        found, own = (library.rgb2lab(picture[region]) for picture in (frames[index], asked.warped[index]))  # [N, 3]
        if chroma(own) >= SMALLEST_CHROMA:
            saturations.append(chroma(found) / chroma(own))
        differences.append(float(library.deltaE_ciede2000(found.mean(0), own.mean(0))))
    return {"saturation": mean_known(saturations), "colour": mean_known(differences)}


def chroma(colours: np.ndarray) -> float:
    """The mean chroma of colours in CIE Lab, [N, 3]."""
    return float(np.hypot(colours[:, 1], colours[:, 2]).mean())


def mean_of(values: np.ndarray, region: np.ndarray) -> float:
    """The mean of values in a region, bool, of the same shape; NaN if the region is too small to measure."""
    return float(values[region].mean()) if region.sum() >= SMALLEST_REGION * region.size else np.nan


def mean_known(values: np.ndarray | list[float]) -> float:
    """The mean of the values that are not NaN; NaN if there are none."""
    known = np.asarray(values, np.float64)
    known = known[np.isfinite(known)]
    return float(known.mean()) if len(known) else np.nan


def median_known(values: np.ndarray | list[float]) -> float:
    """The median of the values that are not NaN; NaN if there are none."""
    known = np.asarray(values, np.float64)
    known = known[np.isfinite(known)]
    return float(np.median(known)) if len(known) else np.nan
