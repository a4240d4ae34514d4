"""The frame rate at which a model's clips are played, so that they look smooth."""

from __future__ import annotations

from typing import TYPE_CHECKING


if TYPE_CHECKING:
    from ..pipelines import FashionFlowPipeline


SMOOTH_FRAME_RATE = 20.0
"""The frame rate, in frames per second, from which a clip is played as the denoiser made it."""

PLAYING_FRAME_RATE = 24.0
"""The frame rate, in frames per second, that slower clips are brought close to."""


def playing_rate(pipe: FashionFlowPipeline) -> tuple[int, float]:
    """How a clip of this model is played: frames shown for each frame of the denoiser, and the frame rate in frames per second."""
    frame_rate = pipe.config.frame_rate
    factor = 1 if frame_rate >= SMOOTH_FRAME_RATE else max(1, round(PLAYING_FRAME_RATE / frame_rate))
    return factor, frame_rate * factor
