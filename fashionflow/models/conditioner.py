"""Turns one garment photo, seen by CLIP and by the autoencoder, into the tokens that the denoiser attends to.

Shape letters used in this file:
    B batch   N CLIP tokens   D channels of a token   C latent channels   H, W latent cells
"""

import torch
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from torch import nn


class GarmentConditioner(ModelMixin, ConfigMixin):
    """Mixes CLIP's tokens with the channels of the photo's latent (arXiv 2310.00106, global conditioning).

    The defaults are the released model's.

    Args:
        num_clip_tokens: CLIP tokens, class token included (50 for ViT-B/32 at 224 pixels).
        clip_channels: channels of one CLIP token.
        latent_channels: channels of the photo's latent.
        latent_size: height and width of that latent, in cells.
    """

    @register_to_config
    def __init__(
        self,
        num_clip_tokens: int = 50,
        clip_channels: int = 768,
        latent_channels: int = 4,
        latent_size: tuple[int, int] = (80, 64),
    ):
        super().__init__()
        self.pool = nn.MaxPool2d(2)
        self.latent_proj = nn.Linear((latent_size[0] // 2) * (latent_size[1] // 2), clip_channels)
        self.token_mix = nn.Linear(num_clip_tokens + latent_channels, num_clip_tokens)
        nn.init.eye_(self.token_mix.weight)

    def forward(self, clip_tokens: torch.Tensor, latents: torch.Tensor) -> torch.Tensor:
        """The garment's tokens, [B, N, D], from `clip_tokens`, [B, N, D], and `latents`, [B, C, H, W].

        Raises:
            ValueError: if either does not have the sizes of the config.
        """
        config = self.config
        expected = (config.num_clip_tokens, config.clip_channels)
        if tuple(clip_tokens.shape[1:]) != expected:
            raise ValueError(
                f"`clip_tokens` must have shape [B, {expected[0]}, {expected[1]}], got {list(clip_tokens.shape)}."
            )
        expected = (config.latent_channels, *config.latent_size)
        if tuple(latents.shape[1:]) != expected:
            raise ValueError(
                f"`latents` must have shape [B, {', '.join(map(str, expected))}], got {list(latents.shape)}."
            )
        latent_tokens = self.latent_proj(self.pool(latents).flatten(2))  # [B, C, D]
        tokens = torch.cat([clip_tokens, latent_tokens], dim=1)  # [B, N + C, D]
        return self.token_mix(tokens.transpose(1, 2)).transpose(1, 2)
