"""What a decoder takes from a guide: frames in which the photo's own pixels are where the motion takes them.

Shape letters used in this file:
    B batch   C channels   H, W pixels
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn


KNOWN_CHANNELS = 4
"""How a guide's pixels are known: the photo's front, the rest of the figure, the background that the photo shows, the background filled in."""
CERTAIN_CHANNELS = (0, 2)
"""Those that show the photo's own pixels, which are kept as they are."""
PATCH = 4  # pixels along one side of a cell of the decoder's finest features


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
class GuideFrames:
    """Warped frames of a photo.

    Args:
        pixels: sRGB in [-1, 1], [B, 3, H, W].
        known: how each pixel is known, in [0, 1] each, [B, 4, H, W] (`KNOWN_CHANNELS`); what is left to 1 is not known.
    """

    pixels: torch.Tensor
    known: torch.Tensor

    def split(self, size: int) -> list["GuideFrames"]:
        """The frames in parts of `size`."""
        return [GuideFrames(*part) for part in zip(self.pixels.split(size), self.known.split(size), strict=True)]


def certainty(known: torch.Tensor) -> torch.Tensor:
    """The share of each pixel that is the photo's own, [B, 1, H, W], of `GuideFrames.known`."""
    return known[:, list(CERTAIN_CHANNELS)].sum(1, keepdim=True)


def with_certainty(belief: torch.Tensor, known: torch.Tensor) -> torch.Tensor:
    """How far a guide's pixels are taken, [B, 1, H, W]: wholly where they are the photo's own, elsewhere by `belief`."""
    certain = certainty(known)
    return certain + (1 - certain) * belief


class GuideFusion(nn.Module):
    """Decides pixel by pixel how far to take the guide, and mends what the decoder draws where it does not.

    The photo's own pixels are always taken: nothing learnt can blur them. An untrained network takes most of what the guide guesses and
    little of what it does not know.

    Args:
        fine_channels: channels of the decoder's features at a quarter of the picture's size.
    """

    def __init__(self, fine_channels: int):
        super().__init__()
        self.fuse = nn.Sequential(
            nn.Conv2d(fine_channels + 3 * PATCH**2 + KNOWN_CHANNELS, fine_channels, 3, padding=1),
            ResidualBlock(fine_channels),
            nn.SiLU(),
            nn.Conv2d(fine_channels, 4 * PATCH**2, 3, padding=1),
            nn.PixelShuffle(PATCH),
        )
        last = self.fuse[-2]
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)

    def forward(
        self, drawn: torch.Tensor, fine: torch.Tensor, guide: GuideFrames
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """
        Args:
            drawn: what the decoder draws without the guide, [B, 3, H, W].
            fine: its features at a quarter of that size, [B, fine_channels, H/4, W/4].
            guide: a frame for each picture of the batch.

        Returns:
            what is drawn with the guide seen, [B, 3, H, W], and belief in the guide where it is not certain, in [0, 1], [B, 1, H, W].
        """
        seen = [fine, F.pixel_unshuffle(guide.pixels, PATCH), F.avg_pool2d(guide.known, PATCH)]
        belief, change = self.fuse(torch.cat(seen, dim=1)).split([1, 3], dim=1)
        prior = 6 * guide.known.sum(1, keepdim=True) - 3
        return drawn + change, (belief + prior).sigmoid()
