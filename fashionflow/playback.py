"""From finished latents to the frames that are shown: decoding, and interpolation to a rate that looks smooth."""

from collections.abc import Iterator

import numpy as np
import torch

from .interpolation import interpolate
from .pipelines import FashionFlowPipeline


SMOOTH_FRAME_RATE = 20.0
"""Frames a second from which a clip is played as the denoiser made it."""

PLAYING_FRAME_RATE = 24.0
"""Frames a second that slower clips are brought near to."""


def playing_rate(pipe: FashionFlowPipeline) -> tuple[int, float]:
    """How a clip of this model is played: frames shown for each frame that the denoiser makes, and frames a second."""
    frame_rate = pipe.config.frame_rate
    factor = 1 if frame_rate >= SMOOTH_FRAME_RATE else max(1, round(PLAYING_FRAME_RATE / frame_rate))
    return factor, frame_rate * factor


def playing_frames(pipe: FashionFlowPipeline, latents: torch.Tensor) -> Iterator[np.ndarray]:
    """The frames of a clip at the playing rate, uint8 RGB, [height, width, 3], each made only when it is asked for.

    Args:
        pipe: the pipeline that made the latents.
        latents: what it returned with `output_type="latent"`, [1, C, F, H, W].
    """
    return interpolate(_keyframes(pipe, latents), playing_rate(pipe)[0])


def _keyframes(pipe: FashionFlowPipeline, latents: torch.Tensor) -> Iterator[np.ndarray]:
    for chunk in pipe.decode_latents(latents):  # [1, 3, f, height, width] in [0, 1]
        yield from (chunk[0].permute(1, 2, 3, 0) * 255).round().to(torch.uint8).cpu().numpy()
