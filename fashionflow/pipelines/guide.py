"""The guide of a clip: the photo's layers and where the motion takes them, at any moment, rate and size."""

from dataclasses import dataclass

import numpy as np
import torch

from ..models.guide_fusion import GuideFrames
from .photo_layers import PhotoLayers
from .warp import WarpedFrames, warp


@dataclass
class ClipGuide:
    """What is known of every frame of a clip before anything is denoised.

    Args:
        layers: of the photo, of the clip's size.
        motion: rows as `fashionflow.pipelines.motions.rows` makes them, one for each of the denoiser's frames, [F, 3].
    """

    layers: PhotoLayers
    motion: torch.Tensor

    def frames(self, moments: torch.Tensor, size: tuple[int, int] | None = None) -> WarpedFrames:
        """The photo as the motion has taken it at some moments.

        Args:
            moments: in frames of the denoiser, which need not be whole numbers, [N].
            size: height and width of smaller frames, pixels; the clip's own by default.
        """
        layers = self.layers if size is None else self.layers.resized(*size)
        return warp(layers, motion_at(self.motion, moments))


def motion_at(motion: torch.Tensor, moments: torch.Tensor) -> torch.Tensor:
    """Motion rows between those of a clip's frames, [N, 3]: the turn and the way walked along smooth curves through them.

    Args:
        motion: a row a frame, [F, 3].
        moments: in frames, in [0, F - 1], [N].
    """
    rows = motion.double().cpu().numpy()
    curves = np.stack([np.unwrap(np.arctan2(rows[:, 0], rows[:, 1])), rows[:, 2]], axis=1)  # [F, 2]
    values = catmull_rom(curves, moments.double().cpu().numpy())  # [N, 2]
    return torch.from_numpy(np.stack([np.sin(values[:, 0]), np.cos(values[:, 0]), values[:, 1]], axis=1)).float()


def catmull_rom(points: np.ndarray, moments: np.ndarray) -> np.ndarray:
    """A curve through points, [F, D], at `moments` in [0, F - 1], [N]; [N, D] (Catmull and Rom 1974)."""
    last = len(points) - 1
    if last < 1:
        return np.repeat(points, len(moments), axis=0)
    padded = np.concatenate([2 * points[:1] - points[1:2], points, 2 * points[-1:] - points[-2:-1]])
    index = np.clip(np.floor(moments).astype(int), 0, last - 1)
    t = (moments - index)[:, None]
    before, start, end, after = (padded[index + offset] for offset in range(4))
    return 0.5 * (
        2 * start
        + (end - before) * t
        + (2 * before - 5 * start + 4 * end - after) * t**2
        + (3 * start - before - 3 * end + after) * t**3
    )


def guide_frames(warped: WarpedFrames) -> GuideFrames:
    """Warped frames as the decoder takes them."""
    return GuideFrames(warped.pixels * 2 - 1, warped.known)
