"""Fit the denoiser, the conditioner and the small image encoder together.

    accelerate launch -m fashionflow.training.denoiser --latents runs/latents --vae runs/autoencoder/vae --out runs/denoiser

Run it again with the same `--out` to go on where it stopped. `OUT/pipeline` is a folder that the page and the command line
can load with `--model`.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch
from accelerate import Accelerator
from accelerate.utils import set_seed
from diffusers import DDPMScheduler
from diffusers.training_utils import EMAModel
from PIL import Image
from safetensors.torch import load_file
from torch import nn
from torch.utils.data import DataLoader, Dataset
from transformers import CLIPVisionConfig, CLIPVisionModel, HfArgumentParser

from ..models import GarmentAutoencoder, GarmentConditioner, SpaceTimeUNet
from ..motion import MOTION_CHANNELS, rows
from ..pipelines import FashionFlowPipeline
from ..schedulers import make_scheduler, training_scheduler
from .export import LARGEST_PART
from .loop import TrainingLoop, is_held_out, learning_rate_factor
from .prepare import IMAGE_SIZE, image_processor


@dataclass
class DenoiserConfig:
    latents: str = field(metadata={"help": "folder written by fashionflow.training.prepare"})
    vae: str = field(metadata={"help": "folder of the autoencoder that made the latents"})
    out: str = field(default="runs/denoiser", metadata={"help": "where the pipeline, checkpoint and samples go"})
    start: str = field(
        default="", metadata={"help": "pipeline folder whose weights to go on from; from scratch by default"}
    )
    stem_channels: int = field(default=96)
    block_channels: list[int] = field(default_factory=lambda: [96, 192])
    attention_levels: list[int] = field(default_factory=lambda: [1])
    cross_attention_heads: list[int] = field(default_factory=lambda: [2, 4])
    attention_heads: int = field(default=4)
    attention_head_channels: int = field(default=48)
    context_channels: int = field(default=192, metadata={"help": "width of the image encoder and of its tokens"})
    image_layers: int = field(default=1, metadata={"help": "layers of the small image encoder; three gained nothing"})
    num_frames: int = field(default=12, metadata={"help": "frames of a training window"})
    strides: list[int] = field(
        default_factory=lambda: [1, 2], metadata={"help": "frame steps of a window, drawn at random"}
    )
    frame_rate: float = field(default=8.0, metadata={"help": "frames a second of the clips"})
    noise_scale: float = field(default=0.1, metadata={"help": "scale of the starting noise when clips are sampled"})
    steps: int = field(default=10_000, metadata={"help": "optimiser steps"})
    time_limit: float = field(default=0, metadata={"help": "minutes after which the run ends cleanly; 0 for none"})
    batch_size: int = field(default=8, metadata={"help": "windows per process per step"})
    learning_rate: float = field(default=5e-4)
    weight_decay: float = field(default=1e-2)
    warmup: int = field(default=100, metadata={"help": "steps"})
    decay_fraction: float = field(default=0.4, metadata={"help": "last share of the steps, over which the rate falls"})
    max_grad_norm: float = field(default=1.0)
    timestep_power: float = field(
        default=1.0,
        metadata={
            "help": "timesteps are 1000 (1 - u^power), u uniform: 1 draws all alike, 2 half of them from 750 up"
        },
    )
    motion_dropout: float = field(default=0.1, metadata={"help": "share of windows trained without their motion"})
    ema_decay: float = field(default=0.999)
    mixed_precision: str = field(default="bf16", metadata={"help": "no, bf16 or fp16"})
    sample_every: int = field(default=500, metadata={"help": "steps between strips and saved pipelines"})
    save_every: int = field(default=500, metadata={"help": "steps between checkpoints"})
    seed: int = field(default=0)


def load_start(trained: nn.Module, folder: str) -> None:
    """Takes over the weights of a pipeline folder of the same sizes."""
    start = FashionFlowPipeline.from_pretrained(folder)
    for name, part in trained.named_children():
        part.load_state_dict(getattr(start, name).state_dict())


class LatentWindows(Dataset):
    """Random windows of latent clips: a clip a row, another window of it each time, half of them mirrored."""

    def __init__(self, paths: list[Path], num_frames: int, strides: list[int]):
        if not paths:
            raise ValueError(
                "`latents` must hold .safetensors files; write them with `python -m fashionflow.training.prepare`."
            )
        self.clips = [load_file(path) for path in paths]
        shortest = min(len(clip["yaw"]) for clip in self.clips)
        if (num_frames - 1) * min(strides) >= shortest:
            raise ValueError(
                f"`num_frames` must fit into the shortest clip, which has {shortest} frames, got {num_frames} frames at a "
                f"stride of {min(strides)}."
            )
        self.num_frames = num_frames
        self.strides = strides

    def __len__(self) -> int:
        return len(self.clips)

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        """`latents` [C, F, H, W], `picture` uint8 [3, size, size] of its frame 0, and `motion` rows [F, 3]."""
        clip = self.clips[index]
        length = len(clip["yaw"])
        fitting = [stride for stride in self.strides if (self.num_frames - 1) * stride < length]
        stride = fitting[torch.randint(len(fitting), ()).item()]
        start = torch.randint(length - (self.num_frames - 1) * stride, ()).item()
        return window(clip, start, self.num_frames, stride, mirrored=torch.rand(()).item() < 0.5)


def window(
    clip: dict[str, torch.Tensor], start: int, num_frames: int, stride: int, mirrored: bool
) -> dict[str, torch.Tensor]:
    """Frames `start`, `start + stride` ... of a clip. A mirrored body turns the other way."""
    frames = slice(start, start + (num_frames - 1) * stride + 1, stride)
    latents = clip["mirrored" if mirrored else "latents"][frames].transpose(0, 1)
    picture = clip["pictures"][start]
    yaw = clip["yaw"][frames].numpy()
    return {
        "latents": latents.float(),
        "picture": picture.flip(-1) if mirrored else picture,
        "motion": rows(-yaw if mirrored else yaw, clip["distance"][frames].numpy()),
    }


class GarmentDenoiser(nn.Module):
    """Image encoder, conditioner and denoiser as the one module that training moves and copies."""

    def __init__(self, config: DenoiserConfig, latent_channels: int, latent_size: tuple[int, int]):
        super().__init__()
        vision = CLIPVisionConfig(
            hidden_size=config.context_channels,
            intermediate_size=2 * config.context_channels,
            num_hidden_layers=config.image_layers,
            num_attention_heads=4,
            image_size=IMAGE_SIZE,
            patch_size=16,
        )
        self.image_encoder = CLIPVisionModel(vision)
        num_tokens = (IMAGE_SIZE // 16) ** 2 + 1
        self.conditioner = GarmentConditioner(num_tokens, config.context_channels, latent_channels, latent_size)
        self.unet = SpaceTimeUNet(
            in_channels=latent_channels,
            stem_channels=config.stem_channels,
            block_channels=config.block_channels,
            attention_levels=config.attention_levels,
            time_levels=[],
            attention_heads=config.attention_heads,
            attention_head_channels=config.attention_head_channels,
            cross_attention_heads=config.cross_attention_heads,
            context_channels=config.context_channels,
            motion_channels=MOTION_CHANNELS,
            first_frame_everywhere=True,
            gated_skips=True,
        )

    def forward(
        self, noisy: torch.Tensor, timesteps: torch.Tensor, pixel_values: torch.Tensor, motion: torch.Tensor
    ) -> torch.Tensor:
        """The clean latents, [B, C, F, H, W], from noisy ones whose frame 0 is clean."""
        clip_tokens = self.image_encoder(pixel_values).last_hidden_state
        context = self.conditioner(clip_tokens, noisy[:, :, 0])
        return self.unet(noisy, timesteps, context, motion=motion, return_dict=False)[0]


def linear_denoiser(
    scheduler: DDPMScheduler, variances: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The best guess of clean latents that is linear in the noisy ones and the photo, for every timestep and channel.

    With x = a * clean + s * noise and clean = photo + change, where the change has mean 0 and `variances`, [C], that guess is
    photo + g * (x - a * photo) with g = a * variance / (a^2 * variance + s^2).

    Returns:
        what to multiply the noisy latents by, what to multiply the photo by beside 1, and the guess's mean squared error;
        each [1000, C].
    """
    kept = scheduler.alphas_cumprod[:, None]  # a^2, [1000, 1]
    noisy_gate = kept.sqrt() * variances / (kept * variances + 1 - kept)
    error = (1 - kept) * variances / (kept * variances + 1 - kept)
    return noisy_gate, -kept.sqrt() * noisy_gate, error


@torch.no_grad()
def start_from_linear_denoiser(unet: SpaceTimeUNet, scheduler: DDPMScheduler, variances: torch.Tensor) -> None:
    """Sets the U-Net's gates so that it begins as `linear_denoiser` and its layers only have to say what that one misses.

    The gates are linear in the time embedding, so they are fitted to the wanted values by least squares.
    """
    noisy_gate, photo_gate, error = linear_denoiser(scheduler, variances)
    targets = torch.cat([noisy_gate, photo_gate, error.sqrt() - 1], dim=1)  # [1000, 3C]
    features = unet.embed_time(torch.arange(len(targets)), torch.float32)  # [1000, T]
    features = torch.cat([features, torch.ones(len(features), 1)], dim=1).double()
    ridge = 1e-4 * torch.eye(features.shape[1], dtype=torch.float64)
    solution = torch.linalg.solve(features.T @ features + ridge, features.T @ targets.double())
    unet.skip_gates.weight.copy_(solution[:-1].T)
    unet.skip_gates.bias.copy_(solution[-1])


def variances_of_change(clips: list[dict[str, torch.Tensor]]) -> torch.Tensor:
    """How far the latents of later frames stray from those of frame 0, mean square over clips, frames and cells, [C]."""
    changes = [(clip["latents"][1:].float() - clip["latents"][:1].float()).square().mean((0, 2, 3)) for clip in clips]
    return torch.stack(changes).mean(0)


def loss_weights(scheduler: DDPMScheduler, variances: torch.Tensor, smallest_error: float = 0.02) -> torch.Tensor:
    """One weight a timestep, [1000]: the inverse of `linear_denoiser`'s error, so that every noise level counts alike.

    Without it the last, nearly clean steps would hardly be learnt, and their noise stays on plain backgrounds. The floor
    keeps the rounding errors of half precision from being trained on.
    """
    return 1 / linear_denoiser(scheduler, variances)[2].mean(1).clamp_min(smallest_error)


def denoising_loss(
    model: nn.Module,
    scheduler: DDPMScheduler,
    weights: torch.Tensor,
    batch: dict[str, torch.Tensor],
    normalise: Callable[[torch.Tensor], torch.Tensor],
    motion_dropout: float,
    timestep_power: float = 1.0,
) -> torch.Tensor:
    """Weighted squared error of the predicted clean latents on frames 1.. ; frame 0 is given clean and carries no loss."""
    clean = batch["latents"]  # [B, C, F, H, W]
    noise = torch.randn_like(clean)
    levels = 1 - torch.rand(len(clean), device=clean.device) ** timestep_power  # in [0, 1]
    last = scheduler.config.num_train_timesteps - 1
    timesteps = (levels * (last + 1)).long().clamp(max=last)  # [B]
    noisy = scheduler.add_noise(clean, noise, timesteps)
    noisy = torch.cat([clean[:, :, :1], noisy[:, :, 1:]], dim=2)
    keep_motion = torch.rand(len(clean), 1, 1, device=clean.device) >= motion_dropout
    predicted = model(noisy, timesteps, normalise(batch["picture"]), batch["motion"] * keep_motion)
    errors = (predicted[:, :, 1:].float() - clean[:, :, 1:]).square().mean((1, 2, 3, 4))  # [B]
    return (weights[timesteps] * errors).mean()


def main(config: DenoiserConfig) -> None:
    set_seed(config.seed)
    accelerator = Accelerator(mixed_precision=config.mixed_precision)
    out = Path(config.out)
    vae = GarmentAutoencoder.from_pretrained(config.vae).eval()
    processor = image_processor()
    mean, deviation = (
        torch.tensor(v, device=accelerator.device).view(3, 1, 1) for v in (processor.image_mean, processor.image_std)
    )

    def normalise(pictures: torch.Tensor) -> torch.Tensor:
        return (pictures.float() / 255 - mean) / deviation  # [B, 3, size, size]

    paths = sorted(Path(config.latents).glob("*.safetensors"))
    training_paths = [path for path in paths if not is_held_out(path)]
    if paths and len(training_paths) == len(paths):
        raise ValueError("`latents` must also hold clips whose name ends in 7, which are kept for testing, got none.")
    if paths and len(training_paths) < config.batch_size:
        raise ValueError(
            f"`batch_size` must be at most the number of clips to train on, {len(training_paths)}, got {config.batch_size}."
        )
    windows = LatentWindows(training_paths, config.num_frames, config.strides)
    held_out = LatentWindows([path for path in paths if is_held_out(path)], config.num_frames, [max(config.strides)])
    loader = DataLoader(windows, config.batch_size, shuffle=True, drop_last=True)
    _, channels, height, width = windows.clips[0]["latents"].shape

    trained = GarmentDenoiser(config, channels, (height, width))
    accelerator.print(
        ", ".join(
            f"{name} {sum(p.numel() for p in part.parameters()) / 1e6:.2f} M"
            for name, part in trained.named_children()
        )
    )
    scheduler = training_scheduler("sample")
    variances = variances_of_change(windows.clips)
    start_from_linear_denoiser(trained.unet, scheduler, variances)
    weights = loss_weights(scheduler, variances).to(accelerator.device)
    if config.start:
        load_start(trained, config.start)
    optimizer = torch.optim.AdamW(trained.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: learning_rate_factor(step, config.steps, config.warmup, config.decay_fraction)
    )
    ema = EMAModel(trained.parameters(), decay=config.ema_decay, use_ema_warmup=True, power=0.75)
    model, optimizer, schedule, loader = accelerator.prepare(trained, optimizer, schedule, loader)
    accelerator.register_for_checkpointing(ema)
    loop = TrainingLoop(accelerator, out, config.steps, config.time_limit, config.save_every)
    if loop.resume():
        set_seed(config.seed + loop.step)  # go on with windows and noise that were not seen before
    ema.to(accelerator.device)

    fixed = [window(clip, 0, config.num_frames, max(config.strides), mirrored=False) for clip in held_out.clips[:32]]
    fixed = {name: torch.stack([w[name] for w in fixed]).to(accelerator.device) for name in fixed[0]}

    @torch.no_grad()
    def write_pipeline_and_samples() -> None:
        ema.store(trained.parameters())
        ema.copy_to(trained.parameters())
        trained.eval()
        generator_state = torch.get_rng_state()
        torch.manual_seed(0)
        errors = {}
        noise = torch.randn_like(fixed["latents"])
        still = (fixed["latents"] - fixed["latents"][:, :, :1])[:, :, 1:].square().mean()
        for timestep in (100, 400, 700, 999):
            timesteps = torch.full((len(noise),), timestep, device=noise.device)
            noisy = scheduler.add_noise(fixed["latents"], noise, timesteps)
            noisy[:, :, 0] = fixed["latents"][:, :, 0]
            with accelerator.autocast():
                predicted = trained(noisy, timesteps, normalise(fixed["picture"]), fixed["motion"])
            error = (predicted.float() - fixed["latents"])[:, :, 1:].square().mean()
            errors[f"held_out_{timestep}"] = round((error / still).item(), 4)  # 1 is as bad as repeating the photo
        loop.log(**errors)
        pipeline = FashionFlowPipeline(
            image_encoder=trained.image_encoder,
            image_processor=processor,
            conditioner=trained.conditioner,
            unet=trained.unet,
            vae=vae,
            scheduler=make_scheduler("dpm++", scheduler.config),
            frame_rate=config.frame_rate / max(config.strides),
            default_num_frames=config.num_frames,
            signed_pixels=True,
            photo_fit="crop",
            noise_scale=config.noise_scale,
        )
        pipeline.save_pretrained(out / "pipeline", max_shard_size=LARGEST_PART)
        sample_strip(pipeline, fixed, normalise).save(out / "samples.png")
        ema.restore(trained.parameters())
        trained.train()
        torch.set_rng_state(generator_state)

    batches = iter(loader)
    for step in loop:
        batch = next(batches, None)
        if batch is None:
            batches = iter(loader)
            batch = next(batches)
        with accelerator.autocast():
            loss = denoising_loss(
                model, scheduler, weights, batch, normalise, config.motion_dropout, config.timestep_power
            )
        accelerator.backward(loss)
        accelerator.clip_grad_norm_(model.parameters(), config.max_grad_norm)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        ema.step(trained.parameters())
        loop.report(loss.item())
        if accelerator.is_main_process and step % config.sample_every == 0:
            write_pipeline_and_samples()
    if accelerator.is_main_process:
        write_pipeline_and_samples()


@torch.no_grad()
def sample_strip(
    pipeline: FashionFlowPipeline, windows: dict[str, torch.Tensor], normalise, clips: int = 4
) -> Image.Image:
    """True and sampled frames of held-out windows, one above the other, six of each clip."""
    clean = windows["latents"][:clips]
    context = pipeline.conditioner(
        pipeline.image_encoder(normalise(windows["picture"][:clips])).last_hidden_state, clean[:, :, 0]
    )
    scheduler = make_scheduler("dpm++", pipeline.scheduler.config)
    scheduler.set_timesteps(12, device=clean.device)
    latents = pipeline.config.noise_scale * torch.randn_like(clean[:, :, 1:])
    for timestep in scheduler.timesteps:
        clip = torch.cat([clean[:, :, :1], latents], dim=2)
        predicted = pipeline.unet(clip, timestep, context, motion=windows["motion"][:clips]).sample[:, :, 1:]
        latents = scheduler.step(predicted, timestep, latents).prev_sample
    sampled = torch.cat([clean[:, :, :1], latents], dim=2)
    strips = []
    for index in range(len(clean)):
        for clip in (clean, sampled):
            picked = clip[index : index + 1, :, :: max(1, (clip.shape[2] - 1) // 5)][:, :, :6]
            pixels = torch.cat(list(pipeline.decode_latents(picked)), dim=2)[0]  # [3, f, height, width]
            strips.append(pixels.permute(2, 1, 3, 0).flatten(1, 2))  # [height, f*width, 3]
    return Image.fromarray((torch.cat(strips) * 255).round().byte().cpu().numpy())


if __name__ == "__main__":
    (config,) = HfArgumentParser(DenoiserConfig).parse_args_into_dataclasses()
    main(config)
