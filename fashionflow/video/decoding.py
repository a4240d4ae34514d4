"""From finished latents to the frames that are shown: decoding, and a rate that looks smooth."""

from collections.abc import Iterator

import numpy as np
import torch
from PIL import Image

from ..pipelines import ClipGuide, FashionFlowPipeline
from .interpolation import interpolate
from .prefetch import ahead


SMOOTH_FRAME_RATE = 20.0
"""Frames a second from which a clip is played as the denoiser made it."""

PLAYING_FRAME_RATE = 24.0
"""Frames a second that slower clips are brought near to."""


def playing_rate(pipe: FashionFlowPipeline) -> tuple[int, float]:
    """How a clip of this model is played: frames shown for each frame that the denoiser makes, and frames a second."""
    frame_rate = pipe.config.frame_rate
    factor = 1 if frame_rate >= SMOOTH_FRAME_RATE else max(1, round(PLAYING_FRAME_RATE / frame_rate))
    return factor, frame_rate * factor


def playing_frames(
    pipe: FashionFlowPipeline,
    latents: torch.Tensor,
    factor: int = 1,
    photo: Image.Image | None = None,
    guide: ClipGuide | None = None,
    start: int = 0,
    chunk_frames: int = 4,
) -> Iterator[np.ndarray]:
    """A clip's frames as they are shown: uint8 RGB, [height, width, 3], each made only when it is asked for.

    Args:
        pipe: the pipeline that made the latents.
        latents: what it returned with `output_type="latent"`, [1, C, F, H, W].
        factor: frames shown for each of the denoiser's, at least 1: factor * (F - 1) + 1 frames. Between the denoiser's frames a guide
            is exact; without one they are interpolated.
        photo: what the clip was made from; its first frame is the photo itself, where it was given to the denoiser.
        guide: of the clip, for a model with geometry.
        start: frames at the beginning that are left out.
        chunk_frames: decoded at a time.
    """
    if guide is not None:
        frames = _guided_frames(pipe, latents, factor, guide, start, chunk_frames)
    else:
        first = start // factor  # the last of the denoiser's frames that is needed to go on
        frames = interpolate(decode_frames(pipe, latents[:, :, first:], chunk_frames), factor)
        for _ in range(start - factor * first):
            next(frames)
    for index, frame in enumerate(frames, start):
        own = index == 0 and photo is not None and pipe.config.first_frame_given
        yield np.asarray(pipe.fit_photo(photo)) if own else frame


def _guided_frames(
    pipe: FashionFlowPipeline,
    latents: torch.Tensor,
    factor: int,
    guide: ClipGuide,
    start: int,
    chunk_frames: int,
) -> Iterator[np.ndarray]:
    moments = torch.arange(start, factor * (latents.shape[2] - 1) + 1) / factor
    yield from _as_bytes(pipe.decode_guided(latents, guide, moments, chunk_frames))


def decode_frames(pipe: FashionFlowPipeline, latents: torch.Tensor, chunk_frames: int = 4) -> Iterator[np.ndarray]:
    """Latents, [1, C, F, H, W], as the autoencoder shows them: uint8 RGB, [height, width, 3], `chunk_frames` decoded at a
    time. The next ones are decoded while these are interpolated, encoded and sent."""
    return _as_bytes(pipe.decode_latents(latents, chunk_frames))


def _as_bytes(chunks: Iterator[torch.Tensor]) -> Iterator[np.ndarray]:
    """Frames, uint8 [height, width, 3], of chunks, [1, 3, f, height, width] in [0, 1], made one chunk ahead."""
    for chunk in ahead(chunks, most=1):
        yield from (chunk[0].permute(1, 2, 3, 0) * 255).round().to(torch.uint8).cpu().numpy()
