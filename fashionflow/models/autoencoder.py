"""The autoencoder of the shipped weights: principal components of pixel blocks, refined by small residual networks.

Shape letters used in this file:
    B batch   C latent channels   H, W pixels   P pixels along one side of a block   h, w latent cells (H / P, W / P)
"""

import torch
import torch.nn.functional as F
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from diffusers.models.autoencoders.autoencoder_tiny import AutoencoderTinyOutput
from diffusers.models.autoencoders.vae import AutoencoderMixin, DecoderOutput
from diffusers.utils.accelerate_utils import apply_forward_hook
from torch import nn

from .guide_fusion import GuideFrames, GuideFusion, ResidualBlock, with_certainty


class GarmentAutoencoder(ModelMixin, AutoencoderMixin, ConfigMixin):
    """Maps pixels in [-1, 1] to a small grid of latent cells and back.

    A linear code carries the picture: each block of `block_size` x `block_size` pixels is projected on its principal
    components (`start_from_principal_components`). Residual networks, which work at 1/4 of the picture's size and below
    and start at zero, add what a linear code cannot hold. So training begins with the right colours instead of grey.

    Args:
        latent_channels: channels of one latent cell.
        block_size: pixels along one side of a latent cell; 4 times a power of two.
        block_channels: width of the residual networks at 1/4, 1/8 ... 1 / `block_size` of the picture's size.
        num_encoder_blocks: residual blocks at each of those sizes in the encoder.
        num_decoder_blocks: the same in the decoder.
        tile_cells: side of a tile in latent cells once tiling is enabled; neighbours overlap by a quarter of it.
        scaling_factor: what a latent is multiplied by before the denoiser sees it, as in every diffusers autoencoder.
        guided: whether `decode` can also be given guide frames, in which the photo's own pixels are where the motion takes them.
    """

    _supports_gradient_checkpointing = False
    _no_split_modules = ["ResidualBlock"]

    @register_to_config
    def __init__(
        self,
        latent_channels: int = 48,
        block_size: int = 16,
        block_channels: tuple[int, ...] = (48, 96, 192),
        num_encoder_blocks: int = 2,
        num_decoder_blocks: int = 3,
        tile_cells: int = 32,
        scaling_factor: float = 1.0,
        guided: bool = False,
    ):
        super().__init__()
        if block_size != 4 * 2 ** (len(block_channels) - 1):
            raise ValueError(
                f"`block_size` must be {4 * 2 ** (len(block_channels) - 1)} for {len(block_channels)} entries of "
                f"`block_channels`, got {block_size}."
            )
        self.linear_encoder = nn.Conv2d(3 * block_size**2, latent_channels, 1)
        self.linear_decoder = nn.Conv2d(latent_channels, 3 * block_size**2, 1)

        encoder = [nn.PixelUnshuffle(4), nn.Conv2d(48, block_channels[0], 3, padding=1)]
        for level, channels in enumerate(block_channels):
            if level:
                encoder += [nn.PixelUnshuffle(2), nn.Conv2d(4 * block_channels[level - 1], channels, 1)]
            encoder += [ResidualBlock(channels) for _ in range(num_encoder_blocks)]
        encoder += [
            nn.GroupNorm(8, block_channels[-1]),
            nn.SiLU(),
            nn.Conv2d(block_channels[-1], latent_channels, 3, padding=1),
        ]
        self.encoder = nn.Sequential(*encoder)

        decoder = [nn.Conv2d(latent_channels, block_channels[-1], 3, padding=1)]
        for level, channels in reversed(list(enumerate(block_channels))):
            decoder += [ResidualBlock(channels) for _ in range(num_decoder_blocks)]
            if level:
                decoder += [nn.Conv2d(channels, 4 * block_channels[level - 1], 1), nn.PixelShuffle(2)]
        decoder += [
            nn.GroupNorm(8, block_channels[0]),
            nn.SiLU(),
            nn.Conv2d(block_channels[0], 48, 3, padding=1),
            nn.PixelShuffle(4),
        ]
        self.decoder = nn.Sequential(*decoder)
        for last in (self.encoder[-1], self.decoder[-2]):
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)

        self.guide_fusion = GuideFusion(block_channels[0]) if guided else None

        self.use_slicing = False
        self.use_tiling = False

    @torch.no_grad()
    def start_from_principal_components(self, pixels: torch.Tensor, whitening: float = 0.5) -> None:
        """Sets the linear code from example pixels in [-1, 1], [B, 3, H, W].

        `whitening` says how far the channels' variances are evened out: 1 gives every channel variance 1, 0 keeps those
        of the pixels. In between, coarse channels outlive more diffusion noise than fine ones, as they do in pixels.
        The mean variance over channels is 1 in every case.
        """
        size, channels = self.config.block_size, self.config.latent_channels
        blocks = F.pixel_unshuffle(pixels, size).permute(0, 2, 3, 1).flatten(0, 2).double()  # [B*h*w, 3*P*P]
        mean = blocks.mean(0)
        variances, components = torch.linalg.eigh((blocks - mean).T @ (blocks - mean) / len(blocks))
        components = components.flip(1)[:, :channels].T  # [C, 3*P*P]
        deviations = variances.flip(0)[:channels].clamp_min(1e-8).sqrt()
        divisors = deviations**whitening
        divisors = divisors * (deviations / divisors).square().mean().sqrt()
        self.linear_encoder.weight.copy_((components / divisors[:, None])[..., None, None])
        self.linear_encoder.bias.copy_(-(components @ mean) / divisors)
        self.linear_decoder.weight.copy_((components * divisors[:, None]).T[..., None, None])
        self.linear_decoder.bias.copy_(mean)

    @apply_forward_hook  # model offload listens to `forward` otherwise, and pipelines call these two
    def encode(self, sample: torch.Tensor, return_dict: bool = True) -> AutoencoderTinyOutput | tuple[torch.Tensor]:
        """Pixels in [-1, 1], [B, 3, H, W], to `latents`, [B, C, h, w]. There is nothing random in it.

        Raises:
            ValueError: if height or width is no multiple of `block_size`.
        """
        size = self.config.block_size
        if sample.shape[-2] % size or sample.shape[-1] % size:
            raise ValueError(
                f"The height and width of `sample` must be multiples of {size}, got {tuple(sample.shape[-2:])}."
            )
        slices = sample.split(1) if self.use_slicing else (sample,)
        latents = torch.cat(
            [self.linear_encoder(F.pixel_unshuffle(part, size)) + self.encoder(part) for part in slices]
        )
        return AutoencoderTinyOutput(latents=latents) if return_dict else (latents,)

    @apply_forward_hook
    def decode(
        self,
        latents: torch.Tensor,
        generator: torch.Generator | None = None,
        return_dict: bool = True,
        guide: GuideFrames | None = None,
    ) -> DecoderOutput | tuple[torch.Tensor]:
        """Latents, [B, C, h, w], to `sample`, pixels in about [-1, 1] (not clamped), [B, 3, H, W].

        `generator` is accepted because other diffusers decoders take one; nothing is random here. `guide`, a frame for each of the
        latents, brings the photo's own pixels; with it nothing is tiled.
        """
        if guide is not None:
            drawn, belief = self.decode_guided(latents, guide)
            belief = with_certainty(belief, guide.known)
            sample = belief * guide.pixels + (1 - belief) * drawn
            return DecoderOutput(sample=sample) if return_dict else (sample,)
        slices = latents.split(1) if self.use_slicing else (latents,)
        if self.use_tiling and max(latents.shape[-2:]) > self.config.tile_cells:
            sample = torch.cat([self._decode_tiled(part) for part in slices])
        else:
            sample = torch.cat([self._decode(part) for part in slices])
        return DecoderOutput(sample=sample) if return_dict else (sample,)

    def forward(self, sample: torch.Tensor, return_dict: bool = True) -> DecoderOutput | tuple[torch.Tensor]:
        """Pixels through the code and back, [B, 3, H, W]."""
        return self.decode(self.encode(sample, return_dict=False)[0], return_dict=return_dict)

    @apply_forward_hook
    def decode_guided(self, latents: torch.Tensor, guide: GuideFrames) -> tuple[torch.Tensor, torch.Tensor]:
        """What the decoder draws with the guide seen, pixels in about [-1, 1], [B, 3, H, W], and its belief in the guide's pixels where
        they are not certain, in [0, 1], [B, 1, H, W].

        Raises:
            ValueError: if the autoencoder was not built with `guided`.
        """
        if self.guide_fusion is None:
            raise ValueError("`guide` needs an autoencoder with `guided=True`, got one without.")
        if self.use_slicing:
            parts = zip(latents.split(1), guide.split(1), strict=True)
            results = [self._decode_guided(part, part_guide) for part, part_guide in parts]
            return tuple(torch.cat(result) for result in zip(*results, strict=True))
        return self._decode_guided(latents, guide)

    def _decode_guided(self, latents: torch.Tensor, guide: GuideFrames) -> tuple[torch.Tensor, torch.Tensor]:
        fine = self.decoder[:-4](latents)  # [B, C, H/4, W/4]
        alone = F.pixel_shuffle(self.linear_decoder(latents), self.config.block_size) + self.decoder[-4:](fine)
        return self.guide_fusion(alone, fine, guide)

    def _decode(self, latents: torch.Tensor) -> torch.Tensor:
        return F.pixel_shuffle(self.linear_decoder(latents), self.config.block_size) + self.decoder(latents)

    def _decode_tiled(self, latents: torch.Tensor) -> torch.Tensor:
        """Decodes overlapping tiles and fades each into its neighbours, so that memory follows the tile, not the clip."""
        tile, block = self.config.tile_cells, self.config.block_size
        overlap = tile // 4
        height, width = latents.shape[-2:]
        if height <= tile and width <= tile:
            return self._decode(latents)
        tops, lefts = tile_starts(height, tile, overlap), tile_starts(width, tile, overlap)
        total = latents.new_zeros(latents.shape[0], 3, height * block, width * block)
        weight = latents.new_zeros(1, 1, height * block, width * block)
        for top in tops:
            for left in lefts:
                pixels = self._decode(latents[..., top : top + tile, left : left + tile])
                fade = (
                    fade_in_and_out(pixels.shape[-2], overlap * block)[:, None]
                    * fade_in_and_out(pixels.shape[-1], overlap * block)[None]
                ).to(pixels)
                rows = slice(top * block, top * block + pixels.shape[-2])
                columns = slice(left * block, left * block + pixels.shape[-1])
                total[..., rows, columns] += pixels * fade
                weight[..., rows, columns] += fade
        return total / weight


def tile_starts(size: int, tile: int, overlap: int) -> list[int]:
    """First cells of tiles that cover `size` cells; the last tile ends flush with the border."""
    if size <= tile:
        return [0]
    return [*range(0, size - tile, tile - overlap), size - tile]


def fade_in_and_out(size: int, ramp: int) -> torch.Tensor:
    """A weight per pixel, [size], that rises over the first `ramp` pixels and falls over the last."""
    position = torch.arange(size) + 0.5
    return torch.minimum(position, size - position).div(ramp).clamp(max=1)
