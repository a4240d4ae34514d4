"""Turns finished latents into the frames that are shown: decoding and interpolation."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image

from ..pipelines import ClipGuide, FashionFlowPipeline
from .interpolation import interpolate
from .prefetch import prefetch


@dataclass
class ClipDecoder:
    """Decodes one clip to the frames that are shown.

    Args:
        pipe: the pipeline that made the latents.
        latents: the output of the pipeline with `output_type="latent"`, [1, C, F, H, W].
        factor: frames shown for each frame of the denoiser, at least 1; this gives factor * (F - 1) + 1 frames. The frames in between
            are exact with a guide, and interpolated without one.
        photo: the photo of the clip. The first frame is the photo itself if the photo was given to the denoiser.
        guide: the guide of the clip, for a model with geometry.
        chunk_frames: the number of frames decoded at a time; may be changed between two calls of `frames`.
    """

    pipe: FashionFlowPipeline
    latents: torch.Tensor
    factor: int = 1
    photo: Image.Image | None = None
    guide: ClipGuide | None = None
    chunk_frames: int = 4

    def __len__(self) -> int:
        """The number of frames shown."""
        return self.factor * (self.latents.shape[2] - 1) + 1

    def frames(self, start: int = 0) -> Iterator[np.ndarray]:
        """Yields the frames from index `start` on: uint8 RGB, [height, width, 3], each made only when it is requested."""
        frames = self._interpolated(start) if self.guide is None else self._guided(start)
        for index, frame in enumerate(frames, start):
            is_photo = index == 0 and self.photo is not None and self.pipe.config.first_frame_given
            yield np.asarray(self.pipe.fit_photo(self.photo)) if is_photo else frame

    def _guided(self, start: int) -> Iterator[np.ndarray]:
        moments = torch.arange(start, len(self)) / self.factor
        return _as_bytes(self.pipe.decode_guided(self.latents, self.guide, moments, self.chunk_frames))

    def _interpolated(self, start: int) -> Iterator[np.ndarray]:
        first = start // self.factor  # the denoiser's last frame that is needed to continue
        frames = interpolate(decode_frames(self.pipe, self.latents[:, :, first:], self.chunk_frames), self.factor)
        yield from itertools.islice(frames, start - self.factor * first, None)


def decode_frames(pipe: FashionFlowPipeline, latents: torch.Tensor, chunk_frames: int = 4) -> Iterator[np.ndarray]:
    """Decodes latents, [1, C, F, H, W], with the autoencoder to frames: uint8 RGB, [height, width, 3], `chunk_frames` at a time. The next
    frames are decoded while these are interpolated, encoded and sent."""
    return _as_bytes(pipe.decode_latents(latents, chunk_frames))


def _as_bytes(chunks: Iterator[torch.Tensor]) -> Iterator[np.ndarray]:
    """Yields the frames, uint8 [height, width, 3], of chunks, [1, 3, f, height, width] in [0, 1]; one chunk is prefetched."""
    for chunk in prefetch(chunks, most=1):
        yield from (chunk[0].permute(1, 2, 3, 0) * 255).round().to(torch.uint8).cpu().numpy()
