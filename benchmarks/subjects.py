"""The models that are measured: the shipped pipeline, and models of the released size with random weights, run as a column defines."""

import torch
from diffusers import AutoencoderKL, AutoencoderTiny
from transformers import CLIPImageProcessorPil, CLIPVisionConfig, CLIPVisionModel

from fashionflow import FashionFlowPipeline, GarmentConditioner, SpaceTimeUNet
from fashionflow.pipelines.schedulers import training_scheduler
from fashionflow.runtime.acceleration import number_format, prepare
from fashionflow.runtime.loading import attention_choice, load_pipeline

from .baseline import PlainUNet
from .columns import BASELINE, Column


FULL_FRAMES, FULL_LATENT_SIZE, FULL_PIXELS = 70, (80, 64), (640, 512)


def pipeline(column: Column, model: str | None, device: torch.device) -> FashionFlowPipeline:
    """The pipeline of a folder, or the shipped one, run as the column defines."""
    pipe = load_pipeline(model, str(device), column.switches)
    return _baseline_of(pipe) if column.name == BASELINE else pipe


def full_unet(column: Column, device: torch.device) -> torch.nn.Module:
    """A denoiser of the released model's size, with the same random weights every time."""
    unet = _run_as(column, _random(SpaceTimeUNet), device)
    return PlainUNet(unet) if column.name == BASELINE else unet


def sd_autoencoder(column: Column, device: torch.device) -> AutoencoderKL:
    """Stable Diffusion 1.4's autoencoder with random weights."""
    return _run_as(column, _random(AutoencoderKL, **SD_CONFIG), device)


def tiny_autoencoder(column: Column, device: torch.device) -> AutoencoderTiny:
    """A distilled autoencoder for the same latents, with random weights."""
    return _run_as(column, _random(AutoencoderTiny), device)


def full_pipeline(column: Column, device: torch.device) -> FashionFlowPipeline:
    """A pipeline of the released model's size and kind with random weights: CLIP ViT-B/32, SD's autoencoder, 25 frames a
    second."""
    dtype = number_format(device, column.switches.number_format)
    pipe = FashionFlowPipeline(
        image_encoder=_random(CLIPVisionModel, CLIPVisionConfig()).to(device, dtype),
        image_processor=CLIPImageProcessorPil(),
        conditioner=_random(GarmentConditioner).to(device, dtype),
        unet=_run_as(column, _random(SpaceTimeUNet), device),
        vae=sd_autoencoder(column, device),
        scheduler=training_scheduler(),
        frame_rate=25.0,
        default_num_frames=FULL_FRAMES,
        signed_pixels=False,
        photo_fit="stretch",
    )
    return _baseline_of(pipe) if column.name == BASELINE else pipe


SD_CONFIG = {
    "block_out_channels": (128, 256, 512, 512),
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4,
    "layers_per_block": 2,
    "latent_channels": 4,
    "sample_size": 512,
}


def _random(kind: type, *args, **config) -> torch.nn.Module:
    torch.manual_seed(0)
    model = kind(*args, **config).eval().requires_grad_(False)
    for weight in model.parameters():
        if weight.ndim == 4:  # convolutions whose output is as large as their input, so that nothing fades or explodes
            torch.nn.init.normal_(weight, std=weight[0].numel() ** -0.5)
    return model


def _run_as(column: Column, model: torch.nn.Module, device: torch.device) -> torch.nn.Module:
    """Prepares a model in the same way as `load_pipeline` prepares the parts of a pipeline."""
    prepare(model.to(device), column.switches)
    if column.switches.xformers and isinstance(model, SpaceTimeUNet) and attention_choice(device)[0] == "xformers":
        model.enable_xformers_memory_efficient_attention()
    return model


def _baseline_of(pipe: FashionFlowPipeline) -> FashionFlowPipeline:
    pipe.unet = PlainUNet(pipe.unet)
    return pipe
