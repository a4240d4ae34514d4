"""Trains the decoder on the latents that the denoiser really produces, with a perceptual loss.

    accelerate launch -m fashionflow.training.decoder --pipeline runs/denoiser/pipeline --clips runway/clips --out runs/decoder

The autoencoder learns to decode true latents. Sampled latents are blurred and shifted, and the decoder draws these faults faithfully.
This program samples clips once with their true motion (`OUT/sampled`) and continues to train the decoder alone: from sampled latents it
must draw the true frames. LPIPS is added to the absolute error, so that an uncertain edge becomes a sharp edge at some place instead of a
smear. In a pipeline with geometry, the decoder also receives the guide, the photo's own pixels moved by the predicted shape and the
motion (`fashionflow.models.guide_fusion`), and learns how much to trust the parts that the guide guesses. The encoder does not change, so
latents and denoiser remain valid. The weights are in `OUT/vae`.

Run it again with the same `--out` to continue where it stopped. Clips that were already sampled are not sampled again.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import torch
from accelerate import Accelerator
from accelerate.utils import set_seed
from PIL import Image
from torch import nn

from ..evaluation.lpips import LearnedPerceptualDistance
from ..models import GarmentAutoencoder
from ..models.guide_fusion import GuideFrames, certainty, with_certainty
from ..pipelines import FashionFlowPipeline
from ..runtime.acceleration import DEFAULTS
from ..runtime.loading import load_pipeline
from .autoencoder import check_counts, psnr, reconstruction_loss, to_pixels
from .fit import fit, run_program
from .loop import TrainingLoop, check_settings, save_whole
from .modules import guided, load_autoencoder, same_code
from .pack import evenly
from .pairs import SCORED_FRAMES, PairedClip, PairedCrops, sample_clips
from .windows import StepBatches


FIXED_SETTINGS = ("pipeline", "vae", "sampling_steps", "seed")
LEAST_WEIGHT = 0.1
"""The weight of the decoder's errors at places where the guide is certain; at other places the weight is 1."""


@dataclass
class DecoderConfig:
    pipeline: str = field(metadata={"help": "folder of the pipeline that samples the clips and whose decoder learns"})
    clips: str = field(metadata={"help": "folder of labelled .mp4 clips; those whose name ends in 7 are held out"})
    out: str = field(default="runs/decoder", metadata={"help": "where weights, sampled clips and checkpoints go"})
    vae: str = field(default="", metadata={"help": "autoencoder to continue from; the pipeline's own by default"})
    num_clips: int = field(default=240, metadata={"help": "clips that are sampled to learn from"})
    num_held_out: int = field(default=12, metadata={"help": "clips that are sampled to test on"})
    sampling_steps: int = field(default=4, metadata={"help": "denoising steps of the sampled clips"})
    sampled_fraction: float = field(
        default=0.7, metadata={"help": "share of crops from sampled latents; the rest are true"}
    )
    perceptual_weight: float = field(
        default=1.0, metadata={"help": "weight of LPIPS beside the pixel errors; 0 trains without it and its weights"}
    )
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
            ("num_clips", "num_held_out", "sampling_steps", "crop_lines")
            + ("batch_size", "steps", "sample_every", "save_every"),
        )
        if not 0 <= self.sampled_fraction <= 1:
            raise ValueError(f"`sampled_fraction` must be between 0 and 1, got {self.sampled_fraction}.")
        if not sorted(Path(self.clips).glob("*.mp4")):
            raise ValueError(f"`clips` must be a folder of .mp4 files, got {self.clips!r}.")


class Reconstruction(nn.Module):
    """The decoder with its guide, as one module that a training step calls, so that several processes can share it."""

    def __init__(self, vae: GarmentAutoencoder):
        super().__init__()
        self.vae = vae

    def forward(
        self,
        latents: torch.Tensor,
        guide_pixels: torch.Tensor | None = None,
        guide_known: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """
        Args:
            latents: [B, C, h, w].
            guide_pixels, guide_known: as in `GuideFrames`, [B, 3 and 4, height, width]; `None` for a decoder without a guide.

        Returns:
            the frames that a clip shows, and the decoder's frames before the guide's pixels are laid over them, [B, 3, height, width]
            each.
        """
        if guide_pixels is None:
            drawn = self.vae.decode(latents).sample
            return drawn, drawn
        drawn, belief = self.vae.decode_guided(latents, GuideFrames(guide_pixels, guide_known))
        belief = with_certainty(belief.float(), guide_known)
        return torch.lerp(drawn.float(), guide_pixels, belief), drawn


def decoding_loss(shown: torch.Tensor, drawn: torch.Tensor, crop: dict[str, torch.Tensor]) -> torch.Tensor:
    """Pixel errors of the two outputs of `Reconstruction` for a crop, [B, 3, height, width] each.

    Args:
        crop: as `PairedCrops.draw` returns it.
    """
    loss = reconstruction_loss(shown.float(), crop["pixels"])
    if "guide_known" in crop:
        # The decoder's pixels are not visible where the guide is certain, so their errors there would only weaken the training of the
        # rest. A small weight remains, because at the clip's larger size the certain pixels end at slightly different places.
        kept = (1 - LEAST_WEIGHT) * certainty(crop["guide_known"])
        loss = loss + 0.5 * reconstruction_loss(torch.lerp(drawn.float(), crop["pixels"], kept), crop["pixels"])
    return loss


def score(
    vae: GarmentAutoencoder, clips: list[PairedClip], perceptual_distance: LearnedPerceptualDistance | None
) -> tuple[dict[str, float], Image.Image]:
    """LPIPS and PSNR of the frames from sampled latents, from true latents, and of the guide alone; and a strip of pictures.

    The rows of the strip are, from the top: the guide; frames from sampled latents; frames from true latents; the decoder's frames from
    sampled latents before the guide's pixels are laid over them; the true frames. Without guides there are three rows.
    """
    device, scale = next(vae.parameters()).device, vae.config.scaling_factor
    reconstruction = Reconstruction(vae)
    rows: dict[str, list[torch.Tensor]] = {}
    for clip in clips:
        guide = {name: part.to(device) for name, part in clip.guide(SCORED_FRAMES).items()}
        if guide:
            rows.setdefault("guide", []).append(guide["guide_pixels"])
        sampled, true = (part[SCORED_FRAMES].to(device).float() / scale for part in (clip.sampled, clip.true))
        shown, drawn = reconstruction(sampled, **guide)
        rows.setdefault("sampled", []).append(shown)
        rows.setdefault("true", []).append(reconstruction(true, **guide)[0])
        if guide:
            rows.setdefault("drawn", []).append(drawn)
        rows.setdefault("truth", []).append(to_pixels(clip.frames[SCORED_FRAMES]).to(device))
    pictures = {name: torch.cat(row).clamp(-1, 1) for name, row in rows.items()}
    truth, scores = pictures["truth"], {}
    for name in [name for name in pictures if name not in ("drawn", "truth")]:
        if perceptual_distance:
            parts = zip(pictures[name].split(4), truth.split(4), strict=True)
            distances = torch.cat([perceptual_distance(*part) for part in parts])
            scores[f"held_out_lpips_{name}"] = round(distances.mean().item(), 4)
        scores[f"held_out_psnr_{name}"] = round(psnr(pictures[name], truth), 3)
    chosen = evenly(list(range(len(truth))), min(10, len(truth)))
    strip = torch.cat([row[chosen] for row in pictures.values()], dim=2)  # [n, 3, 5*height, width]
    strip = strip.permute(2, 0, 3, 1).flatten(1, 2)  # [5*height, n*width, 3]
    return scores, Image.fromarray(((strip + 1) * 127.5).round().byte().cpu().numpy())


def load_networks(config: DecoderConfig, device: torch.device) -> tuple[FashionFlowPipeline, GarmentAutoencoder]:
    """Loads the pipeline that samples, and the autoencoder, float32, whose decoder is trained. For a pipeline with geometry, the
    autoencoder takes guides.

    Raises:
        ValueError: if one of them cannot be loaded or has another type, or if their encoders differ.
    """
    # In the training's own number format, so that the latents of the two can be compared.
    pipe = load_pipeline(config.pipeline, str(device), replace(DEFAULTS, number_format="float32"))
    pipe.set_progress_bar_config(disable=True)
    if not isinstance(pipe.vae, GarmentAutoencoder) or not pipe.config.signed_pixels or not pipe.has_motion:
        raise ValueError(
            "`pipeline` must have an autoencoder of ours with pixels in [-1, 1] and a motion input, which "
            f"{config.pipeline!r} does not have."
        )
    vae = load_autoencoder(config.vae or config.pipeline)
    if not isinstance(vae, GarmentAutoencoder) or not same_code(pipe.vae, vae, pipe.code_size):
        raise ValueError(
            f"`vae` must have the code that the pipeline's denoiser was trained on, which {config.vae!r} does not have."
        )
    return pipe, guided(vae) if pipe.has_geometry else vae.float()


def main(config: DecoderConfig) -> None:
    out = Path(config.out)
    check_settings(out, asdict(config), FIXED_SETTINGS)
    set_seed(config.seed)
    accelerator = Accelerator(mixed_precision=config.mixed_precision)
    perceptual_distance = None
    if config.perceptual_weight:
        perceptual_distance = LearnedPerceptualDistance().to(accelerator.device)
    pipe, vae = load_networks(config, accelerator.device)
    has_guides = pipe.has_geometry
    scale = vae.config.scaling_factor
    with accelerator.main_process_first():  # the other processes then read its sampled clips
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
    crops = PairedCrops(training_clips, vae.config.block_size, config.crop_lines, config.seed)

    vae = vae.to(memory_format=torch.channels_last)
    frozen = [vae.linear_encoder, vae.encoder]
    if not has_guides and vae.guide_fusion is not None:
        frozen.append(vae.guide_fusion)  # unused parameters would block several processes
    for part in frozen:
        part.requires_grad_(False)

    def batches_from(first_step: int) -> Iterator[dict[str, torch.Tensor]]:
        processes = accelerator.process_index, accelerator.num_processes
        for numbers in StepBatches(config.batch_size, 1, *processes, first_step):
            yield crops.draw(numbers, config.sampled_fraction)

    def loss_of(model: nn.Module, crop: dict[str, torch.Tensor]) -> torch.Tensor:
        crop = {name: value.to(accelerator.device) for name, value in crop.items()}
        guide = {name: value for name, value in crop.items() if name.startswith("guide")}
        with accelerator.autocast():
            shown, drawn = model(crop["latents"] / scale, **guide)
        loss = decoding_loss(shown, drawn, crop)
        if perceptual_distance:
            # In single precision, because squares of its features are too large for half.
            loss = loss + config.perceptual_weight * perceptual_distance(shown.float(), crop["pixels"]).mean()
        return loss

    @torch.no_grad()
    def evaluate(loop: TrainingLoop) -> None:
        scores, strip = score(vae, held_out, perceptual_distance)
        loop.log(**scores)
        save_whole(vae, out / "vae")
        strip.save(out / "samples.png")

    fit(config, accelerator, vae, batches_from, loss_of, evaluate, model=Reconstruction(vae))


def run(argv: list[str] | None = None) -> None:
    run_program(main, DecoderConfig, argv)


if __name__ == "__main__":
    run()
