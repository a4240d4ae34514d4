"""LPIPS (Zhang et al., "The Unreasonable Effectiveness of Deep Features as a Perceptual Metric", 2018), version 0.1.

The features of a network that was trained to recognise objects differ between two pictures about as much as people see them differ.
"""

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from .weights import load_arrays


class AlexNetFeatures(nn.Module):
    """The convolutions of torchvision's AlexNet; [B, 3, height, width] to the outputs of its five layers."""

    def __init__(self):
        super().__init__()
        self.convolutions = nn.ModuleList(
            [
                nn.Conv2d(3, 64, 11, stride=4, padding=2),
                nn.Conv2d(64, 192, 5, padding=2),
                nn.Conv2d(192, 384, 3, padding=1),
                nn.Conv2d(384, 256, 3, padding=1),
                nn.Conv2d(256, 256, 3, padding=1),
            ]
        )

    def forward(self, hidden_states: torch.Tensor) -> list[torch.Tensor]:
        features = []
        for index, convolution in enumerate(self.convolutions):
            if index in (1, 2):
                hidden_states = F.max_pool2d(hidden_states, 3, stride=2)
            hidden_states = F.relu(convolution(hidden_states))
            features.append(hidden_states)
        return features


class VGG16Features(nn.Module):
    """The convolutions of torchvision's VGG16; [B, 3, height, width] to the last output of each of its five stages."""

    STAGES = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))

    def __init__(self):
        super().__init__()
        widths = [3, *(width for stage in self.STAGES for width in stage)]
        self.convolutions = nn.ModuleList(
            nn.Conv2d(before, after, 3, padding=1) for before, after in zip(widths[:-1], widths[1:], strict=True)
        )

    def forward(self, hidden_states: torch.Tensor) -> list[torch.Tensor]:
        features, convolutions = [], iter(self.convolutions)
        for stage in self.STAGES:
            if features:
                hidden_states = F.max_pool2d(hidden_states, 2)
            for _ in stage:
                hidden_states = F.relu(next(convolutions)(hidden_states))
            features.append(hidden_states)
        return features


# network -> features, channels of its five outputs, the name of its weights, and their first path in that file
NETWORKS = {
    "alexnet": (AlexNetFeatures, (64, 192, 384, 256, 256), "lpips-alexnet", "AlexNet_0"),
    "vgg16": (VGG16Features, (64, 128, 256, 512, 512), "lpips-vgg16", "VGG16_0"),
}
SMALLEST_SIDE = 32
"""Below this many pixels a side, a network has no output left at its last layer."""


class LearnedPerceptualDistance(nn.Module):
    """LPIPS: 0 for equal pictures, about 0.7 for unrelated ones. Differentiable in both pictures; its weights are fixed.

    Args:
        network: "alexnet", with which scores are reported, or "vgg16", which is usual for training.

    Raises:
        ValueError: if there is no such network.
        WeightsError: if its weights are not in the cache folder; the message names the command that downloads them.
    """

    def __init__(self, network: str = "alexnet"):
        super().__init__()
        if network not in NETWORKS:
            raise ValueError(f"`network` must be one of {', '.join(NETWORKS)}, got {network!r}.")
        features, channels, weights, prefix = NETWORKS[network]
        self.features = features()
        self.heads = nn.ModuleList(nn.Conv2d(width, 1, 1, bias=False) for width in channels)
        # ImageNet's mean and deviation, for pixels in [-1, 1].
        self.register_buffer("mean", torch.tensor([-0.030, -0.088, -0.188])[:, None, None], persistent=False)
        self.register_buffer("deviation", torch.tensor([0.458, 0.448, 0.450])[:, None, None], persistent=False)
        self._load(load_arrays(weights), prefix)
        self.requires_grad_(False).eval()

    def _load(self, arrays: dict[str, np.ndarray], prefix: str) -> None:
        layers = {f"{prefix}/Conv_{index}": layer for index, layer in enumerate(self.features.convolutions)}
        layers |= {f"NetLinLayer_{index}/Conv_0": layer for index, layer in enumerate(self.heads)}
        for name, layer in layers.items():
            state = {"weight": torch.from_numpy(arrays[f"{name}/kernel"].transpose(3, 2, 0, 1))}  # HWIO -> OIHW
            if layer.bias is not None:
                state["bias"] = torch.from_numpy(arrays[f"{name}/bias"])
            layer.load_state_dict(state)

    def forward(self, first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
        """The distance between pictures, pair by pair.

        Args:
            first: pixels in [-1, 1], float [B, 3, height, width], each side at least 32 pixels.
            second: pixels like `first`, of the same shape.

        Returns:
            [B], not below 0.

        Raises:
            ValueError: if the shapes differ or a picture is too small.
        """
        if (
            first.shape != second.shape
            or first.ndim != 4
            or first.shape[1] != 3
            or min(first.shape[2:]) < SMALLEST_SIDE
        ):
            raise ValueError(
                f"`first` and `second` must both be [B, 3, height, width] with sides of at least {SMALLEST_SIDE}, got "
                f"{list(first.shape)} and {list(second.shape)}."
            )
        features = [self.features((pictures - self.mean) / self.deviation) for pictures in (first, second)]
        distance = first.new_zeros(len(first))
        for head, one, other in zip(self.heads, *features, strict=True):
            difference = (unit_length(one) - unit_length(other)).square()  # [B, C, h, w]
            distance = distance + head(difference).mean(dim=(1, 2, 3))
        return distance


def unit_length(features: torch.Tensor) -> torch.Tensor:
    """Scales features, [B, C, h, w], to length 1 over the channels at every place.

    A tiny number is added under the root too. Without it, the gradient would be infinite at a black place, which has no features at all.
    """
    return features / ((features.square().sum(dim=1, keepdim=True) + 1e-20).sqrt() + 1e-10)
