"""The denoiser: a U-Net over video latents that factorises space and time (FashionFlow, arXiv 2310.00106, section 3).

Shape letters used in this file:
    B batch   C channels   F frames   H, W latent height and width, in cells of the resolution at hand
    N tokens  M context tokens   A attention heads   D channels of one head   T channels of the time embedding

Outside, latents are [B, C, F, H, W]. Inside, hidden states are [B, F, H, W, C]: linear layers, norms and attention work on
them as they lie, and both kinds of convolution see them as `channels_last` pictures, so nothing is transposed in memory.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from diffusers import CacheMixin, ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from diffusers.models.attention import AttentionMixin, AttentionModuleMixin
from diffusers.models.attention_dispatch import dispatch_attention_fn
from diffusers.models.embeddings import Timesteps
from diffusers.utils import BaseOutput
from torch import nn

from . import winograd


WIDEST_ON_CPU, WIDEST = 2**20, 2**26
"""Numbers in the widest tensor of a cross-attention block, eight times as wide as its input, which at full size would be 0.7 GB:
on a processor so many as stay in its caches, elsewhere so many that memory is no matter and the device is kept busy."""

PIXELS_AT_ONCE = 4096
"""For how many pixels a group norm on a processor works at a time: few enough for its caches, and for short sums."""


@dataclass
class SpaceTimeUNetOutput(BaseOutput):
    """sample: the prediction (noise, velocity or clean latents, as the scheduler's config says), [B, C, F, H, W].
    deep_features: what the coarser levels gave to the finest one, [B, F, H/2, W/2, C], with F/2 where that level halves time."""

    sample: torch.Tensor
    deep_features: torch.Tensor | None = None


class PseudoConv3d(nn.Module):
    """A 2D convolution over each frame followed by a 1D convolution over time at each pixel.

    The temporal kernel starts as the identity, so an untrained layer treats a video as independent frames. With `winograd` set
    (`fashionflow.runtime.acceleration.prepare`), wide layers are computed with fewer multiplications where that pays.
    """

    winograd = False

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int = 3, temporal_kernel_size: int = 3):
        super().__init__()
        self.spatial = nn.Conv2d(in_channels, out_channels, kernel_size, padding=kernel_size // 2)
        # A (k, 1) kernel over [F, H*W] pictures is a 1D convolution over time without moving a number.
        self.temporal = nn.Conv2d(
            out_channels, out_channels, (temporal_kernel_size, 1), padding=(temporal_kernel_size // 2, 0)
        )
        nn.init.dirac_(self.temporal.weight)
        nn.init.zeros_(self.temporal.bias)

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        batch, frames, height, width, _ = hidden_states.shape
        hidden_states = hidden_states.flatten(0, 1)  # [B*F, H, W, C]
        if self.winograd and winograd.pays_in_space(self.spatial, hidden_states):
            hidden_states = winograd.conv_space(hidden_states, self.spatial.weight, self.spatial.bias)
        else:
            hidden_states = self.spatial(hidden_states.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        hidden_states = hidden_states.reshape(batch, frames, height * width, -1)  # [B, F, H*W, C]
        if self.winograd and winograd.pays_in_time(self.temporal, hidden_states):
            hidden_states = winograd.conv_time(hidden_states, self.temporal.weight, self.temporal.bias)
        else:
            hidden_states = self.temporal(hidden_states.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        return hidden_states.reshape(batch, frames, height, width, -1)


class GroupNormSiLU(nn.GroupNorm):
    """GroupNorm over frames, height and width of [B, F, H, W, C], the timestep's scale and shift, and SiLU."""

    def forward(
        self, hidden_states: torch.Tensor, scale: torch.Tensor | None = None, shift: torch.Tensor | None = None
    ) -> torch.Tensor:
        """`scale`, of which 1 is added, and `shift` are [B, 1|F, 1, 1, C], or both left out."""
        in_parts = hidden_states.dtype == torch.float32 and hidden_states.device.type == "cpu"
        if in_parts and not torch.is_grad_enabled() and not torch.compiler.is_compiling():
            return self._in_parts(hidden_states, scale, shift)
        hidden_states = super().forward(hidden_states.permute(0, 4, 1, 2, 3)).permute(0, 2, 3, 4, 1)
        if scale is not None:
            hidden_states = torch.addcmul(shift, hidden_states, scale + 1)
        # Written over its input while nobody will ask for a gradient: at full size one copy is 90 MB.
        return F.silu(hidden_states, inplace=not torch.is_grad_enabled())

    def _in_parts(
        self, hidden_states: torch.Tensor, scale: torch.Tensor | None, shift: torch.Tensor | None
    ) -> torch.Tensor:
        """The same, written over the input, a few frames at a time. The processor's own kernel for a clip adds its numbers up one by
        one, and the rounding of such long sums would be the largest error of the network."""
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
        shares = shares * self.num_groups / channels
        means, variances = (
            each.unflatten(2, (self.num_groups, -1)) for each in (means, variances)
        )  # [B, parts, G, C/G]
        mean = (means * shares).sum((1, 3), keepdim=True)  # [B, 1, G, 1]
        variance = ((variances + (means - mean).square()) * shares).sum((1, 3), keepdim=True)
        gain = (variance + self.eps).rsqrt() * self.weight.view(self.num_groups, -1)  # [B, 1, G, C/G]
        offset = self.bias.view(self.num_groups, -1) - mean * gain
        gain, offset = (each.view(batch, 1, 1, 1, channels) for each in (gain, offset))
        if scale is not None:
            gain, offset = gain * (scale + 1), torch.addcmul(shift, offset, scale + 1)  # [B, 1|F, 1, 1, C]
        gain, offset = (each.expand(-1, frames, -1, -1, -1) for each in (gain, offset))
        for part, part_gain, part_offset in zip(
            parts, gain.split(at_once, dim=1), offset.split(at_once, dim=1), strict=True
        ):
            F.silu(torch.addcmul(part_offset, part, part_gain, out=part), inplace=True)
        return hidden_states


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
            scale, shift = self.time_proj(F.silu(time_embedding))[:, :, None, None].chunk(
                2, dim=-1
            )  # [B, 1|F, 1, 1, C]
        hidden_states = self.norm1(self.conv1(hidden_states), scale, shift)
        return self.norm2(self.conv2(hidden_states)) + residual


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
        return attn.to_out(hidden_states.flatten(-2))


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
        hidden_states, gate = self.proj_in(hidden_states).chunk(2, dim=-1)
        now, before = (hidden_states * F.gelu(gate)).chunk(2, dim=-1)  # [B, F, H, W, n/2] each
        before = torch.cat([torch.zeros_like(before[:, :1]), before[:, :-1]], dim=1)
        return self.proj_out(self.norm(torch.cat([now, before], dim=-1)))


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
        hidden_states = tokens.reshape(batch, frames, height, width, -1)
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
        return torch.cat(parts, dim=1).reshape(hidden_states.shape)

    def _part(self, tokens: torch.Tensor, context: torch.Tensor) -> torch.Tensor:
        """The block for some of the tokens, [B, n, C], which do not see one another here."""
        tokens = tokens + self.cross_attn(self.cross_norm(tokens), context)
        value, gate = self.feed_forward_in(self.feed_forward_norm(tokens)).chunk(2, dim=-1)
        tokens = tokens + self.feed_forward_out(value * F.gelu(gate))
        return self.proj_out(tokens)

    def _tokens_at_once(self, tokens: torch.Tensor) -> int:
        """As many tokens as the eight times wider layer can hold without more memory than is good."""
        if torch.compiler.is_compiling():
            return tokens.shape[1]
        most = WIDEST_ON_CPU if tokens.device.type == "cpu" else WIDEST
        return max(1, most // (8 * tokens.shape[0] * tokens.shape[2]))


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
            hidden_states = (
                hidden_states.unflatten(1, (-1, 2)).permute(0, 1, 3, 4, 5, 2).flatten(4)
            )  # [B, F/2, H, W, C*2]
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
            hidden_states = self.time(hidden_states).unflatten(-1, (-1, 2))  # [B, F, H, W, C, 2]
            hidden_states = hidden_states.permute(0, 1, 5, 2, 3, 4).flatten(1, 2)  # [B, 2F, H, W, C]
        return hidden_states


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


class SpaceTimeUNet(ModelMixin, AttentionMixin, ConfigMixin, CacheMixin):
    """Predicts a clean video latent, or its noise, from the noisy latent, the timestep and the garment's tokens.

    The defaults are the released model's. Frame 0 of the input is always the clean latent of the photo.

    Args:
        in_channels: channels of one latent frame.
        stem_channels: channels after the first convolution; the time embedding has four times as many.
        block_channels: channels at each level, finest first. Every level halves height and width.
        attention_levels: levels with attention over space and over time; the middle always has it.
        time_levels: levels that also halve the number of frames.
        attention_heads: heads of that attention.
        attention_head_channels: channels of each of those heads.
        cross_attention_heads: heads of each level's cross-attention; they share the channels of the features.
        context_channels: channels of one context token.
        norm_groups: groups of every group norm.
        motion_channels: numbers that say where the body should be in one frame; 0 for a model without this input. A row of
            zeros leaves that frame to the model.
        first_frame_everywhere: give frame 0 to every frame as further input channels, so that the garment need not be
            carried through time by small temporal kernels.
        gated_skips: the layers' output is added to frame 0 and a mixture of the noisy latents and frame 0. Three gates per
            channel, learnt from the timestep, weigh the parts (preconditioning as in Karras et al. 2022, section 5, learnt),
            and the layers also say for each cell how much of the mixture to take: none where nothing moves. An untrained
            model repeats the photo, and details need not pass through the narrow first layers. Only sensible for a
            scheduler with `prediction_type="sample"`.
        guide_channels: channels of a guide that tells every frame what is known of it (local conditioning beyond frame 0); 0 for a
            model without one. The first `in_channels` of them are latents like the answer: with `gated_skips` they take the place
            of frame 0, so an untrained model repeats the guide.
    """

    _supports_gradient_checkpointing = True
    _repeated_blocks = ["ResnetBlock", "SpaceTimeTransformerBlock", "CrossAttentionBlock"]
    _no_split_modules = ["DownBlock", "MidBlock", "UpBlock"]
    _skip_layerwise_casting_patterns = ["norm", "time_embed", "motion_embed", "skip_gates", "bias"]

    @register_to_config
    def __init__(
        self,
        in_channels: int = 4,
        stem_channels: int = 64,
        block_channels: tuple[int, ...] = (64, 128, 256, 512),
        attention_levels: tuple[int, ...] = (3,),
        time_levels: tuple[int, ...] = (3,),
        attention_heads: int = 8,
        attention_head_channels: int = 64,
        cross_attention_heads: tuple[int, ...] = (1, 1, 2, 4),
        context_channels: int = 768,
        norm_groups: int = 8,
        motion_channels: int = 0,
        first_frame_everywhere: bool = False,
        gated_skips: bool = False,
        guide_channels: int = 0,
    ):
        super().__init__()
        num_levels = len(block_channels)
        if len(cross_attention_heads) != num_levels:
            raise ValueError(
                f"`cross_attention_heads` must have one entry for each of the {num_levels} `block_channels`, "
                f"got {list(cross_attention_heads)}."
            )
        for name, levels in (("attention_levels", attention_levels), ("time_levels", time_levels)):
            if any(level not in range(num_levels) for level in levels):
                raise ValueError(f"`{name}` must be levels from 0 to {num_levels - 1}, got {list(levels)}.")
        if any(channels % norm_groups for channels in (stem_channels, *block_channels)):
            raise ValueError(
                f"`stem_channels` and every entry of `block_channels` must be a multiple of norm_groups={norm_groups}, "
                f"got {stem_channels} and {list(block_channels)}."
            )
        if 0 < guide_channels < in_channels:
            raise ValueError(
                f"`guide_channels` must be 0, or at least `in_channels`, {in_channels}, got {guide_channels}."
            )
        time_channels = 4 * stem_channels
        self.time_proj = Timesteps(stem_channels, flip_sin_to_cos=False, downscale_freq_shift=1)
        self.time_embed = nn.Linear(stem_channels, time_channels)
        self.motion_embed = None
        if motion_channels:
            self.motion_embed = nn.Sequential(
                nn.Linear(motion_channels, time_channels), nn.SiLU(), nn.Linear(time_channels, time_channels)
            )
        self.conv_in = PseudoConv3d(
            in_channels * (1 + first_frame_everywhere) + guide_channels, stem_channels, kernel_size=7
        )

        attention = (attention_heads, attention_head_channels)
        self.down_blocks = nn.ModuleList()
        self.up_blocks = nn.ModuleList()  # coarsest first, in the order in which they run
        for level, channels in enumerate(block_channels):
            finer_channels = block_channels[level - 1] if level else stem_channels
            shared = {
                "time_channels": time_channels,
                "norm_groups": norm_groups,
                "attention": attention if level in attention_levels else None,
                "cross_attention_heads": cross_attention_heads[level],
                "context_channels": context_channels,
            }
            self.down_blocks.append(DownBlock(finer_channels, channels, halve_time=level in time_levels, **shared))
            self.up_blocks.insert(0, UpBlock(channels, finer_channels, double_time=level in time_levels, **shared))
        self.mid_block = MidBlock(block_channels[-1], time_channels, norm_groups, attention)
        self.conv_out = PseudoConv3d(stem_channels, in_channels * (1 + gated_skips))
        self.skip_gates = None
        if gated_skips:
            self.skip_gates = nn.Linear(time_channels, 3 * in_channels)
            nn.init.zeros_(self.skip_gates.weight)
            nn.init.zeros_(self.skip_gates.bias)
            nn.init.zeros_(self.conv_out.spatial.weight)
            nn.init.zeros_(self.conv_out.spatial.bias)
        self.gradient_checkpointing = False

    @property
    def frame_multiple(self) -> int:
        """The number of frames must be a multiple of this."""
        return 2 ** len(self.config.time_levels)

    def forward(
        self,
        sample: torch.Tensor,
        timestep: torch.Tensor | float | int,
        encoder_hidden_states: torch.Tensor,
        motion: torch.Tensor | None = None,
        return_dict: bool = True,
        deep_features: torch.Tensor | None = None,
        guide: torch.Tensor | None = None,
    ) -> SpaceTimeUNetOutput | tuple[torch.Tensor]:
        """
        Args:
            sample: latents whose frame 0 is clean and whose other frames are noisy, [B, C, F, H, W].
            timestep: training timestep in [0, 1000), one for all or one a batch entry, [B].
            encoder_hidden_states: the garment's tokens, [B, M, context_channels].
            motion: where the body should be in each frame, [B, F, motion_channels]; `None` leaves it to the model.
            return_dict: return a `SpaceTimeUNetOutput` rather than a tuple of the sample alone.
            deep_features: those of an earlier step; only the finest level is then computed, and the coarser ones, whose features
                change slowly from step to step, are not (DeepCache, Ma et al. 2023, section 3).
            guide: what is known of each frame, [B, guide_channels, F, H, W]; `None` for a model without guide channels.

        Raises:
            ValueError: if frames, height or width cannot be halved as often as the levels ask, or `motion` or `guide` does not fit.
        """
        batch, _, frames, height, width = sample.shape
        multiple = 2 ** len(self.down_blocks)
        if height % multiple or width % multiple:
            raise ValueError(
                f"The latent height and width of `sample` must be multiples of {multiple}, got {height} x {width}."
            )
        if frames % self.frame_multiple:
            raise ValueError(
                f"The number of frames of `sample` must be a multiple of {self.frame_multiple}, got {frames}."
            )
        if motion is not None:
            self._check_motion(motion, (batch, frames, self.config.motion_channels))
        self._check_guide(guide, (batch, self.config.guide_channels, frames, height, width))
        first_frame = sample[:, :, :1]  # [B, C, 1, H, W]
        inputs = [sample]
        if self.config.first_frame_everywhere:
            inputs.append(first_frame.expand_as(sample))
        if guide is not None:
            inputs.append(guide.to(sample.dtype))
        hidden_states = torch.cat(inputs, dim=1) if len(inputs) > 1 else sample  # [B, C + C + guide channels, F, H, W]
        hidden_states = hidden_states.permute(0, 2, 3, 4, 1).contiguous()  # [B, F, H, W, C]

        timestep = torch.as_tensor(timestep, device=sample.device).expand(batch)
        time_embedding = self.embed_time(timestep, sample.dtype)[:, None]  # [B, 1, T]
        skip_gates = None if self.skip_gates is None else self.skip_gates(time_embedding).chunk(3, dim=-1)  # [B, 1, C]
        if self.motion_embed is not None:
            motion = sample.new_zeros(batch, frames, self.config.motion_channels) if motion is None else motion
            time_embedding = time_embedding + self.motion_embed(motion.to(sample.dtype))  # [B, F, T]

        hidden_states = self.conv_in(hidden_states)
        time_embeddings, skips = [], []
        only_finest = deep_features is not None
        for level, block in enumerate(self.down_blocks[:1] if only_finest else self.down_blocks):
            time_embeddings.append(time_embedding)
            hidden_states, *level_skips = self._run(block, hidden_states, time_embedding, encoder_hidden_states)
            skips.append(level_skips)
            if level in self.config.time_levels and time_embedding.shape[1] > 1:
                time_embedding = time_embedding.unflatten(1, (-1, 2)).mean(2)  # [B, F/2, T]
        if not only_finest:
            hidden_states = self._run(self.mid_block, hidden_states, time_embedding)
        for block in self.up_blocks[-1:] if only_finest else self.up_blocks:
            if block is self.up_blocks[-1]:
                deep_features = hidden_states = deep_features if only_finest else hidden_states
            early_skip, late_skip = skips.pop()
            hidden_states = self._run(
                block, hidden_states, early_skip, late_skip, time_embeddings.pop(), encoder_hidden_states
            )
        output = self.conv_out(hidden_states).permute(0, 4, 1, 2, 3)  # [B, C, F, H, W]
        if skip_gates is not None:
            noisy_gate, photo_gate, change_gate = (
                gate[:, 0, :, None, None, None] for gate in skip_gates
            )  # [B, C, 1, 1, 1]
            change, share = output.chunk(2, dim=1)  # [B, C, F, H, W] each
            start = first_frame if guide is None else guide[:, : sample.shape[1]].to(sample.dtype)  # [B, C, 1|F, H, W]
            mixture = noisy_gate * sample + photo_gate * start
            output = start + 2 * share.sigmoid() * mixture + (1 + change_gate) * change
        return SpaceTimeUNetOutput(sample=output, deep_features=deep_features) if return_dict else (output,)

    def embed_time(self, timestep: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
        """The embedding of the timestep, [B, T]."""
        return F.silu(self.time_embed(self.time_proj(timestep).to(dtype)))

    def _check_motion(self, motion: torch.Tensor, expected: tuple[int, int, int]) -> None:
        if self.motion_embed is None:
            raise ValueError(f"`motion` must be None for a model without a motion input, got {tuple(motion.shape)}.")
        if tuple(motion.shape) != expected:
            raise ValueError(f"`motion` must have shape {expected}, got {tuple(motion.shape)}.")

    def _check_guide(self, guide: torch.Tensor | None, expected: tuple[int, ...]) -> None:
        channels = self.config.guide_channels
        if (guide is None) != (channels == 0):
            asked = "None for a model without guide channels" if channels == 0 else f"given, with {channels} channels"
            raise ValueError(f"`guide` must be {asked}, got {None if guide is None else tuple(guide.shape)}.")
        if guide is not None and tuple(guide.shape) != expected:
            raise ValueError(f"`guide` must have shape {expected}, got {tuple(guide.shape)}.")

    def _run(self, block: nn.Module, *inputs: torch.Tensor):
        if torch.is_grad_enabled() and self.gradient_checkpointing:
            return self._gradient_checkpointing_func(block, *inputs)
        return block(*inputs)
