"""Teach the decoder what the denoiser really gives it, by a loss that sees as people do.

    accelerate launch -m fashionflow.training.decoder --pipeline runs/denoiser/pipeline --clips runway/clips --out runs/decoder

The autoencoder learns to decode true latents; sampled ones are blurred and shifted, and it draws that faithfully. Here clips are
sampled once with their true motion (`OUT/sampled`), and the decoder alone goes on learning: from sampled latents it must draw the
true frames, by LPIPS beside the absolute error, so that a doubtful edge becomes an edge somewhere instead of a smear everywhere.
It also learns to find the photo's own pixels again and to draw with them (`fashionflow.models.photo_guidance`). The code stays as
it is, so latents and denoiser remain valid. The weights are in `OUT/vae`.

Run it again with the same `--out` to go on where it stopped; clips that were sampled are not sampled again.
"""

import sys
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import torch
from accelerate import Accelerator
from accelerate.utils import set_seed
from diffusers.training_utils import EMAModel
from PIL import Image
from torch import nn
from tqdm import tqdm
from transformers import HfArgumentParser

from ..evaluation.lpips import LearnedPerceptualDistance
from ..hub import load_pipeline
from ..models import GarmentAutoencoder
from ..pipelines import FashionFlowPipeline
from ..speed import DEFAULTS
from .autoencoder import check_counts, psnr, reconstruction_loss, to_pixels
from .loop import TrainingLoop, check_settings, save_whole, set_learning_rate
from .modules import load_autoencoder, same_code
from .pairs import PairedClip, PairedCrops, sample_clips


FIXED_SETTINGS = ("pipeline", "vae", "sampling_steps", "seed")


@dataclass
class DecoderConfig:
    pipeline: str = field(metadata={"help": "folder of the pipeline that samples the clips and whose decoder learns"})
    clips: str = field(metadata={"help": "folder of labelled .mp4 clips; those whose name ends in 7 are held out"})
    out: str = field(default="runs/decoder", metadata={"help": "where weights, sampled clips and checkpoints go"})
    vae: str = field(default="", metadata={"help": "autoencoder to go on from; the pipeline's own by default"})
    num_clips: int = field(default=240, metadata={"help": "clips that are sampled to learn from"})
    num_held_out: int = field(default=12, metadata={"help": "clips that are sampled to test on"})
    sampling_steps: int = field(default=4, metadata={"help": "denoising steps of the sampled clips"})
    sampled_fraction: float = field(
        default=0.7, metadata={"help": "share of crops from sampled latents; the rest are true"}
    )
    perceptual_weight: float = field(
        default=1.0, metadata={"help": "weight of LPIPS beside the pixel errors; 0 trains without it and its weights"}
    )
    flow_weight: float = field(default=0.5, metadata={"help": "weight of the flow's error, in cells, at the start"})
    flow_steps: int = field(default=500, metadata={"help": "steps over which that weight falls to a tenth"})
    crop_lines: int = field(
        default=10, metadata={"help": "height of a training crop in latent cells; it is as wide as the clip"}
    )
    batch_size: int = field(default=6, metadata={"help": "crops per process per step"})
    steps: int = field(default=1500, metadata={"help": "optimiser steps"})
    time_limit: float = field(default=0, metadata={"help": "minutes after which the run ends cleanly; 0 for none"})
    learning_rate: float = field(default=3e-4)
    warmup: int = field(default=50, metadata={"help": "steps"})
    decay_fraction: float = field(default=0.6, metadata={"help": "last share of the steps, over which the rate falls"})
    max_grad_norm: float = field(default=1.0)
    ema_decay: float = field(default=0.998)
    mixed_precision: str = field(default="bf16", metadata={"help": "no, bf16 or fp16"})
    sample_every: int = field(default=250, metadata={"help": "steps between sample strips and held-out scores"})
    save_every: int = field(default=250, metadata={"help": "steps between checkpoints"})
    seed: int = field(default=0)

    def __post_init__(self):
        check_counts(
            self,
            ("num_clips", "num_held_out", "sampling_steps", "flow_steps", "crop_lines", "batch_size", "steps")
            + ("sample_every", "save_every"),
        )
        if not 0 <= self.sampled_fraction <= 1:
            raise ValueError(f"`sampled_fraction` must be between 0 and 1, got {self.sampled_fraction}.")
        if not sorted(Path(self.clips).glob("*.mp4")):
            raise ValueError(f"`clips` must be a folder of .mp4 files, got {self.clips!r}.")


class GuidedReconstruction(nn.Module):
    """The decoder guided by the photo: what a training step calls, so that several processes can share it."""

    def __init__(self, vae: GarmentAutoencoder):
        super().__init__()
        self.vae = vae

    def forward(
        self, latents: torch.Tensor, photo: torch.Tensor, first_latents: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """What `decode_guided` gives for latents, [B, C, h, w], a photo each, [B, 3, H, W], and its latents, [B, C, h, w]."""
        return self.vae.decode_guided(latents, self.vae.guide(photo, first_latents))


def guided(vae: GarmentAutoencoder) -> GarmentAutoencoder:
    """The same autoencoder with an untrained guidance by the photo, unless it has one."""
    settings = {name: value for name, value in vae.config.items() if not name.startswith("_")}
    larger = GarmentAutoencoder(**settings | {"photo_guided": True})
    larger.load_state_dict(vae.state_dict(), strict=vae.guidance is not None)
    return larger.float()


def score(
    vae: GarmentAutoencoder, clips: list[PairedClip], perceptual_distance: LearnedPerceptualDistance | None
) -> tuple[dict[str, float], Image.Image]:
    """LPIPS and PSNR of sampled and of true latents, decoded with the photo and alone, and a strip of them over the truth."""
    scores, rows = {}, []
    device, scale = next(vae.parameters()).device, vae.config.scaling_factor
    true = torch.cat([to_pixels(clip.frames[8::8]) for clip in clips]).to(device)
    for name in ("sampled", "true"):
        decoded = []
        for clip in clips:
            latents = getattr(clip, name)[8::8].to(device).float() / scale
            guide = vae.guide(to_pixels(clip.frames[:1]).to(device), clip.true[:1].to(device).float() / scale)
            decoded.append(vae.decode_guided(latents, guide.expand(len(latents)))[:2])
        for kind, pictures in zip(("guided", "alone"), zip(*decoded, strict=True), strict=True):
            pictures = torch.cat(pictures).clamp(-1, 1)
            if perceptual_distance:
                parts = zip(pictures.split(4), true.split(4), strict=True)
                distances = torch.cat([perceptual_distance(*part) for part in parts])
                scores[f"held_out_lpips_{name}_{kind}"] = round(distances.mean().item(), 4)
            scores[f"held_out_psnr_{name}_{kind}"] = round(psnr(pictures, true), 3)
            rows.append(pictures[:10])
    strip = torch.cat([*rows, true[:10]], dim=2).permute(2, 0, 3, 1).flatten(1, 2)  # [5*height, 10*width, 3]
    return scores, Image.fromarray(((strip + 1) * 127.5).round().byte().cpu().numpy())


def load_networks(config: DecoderConfig, device: torch.device) -> tuple[FashionFlowPipeline, GarmentAutoencoder]:
    """The pipeline that samples and the autoencoder, float32 and with a guidance, whose decoder is to learn.

    Raises:
        ValueError: if one cannot be loaded or is of another kind, or their codes differ.
    """
    # In the training's own number format, in which the codes of the two can be compared.
    pipe = load_pipeline(config.pipeline, str(device), replace(DEFAULTS, number_format="float32"))
    pipe.set_progress_bar_config(disable=True)
    if not isinstance(pipe.vae, GarmentAutoencoder) or not pipe.config.signed_pixels or not pipe.has_motion:
        raise ValueError(
            "`pipeline` must have an autoencoder of ours with pixels in [-1, 1] and a motion input, which "
            f"{config.pipeline!r} has not."
        )
    vae = load_autoencoder(config.vae or config.pipeline)
    if not isinstance(vae, GarmentAutoencoder) or not same_code(pipe.vae, vae, pipe.code_size):
        raise ValueError(
            f"`vae` must have the code that the pipeline's denoiser was trained on, which {config.vae!r} has not."
        )
    return pipe, guided(vae)


def main(config: DecoderConfig) -> None:
    out = Path(config.out)
    check_settings(out, asdict(config), FIXED_SETTINGS)
    set_seed(config.seed)
    accelerator = Accelerator(mixed_precision=config.mixed_precision)
    perceptual_distance = None
    if config.perceptual_weight:
        perceptual_distance = LearnedPerceptualDistance().to(accelerator.device)
    pipe, vae = load_networks(config, accelerator.device)
    scale, block_size = vae.config.scaling_factor, vae.config.block_size
    with accelerator.main_process_first():  # the others then read what that one sampled
        training_clips, held_out = sample_clips(
            pipe,
            Path(config.clips),
            out / "sampled",
            config.num_clips,
            config.num_held_out,
            config.sampling_steps,
            config.seed,
        )
    del pipe
    crops = PairedCrops(training_clips, block_size, config.crop_lines, config.seed)

    vae = vae.to(memory_format=torch.channels_last)
    for part in (vae.linear_encoder, vae.encoder):
        part.requires_grad_(False)
    trained = [parameter for parameter in vae.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=config.learning_rate, weight_decay=0)
    ema = EMAModel(vae.parameters(), decay=config.ema_decay, use_ema_warmup=True, power=0.75)
    model, optimizer = accelerator.prepare(GuidedReconstruction(vae), optimizer)
    accelerator.register_for_checkpointing(ema)
    loop = TrainingLoop(accelerator, out, config.steps, config.time_limit, config.save_every, asdict(config))
    loop.resume()
    ema.to(accelerator.device)

    @torch.no_grad()
    def write_weights_and_samples() -> None:
        ema.store(vae.parameters())
        ema.copy_to(vae.parameters())
        scores, strip = score(vae, held_out, perceptual_distance)
        loop.log(**scores)
        try:
            save_whole(vae, out / "vae")
            strip.save(out / "samples.png")
        except OSError as error:  # a full disk; what has been learnt is still in memory
            tqdm.write(str(error))
        ema.restore(vae.parameters())

    for step in loop:
        set_learning_rate(optimizer, config, step)
        first = ((step - 1) * accelerator.num_processes + accelerator.process_index) * config.batch_size
        drawn = crops.draw(range(first, first + config.batch_size), config.sampled_fraction)
        crop = {name: value.to(accelerator.device) for name, value in drawn.items()}
        with accelerator.autocast():
            decoded, alone, flow = model(crop["latents"] / scale, crop["photo"], crop["first_latents"] / scale)
        # In single precision, because squares of its features are too large for half.
        distance = perceptual_distance(decoded.float(), crop["pixels"]).mean() if perceptual_distance else 0
        flow_error = (crop["belief"] * (flow.float() - crop["flow"]).abs()).mean() / block_size
        flow_weight = config.flow_weight * max(0.1, 1 - step / config.flow_steps)
        loss = (
            reconstruction_loss(decoded.float(), crop["pixels"])
            + 0.5 * reconstruction_loss(alone.float(), crop["pixels"])
            + config.perceptual_weight * distance
            + flow_weight * flow_error
        )
        accelerator.backward(loss)
        accelerator.clip_grad_norm_(trained, config.max_grad_norm)
        optimizer.step()
        optimizer.zero_grad()
        ema.step(vae.parameters())
        loop.report(accelerator.reduce(loss.detach(), reduction="mean").item())
        if accelerator.is_main_process and (step == 1 or step % config.sample_every == 0):
            write_weights_and_samples()
    if accelerator.is_main_process:
        write_weights_and_samples()
    accelerator.wait_for_everyone()


def run(argv: list[str] | None = None) -> None:
    """The command line: whatever is wrong with the settings or the data is said in one sentence."""
    try:
        (config,) = HfArgumentParser(DecoderConfig).parse_args_into_dataclasses(argv)
        main(config)
    except (ValueError, OSError) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    run()
