"""Scores of a single clip that need no downloaded weights, for a quick check and for the tests of the shipped weights."""

import numpy as np
import torch
from PIL import Image

from ..pipelines import FashionFlowPipeline
from .colour import colour_difference, pixel_colour_difference
from .metrics import psnr_of
from .sample import autoencode, sample_frames, truth_for


@torch.no_grad()
def evaluate_clip(
    pipe: FashionFlowPipeline, frames: np.ndarray, label: dict, clip_rate: float, steps: int, sampler: str | None
) -> tuple[dict[str, float], np.ndarray, np.ndarray]:
    """Samples one labelled clip, uint8 [F, height, width, 3] at `clip_rate` frames a second, and scores it.

    Returns:
        The scores; the true frames and the sampled ones at the model's size and rate, uint8 [f, height, width, 3].

    Raises:
        ValueError: if the label does not fit the clip, or the clip is too short for the model.
    """
    truth, motion, _ = truth_for(pipe, frames, label, clip_rate)
    photo = Image.fromarray(truth[0])
    sampled = sample_frames(pipe, photo, motion, steps, sampler, seed=0)
    alone = autoencode(pipe, truth[:1])  # the photo, passed through the autoencoder alone
    still = np.broadcast_to(truth[:1], truth.shape)
    colours = [colour_difference(*pair) for pair in zip(sampled, truth, strict=True)]
    scores = {
        "autoencoder_first_frame_psnr": psnr_of(alone, truth[:1])[0],
        "autoencoder_first_frame_delta_e": pixel_colour_difference(alone[0], truth[0]),
        "psnr": psnr_of(sampled[1:], truth[1:]).mean(),
        "psnr_still_photo": psnr_of(still[1:], truth[1:]).mean(),
        "garment_delta_e": np.median(colours[1:]),
    }
    return {name: float(value) for name, value in scores.items()}, truth, sampled
