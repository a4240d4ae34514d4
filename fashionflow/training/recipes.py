"""The settings of a training run of the denoiser: ours, the paper's, and those of the weights that it starts from.

Later settings override earlier ones: the defaults below, then the recipe, then the structure of `start`, then the settings given
explicitly.
"""

import json
from argparse import Namespace
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from transformers import HfArgumentParser

from .latents import LatentFormat


# The structure of the network and of its task. It must not change when a run is resumed, and it comes from `start` if that is given.
STRUCTURE = (
    "stem_channels",
    "block_channels",
    "attention_levels",
    "time_levels",
    "attention_heads",
    "attention_head_channels",
    "cross_attention_heads",
    "context_channels",
    "image_layers",
    "first_frame_everywhere",
    "motion",
    "prediction",
    "zero_snr",
)
RELEASED_FORMAT = LatentFormat(640, 512, 25.0, False, "stretch", 224, 1 / 255**2)
RECIPES: dict[str, dict] = {
    "ours": {},
    # The training of the released code (arXiv 2310.00106): 2,500 epochs over about 500 videos, two at a time; fp32; nothing else.
    "paper": {
        "vae": "CompVis/stable-diffusion-v1-4",
        "image_encoder": "openai/clip-vit-base-patch32",
        "freeze_image_encoder": True,
        "stem_channels": 64,
        "block_channels": [64, 128, 256, 512],
        "attention_levels": [3],
        "time_levels": [3],
        "cross_attention_heads": [1, 1, 2, 4],
        "attention_heads": 8,
        "attention_head_channels": 64,
        "context_channels": 768,
        "image_layers": 12,
        "first_frame_everywhere": False,
        "motion": False,
        "prediction": "epsilon",
        "loss_weighting": "none",
        "paper_loss": True,
        "num_frames": 70,
        "strides": [1],
        "fixed_windows": True,
        "mirror": False,
        "motion_dropout": 0.0,
        "noise_scale": 1.0,
        "steps": 625_000,
        "batch_size": 2,
        "learning_rate": 1e-4,
        "warmup": 0,
        "decay_fraction": 0.0,
        "max_grad_norm": 0.0,
        "ema_decay": 0.0,
        "mixed_precision": "no",
    },
}


def option(default, text: str = ""):
    """A field of the configuration with its help."""
    kind = {"default_factory": lambda: list(default)} if isinstance(default, list) else {"default": default}
    return field(**kind, metadata={"help": text})


@dataclass
class DenoiserConfig:
    latents: str = option("", "folder written by fashionflow.training.prepare")
    clips: str = option("", "folder of clips or videos instead, which are prepared into OUT/latents first")
    vae: str = option("", "folder of the autoencoder that made the latents; that of `start` by default")
    out: str = option("runs/denoiser", "where the pipeline, checkpoint and samples go")
    start: str = option("", "pipeline folder whose weights and sizes to continue from; from scratch by default")
    geometry: str = option(
        "", "folder of the geometry network whose guides the latents have; that of `start` by default"
    )
    clip_scale: int = option(
        2, "with a geometry: how many times as high and wide as its pictures the pipeline's clips are"
    )
    recipe: Literal["ours", "paper"] = option("ours", "settings to begin with: ours, or exactly the paper's")
    image_encoder: str = option("", "folder of a CLIP to see the photo with; a small one from scratch by default")
    freeze_image_encoder: bool = option(False, "leave the image encoder as it is")

    stem_channels: int = option(96)
    block_channels: list[int] = option([96, 192])
    attention_levels: list[int] = option([1])
    time_levels: list[int] = option([], "levels that also halve the number of frames")
    cross_attention_heads: list[int] = option([2, 4])
    attention_heads: int = option(4)
    attention_head_channels: int = option(48)
    context_channels: int = option(192, "width of the image encoder and of its tokens")
    image_layers: int = option(1, "layers of the small image encoder; three gained nothing")
    first_frame_everywhere: bool = option(True, "give frame 0 to every frame as further input channels")
    motion: bool = option(True, "give the denoiser a motion input")
    conditioning: Literal["both", "local", "global"] = option(
        "both", "local: the photo is frame 0 only; global: it is only in the tokens (the paper's ablation)"
    )

    num_frames: int = option(12, "frames of a training window")
    strides: list[int] = option([1, 2], "frame steps of a window, drawn at random")
    fixed_windows: bool = option(False, "always the window at the start of a clip, as in the paper")
    mirror: bool = option(True, "mirror half of the windows, where mirror images were prepared")
    frame_rate: float = option(0.0, "frames a second of the clips; 0: as the latents say")

    prediction: Literal["sample", "epsilon", "v_prediction"] = option("sample", "what the network answers")
    zero_snr: bool = option(
        False, "rescale the noise schedule so that its last step is noise alone (arXiv 2305.08891)"
    )
    loss_weighting: Literal["ours", "none", "min_snr"] = option(
        "ours", "ours: every noise level counts alike; min_snr: arXiv 2303.09556, gamma 5"
    )
    paper_loss: bool = option(False, "sum over frames, frame 0 with target zero among them, as the paper's code")
    colour_weight: float = option(0.0, "weight of the error of each frame's mean over its cells, against fading")
    noise_offset: float = option(
        0.0, "deviation of noise shared by all cells of a channel, so that overall colour is learnt"
    )
    noise_scale: float = option(0.1, "scale of the starting noise when clips are sampled")
    timestep_power: float = option(
        1.0, "timesteps are 1000 (1 - u^power), u uniform: 1 draws all alike, 2 half of them from 750 up"
    )
    motion_dropout: float = option(
        0.1, "share of windows trained without their motion, for clips that move as they like"
    )
    image_dropout: float = option(0.0, "share of windows trained without the photo's tokens, for guidance")

    steps: int = option(10_000, "optimiser steps")
    first_step: int = option(0, "steps that the weights of `start` have behind them, for the learning rate")
    time_limit: float = option(0.0, "minutes after which the run ends cleanly; 0 for none")
    batch_size: int = option(8, "windows per process per pass")
    accumulation: int = option(1, "passes per optimiser step")
    learning_rate: float = option(5e-4)
    weight_decay: float = option(1e-2)
    warmup: int = option(100, "steps")
    decay_fraction: float = option(0.4, "last share of the steps, over which the rate falls; 1 for a plain cosine")
    max_grad_norm: float = option(1.0, "0 for no clipping")
    ema_decay: float = option(0.999, "0 for none")
    gradient_checkpointing: bool = option(False, "slower, with less memory")
    mixed_precision: str = option("bf16", "no, bf16 or fp16")
    workers: int = option(0, "processes that read windows ahead")
    sample_every: int = option(500, "steps between strips and saved pipelines")
    save_every: int = option(500, "steps between checkpoints")
    tensorboard: bool = option(False, "also log to OUT/tensorboard, with pip install tensorboard")
    seed: int = option(0)

    def __post_init__(self):
        if bool(self.latents) == bool(self.clips):
            raise ValueError(
                "Either `latents`, a folder that fashionflow.training.prepare wrote, or `clips`, a folder of videos, is "
                f"needed, got {self.latents!r} and {self.clips!r}."
            )
        if not self.vae and not self.start:
            raise ValueError("`vae` is needed, the folder of the autoencoder that made the latents, got none.")
        for name in ("num_frames", "steps", "batch_size", "accumulation", "sample_every", "save_every"):
            if getattr(self, name) < (2 if name == "num_frames" else 1):
                raise ValueError(
                    f"`{name}` must be at least {2 if name == 'num_frames' else 1}, got {getattr(self, name)}."
                )
        if not self.strides or min(self.strides) < 1:
            raise ValueError(f"`strides` must be frame steps of at least 1, got {self.strides}.")
        multiple = 2 ** len(self.time_levels)
        if self.num_frames % multiple:
            raise ValueError(
                f"`num_frames` must be a multiple of {multiple} for these time levels, got {self.num_frames}."
            )
        if self.zero_snr and self.prediction == "epsilon":
            raise ValueError(
                "`zero_snr` needs `prediction` sample or v_prediction, because pure noise says nothing about the clip, got epsilon."
            )
        if self.paper_loss and self.prediction != "epsilon":
            raise ValueError(f"`paper_loss` needs `prediction` epsilon, as the paper has it, got {self.prediction}.")
        for name in ("motion_dropout", "image_dropout"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"`{name}` must be between 0 and 1, got {getattr(self, name)}.")

    @property
    def gated_skips(self) -> bool:
        """Whether the network's output is added to a mixture of photo and noisy latents, which needs a clean frame 0."""
        return self.prediction == "sample" and self.conditioning != "global"


def settings_of_start(folder: str) -> dict:
    """The settings that a pipeline folder was made with, as far as its configs contain them.

    Raises:
        ValueError: if it is not one of our pipeline folders.
    """
    names = ("model_index", "unet/config", "image_encoder/config", "scheduler/scheduler_config")
    try:
        pipe, unet, encoder, scheduler = (
            json.loads((Path(folder) / f"{name}.json").read_text(encoding="utf-8")) for name in names
        )
        return {
            **{name: unet[name] for name in STRUCTURE if name in unet},
            "motion": unet["motion_channels"] > 0,
            "image_layers": encoder["num_hidden_layers"],
            "prediction": scheduler["prediction_type"],
            "zero_snr": scheduler.get("rescale_betas_zero_snr", False),
            "conditioning": "both" if pipe.get("first_frame_given", True) else "global",
            "vae": str(Path(folder) / "vae"),
            "num_frames": pipe["default_num_frames"],
            "strides": [1],
            "noise_scale": pipe["noise_scale"],
            "clip_scale": pipe.get("clip_scale", 1),
        }
    except (OSError, json.JSONDecodeError, KeyError) as error:
        raise ValueError(
            f"`start` must be a pipeline folder, such as OUT/pipeline of another run, got {folder!r}."
        ) from error


def make_config(**given) -> DenoiserConfig:
    """The whole configuration, from the settings that were given explicitly.

    Raises:
        ValueError: if a setting is wrong, or differs from that of `start`.
    """
    values = dict(RECIPES[given.get("recipe", "ours")])
    if given.get("start"):
        start = settings_of_start(given["start"])
        for name in STRUCTURE:
            if name in given and given[name] != start[name]:
                raise ValueError(
                    f"`{name}` must be {start[name]!r}, as in the weights to continue from, {given['start']!r}, "
                    f"got {given[name]!r}; leave it out."
                )
        values |= start
    return DenoiserConfig(**values | given)


def parse_config(argv: list[str] | None = None) -> DenoiserConfig:
    """The configuration that a command line requests."""
    parser = HfArgumentParser(DenoiserConfig)
    untouched = object()
    # argparse sets a default only if the namespace has no value, so a value that is still `untouched` was not given.
    given = parser.parse_args(argv, Namespace(**dict.fromkeys(DenoiserConfig.__dataclass_fields__, untouched)))
    return make_config(**{name: value for name, value in vars(given).items() if value is not untouched})
