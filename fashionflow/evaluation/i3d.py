"""The network that FVD compares clips with: I3D (Carreira and Zisserman, "Quo Vadis, Action Recognition?", 2017), RGB stream,
trained on Kinetics-400. The layers are those of DeepMind's TensorFlow code, whose padding is kept."""

import math
from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from .weights import load_arrays


FRAME_SIZE = 224
"""Height and width of the frames that it was trained on, in pixels."""

SHORTEST_CLIP = 9
"""The smallest number of frames that leaves two places in time for the last pooling, which needs both."""

# Layer -> channels: a number for a convolution, (branch 0, 1a, 1b, 2a, 2b, 3) for an inception block, None for a pooling.
LAYERS: dict[str, int | tuple[int, ...] | None] = {
    "Conv3d_1a_7x7": 64,
    "MaxPool3d_2a_3x3": None,
    "Conv3d_2b_1x1": 64,
    "Conv3d_2c_3x3": 192,
    "MaxPool3d_3a_3x3": None,
    "Mixed_3b": (64, 96, 128, 16, 32, 32),
    "Mixed_3c": (128, 128, 192, 32, 96, 64),
    "MaxPool3d_4a_3x3": None,
    "Mixed_4b": (192, 96, 208, 16, 48, 64),
    "Mixed_4c": (160, 112, 224, 24, 64, 64),
    "Mixed_4d": (128, 128, 256, 24, 64, 64),
    "Mixed_4e": (112, 144, 288, 32, 64, 64),
    "Mixed_4f": (256, 160, 320, 32, 128, 128),
    "MaxPool3d_5a_2x2": None,
    "Mixed_5b": (256, 160, 320, 32, 128, 128),
    "Mixed_5c": (384, 192, 384, 48, 128, 128),
}
POOLINGS = {  # window and stride, both (time, height, width)
    "MaxPool3d_2a_3x3": ((1, 3, 3), (1, 2, 2)),
    "MaxPool3d_3a_3x3": ((1, 3, 3), (1, 2, 2)),
    "MaxPool3d_4a_3x3": ((3, 3, 3), (2, 2, 2)),
    "MaxPool3d_5a_2x2": ((2, 2, 2), (2, 2, 2)),
}


def pad_same(hidden_states: torch.Tensor, window: Sequence[int], stride: Sequence[int]) -> torch.Tensor:
    """Pads [B, C, F, H, W] with zeros as TensorFlow's "SAME" does: the output has ceil(size / stride) places, and an odd zero comes last.
    Poolings may use it too, because their inputs are never negative."""
    sides = []
    for size, width, step in zip(hidden_states.shape[:1:-1], window[::-1], stride[::-1], strict=True):
        missing = max(0, (math.ceil(size / step) - 1) * step + width - size)
        sides += [missing // 2, missing - missing // 2]
    return F.pad(hidden_states, sides)


class Unit3D(nn.Module):
    """Convolution, normalisation by the training data's mean and variance, and ReLU."""

    def __init__(self, in_channels: int, out_channels: int, window: int = 1, stride: int = 1):
        super().__init__()
        self.window, self.stride = (window,) * 3, (stride,) * 3
        self.convolution = nn.Conv3d(in_channels, out_channels, window, stride=stride)

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        return F.relu(self.convolution(pad_same(hidden_states, self.window, self.stride)))

    def load(self, arrays: dict[str, np.ndarray], name: str) -> None:
        """Makes the normalisation part of the convolution: (x - mean) / deviation + bias is linear."""
        kernel = arrays[f"params/{name}/Conv_0/kernel"].transpose(4, 3, 0, 1, 2)  # FHWIO -> OIFHW
        mean, variance = (arrays[f"batch_stats/{name}/BatchNorm_0/{part}"].ravel() for part in ("mean", "var"))
        scale = 1 / np.sqrt(variance + 1e-3)
        bias = arrays[f"params/{name}/BatchNorm_0/bias"] - mean * scale
        weight = kernel * scale[:, None, None, None, None]
        self.convolution.load_state_dict({"weight": torch.from_numpy(weight), "bias": torch.from_numpy(bias)})


class InceptionBlock(nn.Module):
    """Four parallel branches for the same place: 1 x 1, two of 3 x 3, and max pooling over the neighbours."""

    def __init__(self, in_channels: int, channels: tuple[int, ...]):
        super().__init__()
        self.branches = nn.ModuleDict(
            {
                "Branch_0/Conv3d_0a_1x1": Unit3D(in_channels, channels[0]),
                "Branch_1/Conv3d_0a_1x1": Unit3D(in_channels, channels[1]),
                "Branch_1/Conv3d_0b_3x3": Unit3D(channels[1], channels[2], 3),
                "Branch_2/Conv3d_0a_1x1": Unit3D(in_channels, channels[3]),
                "Branch_2/Conv3d_0b_3x3": Unit3D(channels[3], channels[4], 3),
                "Branch_3/Conv3d_0b_1x1": Unit3D(in_channels, channels[5]),
            }
        )
        self.out_channels = channels[0] + channels[2] + channels[4] + channels[5]

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        branches = self.branches
        pooled = F.max_pool3d(pad_same(hidden_states, (3, 3, 3), (1, 1, 1)), 3, stride=1)
        return torch.cat(
            [
                branches["Branch_0/Conv3d_0a_1x1"](hidden_states),
                branches["Branch_1/Conv3d_0b_3x3"](branches["Branch_1/Conv3d_0a_1x1"](hidden_states)),
                branches["Branch_2/Conv3d_0b_3x3"](branches["Branch_2/Conv3d_0a_1x1"](hidden_states)),
                branches["Branch_3/Conv3d_0b_1x1"](pooled),
            ],
            dim=1,
        )


class InflatedInception(nn.Module):
    """I3D up to its 400 logits.

    Args:
        arrays: its weights by name, by default those in the cache folder.

    Raises:
        WeightsError: if its weights are not in the cache folder; the message names the command that downloads them.
    """

    def __init__(self, arrays: dict[str, np.ndarray] | None = None):
        super().__init__()
        arrays = load_arrays("fvd-i3d") if arrays is None else arrays
        self.layers = nn.ModuleDict()
        width = 3
        for name, channels in LAYERS.items():
            if isinstance(channels, tuple):
                block = self.layers[name] = InceptionBlock(width, channels)
                for branch, unit in block.branches.items():
                    unit.load(arrays, f"{name}/{branch}")
                width = block.out_channels
            elif channels is not None:
                window = int(name[-1])
                unit = self.layers[name] = Unit3D(width, channels, window, stride=2 if window == 7 else 1)
                unit.load(arrays, name)
                width = channels
        self.classes = nn.Conv3d(width, 400, 1)
        last = "params/Logits/Conv3d_0c_1x1/Conv_0"
        kernel = arrays[f"{last}/kernel"].transpose(4, 3, 0, 1, 2)  # FHWIO -> OIFHW
        self.classes.load_state_dict(
            {"weight": torch.from_numpy(kernel.copy()), "bias": torch.from_numpy(arrays[f"{last}/bias"])}
        )
        self.requires_grad_(False).eval()

    def forward(self, clips: torch.Tensor) -> torch.Tensor:
        """Maps clips, float [B, 3, F, 224, 224] in [-1, 1] with F at least 9, to logits, [B, 400].

        Raises:
            ValueError: if the clips have another shape.
        """
        if (
            clips.ndim != 5
            or clips.shape[1] != 3
            or clips.shape[2] < SHORTEST_CLIP
            or clips.shape[3:] != (FRAME_SIZE,) * 2
        ):
            raise ValueError(
                f"`clips` must be [B, 3, F, {FRAME_SIZE}, {FRAME_SIZE}] with at least {SHORTEST_CLIP} frames, got "
                f"{list(clips.shape)}."
            )
        hidden_states = clips
        for name in LAYERS:
            if name in POOLINGS:
                window, stride = POOLINGS[name]
                hidden_states = F.max_pool3d(pad_same(hidden_states, window, stride), window, stride)
            else:
                hidden_states = self.layers[name](hidden_states)
        pooled = F.avg_pool3d(hidden_states, (2, 7, 7), stride=1)  # [B, 1024, f, 1, 1]
        return self.classes(pooled).mean(dim=(2, 3, 4))
