"""The layers that the denoiser's blocks are made of.

Shape letters used in this file:
    B batch   C channels   F frames   H, W latent height and width, in cells of the resolution at hand
    N tokens  M context tokens   A attention heads   D channels of one head   n hidden channels of a feed-forward layer

Hidden states are [B, F, H, W, C]: linear layers, norms and attention work on them as they lie, and both kinds of convolution see them
as `channels_last` pictures, so nothing is transposed in memory.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from diffusers.models.attention import AttentionModuleMixin
from diffusers.models.attention_dispatch import dispatch_attention_fn
from torch import nn

from .processor_fast_paths import WinogradConv2d, norm_in_parts, norm_pays_in_parts


class PseudoConv3d(nn.Module):
    """A 2D convolution over each frame followed by a 1D convolution over time at each pixel.

    The temporal kernel starts as the identity, so an untrained layer treats a video as independent frames.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int = 3, temporal_kernel_size: int = 3):
        super().__init__()
        self.spatial = WinogradConv2d(in_channels, out_channels, kernel_size, padding=kernel_size // 2)
        # A (k, 1) kernel over [F, H*W] pictures is a 1D convolution over time without moving a number.
        self.temporal = WinogradConv2d(
            out_channels, out_channels, (temporal_kernel_size, 1), padding=(temporal_kernel_size // 2, 0)
        )
        nn.init.dirac_(self.temporal.weight)
        nn.init.zeros_(self.temporal.bias)

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        batch, frames, height, width, _ = hidden_states.shape
        hidden_states = hidden_states.flatten(0, 1)  # [B*F, H, W, C]
        hidden_states = self.spatial(hidden_states.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)  # [B*F, H, W, C]
        hidden_states = hidden_states.reshape(batch, frames, height * width, -1)  # [B, F, H*W, C]
        hidden_states = self.temporal(hidden_states.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)  # [B, F, H*W, C]
        return hidden_states.reshape(batch, frames, height, width, -1)  # [B, F, H, W, C]


class GroupNormSiLU(nn.GroupNorm):
    """GroupNorm over frames, height and width of [B, F, H, W, C], the timestep's scale and shift, and SiLU."""

    def forward(
        self, hidden_states: torch.Tensor, scale: torch.Tensor | None = None, shift: torch.Tensor | None = None
    ) -> torch.Tensor:
        """`scale`, of which 1 is added, and `shift` are [B, 1|F, 1, 1, C], or both left out."""
        if norm_pays_in_parts(hidden_states):
            return norm_in_parts(self, hidden_states, scale, shift)
        hidden_states = hidden_states.permute(0, 4, 1, 2, 3)  # [B, C, F, H, W]
        hidden_states = super().forward(hidden_states).permute(0, 2, 3, 4, 1)  # [B, F, H, W, C]
        if scale is not None:
            hidden_states = torch.addcmul(shift, hidden_states, scale + 1)
        # Written over its input while nobody will ask for a gradient: at full size one copy is 90 MB.
        return F.silu(hidden_states, inplace=not torch.is_grad_enabled())


class RelativePositionBias(nn.Module):
    """An additive attention bias, [1, A, N, N]: a small network of the offset between two positions, in cells or frames."""

    def __init__(self, num_axes: int, channels: int, num_heads: int):
        super().__init__()
        self.linear_1 = nn.Linear(num_axes, channels)
        self.linear_2 = nn.Linear(channels, channels)
        self.linear_3 = nn.Linear(channels, num_heads)

    def forward(self, sizes: tuple[int, ...], like: torch.Tensor) -> torch.Tensor:
        # Many pairs share one offset, so the network runs once for each of the 2n - 1 offsets along an axis.
        axes = [torch.arange(1 - size, size, device=like.device, dtype=torch.float32) for size in sizes]
        offsets = torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1).flatten(0, -2)  # [all offsets, axes]
        hidden_states = F.silu(self.linear_1(offsets.to(self.linear_1.weight.dtype)))
        table = self.linear_3(F.silu(self.linear_2(hidden_states)))  # [all offsets, A]

        index = torch.zeros((), dtype=torch.long, device=like.device)
        for size in sizes:
            positions = torch.arange(size, device=like.device)
            along_axis = positions[:, None] - positions[None] + size - 1  # [size, size]
            index = index[..., None, None] * (2 * size - 1) + along_axis  # [n1, n1, n2, n2 ...]
        if len(sizes) == 2:
            index = index.transpose(1, 2).reshape(sizes[0] * sizes[1], -1)  # [N, N]
        bias = table[index].permute(2, 0, 1)[None].to(like.dtype).contiguous()  # [1, A, N, N]
        # Fused kernels read the last axis in groups of 8. Padding the storage and handing out a view keeps them usable
        # for token counts such as 35 or 70; xFormers refuses an unpadded bias outright. It is always 4-D, because a 2-D
        # one would be taken for a padding mask whenever the batch happens to equal the number of tokens.
        num_tokens = bias.shape[-1]
        return F.pad(bias, (0, -num_tokens % 8))[..., :num_tokens]


class SpaceTimeAttnProcessor:
    """Scaled dot-product attention through whichever backend diffusers was told to use; native by default."""

    _attention_backend = None
    _parallel_config = None

    def __call__(
        self,
        attn: "SpaceTimeAttention",
        hidden_states: torch.Tensor,
        context: torch.Tensor | None = None,
        attention_bias: torch.Tensor | None = None,
    ) -> torch.Tensor:
        context = hidden_states if context is None else context
        query = attn.to_q(hidden_states).unflatten(-1, (attn.heads, -1))  # [B, N, A, D]
        key = attn.to_k(context).unflatten(-1, (attn.heads, -1))  # [B, M, A, D]
        value = attn.to_v(context).unflatten(-1, (attn.heads, -1))  # [B, M, A, D]
        hidden_states = dispatch_attention_fn(
            query, key, value, attn_mask=attention_bias, backend=self._attention_backend
        )
        return attn.to_out(hidden_states.flatten(-2))  # [B, N, C]


class SpaceTimeAttention(nn.Module, AttentionModuleMixin):
    """Multi-head attention of tokens [B, N, C] to themselves, or to a context [B, M, context_channels]."""

    _default_processor_cls = SpaceTimeAttnProcessor
    _available_processors = [SpaceTimeAttnProcessor]

    def __init__(
        self,
        channels: int,
        heads: int,
        head_channels: int,
        context_channels: int | None = None,
        out_bias: bool = False,
    ):
        super().__init__()
        self.heads = heads
        self.is_cross_attention = context_channels is not None
        self.to_q = nn.Linear(channels, heads * head_channels, bias=False)
        self.to_k = nn.Linear(context_channels or channels, heads * head_channels, bias=False)
        self.to_v = nn.Linear(context_channels or channels, heads * head_channels, bias=False)
        self.to_out = nn.Linear(heads * head_channels, channels, bias=out_bias)
        self.set_processor(SpaceTimeAttnProcessor())

    def forward(
        self,
        hidden_states: torch.Tensor,
        context: torch.Tensor | None = None,
        attention_bias: torch.Tensor | None = None,
    ) -> torch.Tensor:
        return self.processor(self, hidden_states, context, attention_bias)

    def set_use_memory_efficient_attention_xformers(
        self, use_memory_efficient_attention_xformers: bool, attention_op: Callable | None = None
    ) -> None:
        """What the pipeline's `enable_` and `disable_xformers_memory_efficient_attention` call on every attention layer."""
        super().set_use_memory_efficient_attention_xformers(use_memory_efficient_attention_xformers, attention_op)
        if not use_memory_efficient_attention_xformers:  # diffusers' own leaves the layer as it was
            self.processor._attention_backend = None


class ChannelNorm(nn.Module):
    """Layer norm over channels with a gain and no offset. The variance is kept above a floor rather than added to."""

    def __init__(self, channels: int):
        super().__init__()
        self.gain = nn.Parameter(torch.ones(channels))

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        floor = 1e-5 if hidden_states.dtype == torch.float32 else 1e-3
        variance, mean = torch.var_mean(hidden_states, dim=-1, correction=0, keepdim=True)
        return (hidden_states - mean) * variance.clamp_min(floor).rsqrt() * self.gain


class FeedForward(nn.Module):
    """A gated feed-forward layer in which half of the hidden channels look one frame back."""

    def __init__(self, channels: int):
        super().__init__()
        hidden_channels = int(channels * 4 * 2 / 3)
        self.proj_in = nn.Linear(channels, 2 * hidden_channels, bias=False)
        self.norm = ChannelNorm(hidden_channels)
        self.proj_out = nn.Linear(hidden_channels, channels, bias=False)

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        hidden_states, gate = self.proj_in(hidden_states).chunk(2, dim=-1)  # [B, F, H, W, n] each
        now, before = (hidden_states * F.gelu(gate)).chunk(2, dim=-1)  # [B, F, H, W, n/2] each
        before = torch.cat([torch.zeros_like(before[:, :1]), before[:, :-1]], dim=1)
        return self.proj_out(self.norm(torch.cat([now, before], dim=-1)))


class Downsample(nn.Module):
    """Folds each 2 x 2 cells into channels; with `time`, then each pair of frames too."""

    def __init__(self, channels: int, time: bool):
        super().__init__()
        self.space = nn.Linear(4 * channels, channels, bias=False)
        self.time = nn.Linear(2 * channels, channels, bias=False) if time else None

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        hidden_states = hidden_states.unflatten(3, (-1, 2)).unflatten(2, (-1, 2))  # [B, F, H/2, 2, W/2, 2, C]
        hidden_states = hidden_states.permute(0, 1, 2, 4, 6, 3, 5).flatten(4)  # [B, F, H/2, W/2, C*2*2]
        hidden_states = self.space(hidden_states)
        if self.time is not None:
            hidden_states = hidden_states.unflatten(1, (-1, 2))  # [B, F/2, 2, H/2, W/2, C]
            hidden_states = hidden_states.permute(0, 1, 3, 4, 5, 2).flatten(4)  # [B, F/2, H/2, W/2, C*2]
            hidden_states = self.time(hidden_states)
        return hidden_states


class Upsample(nn.Module):
    """Unfolds channels into 2 x 2 cells; with `time`, then into pairs of frames too."""

    def __init__(self, channels: int, time: bool):
        super().__init__()
        self.space = nn.Linear(channels, 4 * channels)
        self.time = nn.Linear(channels, 2 * channels) if time else None

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        hidden_states = self.space(hidden_states).unflatten(-1, (-1, 2, 2))  # [B, F, H, W, C, 2, 2]
        hidden_states = hidden_states.permute(0, 1, 2, 5, 3, 6, 4).flatten(4, 5).flatten(2, 3)  # [B, F, 2H, 2W, C]
        if self.time is not None:
            hidden_states = self.time(hidden_states).unflatten(-1, (-1, 2))  # [B, F, 2H, 2W, C, 2]
            hidden_states = hidden_states.permute(0, 1, 5, 2, 3, 4).flatten(1, 2)  # [B, 2F, 2H, 2W, C]
        return hidden_states
