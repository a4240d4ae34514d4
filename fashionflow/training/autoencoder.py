"""Trains the autoencoder.

    accelerate launch -m fashionflow.training.autoencoder --clips runway/clips --photos garments --out runs/autoencoder

Run it again with the same `--out` to continue where it stopped. The weights are in `OUT/vae`.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import set_seed
from PIL import Image
from torch import nn
from tqdm import tqdm

from ..evaluation.clip_labels import is_held_out
from ..models import GarmentAutoencoder
from ..video.io import read_frames
from .fit import fit, run_program
from .loop import TrainingLoop, check_settings, save_whole
from .modules import load_autoencoder
from .windows import StepBatches, noise_like


FIXED_SETTINGS = ("latent_channels", "block_channels", "decoder_only", "seed")


@dataclass
class AutoencoderConfig:
    clips: str = field(metadata={"help": "folder of .mp4 clips; those whose name ends in 7 are held out"})
    photos: str = field(default="", metadata={"help": "folder of .jpg photos of garments; none by default"})
    out: str = field(default="runs/autoencoder", metadata={"help": "where weights, checkpoint and samples go"})
    start: str = field(
        default="", metadata={"help": "folder of an autoencoder to continue from; from scratch by default"}
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
        check_counts(
            self, ("latent_channels", "steps", "batch_size", "crop", "sample_every", "save_every", "frame_stride")
        )
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


def check_counts(config: object, names: Iterable[str]) -> None:
    """Raises a `ValueError` for the first of the settings of these names that is below 1."""
    for name in names:
        if getattr(config, name) < 1:
            raise ValueError(f"`{name}` must be at least 1, got {getattr(config, name)}.")


def to_pixels(pictures: Sequence[np.ndarray]) -> torch.Tensor:
    """uint8 pictures of one size, [height, width, 3] each, to pixels in [-1, 1], [B, 3, height, width]."""
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).float() / 127.5 - 1


class CropSource:
    """Training crops by number, so that a resumed run continues with crops that it has not seen.

    Args:
        frames, photos: pictures, uint8 [height, width, 3]; there may be no photos.
        side: side of a crop, pixels.
        photo_fraction: share of the crops that comes from photos.
        seed: determines the draws, together with the crop's number.
    """

    def __init__(
        self, frames: list[np.ndarray], photos: list[np.ndarray], side: int, photo_fraction: float, seed: int
    ):
        self.frames = frames
        self.photos = photos
        self.side = side
        self.photo_fraction = photo_fraction if photos else 0.0
        self.seed = seed

    def crops(self, numbers: range) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Square crops in [-1, 1], [B, 3, side, side], half of them mirrored; noise levels in [0, 1) and noise seeds, [B]."""
        crops, levels, seeds = [], [], []
        for number in numbers:
            random = np.random.default_rng([self.seed, number])
            pictures = self.photos if random.random() < self.photo_fraction else self.frames
            crops.append(random_crop(pictures[random.integers(len(pictures))], self.side, random))
            levels.append(random.random())
            seeds.append(int(random.integers(2**63)))
        return to_pixels(crops), torch.tensor(levels, dtype=torch.float32), torch.tensor(seeds)


def random_crop(picture: np.ndarray, side: int, random: np.random.Generator) -> np.ndarray:
    """A square of a picture, uint8 [side, side, 3], half the time mirrored."""
    top = random.integers(picture.shape[0] - side + 1)
    left = random.integers(picture.shape[1] - side + 1)
    crop = picture[top : top + side, left : left + side]
    return crop[:, ::-1] if random.random() < 0.5 else crop


class NoisyReconstruction(nn.Module):
    """The autoencoder with noise on its latents, as one module that a training step calls, so that several processes can share it."""

    def __init__(self, vae: GarmentAutoencoder):
        super().__init__()
        self.vae = vae

    def forward(self, pixels: torch.Tensor, deviations: torch.Tensor, seeds: torch.Tensor) -> torch.Tensor:
        """Encodes and decodes pixels in [-1, 1], [B, 3, height, width]. Noise of `deviations`, [B], is drawn with `seeds`."""
        latents = self.vae.encode(pixels).latents
        return self.vae.decode(latents + deviations[:, None, None, None] * noise_like(latents, seeds)).sample


def reconstruction_loss(decoded: torch.Tensor, pixels: torch.Tensor) -> torch.Tensor:
    """Absolute and squared error, and the absolute error of the differences between neighbours, which measures sharpness."""
    loss = (decoded - pixels).abs().mean() + (decoded - pixels).square().mean()
    for axis in (-1, -2):
        loss = loss + 0.5 * (decoded.diff(dim=axis) - pixels.diff(dim=axis)).abs().mean()
    return loss


def psnr(decoded: torch.Tensor, pixels: torch.Tensor) -> float:
    """Mean peak signal to noise ratio in dB of pictures in [-1, 1], [B, 3, height, width]."""
    return (-10 * ((decoded - pixels) / 2).square().mean((1, 2, 3)).log10()).mean().item()


def read_pictures(config: AutoencoderConfig) -> tuple[list[np.ndarray], torch.Tensor, list[np.ndarray]]:
    """Frames to train on, held-out frames as pixels in [-1, 1], [B, 3, height, width], and photos.

    Files that cannot be read, or are smaller than a crop, are reported and skipped.

    Raises:
        ValueError: if nothing is left to train on or to test with.
    """
    frames, held_out, photos = [], [], []
    for clip in sorted(Path(config.clips).glob("*.mp4")):
        try:
            pictures = read_frames(clip)
            if min(pictures.shape[1:3]) < config.crop:
                raise ValueError(f"it is smaller than a crop of {config.crop} pixels")
        except ValueError as error:
            tqdm.write(f"skipped {clip.name}: {error}")
            continue
        if not is_held_out(clip):
            frames += list(pictures[:: config.frame_stride])
        elif len(held_out) < 24 and (not held_out or held_out[0].shape == pictures.shape[1:]):
            held_out.append(pictures[len(pictures) // 2])
    if not frames or not held_out:
        raise ValueError(
            f"`clips` must hold clips that can be read, to train on and to test with, got {config.clips!r}."
        )
    for path in sorted(Path(config.photos).glob("*.jpg")) if config.photos else []:
        try:
            photo = np.asarray(Image.open(path).convert("RGB"))
            if min(photo.shape[:2]) < config.crop:
                raise ValueError(f"it is smaller than a crop of {config.crop} pixels")
            photos.append(photo)
        except (OSError, ValueError) as error:
            tqdm.write(f"skipped {path.name}: {error}")
    return frames, to_pixels(held_out), photos


def main(config: AutoencoderConfig) -> None:
    out = Path(config.out)
    check_settings(out, asdict(config), FIXED_SETTINGS)
    set_seed(config.seed)
    accelerator = Accelerator(mixed_precision=config.mixed_precision)
    frames, held_out, photos = read_pictures(config)
    accelerator.print(f"{len(frames)} frames, {len(photos)} photos")
    source = CropSource(frames, photos, config.crop, config.photo_fraction, config.seed)

    if config.start:
        vae = load_autoencoder(config.start, "start").float()
        if not isinstance(vae, GarmentAutoencoder):
            raise ValueError(f"`start` must be an autoencoder of ours, got {config.start!r}.")
    else:
        vae = GarmentAutoencoder(latent_channels=config.latent_channels, block_channels=config.block_channels)
    block_size = vae.config.block_size
    if config.crop % block_size:
        raise ValueError(f"`crop` must be a multiple of {block_size} for this autoencoder, got {config.crop}.")
    if not config.start:
        vae.start_from_principal_components(source.crops(range(450))[0])
    height, width = (side - side % block_size for side in held_out.shape[-2:])
    held_out = held_out[..., :height, :width]
    vae = vae.to(memory_format=torch.channels_last)
    for part in (vae.linear_encoder, vae.encoder):
        part.requires_grad_(not config.decoder_only)
    if vae.guide_fusion is not None:
        # It is not used here, and parameters without a gradient would block training in several processes.
        vae.guide_fusion.requires_grad_(False)

    def batches_from(first_step: int) -> Iterator[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
        processes = accelerator.process_index, accelerator.num_processes
        for numbers in StepBatches(config.batch_size, 1, *processes, first_step):
            yield source.crops(numbers)

    def loss_of(model: nn.Module, batch: tuple[torch.Tensor, torch.Tensor, torch.Tensor]) -> torch.Tensor:
        crops, levels, seeds = batch
        pixels = crops.to(accelerator.device, memory_format=torch.channels_last)
        with accelerator.autocast():
            decoded = model(pixels, config.latent_noise * levels.to(pixels), seeds)
        return reconstruction_loss(decoded.float(), pixels)

    @torch.no_grad()
    def evaluate(loop: TrainingLoop) -> None:
        pixels = held_out.to(accelerator.device)
        latents = vae.encode(pixels).latents
        decoded = vae.decode(latents).sample.clamp(-1, 1).float()
        loop.log(held_out_psnr=round(psnr(decoded, pixels), 3), latent_deviation=round(latents.std().item(), 3))
        save_whole(vae, out / "vae")
        strip = torch.cat([pixels[:8], decoded[:8]], dim=2).permute(2, 0, 3, 1).flatten(1, 2)  # [2*height, 8*width, 3]
        Image.fromarray(((strip + 1) * 127.5).round().byte().cpu().numpy()).save(out / "samples.png")

    fit(config, accelerator, vae, batches_from, loss_of, evaluate, model=NoisyReconstruction(vae))


def run(argv: list[str] | None = None) -> None:
    run_program(main, AutoencoderConfig, argv)


if __name__ == "__main__":
    run()
