"""A turned figure walks: it comes nearer, goes from foot to foot, and lifts one of them in turn.

Shape letters used in this file:
    H, W pixels
"""

import math

import torch
import torch.nn.functional as F


STRIDE = 0.66
"""Metres between two steps of the same foot."""
LIFT, BOB, SHIFT = 0.03, 0.008, 0.01
"""Of the figure's height: how far a foot leaves the floor, how far the body sinks between two steps, and how far it shifts to the foot
that it stands on."""
FACE, CROTCH = 0.08, 0.52  # of the figure's height, from its top: where the face is, and where the legs begin


def after_walking(figure: torch.Tensor, rows: slice, axis: float, factor: float, walked: float) -> torch.Tensor:
    """A figure after it has walked `walked` metres towards the camera, [6, H, W].

    It is `factor` times as large, about its face, which the camera follows, and takes steps: the body rises and sinks and shifts from
    foot to foot, and of a figure whose feet are in the picture one side leaves the floor in turn.

    Args:
        figure: its colours, what is certain of its front and of its back, and its share of each pixel, [3 + 2 + 1, H, W].
        rows: those that it covers.
        axis: column of its turning axis, pixels.
    """
    height, width = figure.shape[1:]
    device = figure.device
    y = torch.arange(height, device=device)[:, None] + 0.5  # [H, 1]
    x = torch.arange(width, device=device) + 0.5  # [W]
    top, tall = rows.start, rows.stop - rows.start
    face = top + FACE * tall
    y, x = face + (y - face) / factor, axis + (x - axis) / factor  # before it came nearer

    phase = walked / STRIDE
    begun = min(1.0, abs(phase) / 0.15)  # the first step begins from standing
    below = ((y - top) / tall).clamp(0, 1)  # 0 at the head, 1 at the feet
    # Standing feet stay; the body above them moves.
    up = begun * tall * BOB * (math.cos(4 * math.pi * phase) - 1) / 2 * (1 - below)
    aside = -begun * tall * SHIFT * math.sin(2 * math.pi * phase) * (1 - below)
    feet_in_picture = rows.stop < height
    if feet_in_picture:
        legs = ((below - CROTCH) / (1 - CROTCH)).clamp(0, 1)
        legs = legs * legs * (3 - 2 * legs)  # [H, 1]
        right = torch.sigmoid((x - axis) / (0.03 * tall))  # [W], 1 on the picture's right side
        for side, offset in ((1 - right, 0.0), (right, 0.5)):
            swing = ((phase + offset) % 1 - 0.6) / 0.4
            if swing > 0:
                up = up + begun * tall * LIFT * math.sin(math.pi * swing) * legs * side
    y, x = torch.broadcast_tensors(y + up, x - aside)
    grid = torch.stack([2 * x / width - 1, 2 * y / height - 1], dim=-1)[None].float()
    moved = F.grid_sample(figure[None], grid, align_corners=False, mode="bicubic")[0].clamp(0, 1)
    # Cubic interpolation overshoots, and no more is known than there is.
    moved[3:5] /= (moved[3:5].sum(0) / moved[5].clamp(min=1e-6)).clamp(min=1)
    return moved
