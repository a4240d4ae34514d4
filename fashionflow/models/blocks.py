"""The blocks that the denoiser is made of: ResNet blocks, attention over space and over time, cross-attention, and a block a resolution.

Shape letters used in this file:
    B batch   C channels   F frames   H, W latent height and width, in cells of the resolution at hand
    N tokens  n some of them   M context tokens   T channels of the time embedding

Hidden states are [B, F, H, W, C], the garment's tokens, `context`, [B, M, context_channels], and the time embedding [B, 1|F, T].
"""

import torch
import torch.nn.functional as F
from torch import nn

from .layers import (
    Downsample,
    FeedForward,
    GroupNormSiLU,
    PseudoConv3d,
    RelativePositionBias,
    SpaceTimeAttention,
    Upsample,
)


WIDEST_ON_CPU, WIDEST = 2**20, 2**26
"""Numbers in the widest tensor of a cross-attention block, eight times as wide as its input, which at full size would be 0.7 GB:
on a processor so many as stay in its caches, elsewhere so many that memory is no matter and the device is kept busy."""


class ResnetBlock(nn.Module):
    """Two pseudo-3D convolutions, each normalised, added to the input. `time_channels=None` leaves the timestep out."""

    def __init__(self, in_channels: int, out_channels: int, norm_groups: int, time_channels: int | None = None):
        super().__init__()
        self.conv1 = PseudoConv3d(in_channels, out_channels)
        self.norm1 = GroupNormSiLU(norm_groups, out_channels)
        self.conv2 = PseudoConv3d(out_channels, out_channels)
        self.norm2 = GroupNormSiLU(norm_groups, out_channels)
        self.time_proj = nn.Linear(time_channels, 2 * out_channels) if time_channels else None
        self.shortcut = nn.Linear(in_channels, out_channels) if in_channels != out_channels else nn.Identity()

    def forward(self, hidden_states: torch.Tensor, time_embedding: torch.Tensor | None = None) -> torch.Tensor:
        residual = self.shortcut(hidden_states)
        scale = shift = None
        if self.time_proj is not None:
            change = self.time_proj(F.silu(time_embedding))[:, :, None, None]  # [B, 1|F, 1, 1, C + C]
            scale, shift = change.chunk(2, dim=-1)
        hidden_states = self.norm1(self.conv1(hidden_states), scale, shift)
        return self.norm2(self.conv2(hidden_states)) + residual


class SpaceTimeTransformerBlock(nn.Module):
    """Attention within each frame, attention along time at each pixel, feed-forward; each added to its input."""

    def __init__(self, channels: int, heads: int, head_channels: int):
        super().__init__()
        self.spatial_norm = nn.LayerNorm(channels)
        self.spatial_attn = SpaceTimeAttention(channels, heads, head_channels)
        self.spatial_bias = RelativePositionBias(2, channels // 2, heads)
        self.temporal_norm = nn.LayerNorm(channels)
        self.temporal_attn = SpaceTimeAttention(channels, heads, head_channels)
        self.temporal_bias = RelativePositionBias(1, channels // 2, heads)
        self.feed_forward = FeedForward(channels)

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        batch, frames, height, width, _ = hidden_states.shape
        tokens = hidden_states.flatten(2, 3).flatten(0, 1)  # [B*F, H*W, C]
        bias = self.spatial_bias((height, width), tokens)
        tokens = tokens + self.spatial_attn(self.spatial_norm(tokens), attention_bias=bias)

        tokens = tokens.unflatten(0, (batch, frames)).transpose(1, 2).flatten(0, 1)  # [B*H*W, F, C]
        bias = self.temporal_bias((frames,), tokens)
        tokens = tokens + self.temporal_attn(self.temporal_norm(tokens), attention_bias=bias)

        tokens = tokens.unflatten(0, (batch, height * width)).transpose(1, 2)  # [B, F, H*W, C]
        hidden_states = tokens.reshape(batch, frames, height, width, -1)  # [B, F, H, W, C]
        return hidden_states + self.feed_forward(hidden_states)


class CrossAttentionBlock(nn.Module):
    """Lets every cell of every frame read the garment's tokens; then a gated feed-forward and a 1 x 1 convolution."""

    def __init__(self, channels: int, heads: int, context_channels: int):
        super().__init__()
        self.cross_norm = nn.LayerNorm(channels)
        self.cross_attn = SpaceTimeAttention(
            channels, heads, channels // heads, context_channels=context_channels, out_bias=True
        )
        self.feed_forward_norm = nn.LayerNorm(channels)
        self.feed_forward_in = nn.Linear(channels, 8 * channels)
        self.feed_forward_out = nn.Linear(4 * channels, channels)
        self.proj_out = nn.Linear(channels, channels)

    def forward(self, hidden_states: torch.Tensor, context: torch.Tensor) -> torch.Tensor:
        tokens = hidden_states.flatten(1, 3)  # [B, F*H*W, C]
        parts = [self._part(part, context) for part in tokens.split(self._tokens_at_once(tokens), dim=1)]
        return torch.cat(parts, dim=1).reshape(hidden_states.shape)  # [B, F, H, W, C]

    def _part(self, tokens: torch.Tensor, context: torch.Tensor) -> torch.Tensor:
        """The block for some of the tokens, [B, n, C], which do not see one another here."""
        tokens = tokens + self.cross_attn(self.cross_norm(tokens), context)
        value, gate = self.feed_forward_in(self.feed_forward_norm(tokens)).chunk(2, dim=-1)  # [B, n, 4C] each
        tokens = tokens + self.feed_forward_out(value * F.gelu(gate))
        return self.proj_out(tokens)

    def _tokens_at_once(self, tokens: torch.Tensor) -> int:
        """As many tokens as the eight times wider layer can hold without more memory than is good."""
        if torch.compiler.is_compiling():
            return tokens.shape[1]
        most = WIDEST_ON_CPU if tokens.device.type == "cpu" else WIDEST
        return max(1, most // (8 * tokens.shape[0] * tokens.shape[2]))


class DownBlock(nn.Module):
    """One resolution on the way down. Returns the features and the two skips that the way up will read."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        time_channels: int,
        norm_groups: int,
        attention: tuple[int, int] | None,
        halve_time: bool,
        cross_attention_heads: int,
        context_channels: int,
    ):
        super().__init__()
        self.resnet_1 = ResnetBlock(in_channels, out_channels, norm_groups, time_channels)
        self.resnet_2 = ResnetBlock(out_channels, out_channels, norm_groups)
        self.resnet_3 = ResnetBlock(out_channels, out_channels, norm_groups)
        self.transformer = SpaceTimeTransformerBlock(out_channels, *attention) if attention else nn.Identity()
        self.downsample = Downsample(out_channels, halve_time)
        self.cross_attention = CrossAttentionBlock(out_channels, cross_attention_heads, context_channels)

    def forward(
        self, hidden_states: torch.Tensor, time_embedding: torch.Tensor, context: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        early_skip = self.resnet_1(hidden_states, time_embedding)
        hidden_states = self.resnet_3(self.resnet_2(early_skip))
        late_skip = self.transformer(hidden_states)
        hidden_states = self.cross_attention(self.downsample(late_skip), context)
        return hidden_states, early_skip, late_skip


class MidBlock(nn.Module):
    """The coarsest resolution: attention between two ResNet blocks."""

    def __init__(self, channels: int, time_channels: int, norm_groups: int, attention: tuple[int, int]):
        super().__init__()
        self.resnet_1 = ResnetBlock(channels, channels, norm_groups, time_channels)
        self.transformer = SpaceTimeTransformerBlock(channels, *attention)
        self.resnet_2 = ResnetBlock(channels, channels, norm_groups, time_channels)

    def forward(self, hidden_states: torch.Tensor, time_embedding: torch.Tensor) -> torch.Tensor:
        hidden_states = self.transformer(self.resnet_1(hidden_states, time_embedding))
        return self.resnet_2(hidden_states, time_embedding)


class UpBlock(nn.Module):
    """One resolution on the way up; reads the two skips of its level, the later one first."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        time_channels: int,
        norm_groups: int,
        attention: tuple[int, int] | None,
        double_time: bool,
        cross_attention_heads: int,
        context_channels: int,
    ):
        super().__init__()
        self.upsample = Upsample(in_channels, double_time)
        self.resnet_1 = ResnetBlock(2 * in_channels, out_channels, norm_groups, time_channels)
        self.resnet_2 = ResnetBlock(in_channels + out_channels, out_channels, norm_groups)
        self.resnet_3 = ResnetBlock(out_channels, out_channels, norm_groups)
        self.transformer = SpaceTimeTransformerBlock(out_channels, *attention) if attention else nn.Identity()
        self.cross_attention = CrossAttentionBlock(out_channels, cross_attention_heads, context_channels)

    def forward(
        self,
        hidden_states: torch.Tensor,
        early_skip: torch.Tensor,
        late_skip: torch.Tensor,
        time_embedding: torch.Tensor,
        context: torch.Tensor,
    ) -> torch.Tensor:
        hidden_states = self.upsample(hidden_states)
        hidden_states = self.resnet_1(torch.cat([late_skip * 2**-0.5, hidden_states], dim=-1), time_embedding)
        hidden_states = self.resnet_2(torch.cat([early_skip * 2**-0.5, hidden_states], dim=-1))
        hidden_states = self.transformer(self.resnet_3(hidden_states))
        return self.cross_attention(hidden_states, context)
