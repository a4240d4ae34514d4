"""Bodies whose turned picture is known exactly, for tests of the warp."""

import math

import numpy as np
import torch
import torch.nn.functional as F

from fashionflow.pipelines.motions import rows
from fashionflow.pipelines.photo_layers import PhotoLayers
from fashionflow.pipelines.warp import CAMERA, CAMERA_WIDTH, WarpedFrames


HEIGHT, WIDTH = 96, 64


def turned(*yaws: float, walked: float = 0.0) -> torch.Tensor:
    """Motion rows for turns by so many degrees, one a frame, after `walked` metres."""
    return rows(np.array([0.0, *yaws]), np.array([0.0, *[walked] * len(yaws)]))[1:]


def flat(value: float, size: tuple[int, int] = (HEIGHT, WIDTH)) -> torch.Tensor:
    return torch.full(size, value)


def layers_of(
    coverage: torch.Tensor,
    front: torch.Tensor | float = 4.0,
    back: torch.Tensor | float = -4.0,
    axis: float | None = None,
    front_colours: torch.Tensor | None = None,
    back_colours: torch.Tensor | None = None,
) -> PhotoLayers:
    """Layers with a green front, a blue back and a black background, unless other colours are given."""
    height, width = coverage.shape
    colour = lambda *rgb: torch.tensor(rgb)[:, None, None].expand(3, height, width).clone()  # noqa: E731
    front, back = (
        value if isinstance(value, torch.Tensor) else flat(value, (height, width)) for value in (front, back)
    )
    return PhotoLayers(
        front_colours=colour(0.1, 0.9, 0.1) if front_colours is None else front_colours,
        back_colours=colour(0.1, 0.1, 0.9) if back_colours is None else back_colours,
        coverage=coverage,
        front=front,
        back=back,
        background=torch.zeros(3, height, width),
        background_known=(coverage == 0).float(),
        axis=width / 2 if axis is None else axis,
    )


def box(top: int, bottom: int, left: int, right: int, size: tuple[int, int] = (HEIGHT, WIDTH)) -> torch.Tensor:
    coverage = torch.zeros(size)
    coverage[top:bottom, left:right] = 1
    return coverage


def paint(angle: torch.Tensor, height: torch.Tensor) -> torch.Tensor:
    """Colours of a body by the direction that its surface faces, radians, and by the row, [3, H, W]: soft vertical stripes."""
    waves = [torch.sin(4 * angle), torch.cos(3 * angle + 1), torch.sin(angle + height / 9)]
    return 0.5 + 0.35 * torch.stack(waves)


def ellipsoid(
    yaw: float = 0.0, size: tuple[int, int] = (HEIGHT, WIDTH), axis: float | None = None, radius: float = 0.36
) -> PhotoLayers:
    """A painted ellipsoid, a circle from above, turned by `yaw` degrees, as the camera of the warp sees it exactly.

    Args:
        axis: column of its middle, pixels; the picture's middle by default.
        radius: its largest, as a share of the width.
    """
    height, width = size
    axis = width / 2 if axis is None else axis
    camera = CAMERA * width / CAMERA_WIDTH
    row = (torch.arange(height) + 0.5 - height / 2)[:, None].double()
    column = (torch.arange(width) + 0.5 - axis).double()
    around = (radius * width) ** 2 * (1 - (row / (0.45 * height)) ** 2).clamp(min=0)  # square of the radius, [H, 1]
    # Where the line of sight, x = column * (1 - z / camera), meets the circle x**2 + z**2 = around.
    a, b, c = column**2 / camera**2 + 1, -(column**2) / camera, column**2 - around
    root = b**2 - a * c
    there = (root > 0) & (around > 0)
    depths = [(-b + side * root.clamp(min=0).sqrt()) / a for side in (1, -1)]
    colours = [
        paint(torch.atan2(column * (1 - z / camera), z) - math.radians(yaw), row + 0 * z).float() for z in depths
    ]
    return layers_of(there.float(), *(z.float() for z in depths), axis, *colours)


def inside(layers: PhotoLayers, margin: int) -> torch.Tensor:
    """Pixels of the figure that are further than `margin` from its outline, bool [H, W]."""
    size = 2 * margin + 1
    return -F.max_pool2d(-layers.coverage[None], size, stride=1, padding=margin)[0] > 0.99


def colours_in(frames: WarpedFrames, index: int, row: int) -> str:
    """One letter for each pixel of a row: r, g or b for the strongest colour, . for the black background."""
    return "".join("." if max(p) < 0.25 else "rgb"[int(np.argmax(p))] for p in frames.pixels[index, :, row].T.tolist())
