"""The outputs of a training run: errors on held-out clips, a strip of sampled frames, and a usable pipeline."""

from collections.abc import Callable

import cv2
import numpy as np
import torch
from diffusers import DDPMScheduler
from PIL import Image
from transformers import CLIPImageProcessorPil

from ..models import GarmentGeometry
from ..photo.cropping import fit
from ..pipelines import FashionFlowPipeline
from ..pipelines.photo_preparation import FIGURE
from ..pipelines.schedulers import make_scheduler
from .latents import LatentFormat
from .modules import GarmentDenoiser
from .recipes import DenoiserConfig
from .windows import noise_like


@torch.no_grad()
def held_out_errors(
    model: GarmentDenoiser,
    scheduler: DDPMScheduler,
    windows: dict[str, torch.Tensor],
    normalise: Callable[[torch.Tensor], torch.Tensor],
    conditioning: str,
    timesteps: tuple[int, ...] = (100, 400, 700, 999),
) -> dict[str, float]:
    """Mean squared error of the predicted clean latents at a few noise levels. 1 is as bad as the guide itself, or, without a guide, as
    repeating the photo.

    Args:
        windows: held-out windows, stacked, as `fashionflow.training.windows.window` returns them.
        conditioning: "global" for a model that does not receive frame 0.
    """
    clean = windows["latents"]  # [B, C, F, H, W]
    noise = noise_like(clean, torch.arange(len(clean)))
    guide = windows.get("guide")
    start = clean[:, :, :1] if guide is None else guide[:, : clean.shape[1]]
    still = (clean - start)[:, :, 1:].square().mean()
    errors = {}
    for timestep in timesteps:
        moments = torch.full((len(clean),), timestep, device=clean.device)
        noisy = scheduler.add_noise(clean, noise, moments)
        if conditioning != "global":
            noisy = torch.cat([clean[:, :, :1], noisy[:, :, 1:]], dim=2)
        keep = torch.ones(len(clean), device=clean.device)
        answer = model(
            noisy, moments, normalise(windows["picture"]), windows["photo"], windows["motion"], keep, guide
        ).float()
        kept = scheduler.alphas_cumprod[timestep].item()
        signal, deviation = kept**0.5, (1 - kept) ** 0.5
        guess = {
            "sample": answer,
            "epsilon": (noisy - deviation * answer) / max(signal, 1e-6),
            "v_prediction": signal * noisy - deviation * answer,
        }[scheduler.config.prediction_type]
        error = (guess - clean)[:, :, 1:].square().mean()
        errors[f"held_out_{timestep}"] = round((error / still).item(), 4)
    return errors


def make_pipeline(
    model: GarmentDenoiser,
    vae: torch.nn.Module,
    scheduler: DDPMScheduler,
    processor: CLIPImageProcessorPil,
    form: LatentFormat,
    config: DenoiserConfig,
    geometry: GarmentGeometry | None = None,
) -> FashionFlowPipeline:
    """A pipeline of the networks in their current state, which samples in the way in which they were trained."""
    pipeline = FashionFlowPipeline(
        image_encoder=model.image_encoder,
        image_processor=processor,
        conditioner=model.conditioner,
        unet=model.unet,
        vae=vae,
        scheduler=make_scheduler("dpm++", scheduler.config),
        frame_rate=(config.frame_rate or form.frame_rate) / max(config.strides),
        default_num_frames=config.num_frames,
        signed_pixels=form.signed_pixels,
        # If there is a geometry network, it frames the figure, wherever the figure stands in a photo.
        photo_fit=FIGURE if geometry is not None else form.photo_fit,
        noise_scale=config.noise_scale,
        geometry=geometry,
        clip_scale=config.clip_scale if geometry is not None else 1,
        **({"first_frame_given": False} if config.conditioning == "global" else {}),
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


@torch.no_grad()
def sample_strip(
    pipeline: FashionFlowPipeline, windows: dict[str, torch.Tensor], clips: int = 4, steps: int = 12
) -> Image.Image:
    """True and sampled frames of held-out windows, one above the other, six of each clip."""
    strips = []
    for index in range(min(clips, len(windows["latents"]))):
        clean = windows["latents"][index : index + 1]  # [1, C, F, H, W]
        truth = np.concatenate(
            [chunk[0].permute(1, 2, 3, 0).cpu().numpy() for chunk in pipeline.decode_latents(clean)]
        )
        truth = (truth * 255).round().astype(np.uint8)  # [F, height, width, 3]
        # A photo of the clip's size is not cropped.
        photo = fit(Image.fromarray(truth[0]), pipeline.width, pipeline.height, "crop")
        sampled = pipeline(
            photo,
            num_frames=len(truth),
            num_inference_steps=steps,
            motion=windows["motion"][index] if pipeline.has_motion else None,
            generator=torch.Generator(clean.device).manual_seed(0),
        ).frames[0]
        sampled = (sampled * 255).round().astype(np.uint8)
        size = truth.shape[2], truth.shape[1]
        sampled = np.stack([cv2.resize(frame, size, interpolation=cv2.INTER_AREA) for frame in sampled])
        chosen = np.linspace(0, len(truth) - 1, min(6, len(truth))).round().astype(int)
        strips += [np.concatenate(list(frames[chosen]), axis=1) for frames in (truth, sampled)]
    return Image.fromarray(np.concatenate(strips))
