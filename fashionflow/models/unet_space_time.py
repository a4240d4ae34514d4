"""The denoiser: a U-Net over video latents that factorises space and time (FashionFlow, arXiv 2310.00106, section 3).

Shape letters used in this file:
    B batch   C channels   F frames   H, W latent height and width, in cells of the resolution at hand
    M context tokens   T channels of the time embedding

Outside, latents are [B, C, F, H, W]. Inside, hidden states are [B, F, H, W, C], as `layers.py` explains.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from diffusers import CacheMixin, ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from diffusers.models.attention import AttentionMixin
from diffusers.models.embeddings import Timesteps
from diffusers.utils import BaseOutput
from torch import nn

from .blocks import DownBlock, MidBlock, UpBlock
from .layers import PseudoConv3d


@dataclass
class SpaceTimeUNetOutput(BaseOutput):
    """sample: the prediction (noise, velocity or clean latents, as the scheduler's config says), [B, C, F, H, W].
    deep_features: what the coarser levels gave to the finest one, [B, F, H/2, W/2, C], with F/2 where that level halves time."""

    sample: torch.Tensor
    deep_features: torch.Tensor | None = None


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
