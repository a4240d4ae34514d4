"""From finished latents to the frames that are shown: decoding, the photo's detail, and a rate that looks smooth."""

from collections.abc import Iterator
from itertools import chain, islice

import numpy as np
import torch
from PIL import Image

from .ahead import ahead
from .detail import carry_detail
from .pipelines import FashionFlowPipeline


SMOOTH_FRAME_RATE = 20.0
"""Frames a second from which a clip is played as the denoiser made it."""

PLAYING_FRAME_RATE = 24.0
"""Frames a second that slower clips are brought near to."""

DETAIL_SECONDS = 1.5
"""How long into a clip the photo's own fine detail lasts, fading."""


def playing_rate(pipe: FashionFlowPipeline) -> tuple[int, float]:
    """How a clip of this model is played: frames shown for each frame that the denoiser makes, and frames a second."""
    frame_rate = pipe.config.frame_rate
    factor = 1 if frame_rate >= SMOOTH_FRAME_RATE else max(1, round(PLAYING_FRAME_RATE / frame_rate))
    return factor, frame_rate * factor


def keyframes(
    pipe: FashionFlowPipeline, latents: torch.Tensor, photo: Image.Image | None = None, chunk_frames: int = 4
) -> Iterator[np.ndarray]:
    """The frames that the denoiser made, as they are shown: uint8 RGB, [height, width, 3], each made only when it is asked for.

    Args:
        pipe: the pipeline that made the latents.
        latents: what it returned with `output_type="latent"`, [1, C, F, H, W].
        photo: what it made them from; gives its fine detail back to the first frames (`fashionflow.detail`).
        chunk_frames: decoded at a time.
    """
    decoded = decode_frames(pipe, latents, photo, chunk_frames)
    # A clip whose first frame was not given begins with a frame that is like the photo, and its own detail would not fit.
    if photo is None or not pipe.config.first_frame_given:
        return decoded
    first = np.asarray(pipe.fit_photo(photo))
    if pipe.is_photo_guided:
        return chain([first], islice(decoded, 1, None))
    return carry_detail(first, decoded, fade=max(1, round(DETAIL_SECONDS * pipe.config.frame_rate)))


def decode_frames(
    pipe: FashionFlowPipeline, latents: torch.Tensor, photo: Image.Image | None = None, chunk_frames: int = 4
) -> Iterator[np.ndarray]:
    """Latents, [1, C, F, H, W], as the autoencoder shows them: uint8 RGB, [height, width, 3], `chunk_frames` decoded at a
    time. The next ones are decoded while these are interpolated, encoded and sent."""
    for chunk in ahead(
        pipe.decode_latents(latents, photo, chunk_frames), most=1
    ):  # [1, 3, f, height, width] in [0, 1]
        yield from (chunk[0].permute(1, 2, 3, 0) * 255).round().to(torch.uint8).cpu().numpy()
