"""The frame rate at which a model's clips are played, so that they look smooth."""

SMOOTH_FRAME_RATE = 20.0
"""The frame rate, in frames per second, from which a clip is played as the denoiser made it."""

PLAYING_FRAME_RATE = 24.0
"""The frame rate, in frames per second, that slower clips are brought close to."""


def frames_shown_for_each(frame_rate: float) -> int:
    """The number of frames shown for each frame of a denoiser that makes `frame_rate` frames per second."""
    return 1 if frame_rate >= SMOOTH_FRAME_RATE else max(1, round(PLAYING_FRAME_RATE / frame_rate))
