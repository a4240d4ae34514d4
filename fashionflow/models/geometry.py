"""The shape of what a photo shows: where it is, how far its front and its back are, and what it turns about.

A double depth map, as in Moulding Humans (Gabeur et al., ICCV 2019): from one photo the depth of the nearest and of the farthest
surface in every pixel. Depths are pixels of the photo, positive towards the viewer, 0 in the plane of the turning axis, so they mean
the same for a full figure, a torso and a garment laid flat.

Shape letters used in this file:
    B batch   C channels   H, W pixels   h, w cells of the resolution at hand
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from diffusers.utils import BaseOutput
from torch import nn


DEPTH_UNIT = 32.0  # pixels of depth that the network's output counts as 1
AXIS_UNIT = 64.0  # pixels from the axis that the network's output counts as 1
PATCH = 4  # pixels along one side of a cell of the finest level


@dataclass
class GarmentGeometryOutput(BaseOutput):
    """What the network says of every pixel, [B, 1, H, W] each.

    Args:
        coverage_logits: of the share of the pixel that the figure or garment covers.
        front, back: depths of the nearest and the farthest surface, pixels; they mean something where there is coverage.
        axis_offset: how far the pixel lies to the right of the turning axis, pixels.
    """

    coverage_logits: torch.Tensor
    front: torch.Tensor
    back: torch.Tensor
    axis_offset: torch.Tensor


@dataclass
class PhotoGeometry:
    """The shape of one photo.

    Args:
        coverage: share of each pixel that the figure or garment covers, in [0, 1], [1, 1, H, W].
        front, back: depths of the nearest and the farthest surface, pixels, [1, 1, H, W].
        axis: column of the vertical turning axis, pixels from the left edge.
    """

    coverage: torch.Tensor
    front: torch.Tensor
    back: torch.Tensor
    axis: float


class GeometryBlock(nn.Module):
    """Two convolutions, each after GroupNorm and SiLU, added to the input; `stride` 2 halves height and width."""

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1):
        super().__init__()
        self.norm1 = nn.GroupNorm(8, in_channels)
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride, padding=1)
        self.norm2 = nn.GroupNorm(8, out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1)
        changes = in_channels != out_channels or stride > 1
        self.shortcut = nn.Conv2d(in_channels, out_channels, 1, stride) if changes else nn.Identity()

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        residual = self.shortcut(hidden_states)
        hidden_states = self.conv1(F.silu(self.norm1(hidden_states)))
        return residual + self.conv2(F.silu(self.norm2(hidden_states)))


class GarmentGeometry(ModelMixin, ConfigMixin):
    """A U-Net over one photo that predicts its double depth map.

    Args:
        block_channels: channels at 1/4, 1/8 ... of the photo's size, finest first, each a multiple of 8; one more level, as wide as
            the last, is the coarsest.
        sample_size: height and width of the photos that it was trained on, pixels; `predict` brings photos to it.
    """

    _supports_gradient_checkpointing = False
    _no_split_modules = ["GeometryBlock"]

    @register_to_config
    def __init__(
        self,
        block_channels: tuple[int, ...] = (56, 96, 160, 192),
        sample_size: tuple[int, int] = (320, 256),
    ):
        super().__init__()
        multiple = PATCH * 2 ** len(block_channels)
        if any(side % multiple for side in sample_size):
            raise ValueError(f"`sample_size` must be multiples of {multiple}, got {list(sample_size)}.")
        first, last = block_channels[0], block_channels[-1]
        levels = list(zip(block_channels[:-1], block_channels[1:], strict=True))
        # Two further channels say where a cell is: near the lower edge of a photo are feet, or cut-off legs.
        self.conv_in = nn.Conv2d(3 * PATCH**2 + 2, first, 3, padding=1)
        self.down_blocks = nn.ModuleList(
            nn.Sequential(GeometryBlock(finer, coarser, stride=2), GeometryBlock(coarser, coarser))
            for finer, coarser in levels
        )
        self.mid_block = nn.Sequential(
            GeometryBlock(last, last, stride=2), GeometryBlock(last, last), GeometryBlock(last, last)
        )
        self.up_blocks = nn.ModuleList([GeometryBlock(2 * last, last)])  # coarsest first
        self.up_blocks.extend(GeometryBlock(coarser + finer, finer) for finer, coarser in reversed(levels))
        self.conv_out = nn.Conv2d(first, 4 * PATCH**2, 3, padding=1)

    def forward(
        self, photo: torch.Tensor, return_dict: bool = True
    ) -> GarmentGeometryOutput | tuple[torch.Tensor, ...]:
        """
        Args:
            photo: sRGB pixels in [-1, 1], [B, 3, H, W].
            return_dict: return a `GarmentGeometryOutput` rather than a tuple of its tensors.

        Raises:
            ValueError: if height or width cannot be halved as often as there are levels.
        """
        multiple = PATCH * 2 ** len(self.config.block_channels)
        if photo.shape[2] % multiple or photo.shape[3] % multiple:
            raise ValueError(
                f"The height and width of `photo` must be multiples of {multiple}, got {tuple(photo.shape[2:])}."
            )
        cells = F.pixel_unshuffle(photo, PATCH)  # [B, 3*4*4, H/4, W/4]
        batch, _, height, width = cells.shape
        down = torch.linspace(-1, 1, height, device=cells.device, dtype=cells.dtype)[:, None].expand(height, width)
        across = torch.linspace(-1, 1, width, device=cells.device, dtype=cells.dtype).expand(height, width)
        place = torch.stack([down, across]).expand(batch, -1, -1, -1)  # [B, 2, H/4, W/4]
        hidden_states = self.conv_in(torch.cat([cells, place], dim=1))
        skips = [hidden_states]
        for block in self.down_blocks:
            hidden_states = block(hidden_states)
            skips.append(hidden_states)
        hidden_states = self.mid_block(hidden_states)
        for block in self.up_blocks:
            hidden_states = F.interpolate(hidden_states, scale_factor=2)
            hidden_states = block(torch.cat([hidden_states, skips.pop()], dim=1))
        maps = F.pixel_shuffle(self.conv_out(F.silu(hidden_states)), PATCH)  # [B, 4, H, W]
        coverage_logits, front, back, axis_offset = maps.split(1, dim=1)
        output = GarmentGeometryOutput(coverage_logits, front * DEPTH_UNIT, back * DEPTH_UNIT, axis_offset * AXIS_UNIT)
        return output if return_dict else output.to_tuple()

    @torch.no_grad()
    def predict(self, photo: torch.Tensor) -> PhotoGeometry:
        """The shape of one photo, as the mean of what is seen in it and in its mirror image.

        Args:
            photo: sRGB pixels in [-1, 1], [1, 3, height, width], of any size; it is brought to `sample_size`, and so are the depths.
        """
        photo = F.interpolate(photo, tuple(self.config.sample_size), mode="bilinear", antialias=True)
        photo = photo.to(self.device, self.dtype)
        maps = self(torch.cat([photo, photo.flip(3)]))
        coverage, front, back = (
            (part[:1] + part[1:].flip(3)).float() / 2
            for part in (maps.coverage_logits.sigmoid(), maps.front, maps.back)
        )
        offset = (maps.axis_offset[:1] - maps.axis_offset[1:].flip(3)).float() / 2
        columns = torch.arange(photo.shape[3], device=photo.device) + 0.5
        axes = (columns - offset)[coverage > 0.5]
        axis = axes.median().item() if axes.numel() else photo.shape[3] / 2
        return PhotoGeometry(coverage, front, torch.minimum(back, front), axis)
