"""A small clip and what its file says of itself, for tests of metadata."""

from pathlib import Path

import numpy as np

from fashionflow.video.io import write_clip


SETTINGS = {
    "motion": "spin",
    "turn_angle": None,
    "frames": 24,
    "steps": 4,
    "seed": 3,
    "sampler": "euler",
    "guidance": 1.5,
    "frame_rate": None,
    "interpolation": 2,
    "quality": 20,
    "memory": "lean",
    "model": "fashionflow-mini",
    "model_hash": "0123456789abcdef",
    "version": "0.1.0",
    "date": "2026-11-22T18:43:43+00:00",
}


def clip(path: Path, settings: dict | None) -> Path:
    frames = np.stack([np.full((64, 48, 3), 40 * index, np.uint8) for index in range(4)])
    return write_clip(path, frames, 8, settings=settings)
