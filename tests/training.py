"""What the tests of the training programs share: a few clips, and an autoencoder and latents made from them once."""

import atexit
import json
import shutil
import tempfile
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image

from fashionflow.training import autoencoder, prepare, recipes
from fashionflow.video.io import read_frames, write_clip

from . import tiny


CLIPS = Path(__file__).parent / "data" / "clips"
HEIGHT, WIDTH = 192, 128
SIZE = ["--size", str(HEIGHT), str(WIDTH)]


def folder() -> Path:
    """A new folder that is gone when the tests end."""
    path = tempfile.mkdtemp()
    atexit.register(shutil.rmtree, path, ignore_errors=True)
    return Path(path)


@cache
def clips() -> Path:
    """Two small clips to train on, one held out, and a file that is no video."""
    out = folder()
    labels = []
    for name, source in zip(("000001", "000002", "000007"), sorted(CLIPS.glob("*.mp4")), strict=True):
        small = [np.asarray(Image.fromarray(frame).resize((WIDTH, HEIGHT))) for frame in read_frames(source)]
        write_clip(out / f"{name}.mp4", small, 8, quality=10)
        labels.append({"name": name, "motion": "walk", "yaw": [float(angle) for angle in range(24)]})
    (out / "000003.mp4").write_bytes(b"not a video")
    (out / "labels.jsonl").write_text("\n".join(map(json.dumps, labels)))
    return out


def autoencoder_config(out: Path, **overrides) -> autoencoder.AutoencoderConfig:
    config = {
        "clips": str(clips()),
        "out": str(out),
        "latent_channels": 16,
        "block_channels": [8, 8, 8],
        "batch_size": 2,
        "crop": 64,
        "frame_stride": 12,
        "sample_every": 5,
        "mixed_precision": "no",
    }
    return autoencoder.AutoencoderConfig(**config | overrides)


@cache
def trained_autoencoder() -> Path:
    out = folder()
    autoencoder.main(autoencoder_config(out, steps=5))
    autoencoder.main(autoencoder_config(out, steps=8))  # goes on where the first stopped
    return out


@cache
def latents() -> Path:
    out = folder()
    prepare.main([str(clips()), str(out), "--vae", str(trained_autoencoder() / "vae"), *SIZE])
    return out


@cache
def geometry() -> Path:
    out = folder()
    tiny.geometry().save_pretrained(out)
    return out


@cache
def guided_latents() -> Path:
    """The same clips' latents with guides."""
    out = folder()
    vae = str(trained_autoencoder() / "vae")
    prepare.main([str(clips()), str(out), "--vae", vae, "--geometry", str(geometry()), *SIZE])
    return out


def read_log(out: Path) -> list[dict]:
    return [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]


def tiny_settings(out: Path, **overrides) -> dict:
    """Settings of a denoiser that trains in a moment."""
    return {
        "latents": str(latents()),
        "vae": str(trained_autoencoder() / "vae"),
        "out": str(out),
        "stem_channels": 16,
        "block_channels": [16],
        "attention_levels": [0],
        "attention_heads": 2,
        "attention_head_channels": 8,
        "cross_attention_heads": [1],
        "context_channels": 16,
        "num_frames": 4,
        "batch_size": 2,
        "warmup": 1,
        "learning_rate": 2e-3,
        "mixed_precision": "no",
    } | overrides


def tiny_denoiser_config(out: Path, **overrides) -> recipes.DenoiserConfig:
    return recipes.make_config(**tiny_settings(out, **overrides))
