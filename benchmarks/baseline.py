"""The denoiser written the straightforward way, for `make bench` to compare with: same weights, same mathematics.

Shape letters used in this file:
    B batch   C channels   F frames   H, W latent height and width   N tokens   M context tokens   A attention heads

Hidden states are contiguous [B, C, F, H, W], as in most first versions of a video network. Each layer copies them into the order that it
needs. Attention is written out. Values that depend only on the timestep or only on the photo are computed again at every step.
"""

import torch
import torch.nn.functional as F
from torch import nn

from fashionflow.models import SpaceTimeUNet, blocks, layers
from fashionflow.models.unet_space_time import SpaceTimeUNetOutput


class PlainUNet(nn.Module):
    """Computes the same output as a `SpaceTimeUNet`, from its parameters, layer by layer. It takes the same arguments."""

    def __init__(self, unet: SpaceTimeUNet):
        super().__init__()
        self.unet = unet
        self.config = unet.config

    @property
    def device(self) -> torch.device:
        return self.unet.device

    @property
    def dtype(self) -> torch.dtype:
        return self.unet.dtype

    @property
    def frame_multiple(self) -> int:
        return self.unet.frame_multiple

    def forward(
        self,
        sample,
        timestep,
        encoder_hidden_states,
        motion=None,
        return_dict=True,
        deep_features=None,
        guide=None,
    ):
        unet, config = self.unet, self.config  # `deep_features` are never returned, so no caller has any
        batch, _, frames, _, _ = sample.shape
        first_frame = sample[:, :, :1]
        hidden_states = sample
        if config.first_frame_everywhere:
            hidden_states = torch.cat([sample, first_frame.expand_as(sample)], dim=1)
        if guide is not None:
            hidden_states = torch.cat([hidden_states, guide], dim=1)

        timestep = torch.as_tensor(timestep, device=sample.device).expand(batch)
        time_embedding = F.silu(unet.time_embed(unet.time_proj(timestep).to(sample.dtype)))[:, None]  # [B, 1, T]
        gates = None if unet.skip_gates is None else unet.skip_gates(time_embedding).chunk(3, dim=-1)
        if unet.motion_embed is not None:
            motion = sample.new_zeros(batch, frames, config.motion_channels) if motion is None else motion
            time_embedding = time_embedding + unet.motion_embed(motion.to(sample.dtype))  # [B, F, T]

        hidden_states = pseudo_conv(unet.conv_in, hidden_states)
        time_embeddings, skips = [], []
        for level, block in enumerate(unet.down_blocks):
            time_embeddings.append(time_embedding)
            early = resnet(block.resnet_1, hidden_states, time_embedding)
            late = resnet(block.resnet_3, resnet(block.resnet_2, early))
            late = transformer(block.transformer, late)
            skips.append((early, late))
            hidden_states = cross_attention(
                block.cross_attention, downsample(block.downsample, late), encoder_hidden_states
            )
            if level in config.time_levels and time_embedding.shape[1] > 1:
                time_embedding = time_embedding.unflatten(1, (-1, 2)).mean(2)
        hidden_states = resnet(unet.mid_block.resnet_1, hidden_states, time_embedding)
        hidden_states = transformer(unet.mid_block.transformer, hidden_states)
        hidden_states = resnet(unet.mid_block.resnet_2, hidden_states, time_embedding)
        for block in unet.up_blocks:
            early, late = skips.pop()
            hidden_states = upsample(block.upsample, hidden_states)
            hidden_states = torch.cat([late * 2**-0.5, hidden_states], dim=1)
            hidden_states = resnet(block.resnet_1, hidden_states, time_embeddings.pop())
            hidden_states = resnet(block.resnet_2, torch.cat([early * 2**-0.5, hidden_states], dim=1))
            hidden_states = transformer(block.transformer, resnet(block.resnet_3, hidden_states))
            hidden_states = cross_attention(block.cross_attention, hidden_states, encoder_hidden_states)
        output = pseudo_conv(unet.conv_out, hidden_states)
        if gates is not None:
            noisy_gate, photo_gate, change_gate = (gate[:, 0, :, None, None, None] for gate in gates)
            change, share = output.chunk(2, dim=1)
            start = first_frame if guide is None else guide[:, : config.in_channels]
            mixture = noisy_gate * sample + photo_gate * start
            output = start + 2 * torch.sigmoid(share) * mixture + (1 + change_gate) * change
        return SpaceTimeUNetOutput(sample=output) if return_dict else (output,)


def pseudo_conv(layer: layers.PseudoConv3d, hidden_states: torch.Tensor) -> torch.Tensor:
    """Every frame through the 2D convolution, then every pixel's frames through the 1D convolution."""
    batch, _, frames, height, width = hidden_states.shape
    hidden_states = hidden_states.transpose(1, 2).reshape(batch * frames, -1, height, width)
    hidden_states = F.conv2d(
        hidden_states, layer.spatial.weight.contiguous(), layer.spatial.bias, padding=layer.spatial.padding
    )
    hidden_states = hidden_states.reshape(batch, frames, -1, height, width)
    hidden_states = hidden_states.permute(0, 3, 4, 2, 1).reshape(batch * height * width, -1, frames)
    hidden_states = F.conv1d(
        hidden_states,
        layer.temporal.weight[..., 0].contiguous(),
        layer.temporal.bias,
        padding=layer.temporal.padding[0],
    )
    hidden_states = hidden_states.reshape(batch, height, width, -1, frames)
    return hidden_states.permute(0, 3, 4, 1, 2).contiguous()  # [B, C, F, H, W]


def pointwise(layer: nn.Linear, hidden_states: torch.Tensor) -> torch.Tensor:
    """A 1 x 1 x 1 convolution."""
    return F.conv3d(hidden_states, layer.weight[:, :, None, None, None], layer.bias)


def resnet(
    block: blocks.ResnetBlock, hidden_states: torch.Tensor, time_embedding: torch.Tensor | None = None
) -> torch.Tensor:
    residual = hidden_states if isinstance(block.shortcut, nn.Identity) else pointwise(block.shortcut, hidden_states)
    hidden_states = group_norm(block.norm1, pseudo_conv(block.conv1, hidden_states))
    if block.time_proj is not None:
        scale_and_shift = block.time_proj(F.silu(time_embedding))  # [B, 1|F, 2C]
        scale, shift = scale_and_shift.transpose(1, 2)[..., None, None].chunk(2, dim=1)  # [B, C, 1|F, 1, 1]
        hidden_states = hidden_states * (scale + 1) + shift
    hidden_states = group_norm(block.norm2, pseudo_conv(block.conv2, F.silu(hidden_states)))
    return F.silu(hidden_states) + residual


def group_norm(norm: nn.GroupNorm, hidden_states: torch.Tensor) -> torch.Tensor:
    return F.group_norm(hidden_states, norm.num_groups, norm.weight, norm.bias, norm.eps)


def attention(
    layer: layers.SpaceTimeAttention,
    tokens: torch.Tensor,
    context: torch.Tensor | None = None,
    bias: torch.Tensor | None = None,
) -> torch.Tensor:
    """softmax(q k / sqrt(d) + bias) v, [B, N, C]."""
    context = tokens if context is None else context
    query, key, value = (
        linear(source).unflatten(-1, (layer.heads, -1)).transpose(1, 2)  # [B, A, N, D]
        for linear, source in ((layer.to_q, tokens), (layer.to_k, context), (layer.to_v, context))
    )
    scores = torch.einsum("bhid,bhjd->bhij", query * query.shape[-1] ** -0.5, key)
    if bias is not None:
        scores = scores + bias
    attended = torch.einsum("bhij,bhjd->bhid", scores.softmax(dim=-1), value)
    return layer.to_out(attended.transpose(1, 2).flatten(-2))


def position_bias(layer: layers.RelativePositionBias, sizes: tuple[int, ...]) -> torch.Tensor:
    """The bias network applied to the offset of every pair of positions, [1, A, N, N]."""
    axes = [torch.arange(size, device=layer.linear_1.weight.device) for size in sizes]
    positions = torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1).flatten(0, -2)  # [N, axes]
    offsets = (positions[:, None] - positions[None]).to(layer.linear_1.weight.dtype)  # [N, N, axes]
    hidden_states = F.silu(layer.linear_2(F.silu(layer.linear_1(offsets))))
    return layer.linear_3(hidden_states).permute(2, 0, 1)[None]


def feed_forward(layer: layers.FeedForward, hidden_states: torch.Tensor) -> torch.Tensor:
    value, gate = pointwise(layer.proj_in, hidden_states).chunk(2, dim=1)
    now, before = (value * F.gelu(gate)).chunk(2, dim=1)
    before = F.pad(before, (0, 0, 0, 0, 1, -1))
    hidden_states = torch.cat([now, before], dim=1)
    floor = 1e-5 if hidden_states.dtype == torch.float32 else 1e-3
    variance = hidden_states.var(dim=1, unbiased=False, keepdim=True)
    mean = hidden_states.mean(dim=1, keepdim=True)
    hidden_states = (hidden_states - mean) * variance.clamp(min=floor).rsqrt() * layer.norm.gain[:, None, None, None]
    return pointwise(layer.proj_out, hidden_states)


def transformer(block: nn.Module, hidden_states: torch.Tensor) -> torch.Tensor:
    if isinstance(block, nn.Identity):
        return hidden_states
    batch, _, frames, height, width = hidden_states.shape
    tokens = hidden_states.permute(0, 2, 3, 4, 1).reshape(batch * frames, height * width, -1)
    bias = position_bias(block.spatial_bias, (height, width))
    tokens = tokens + attention(block.spatial_attn, block.spatial_norm(tokens), bias=bias)
    tokens = (
        tokens.reshape(batch, frames, height * width, -1).transpose(1, 2).reshape(batch * height * width, frames, -1)
    )
    bias = position_bias(block.temporal_bias, (frames,))
    tokens = tokens + attention(block.temporal_attn, block.temporal_norm(tokens), bias=bias)
    hidden_states = tokens.reshape(batch, height, width, frames, -1).permute(0, 4, 3, 1, 2).contiguous()
    return hidden_states + feed_forward(block.feed_forward, hidden_states)


def cross_attention(
    block: blocks.CrossAttentionBlock, hidden_states: torch.Tensor, context: torch.Tensor
) -> torch.Tensor:
    batch, channels, frames, height, width = hidden_states.shape
    tokens = hidden_states.flatten(2).transpose(1, 2).contiguous()  # [B, F*H*W, C]
    tokens = tokens + attention(block.cross_attn, block.cross_norm(tokens), context)
    value, gate = block.feed_forward_in(block.feed_forward_norm(tokens)).chunk(2, dim=-1)
    tokens = tokens + block.feed_forward_out(value * F.gelu(gate))
    hidden_states = tokens.transpose(1, 2).reshape(batch, channels, frames, height, width)
    return pointwise(block.proj_out, hidden_states)


def downsample(layer: layers.Downsample, hidden_states: torch.Tensor) -> torch.Tensor:
    batch, channels, frames, height, width = hidden_states.shape
    hidden_states = hidden_states.reshape(batch, channels, frames, height // 2, 2, width // 2, 2)
    hidden_states = hidden_states.permute(0, 1, 4, 6, 2, 3, 5).reshape(
        batch, 4 * channels, frames, height // 2, width // 2
    )
    hidden_states = pointwise(layer.space, hidden_states)
    if layer.time is not None:
        hidden_states = hidden_states.unflatten(2, (-1, 2)).transpose(2, 3).flatten(1, 2)  # [B, 2C, F/2, H/2, W/2]
        hidden_states = pointwise(layer.time, hidden_states)
    return hidden_states


def upsample(layer: layers.Upsample, hidden_states: torch.Tensor) -> torch.Tensor:
    batch, channels, frames, height, width = hidden_states.shape
    hidden_states = pointwise(layer.space, hidden_states).reshape(batch, channels, 2, 2, frames, height, width)
    hidden_states = hidden_states.permute(0, 1, 4, 5, 2, 6, 3).reshape(batch, channels, frames, 2 * height, 2 * width)
    if layer.time is not None:
        hidden_states = pointwise(layer.time, hidden_states).unflatten(1, (-1, 2))  # [B, C, 2, F, H, W]
        hidden_states = hidden_states.transpose(2, 3).flatten(2, 3).contiguous()
    return hidden_states
