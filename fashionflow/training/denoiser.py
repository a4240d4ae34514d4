"""Trains the denoiser, the conditioner and the image encoder together.

    accelerate launch -m fashionflow.training.denoiser --latents runs/latents --vae runs/autoencoder/vae --out runs/denoiser
    python -m fashionflow.training.denoiser --clips VIDEOS --start assets/models/fashionflow-mini --out runs/mine

Run it again with the same `--out` to continue where it stopped. `OUT/pipeline` is a folder that the page and the command line can load
with `--model`.
"""

import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import set_seed
from torch import nn
from torch.utils.data import DataLoader

from ..models import GarmentAutoencoder
from .export import LARGEST_PART
from .fit import fit
from .latents import LatentClip, LatentFormat, read_clips
from .loop import TrainingLoop, check_settings, save_whole
from .losses import denoising_loss, loss_weights, noise_schedule, start_from_linear_denoiser, variances_of_change
from .modules import build_denoiser, guided, load_autoencoder, load_geometry, load_start
from .pack import evenly
from .recipes import STRUCTURE, DenoiserConfig, parse_config
from .strips import held_out_errors, make_pipeline, sample_strip
from .windows import LatentWindows, StepBatches, window


FIXED_SETTINGS = (*STRUCTURE, "conditioning", "paper_loss", "freeze_image_encoder", "seed")
HELD_OUT_WINDOWS = 32
VARIANCE_CLIPS = 512  # used to measure how far frames differ from frame 0


def training_clips(
    config: DenoiserConfig, accelerator: Accelerator
) -> tuple[Path, list[LatentClip], list[LatentClip]]:
    """The folder of latents, the clips to train on and the clips to test with. `config.clips` are prepared first.

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
    """Encodes `config.clips` in the format of the weights that training starts from."""
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
    """The options that make accelerate log to TensorBoard.

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
    examples = [window(clip, 0, config.num_frames, max(config.strides), mirrored=False) for clip in shown]
    examples = {name: torch.stack([w[name] for w in examples]).to(accelerator.device) for name in examples[0]}

    def batches_from(first_step: int) -> Iterator[dict[str, torch.Tensor]]:
        numbers = StepBatches(
            config.batch_size, config.accumulation, accelerator.process_index, accelerator.num_processes, first_step
        )
        on_gpu = accelerator.device.type == "cuda"
        return iter(DataLoader(windows, batch_sampler=numbers, num_workers=config.workers, pin_memory=on_gpu))

    def loss_of(model: nn.Module, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        batch = {
            name: value if name == "noise_seed" else value.to(accelerator.device, non_blocking=True)
            for name, value in batch.items()
        }
        with accelerator.autocast():
            return denoising_loss(model, scheduler, weights, batch, normalise, config)

    def evaluate(loop: TrainingLoop) -> None:
        denoiser.eval()
        try:
            with accelerator.autocast():
                errors = held_out_errors(denoiser, scheduler, examples, normalise, config.conditioning)
            loop.log(**errors)
            vae.to(accelerator.device)
            pipeline = make_pipeline(denoiser, vae, scheduler, processor, form, config, geometry)
            save_whole(pipeline, out / "pipeline", max_shard_size=LARGEST_PART)
            with accelerator.autocast():
                strip = sample_strip(pipeline, examples)
            strip.save(out / "samples.png")
            for tracker in accelerator.trackers:
                tracker.log_images({"samples": np.asarray(strip)[None]}, step=loop.step, dataformats="NHWC")
        finally:
            denoiser.train()

    fit(
        config,
        accelerator,
        denoiser,
        batches_from,
        loss_of,
        evaluate,
        first_step=config.first_step,
        evaluate_first=False,
    )
    accelerator.end_training()


def run(argv: list[str] | None = None) -> None:
    """The command line. Anything wrong with the settings or the data ends it with one sentence."""
    try:
        main(parse_config(argv))
    except (ValueError, OSError) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    run()
