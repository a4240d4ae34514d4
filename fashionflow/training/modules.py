"""The networks that the denoiser's training needs: created from scratch or loaded from a folder, and combined into one module."""

import json
from pathlib import Path

import torch
from diffusers import AutoencoderKL
from torch import nn
from transformers import CLIPVisionConfig, CLIPVisionModel

from ..models import GarmentAutoencoder, GarmentConditioner, GarmentGeometry, SpaceTimeUNet
from ..models.guide_fusion import KNOWN_CHANNELS
from ..pipelines import FashionFlowPipeline
from ..pipelines.motions import MOTION_CHANNELS
from .recipes import DenoiserConfig


class GarmentDenoiser(nn.Module):
    """Image encoder, conditioner and denoiser as one module, which training moves and copies."""

    def __init__(self, image_encoder: CLIPVisionModel, conditioner: GarmentConditioner, unet: SpaceTimeUNet):
        super().__init__()
        self.image_encoder = image_encoder
        self.conditioner = conditioner
        self.unet = unet
        # Only CLIP's pooled output uses this norm, and parameters without a gradient would block training in several processes.
        image_encoder.post_layernorm.requires_grad_(False)

    def forward(
        self,
        noisy: torch.Tensor,
        timesteps: torch.Tensor,
        pixel_values: torch.Tensor,
        photo: torch.Tensor,
        motion: torch.Tensor,
        keep_context: torch.Tensor,
        guide: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """The network's prediction for noisy latents, [B, C, F, H, W].

        Args:
            noisy: [B, C, F, H, W], frame 0 clean unless the photo is in the tokens only.
            timesteps: in [0, 1000), [B].
            pixel_values: the photo in the form that the image encoder takes, [B, 3, S, S].
            photo: the photo's latent, [B, C, H, W].
            motion: one row per frame, [B, F, 3]; ignored by a network without this input.
            keep_context: 1 or 0 per clip, [B]; 0 removes the photo's tokens.
            guide: the guide of every frame, [B, C + 4, F, H, W], for a network with guide channels.
        """
        clip_tokens = self.image_encoder(pixel_values).last_hidden_state
        context = self.conditioner(clip_tokens, photo) * keep_context[:, None, None]  # [B, N, D]
        motion = motion if self.unet.config.motion_channels else None
        return self.unet(noisy, timesteps, context, motion=motion, guide=guide, return_dict=False)[0]


def build_denoiser(
    config: DenoiserConfig, latent_channels: int, latent_size: tuple[int, int], image_size: int, guided: bool = False
) -> GarmentDenoiser:
    """Builds the networks of a configuration, from scratch or with the weights of `config.start`.

    `guided` says whether the clips have guides.

    Raises:
        ValueError: if the latents do not fit the networks.
    """
    levels = 2 ** len(config.block_channels)
    if any(side % levels for side in latent_size):
        raise ValueError(
            f"`block_channels` has {len(config.block_channels)} levels, so the latents' height and width must be multiples "
            f"of {levels}, got {latent_size[0]} x {latent_size[1]}; prepare them at another `--size`."
        )
    if config.start:
        start = load_start(config.start)
        wanted = start.conditioner.config.latent_channels, *start.conditioner.config.latent_size
        if wanted != (latent_channels, *latent_size):
            raise ValueError(
                f"`latents` must be {list(wanted)} to continue from {config.start!r}, got {[latent_channels, *latent_size]}; "
                "prepare them with `--model` of the same folder."
            )
        if image_size != start.image_processor.crop_size["height"]:
            raise ValueError(
                f"`latents` must come with pictures of {start.image_processor.crop_size['height']} pixels to continue from "
                f"{config.start!r}, got {image_size}; prepare them with `--model` of the same folder."
            )
        if bool(start.unet.config.guide_channels) != guided:
            have, needs = ("guides", "takes none") if guided else ("no guides", "needs them")
            raise ValueError(
                f"`latents` must fit the weights to continue from, but they have {have} and {config.start!r} {needs}; prepare "
                f"them {'without' if guided else 'with'} `--geometry`."
            )
        denoiser = GarmentDenoiser(start.image_encoder, start.conditioner, start.unet).train()
    else:
        image_encoder = load_image_encoder(config, image_size)
        vision = image_encoder.config
        num_tokens = (image_size // vision.patch_size) ** 2 + 1
        conditioner = GarmentConditioner(num_tokens, vision.hidden_size, latent_channels, latent_size)
        unet = SpaceTimeUNet(
            in_channels=latent_channels,
            stem_channels=config.stem_channels,
            block_channels=config.block_channels,
            attention_levels=config.attention_levels,
            time_levels=config.time_levels,
            attention_heads=config.attention_heads,
            attention_head_channels=config.attention_head_channels,
            cross_attention_heads=config.cross_attention_heads,
            context_channels=config.context_channels,
            motion_channels=MOTION_CHANNELS if config.motion else 0,
            first_frame_everywhere=config.first_frame_everywhere and config.conditioning != "global",
            gated_skips=config.gated_skips,
            guide_channels=latent_channels + KNOWN_CHANNELS if guided else 0,
        )
        denoiser = GarmentDenoiser(image_encoder, conditioner, unet)
    if config.freeze_image_encoder:
        denoiser.image_encoder.requires_grad_(False)
    if config.conditioning == "local":
        # The tokens are zeros, in training and in the saved pipeline.
        for parameter in denoiser.conditioner.token_mix.parameters():
            nn.init.zeros_(parameter).requires_grad_(False)
    if config.gradient_checkpointing:
        denoiser.unet.enable_gradient_checkpointing()
    return denoiser


def load_image_encoder(config: DenoiserConfig, image_size: int) -> CLIPVisionModel:
    """Loads CLIP's vision tower from `config.image_encoder`, or creates a small one from scratch.

    Raises:
        ValueError: if it cannot be loaded, or has another width or picture size.
    """
    if not config.image_encoder:
        return CLIPVisionModel(
            CLIPVisionConfig(
                hidden_size=config.context_channels,
                intermediate_size=2 * config.context_channels,
                num_hidden_layers=config.image_layers,
                num_attention_heads=4,
                image_size=image_size,
                patch_size=16,
            )
        )
    try:
        encoder = CLIPVisionModel.from_pretrained(config.image_encoder, dtype=torch.float32)
    except Exception as error:  # any fault of the files or the network
        raise ValueError(
            f"`image_encoder` cannot be loaded from {config.image_encoder!r}: {first_line(error)}"
        ) from error
    if (encoder.config.hidden_size, encoder.config.image_size) != (config.context_channels, image_size):
        raise ValueError(
            f"`image_encoder` must be {config.context_channels} wide (`context_channels`) and see {image_size} pixels, as the "
            f"latents' pictures have, got {encoder.config.hidden_size} and {encoder.config.image_size}."
        )
    return encoder


def load_autoencoder(source: str, name: str = "vae") -> GarmentAutoencoder | AutoencoderKL:
    """Loads the autoencoder from a folder, from the folder `vae` in it, or from a Hub id; ours or any `AutoencoderKL` of diffusers.

    `name` is the name of the setting that gives the source, for the error message.

    Raises:
        ValueError: if there is none that can be loaded.
    """
    folder = Path(source) / "vae" if (Path(source) / "vae").is_dir() else Path(source)
    try:
        if not folder.is_dir():
            return AutoencoderKL.from_pretrained(source, subfolder="vae").eval()
        class_name = json.loads((folder / "config.json").read_text(encoding="utf-8"))["_class_name"]
        kind = GarmentAutoencoder if class_name == "GarmentAutoencoder" else AutoencoderKL
        return kind.from_pretrained(folder).eval()
    except Exception as error:  # any fault of the files or the network
        raise ValueError(f"`{name}` cannot be loaded from {source!r}: {first_line(error)}") from error


def guided(vae: GarmentAutoencoder) -> GarmentAutoencoder:
    """The same autoencoder in float32, with an untrained fusion of the guide if it has none."""
    settings = {name: value for name, value in vae.config.items() if not name.startswith("_")}
    larger = GarmentAutoencoder(**settings | {"guided": True})
    larger.load_state_dict(vae.state_dict(), strict=vae.guide_fusion is not None)
    return larger.float().eval()


def load_geometry(source: str, name: str = "geometry") -> GarmentGeometry:
    """Loads the geometry network from a folder, or from the folder `geometry` in it.

    `name` is the name of the setting that gives the source, for the error message.

    Raises:
        ValueError: if there is none that can be loaded.
    """
    folder = Path(source) / "geometry" if (Path(source) / "geometry").is_dir() else Path(source)
    try:
        return GarmentGeometry.from_pretrained(folder, torch_dtype=torch.float32).eval()
    except Exception as error:  # any fault of the files
        raise ValueError(f"`{name}` cannot be loaded from {source!r}: {first_line(error)}") from error


def load_start(folder: Path | str, name: str = "start") -> FashionFlowPipeline:
    """Loads the pipeline from a folder, in float32.

    Args:
        folder: the pipeline folder.
        name: the name of the setting that gives the folder, for the error message.

    Raises:
        ValueError: if there is none that can be loaded.
    """
    if not (Path(folder) / "model_index.json").is_file():
        raise ValueError(f"`{name}` must be a pipeline folder, such as OUT/pipeline of a run, got {str(folder)!r}.")
    try:
        return FashionFlowPipeline.from_pretrained(folder, dtype=torch.float32)
    except Exception as error:  # any fault of the files
        raise ValueError(f"`{name}` cannot be loaded from {str(folder)!r}: {first_line(error)}") from error


@torch.no_grad()
def same_code(first: GarmentAutoencoder, second: GarmentAutoencoder, size: tuple[int, int]) -> bool:
    """Whether two autoencoders give the same latents for a picture of a size, (height, width) in pixels."""
    example = torch.linspace(-1, 1, 3 * size[0] * size[1]).view(1, 3, *size)
    codes = [vae.encode(example.to(vae.device, vae.dtype)).latents.float().cpu() for vae in (first, second)]
    # A pipeline may have been saved or may run in half precision, which changes the latents slightly.
    tolerance = 1e-3 if first.dtype == second.dtype == torch.float32 else 3e-2
    return codes[0].shape == codes[1].shape and torch.allclose(*codes, atol=tolerance)


def first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".") + "."
