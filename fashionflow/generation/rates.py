"""How fast a device runs a model, in seven numbers; `profiler` measures them, and time estimates follow from them."""

from dataclasses import dataclass


BUDGET_SECONDS = 5.0
"""The maximum time of a measurement, in seconds, for every model."""


@dataclass(frozen=True)
class Rates:
    """Seconds on one device with one model.

    Args:
        clip: per clip: encoding the photo and, with a model that has geometry, separating it into layers.
        step: per denoising step, for any number of frames: its preview, and the overhead of starting the denoiser.
        denoised_frame: per frame in one pass of the denoiser.
        decoded_frame: per frame of the denoiser: decoding it to pixels.
        frame_between: per interpolated frame.
        shown_frame: per written frame.
        shallow_share: not seconds, but the time of a pass that reuses the last output of the coarser levels, as a share of a full pass
            (`deep_interval` of the pipeline's config).
    """

    clip: float
    step: float
    denoised_frame: float
    decoded_frame: float
    frame_between: float
    shown_frame: float
    shallow_share: float = 1.0


SHIPPED_RATES = Rates(1.4, 0.17, 0.009, 0.106, 0.106, 0.014)
"""The shipped model on two cores of an Intel Xeon at 2.5 GHz: the basis of time estimates until something has been measured."""
