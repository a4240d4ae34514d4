"""Fit the autoencoder.

    accelerate launch -m fashionflow.training.autoencoder --clips runway/clips --photos garments --out runs/autoencoder

Run it again with the same `--out` to go on where it stopped. The weights are in `OUT/vae`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import set_seed
from diffusers.training_utils import EMAModel
from PIL import Image
from transformers import HfArgumentParser

from ..models import GarmentAutoencoder
from ..video import read_frames
from .loop import TrainingLoop, is_held_out, learning_rate_factor


@dataclass
class AutoencoderConfig:
    clips: str = field(metadata={"help": "folder of .mp4 clips; those whose name ends in 7 are held out"})
    photos: str = field(default="", metadata={"help": "folder of .jpg photos of garments; none by default"})
    out: str = field(default="runs/autoencoder", metadata={"help": "where weights, checkpoint and samples go"})
    start: str = field(
        default="", metadata={"help": "folder of an autoencoder to go on from; from scratch by default"}
    )
    decoder_only: bool = field(
        default=False, metadata={"help": "keep the code, so that latents made with it stay valid"}
    )
    latent_channels: int = field(default=48)
    block_channels: list[int] = field(default_factory=lambda: [48, 96, 192])
    steps: int = field(default=3000, metadata={"help": "optimiser steps"})
    time_limit: float = field(default=0, metadata={"help": "minutes after which the run ends cleanly; 0 for none"})
    batch_size: int = field(default=12, metadata={"help": "crops per process per step"})
    crop: int = field(default=160, metadata={"help": "side of a training crop, pixels"})
    photo_fraction: float = field(default=0.35, metadata={"help": "share of crops that come from the photos"})
    latent_noise: float = field(
        default=0.1, metadata={"help": "noise on the latents, so that decoding forgives errors"}
    )
    learning_rate: float = field(default=8e-4)
    warmup: int = field(default=50, metadata={"help": "steps"})
    decay_fraction: float = field(default=0.6, metadata={"help": "last share of the steps, over which the rate falls"})
    max_grad_norm: float = field(default=1.0)
    ema_decay: float = field(default=0.998)
    mixed_precision: str = field(default="bf16", metadata={"help": "no, bf16 or fp16"})
    sample_every: int = field(default=250, metadata={"help": "steps between sample strips and held-out scores"})
    save_every: int = field(default=500, metadata={"help": "steps between checkpoints"})
    frame_stride: int = field(default=5, metadata={"help": "every how many frames of a clip are kept in memory"})
    seed: int = field(default=0)

    def __post_init__(self):
        clips = sorted(Path(self.clips).glob("*.mp4"))
        if not clips:
            raise ValueError(f"`clips` must be a folder of .mp4 files, got {self.clips!r}.")
        if len({is_held_out(clip) for clip in clips}) == 1:
            raise ValueError(
                f"`clips` must hold clips to train on and clips whose name ends in 7, which are kept for testing; "
                f"{self.clips!r} has one kind only."
            )
        if self.photos and not sorted(Path(self.photos).glob("*.jpg")):
            raise ValueError(f"`photos` must be a folder of .jpg files, got {self.photos!r}.")
        if self.decoder_only and not self.start:
            raise ValueError("`decoder_only` needs `start`, the autoencoder whose code is kept, got none.")


def to_pixels(pictures: Sequence[np.ndarray]) -> torch.Tensor:
    """uint8 pictures of one size, [height, width, 3] each, to pixels in [-1, 1], [B, 3, height, width]."""
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).float() / 127.5 - 1


def random_crops(pictures: list[np.ndarray], number: int, side: int, random: np.random.Generator) -> torch.Tensor:
    """Square crops in [-1, 1], [number, 3, side, side], half of them mirrored."""
    crops = []
    for index in random.integers(len(pictures), size=number):
        picture = pictures[index]
        top = random.integers(picture.shape[0] - side + 1)
        left = random.integers(picture.shape[1] - side + 1)
        crop = picture[top : top + side, left : left + side]
        crops.append(crop[:, ::-1] if random.random() < 0.5 else crop)
    return to_pixels(crops)


def reconstruction_loss(decoded: torch.Tensor, pixels: torch.Tensor) -> torch.Tensor:
    """Absolute and squared error, and the absolute error of the differences between neighbours, which is sharpness."""
    loss = (decoded - pixels).abs().mean() + (decoded - pixels).square().mean()
    for axis in (-1, -2):
        loss = loss + 0.5 * (decoded.diff(dim=axis) - pixels.diff(dim=axis)).abs().mean()
    return loss


def psnr(decoded: torch.Tensor, pixels: torch.Tensor) -> float:
    """Mean peak signal to noise ratio in dB of pictures in [-1, 1], [B, 3, height, width]."""
    return (-10 * ((decoded - pixels) / 2).square().mean((1, 2, 3)).log10()).mean().item()


def main(config: AutoencoderConfig) -> None:
    set_seed(config.seed)
    random = np.random.default_rng(config.seed)
    accelerator = Accelerator(mixed_precision=config.mixed_precision)
    out = Path(config.out)

    clips = sorted(Path(config.clips).glob("*.mp4"))
    frames = [f for clip in clips if not is_held_out(clip) for f in read_frames(clip)[:: config.frame_stride]]
    held_out = [read_frames(clip) for clip in clips if is_held_out(clip)][:24]
    held_out = to_pixels([frames[len(frames) // 2] for frames in held_out])
    photos = [np.asarray(Image.open(path).convert("RGB")) for path in sorted(Path(config.photos).glob("*.jpg"))]
    photos = [photo for photo in photos if min(photo.shape[:2]) >= config.crop] if config.photos else []
    num_photos = round(config.batch_size * config.photo_fraction) if photos else 0
    accelerator.print(f"{len(frames)} frames, {len(photos)} photos")

    if config.start:
        vae = GarmentAutoencoder.from_pretrained(config.start)
    else:
        vae = GarmentAutoencoder(latent_channels=config.latent_channels, block_channels=config.block_channels)
        examples = [random_crops(frames, 300, config.crop, random)]
        if photos:
            examples.append(random_crops(photos, 150, config.crop, random))
        vae.start_from_principal_components(torch.cat(examples))
    vae = vae.to(memory_format=torch.channels_last)
    for part in (vae.linear_encoder, vae.encoder):
        part.requires_grad_(not config.decoder_only)
    trained = [parameter for parameter in vae.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=config.learning_rate, weight_decay=0)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: learning_rate_factor(step, config.steps, config.warmup, config.decay_fraction)
    )
    ema = EMAModel(vae.parameters(), decay=config.ema_decay, use_ema_warmup=True, power=0.75)
    vae, optimizer, schedule = accelerator.prepare(vae, optimizer, schedule)
    accelerator.register_for_checkpointing(ema)
    loop = TrainingLoop(accelerator, out, config.steps, config.time_limit, config.save_every)
    if loop.resume():
        random = np.random.default_rng([config.seed, loop.step])  # go on with crops that were not seen before
    ema.to(accelerator.device)

    def write_weights_and_samples() -> None:
        ema.store(vae.parameters())
        ema.copy_to(vae.parameters())
        with torch.no_grad():
            pixels = held_out.to(accelerator.device)
            latents = vae.encode(pixels).latents
            decoded = vae.decode(latents).sample.clamp(-1, 1).float()
        loop.log(held_out_psnr=round(psnr(decoded, pixels), 3), latent_deviation=round(latents.std().item(), 3))
        vae.save_pretrained(out / "vae")
        strip = torch.cat([pixels[:8], decoded[:8]], dim=2).permute(2, 0, 3, 1).flatten(1, 2)  # [2*height, 8*width, 3]
        Image.fromarray(((strip + 1) * 127.5).round().byte().cpu().numpy()).save(out / "samples.png")
        ema.restore(vae.parameters())

    for step in loop:
        crops = random_crops(frames, config.batch_size - num_photos, config.crop, random)
        if num_photos:
            crops = torch.cat([crops, random_crops(photos, num_photos, config.crop, random)])
        pixels = crops.to(accelerator.device, memory_format=torch.channels_last)
        with accelerator.autocast():
            latents = vae.encode(pixels).latents
            decoded = vae.decode(
                latents + config.latent_noise * torch.rand(1).item() * torch.randn_like(latents)
            ).sample
        loss = reconstruction_loss(decoded.float(), pixels)
        accelerator.backward(loss)
        accelerator.clip_grad_norm_(trained, config.max_grad_norm)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        ema.step(vae.parameters())
        loop.report(loss.item())
        if accelerator.is_main_process and (step == 1 or step % config.sample_every == 0):
            write_weights_and_samples()
    if accelerator.is_main_process:
        write_weights_and_samples()


if __name__ == "__main__":
    (config,) = HfArgumentParser(AutoencoderConfig).parse_args_into_dataclasses()
    main(config)
