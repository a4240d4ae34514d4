"""What a processor computes faster in another order: convolutions with fewer multiplications, and group norms a few frames at a time.

Both stand in for a layer and give what it would, up to rounding. Elsewhere, in other number formats and while gradients are wanted,
PyTorch's own layers run.

Shape letters used in this file:
    N pictures, or clips   B batch   C channels   F frames   f frames of one part   H, W height and width   G groups of a norm
"""

import torch
import torch.nn.functional as F
from torch import nn

from . import winograd


PIXELS_AT_ONCE = 4096
"""For how many pixels a group norm on a processor works at a time: few enough for its caches, and for short sums."""


class WinogradConv2d(nn.Conv2d):
    """A convolution of `channels_last` pictures, [N, C, H, W], that pads with zeros by half of its kernel.

    With `winograd` set (`fashionflow.runtime.acceleration.prepare`), it is computed with fewer multiplications where that pays: a
    kernel of 3 x 3 over pictures, or one of 3 x 1 over a clip's frames, which then lie in the place of the height.
    """

    winograd = False

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        if self.winograd:
            pictures = hidden_states.permute(0, 2, 3, 1)  # [N, H, W, C]
            if winograd.pays_in_space(self, pictures):
                return winograd.conv_space(pictures, self.weight, self.bias).permute(0, 3, 1, 2)
            if winograd.pays_in_time(self, pictures):
                return winograd.conv_time(pictures, self.weight, self.bias).permute(0, 3, 1, 2)
        return super().forward(hidden_states)


def norm_pays_in_parts(hidden_states: torch.Tensor) -> bool:
    """Whether `norm_in_parts` is to normalise these: float32 on a processor, where nobody wants gradients or compiles."""
    in_float32 = hidden_states.dtype == torch.float32 and hidden_states.device.type == "cpu"
    return in_float32 and not torch.is_grad_enabled() and not torch.compiler.is_compiling()


def norm_in_parts(
    norm: nn.GroupNorm, hidden_states: torch.Tensor, scale: torch.Tensor | None, shift: torch.Tensor | None
) -> torch.Tensor:
    """What `GroupNormSiLU` computes, written over the input, a few frames at a time. The processor's own kernel for a clip adds its
    numbers up one by one, and the rounding of such long sums would be the largest error of the network.

    Args:
        norm: its groups, weight, bias and epsilon.
        hidden_states: [B, F, H, W, C].
        scale, shift: as `GroupNormSiLU.forward` takes them, [B, 1|F, 1, 1, C], or `None` both.
    """
    batch, frames, height, width, channels = hidden_states.shape
    at_once = max(1, PIXELS_AT_ONCE // (height * width))
    parts = hidden_states.split(at_once, dim=1)  # [B, f, H, W, C] each
    means, variances = hidden_states.new_empty(2, batch, len(parts), channels)
    for index, part in enumerate(parts):
        for clip in range(batch):
            # [f, C, H, W], as the kernel of batch norm takes it without copying
            means[clip, index], variances[clip, index] = torch.batch_norm_update_stats(
                part[clip].permute(0, 3, 1, 2), None, None, 0.0
            )
    shares = hidden_states.new_tensor([part.shape[1] / frames for part in parts])[:, None, None]  # [parts, 1, 1]
    shares = shares * norm.num_groups / channels
    means, variances = (each.unflatten(2, (norm.num_groups, -1)) for each in (means, variances))  # [B, parts, G, C/G]
    mean = (means * shares).sum((1, 3), keepdim=True)  # [B, 1, G, 1]
    variance = ((variances + (means - mean).square()) * shares).sum((1, 3), keepdim=True)
    gain = (variance + norm.eps).rsqrt() * norm.weight.view(norm.num_groups, -1)  # [B, 1, G, C/G]
    offset = norm.bias.view(norm.num_groups, -1) - mean * gain
    gain, offset = (each.view(batch, 1, 1, 1, channels) for each in (gain, offset))  # [B, 1, 1, 1, C]
    if scale is not None:
        gain, offset = gain * (scale + 1), torch.addcmul(shift, offset, scale + 1)  # [B, 1|F, 1, 1, C]
    gain, offset = (each.expand(-1, frames, -1, -1, -1) for each in (gain, offset))  # [B, F, 1, 1, C]
    for part, part_gain, part_offset in zip(
        parts, gain.split(at_once, dim=1), offset.split(at_once, dim=1), strict=True
    ):
        F.silu(torch.addcmul(part_offset, part, part_gain, out=part), inplace=True)
    return hidden_states
