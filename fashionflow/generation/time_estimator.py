"""How long a clip will take on this very device: measured once, learnt from every clip, and checked against what came true."""

import math
import threading
from collections import deque
from collections.abc import Iterable, Sequence
from statistics import median
from typing import Protocol

from ..pipelines import FashionFlowPipeline
from ..video.decoding import playing_rate
from .profiler import BUDGET_SECONDS, SHIPPED_RATES, Rates, measure


REMEMBERED_CLIPS = 16
FORGETTING = 0.8
"""What a clip's say is multiplied by with every later one."""
REMEMBERED_PROMISES = 50

DURATION_FACTOR, DURATION_SECONDS = 1.5, 5.0
"""The margin of `TimeEstimator.duration`: half as long again, and five seconds for a device that has just been handed over."""
UNKNOWN_DURATION = 60
"""What ZeroGPU itself takes where nothing was asked for."""


class Request(Protocol):
    """What decides how long a clip takes; an `AnimationRequest` has all of it."""

    steps: int
    frames: int
    guidance: float
    interpolation: int | None


class TimeEstimator:
    """Says how long clips take. Any thread may ask or tell it.

    Args:
        rates: what is known of the device; `measure` or the first clips say otherwise.
        playing_factor: frames shown for each one denoised, where a request does not say.
        deep_interval: steps from one in which the whole denoiser runs to the next.
    """

    def __init__(self, rates: Rates = SHIPPED_RATES, playing_factor: int = 3, deep_interval: int = 1):
        self._rates, self._factor, self._deep_interval = rates, playing_factor, deep_interval
        self._lock = threading.Lock()
        self._measured = False
        # The logarithms of actual over expected time of the clips so far, latest last.
        self._denoised: deque[float] = deque(maxlen=REMEMBERED_CLIPS)
        self._decoded: deque[float] = deque(maxlen=REMEMBERED_CLIPS)
        self._kept: deque[tuple[float, float]] = deque(maxlen=REMEMBERED_PROMISES)

    @property
    def is_known(self) -> bool:
        """Whether this device was measured or has made a clip; otherwise all is guessed."""
        return self._measured or bool(self._denoised)

    def seconds(self, request: Request) -> float:
        """From start to finished file."""
        return self.denoising(request) + self.decoding(request)

    def denoising(self, request: Request) -> float:
        """Seconds until the last step is done, the photo's encoding included."""
        with self._lock:
            return self._expected_denoising(request) * self._correction(self._denoised)

    def decoding(self, request: Request) -> float:
        """Seconds from the last step to the finished file."""
        with self._lock:
            return self._expected_decoding(request) * self._correction(self._decoded)

    def waiting(self, ahead: Iterable[float]) -> float:
        """Seconds until the device is free, from what each job before has left; one that is overdue has nothing left."""
        return sum((max(0.0, seconds) for seconds in ahead), 0.0)

    def duration(self, *args, **kwargs) -> int:
        """Whole seconds to ask of ZeroGPU, with the margin that is stated above, for `spaces.GPU(duration=time_estimator.duration)`.

        Takes the arguments of the decorated function and looks among them for a request, or a list of requests.
        """
        requests = [
            request
            for argument in (*args, *kwargs.values())
            for request in (argument if isinstance(argument, Sequence) else [argument])
            if hasattr(request, "steps") and hasattr(request, "frames")
        ]
        if not requests or not self.is_known:
            return UNKNOWN_DURATION
        return math.ceil(DURATION_FACTOR * sum(map(self.seconds, requests)) + DURATION_SECONDS)

    def learn(self, request: Request, denoise_seconds: float, decode_seconds: float) -> None:
        """Takes a finished clip's times into account, as `denoising` and `decoding` define them.

        What counts is the weighted median of the clips so far, so one slow clip among others changes nothing.
        """
        with self._lock:
            for actual, expected, known in (
                (denoise_seconds, self._expected_denoising(request), self._denoised),
                (decode_seconds, self._expected_decoding(request), self._decoded),
            ):
                if actual > 0:
                    known.append(math.log(actual / expected))

    def record(self, promised: float, actual: float) -> None:
        """Remembers what was promised and what came true, seconds."""
        with self._lock:
            self._kept.append((promised, actual))

    def accuracy(self) -> float | None:
        """The median of |promised - actual| / actual over the promises remembered; `None` without any."""
        with self._lock:
            errors = [abs(promised - actual) / actual for promised, actual in self._kept if actual > 0]
        return median(errors) if errors else None

    def measure(self, pipe: FashionFlowPipeline, budget: float = BUDGET_SECONDS) -> Rates:
        """Measures the pipeline and believes it. Nobody else may run the pipeline meanwhile; it is left as it was.

        Args:
            pipe: a loaded pipeline, on its device.
            budget: seconds after which measuring ends, with what can be concluded from what was done by then.
        """
        rates = measure(pipe, budget, self._rates)
        with self._lock:
            self._rates, self._factor, self._measured = rates, playing_rate(pipe)[0], True
            self._deep_interval = pipe.config.deep_interval
            self._denoised.clear()
            self._decoded.clear()
        return rates

    def _expected_denoising(self, request: Request) -> float:
        passes = 2 if getattr(request, "guidance", 1) > 1 else 1
        rates = self._rates
        deep = math.ceil(request.steps / self._deep_interval)
        whole_steps = deep + (request.steps - deep) * rates.shallow_share
        return rates.clip + request.steps * rates.step + whole_steps * passes * request.frames * rates.denoised_frame

    def _expected_decoding(self, request: Request) -> float:
        rates = self._rates
        pairs = request.frames - 1
        factor = getattr(request, "interpolation", None) or self._factor
        shown = factor * pairs + 1
        return (
            request.frames * rates.decoded_frame
            + (factor - 1) * pairs * rates.frame_between
            + shown * rates.shown_frame
        )

    def _correction(self, logarithms: Sequence[float]) -> float:
        weighted = [(value, FORGETTING**age) for age, value in enumerate(reversed(logarithms))]
        if self._measured or not weighted:
            weighted.append((0.0, 1.0))  # what was measured counts as much as the latest clip
        return math.exp(_weighted_median(weighted))


def _weighted_median(weighted: Sequence[tuple[float, float]]) -> float:
    """The value with half of the weight on either side; the mean of two values where both are."""
    weighted = sorted(weighted)
    half, below = sum(weight for _, weight in weighted) / 2, 0.0
    for index, (value, weight) in enumerate(weighted):
        below += weight
        if math.isclose(below, half):
            return (value + weighted[index + 1][0]) / 2
        if below > half:
            return value
    raise AssertionError("unreachable")
