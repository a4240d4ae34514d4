"""Estimates the time of a clip on this device: measured once, corrected by every clip, and compared with the actual times."""

from __future__ import annotations

import heapq
import math
import threading
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass
from statistics import fmean, median
from typing import TYPE_CHECKING

from ..video.playing_rate import frames_shown_for_each
from .rates import BUDGET_SECONDS, SHIPPED_RATES, Rates
from .request import ClipRequest
from .settings import ClipSettings


if TYPE_CHECKING:
    from ..pipelines import FashionFlowPipeline


REMEMBERED_CLIPS = 16
FORGETTING = 0.8
"""The factor by which the weight of a clip is multiplied with every later clip."""
REMEMBERED_ESTIMATES = 50

DURATION_FACTOR, DURATION_SECONDS = 1.5, 5.0
"""The margin of `TimeEstimator.duration`: a factor of 1.5, and five seconds for a device that has just been assigned."""
UNKNOWN_DURATION = 60
"""The seconds that ZeroGPU itself uses if no duration is requested."""


@dataclass(frozen=True)
class ClipTimes:
    """The seconds of one clip, expected or measured: `denoising` lasts until the last step is done, with the encoding of the photo;
    `decoding` from then to the finished file."""

    denoising: float
    decoding: float


class TimeEstimator:
    """Estimates how long clips take. Any thread may call its methods.

    Args:
        rates: the initial rates of the device; `measure` or the first clips correct them.
        playing_factor: frames shown for each denoised frame, if a request does not set it.
        deep_interval: the number of steps from one run of the whole denoiser to the next.
    """

    def __init__(self, rates: Rates = SHIPPED_RATES, playing_factor: int = 3, deep_interval: int = 1):
        self._rates, self._factor, self._deep_interval = rates, playing_factor, deep_interval
        self._lock = threading.Lock()
        self._measured = False
        # For the clips so far, latest last: the logarithm of the actual time divided by the expected time.
        self._denoised: deque[float] = deque(maxlen=REMEMBERED_CLIPS)
        self._decoded: deque[float] = deque(maxlen=REMEMBERED_CLIPS)
        self._kept: deque[tuple[float, float]] = deque(maxlen=REMEMBERED_ESTIMATES)

    @property
    def is_known(self) -> bool:
        """Whether this device was measured or has made a clip; otherwise all estimates are guesses."""
        return self._measured or bool(self._denoised)

    def seconds(self, settings: ClipSettings) -> float:
        """Seconds from the start to the finished file."""
        return self.denoising(settings) + self.decoding(settings)

    def denoising(self, settings: ClipSettings) -> float:
        """Seconds until the last step is done, including the encoding of the photo."""
        with self._lock:
            return self._expected_denoising(settings) * self._correction(self._denoised)

    def decoding(self, settings: ClipSettings) -> float:
        """Seconds from the last step to the finished file."""
        with self._lock:
            return self._expected_decoding(settings) * self._correction(self._decoded)

    def expected(self, settings: ClipSettings) -> ClipTimes:
        """Both times of a clip."""
        return ClipTimes(self.denoising(settings), self.decoding(settings))

    def waiting(self, ahead: Iterable[float], devices: int = 1) -> float:
        """Seconds until one of the devices is free for the next clip, from the remaining seconds of each clip before, in the order in which
        they begin; an overdue clip counts as 0."""
        free = [0.0] * devices  # a heap: when each device is free
        for seconds in ahead:
            heapq.heapreplace(free, free[0] + max(0.0, seconds))
        return free[0]

    def duration(self, *args, **kwargs) -> int:
        """Whole seconds to request from ZeroGPU, with the margin stated above.

        Takes the arguments of any function and looks among them for a request, or a list of requests.
        """
        settings = [
            item.settings
            for argument in (*args, *kwargs.values())
            for item in (argument if isinstance(argument, Sequence) else [argument])
            if isinstance(item, ClipRequest)
        ]
        if not settings or not self.is_known:
            return UNKNOWN_DURATION
        return math.ceil(DURATION_FACTOR * sum(map(self.seconds, settings)) + DURATION_SECONDS)

    def learn(self, settings: ClipSettings, denoise_seconds: float, decode_seconds: float) -> None:
        """Corrects the estimates by the times of a finished clip, as `denoising` and `decoding` define them.

        The correction is the weighted median of the clips so far, so one slow clip among others changes nothing.
        """
        with self._lock:
            for actual, expected, known in (
                (denoise_seconds, self._expected_denoising(settings), self._denoised),
                (decode_seconds, self._expected_decoding(settings), self._decoded),
            ):
                if actual > 0:
                    known.append(math.log(actual / expected))

    def record(self, estimated: float, actual: float) -> None:
        """Stores the time estimate of a clip and its actual time, both in seconds."""
        with self._lock:
            self._kept.append((estimated, actual))

    def accuracy(self) -> float | None:
        """The median of |estimated - actual| / actual over the stored time estimates; `None` if there are none."""
        with self._lock:
            errors = [abs(estimated - actual) / actual for estimated, actual in self._kept if actual > 0]
        return median(errors) if errors else None

    def measure(self, pipe: FashionFlowPipeline, budget: float = BUDGET_SECONDS) -> Rates:
        """Measures the pipeline and uses the result for all estimates. Nobody else may run the pipeline meanwhile; it stays unchanged.

        Args:
            pipe: a loaded pipeline, on its device.
            budget: seconds after which measuring ends; the rates are then extrapolated from the finished part.
        """
        from .profiler import measure  # with PyTorch

        rates = measure(pipe, budget, self._rates)
        self.take([rates], pipe.config.frame_rate, pipe.config.deep_interval)
        return rates

    def take(self, rates: Sequence[Rates], frame_rate: float, deep_interval: int) -> None:
        """Uses what was measured on one device or several: the mean of their `rates`. The other two are from the pipeline's config."""
        with self._lock:
            self._rates = Rates(*map(fmean, zip(*map(astuple, rates), strict=True)))
            self._factor, self._measured = frames_shown_for_each(frame_rate), True
            self._deep_interval = deep_interval
            self._denoised.clear()
            self._decoded.clear()

    def _expected_denoising(self, settings: ClipSettings) -> float:
        passes = 2 if settings.guidance > 1 else 1
        rates = self._rates
        deep = math.ceil(settings.steps / self._deep_interval)
        whole_steps = deep + (settings.steps - deep) * rates.shallow_share
        return rates.clip + settings.steps * rates.step + whole_steps * passes * settings.frames * rates.denoised_frame

    def _expected_decoding(self, settings: ClipSettings) -> float:
        rates = self._rates
        pairs = settings.frames - 1
        factor = settings.interpolation or self._factor
        shown = factor * pairs + 1
        return (
            settings.frames * rates.decoded_frame
            + (factor - 1) * pairs * rates.frame_between
            + shown * rates.shown_frame
        )

    def _correction(self, logarithms: Sequence[float]) -> float:
        weighted = [(value, FORGETTING**age) for age, value in enumerate(reversed(logarithms))]
        if self._measured or not weighted:
            weighted.append((0.0, 1.0))  # the measurement counts as much as the latest clip
        return math.exp(_weighted_median(weighted))


def _weighted_median(weighted: Sequence[tuple[float, float]]) -> float:
    """The value with half of the total weight on either side; the mean of two values if both have it."""
    weighted = sorted(weighted)
    half, below = sum(weight for _, weight in weighted) / 2, 0.0
    for index, (value, weight) in enumerate(weighted):
        below += weight
        if math.isclose(below, half):
            return (value + weighted[index + 1][0]) / 2
        if below > half:
            return value
    raise AssertionError("unreachable")
