"""What a decoder may take from the photo: where each part of it is in a later frame, and how far to believe that.

Shape letters used in this file:
    B batch   K features that are compared   R places compared with one cell   H, W pixels   P pixels along one side of a cell
    h, w latent cells (H / P, W / P)
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn


class ResidualBlock(nn.Module):
    """GroupNorm, SiLU and two 3 x 3 convolutions added to the input. An untrained block changes nothing."""

    def __init__(self, channels: int):
        super().__init__()
        self.norm = nn.GroupNorm(8, channels)
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        nn.init.zeros_(self.conv2.weight)
        nn.init.zeros_(self.conv2.bias)

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        return hidden_states + self.conv2(F.silu(self.conv1(F.silu(self.norm(hidden_states)))))


@dataclass
class PhotoGuide:
    """A photo made ready to be found again in later frames.

    Args:
        photo: pixels in [-1, 1], [1 or B, 3, H, W].
        features: of its cells, [1 or B, K, h, w].
    """

    photo: torch.Tensor
    features: torch.Tensor

    def expand(self, batch: int) -> "PhotoGuide":
        """The same guide for every picture of a batch."""
        return PhotoGuide(self.photo.expand(batch, -1, -1, -1), self.features.expand(batch, -1, -1, -1))

    def split(self, size: int) -> list["PhotoGuide"]:
        """The guides of parts of the batch, `size` pictures each."""
        parts = zip(self.photo.split(size), self.features.split(size), strict=True)
        return [PhotoGuide(photo, features) for photo, features in parts]


class PhotoGuidance(nn.Module):
    """Draws a photo's own pixels where they belong in a later frame.

    Cells of the frame are compared with nearby cells of the photo; the best places give a first flow, convolutions refine it,
    the photo is warped by it, and a last network decides pixel by pixel how far to believe the warped photo and what to add.

    Args:
        coarse_channels: channels of the decoder's features on the latent grid.
        fine_channels: channels of its features at a quarter of the picture's size.
        block_size: pixels along one side of a latent cell.
        reach: cells up or down, and to the left or right, that are compared; what moves farther is not found.
        compared_channels: features that are compared.
        channels: width of the network that finds the flow.
    """

    def __init__(
        self,
        coarse_channels: int,
        fine_channels: int,
        block_size: int,
        reach: tuple[int, int] = (2, 4),
        compared_channels: int = 32,
        channels: int = 48,
    ):
        super().__init__()
        self.block_size = block_size
        self.reach = reach
        self.upscale = block_size // 4
        places = (2 * reach[0] + 1) * (2 * reach[1] + 1)
        self.compare = nn.Conv2d(coarse_channels, compared_channels, 1)
        self.sharpness = nn.Parameter(torch.tensor(10.0))
        self.find_flow = nn.Sequential(
            nn.Conv2d(places + 2 * compared_channels + 2, channels, 3, padding=1),
            ResidualBlock(channels),
            nn.SiLU(),
            nn.Conv2d(channels, 2 * self.upscale**2, 3, padding=1),
            nn.PixelShuffle(self.upscale),
        )
        self.fuse = nn.Sequential(
            nn.Conv2d(fine_channels + 48 + 2, fine_channels, 3, padding=1),
            ResidualBlock(fine_channels),
            nn.SiLU(),
            nn.Conv2d(fine_channels, 4 * 16, 3, padding=1),
            nn.PixelShuffle(4),
        )
        for last in (self.find_flow[-2], self.fuse[-2]):
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)

    def prepare(self, photo: torch.Tensor, coarse: torch.Tensor) -> PhotoGuide:
        """The guide of a photo, [B, 3, H, W] in [-1, 1], from the decoder's features of its latents, [B, C, h, w]."""
        return PhotoGuide(photo, self.compare(coarse))

    def forward(
        self, pixels: torch.Tensor, coarse: torch.Tensor, fine: torch.Tensor, guide: PhotoGuide
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """
        Args:
            pixels: what the decoder draws without the photo, [B, 3, H, W].
            coarse: the decoder's features on the latent grid, [B, coarse_channels, h, w].
            fine: its features at a quarter of the picture's size, [B, fine_channels, H/4, W/4].
            guide: the photo, for every picture of the batch.

        Returns:
            pixels with what the photo shows of them, [B, 3, H, W], and the flow: how far away in the photo each pixel
            was found, [B, 2, H/4, W/4], (x, y) in pixels.
        """
        features = self.compare(coarse)  # [B, K, h, w]
        scores, nearby = self.compare_places(features, guide.features)  # [B, R, h, w], [B, 2, h, w]
        flow = self.find_flow(torch.cat([scores, features, guide.features, nearby], dim=1))  # [B, 2, H/4, W/4]
        nearby = F.interpolate(nearby, scale_factor=self.upscale, mode="bilinear")
        flow = (flow + nearby) * self.block_size
        found = warp(guide.photo, F.interpolate(flow, scale_factor=4, mode="bilinear"))  # [B, 3, H, W]
        seen = torch.cat(
            [fine, F.pixel_unshuffle(found, 4), flow / self.block_size], dim=1
        )  # [B, C + 48 + 2, H/4, W/4]
        belief, change = self.fuse(seen).split([1, 3], dim=1)
        belief = belief.sigmoid()
        return belief * found + (1 - belief) * pixels + change, flow

    def compare_places(
        self, features: torch.Tensor, photo_features: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """How alike each cell is to the photo's cells within reach, [B, R, h, w], and where the likest ones are.

        That place is a mean over all places, weighted by likeness: [B, 2, h, w], (x, y) in cells away.
        """
        down, right = self.reach
        height, width = features.shape[-2:]
        features, photo_features = F.normalize(features, dim=1), F.normalize(photo_features, dim=1)
        padded = F.pad(photo_features, (right, right, down, down))
        scores, places = [], []
        for y in range(2 * down + 1):
            for x in range(2 * right + 1):
                scores.append((features * padded[..., y : y + height, x : x + width]).sum(1))
                places.append((x - right, y - down))
        scores = torch.stack(scores, dim=1)  # [B, R, h, w]
        places = torch.tensor(places, dtype=scores.dtype, device=scores.device)  # [R, 2]
        likeness = (self.sharpness * scores).softmax(dim=1)
        return scores, torch.einsum("brhw,rc->bchw", likeness, places)


def warp(picture: torch.Tensor, flow: torch.Tensor) -> torch.Tensor:
    """A picture, [B, C, H, W], looked up at each pixel's own place plus `flow`, [B, 2, H, W], (x, y) in pixels."""
    height, width = picture.shape[-2:]
    columns = torch.arange(width, dtype=torch.float32, device=flow.device) + flow[:, 0].float()
    lines = torch.arange(height, dtype=torch.float32, device=flow.device)[:, None] + flow[:, 1].float()
    # grid_sample counts from -1 at the middle of the first pixel to 1 at the middle of the last one.
    grid = torch.stack([2 * columns / (width - 1) - 1, 2 * lines / (height - 1) - 1], dim=-1)  # [B, H, W, 2]
    # Beyond the border the border goes on; clamped, because not every device has grid_sample's own way of that.
    found = F.grid_sample(picture.float(), grid.clamp(-1, 1), align_corners=True)
    return found.to(picture.dtype)
