"""Fit the denoiser, the conditioner and the image encoder together.

    accelerate launch -m fashionflow.training.denoiser --latents runs/latents --vae runs/autoencoder/vae --out runs/denoiser
    python -m fashionflow.training.denoiser --clips VIDEOS --start assets/models/fashionflow-mini --out runs/mine

Run it again with the same `--out` to go on where it stopped. `OUT/pipeline` is a folder that the page and the command line
can load with `--model`.
"""

import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import set_seed
from diffusers.training_utils import EMAModel
from torch.utils.data import DataLoader
from tqdm import tqdm

from ..models import GarmentAutoencoder
from .export import LARGEST_PART
from .latents import LatentClip, LatentFormat, read_clips
from .loop import TrainingLoop, check_settings, save_whole, set_learning_rate
from .losses import denoising_loss, loss_weights, noise_schedule, start_from_linear_denoiser, variances_of_change
from .modules import build_denoiser, guided, load_autoencoder, load_geometry, load_start
from .pack import evenly
from .recipes import STRUCTURE, DenoiserConfig, parse_config
from .strips import held_out_errors, make_pipeline, sample_strip
from .windows import LatentWindows, StepBatches, window


FIXED_SETTINGS = (*STRUCTURE, "conditioning", "paper_loss", "freeze_image_encoder", "seed")
HELD_OUT_WINDOWS = 32
VARIANCE_CLIPS = 512  # looked at to know how far frames stray from frame 0


def training_clips(
    config: DenoiserConfig, accelerator: Accelerator
) -> tuple[Path, list[LatentClip], list[LatentClip]]:
    """The folder of latents, the clips to train on and those to test with; `config.clips` are prepared first.

    Raises:
        ValueError: if there are too few.
    """
    folder = Path(config.latents or Path(config.out) / "latents")
    if config.clips:
        with accelerator.main_process_first():
            if accelerator.is_main_process:
                prepare_clips(config, folder)
    clips = read_clips(folder)
    training, held_out = ([clip for clip in clips if clip.held_out == kind] for kind in (False, True))
    if not held_out:
        raise ValueError(
            "`latents` must also hold clips whose name ends in 7 or that lie in a folder `test`, which are kept for testing, "
            f"{str(folder)!r} has none."
        )
    if len(training) < config.batch_size:
        raise ValueError(
            f"`batch_size` must be at most the number of clips to train on, {len(training)}, got {config.batch_size}."
        )
    return folder, training, held_out


def prepare_clips(config: DenoiserConfig, folder: Path) -> None:
    """Encodes `config.clips` as the weights to go on from want it."""
    from .prepare import prepare
    from .recipes import RELEASED_FORMAT

    vae, form = load_autoencoder(config.vae), RELEASED_FORMAT if config.recipe == "paper" else LatentFormat()
    with_guides = bool(config.geometry)
    if config.start:
        start = load_start(config.start)
        form, with_guides = LatentFormat.of_pipeline(start), start.unet.config.guide_channels > 0
    geometry = load_geometry(config.geometry or config.start) if with_guides else None
    device = "cuda" if torch.cuda.is_available() else "cpu"
    vae = vae.to(device, memory_format=torch.channels_last)
    window_frames = (config.num_frames - 1) * min(config.strides) + 1
    prepare(
        Path(config.clips),
        folder,
        vae,
        form,
        window_frames,
        mirror=config.mirror,
        posterior=config.recipe == "paper",
        geometry=None if geometry is None else geometry.to(device),
    )


def trackers(config: DenoiserConfig) -> dict:
    """What makes accelerate log to TensorBoard.

    Raises:
        ValueError: if it is not installed.
    """
    if not config.tensorboard:
        return {}
    from accelerate.utils import is_tensorboard_available

    if not is_tensorboard_available():
        raise ValueError("`tensorboard` needs the package of that name; install it with: pip install tensorboard")
    return {"log_with": "tensorboard", "project_dir": config.out}


def main(config: DenoiserConfig) -> None:
    out = Path(config.out)
    check_settings(out, asdict(config), FIXED_SETTINGS)
    set_seed(config.seed)
    accelerator = Accelerator(
        mixed_precision=config.mixed_precision,
        gradient_accumulation_steps=config.accumulation,
        **trackers(config),
    )
    folder, training, held_out = training_clips(config, accelerator)
    windows = LatentWindows(
        training, config.num_frames, config.strides, config.seed, config.mirror, config.fixed_windows
    )
    shown = LatentWindows(held_out, config.num_frames, [max(config.strides)]).clips[:HELD_OUT_WINDOWS]
    _, channels, height, width = training[0].shape
    has_guide = training[0].has_guide
    denoiser = build_denoiser(config, channels, (height, width), training[0].image_size, has_guide)
    vae = load_autoencoder(config.vae)
    if vae.config.latent_channels != channels:
        raise ValueError(f"`vae` must have the latents' {channels} channels, got {vae.config.latent_channels}.")
    geometry = None
    if has_guide:
        if not (config.geometry or config.start):
            raise ValueError(
                "`geometry` is needed, the folder of the network that the latents' guides come from, got none."
            )
        if not isinstance(vae, GarmentAutoencoder):
            raise ValueError(f"`vae` must be an autoencoder of ours for latents with guides, got {config.vae!r}.")
        geometry, vae = load_geometry(config.geometry or config.start).to(accelerator.device), guided(vae)
    form = LatentFormat.read(folder)
    processor = form.image_processor()
    mean, deviation = (
        torch.tensor(v, device=accelerator.device).view(3, 1, 1) for v in (processor.image_mean, processor.image_std)
    )

    def normalise(pictures: torch.Tensor) -> torch.Tensor:
        return (pictures.float() * form.rescale_factor - mean) / deviation  # [B, 3, S, S]

    sizes = (
        f"{name} {sum(p.numel() for p in part.parameters()) / 1e6:.2f} M" for name, part in denoiser.named_children()
    )
    accelerator.print(", ".join(sizes))
    scheduler = noise_schedule(config)
    variances = variances_of_change(evenly(training, min(VARIANCE_CLIPS, len(training))))
    if config.gated_skips and not config.start:
        start_from_linear_denoiser(denoiser.unet, scheduler, variances)
    weights = loss_weights(scheduler, variances, config.loss_weighting).to(accelerator.device)
    optimizer = torch.optim.AdamW(denoiser.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay)
    ema = EMAModel(denoiser.parameters(), decay=config.ema_decay, use_ema_warmup=True, power=0.75)
    model, optimizer = accelerator.prepare(denoiser, optimizer)
    accelerator.register_for_checkpointing(ema)
    loop = TrainingLoop(accelerator, out, config.steps, config.time_limit, config.save_every, asdict(config))
    if not loop.resume():
        loop.step = config.first_step
    ema.to(accelerator.device)
    accelerator.init_trackers("tensorboard")

    fixed = [window(clip, 0, config.num_frames, max(config.strides), mirrored=False) for clip in shown]
    fixed = {name: torch.stack([w[name] for w in fixed]).to(accelerator.device) for name in fixed[0]}

    def write_pipeline_and_samples() -> None:
        ema.store(denoiser.parameters())
        ema.copy_to(denoiser.parameters())
        denoiser.eval()
        with accelerator.autocast():
            errors = held_out_errors(denoiser, scheduler, fixed, normalise, config.conditioning)
        loop.log(**errors)
        vae.to(accelerator.device)
        pipeline = make_pipeline(denoiser, vae, scheduler, processor, form, config, geometry)
        try:
            save_whole(pipeline, out / "pipeline", max_shard_size=LARGEST_PART)
            with accelerator.autocast():
                strip = sample_strip(pipeline, fixed)
            strip.save(out / "samples.png")
        except OSError as error:  # a full disk; what has been learnt is still in memory
            tqdm.write(str(error))
        else:
            for tracker in accelerator.trackers:
                tracker.log_images({"samples": np.asarray(strip)[None]}, step=loop.step, dataformats="NHWC")
        ema.restore(denoiser.parameters())
        denoiser.train()

    batches = StepBatches(
        config.batch_size, config.accumulation, accelerator.process_index, accelerator.num_processes, loop.step + 1
    )
    batches = iter(
        DataLoader(
            windows, batch_sampler=batches, num_workers=config.workers, pin_memory=accelerator.device.type == "cuda"
        )
    )
    for step in loop:
        rate = set_learning_rate(optimizer, config, step)
        losses = []
        for _ in range(config.accumulation):
            batch = {
                name: value if name == "noise_seed" else value.to(accelerator.device, non_blocking=True)
                for name, value in next(batches).items()
            }
            with accelerator.accumulate(model):
                with accelerator.autocast():
                    loss = denoising_loss(model, scheduler, weights, batch, normalise, config)
                accelerator.backward(loss)
                if accelerator.sync_gradients and config.max_grad_norm:
                    accelerator.clip_grad_norm_(model.parameters(), config.max_grad_norm)
                optimizer.step()
                optimizer.zero_grad()
                losses.append(loss.detach())
        ema.step(denoiser.parameters())
        loss = accelerator.reduce(torch.stack(losses).mean(), reduction="mean").item()
        loop.report(loss, learning_rate=rate)
        if accelerator.is_main_process and step % config.sample_every == 0:
            write_pipeline_and_samples()
    if accelerator.is_main_process:
        write_pipeline_and_samples()
    accelerator.wait_for_everyone()
    accelerator.end_training()


def run(argv: list[str] | None = None) -> None:
    """The command line: whatever is wrong with the settings or the data is said in one sentence."""
    try:
        main(parse_config(argv))
    except (ValueError, OSError) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    run()
