"""Measures how fast this device runs this model, by timing a few passes of the pipeline's real parts.

To make a clip, the pipeline encodes a photo, runs denoising steps, and decodes, interpolates and writes frames. With our models and
sizes, the time of each part is proportional to its number of frames, so seven numbers (`Rates`) describe the time of a model. The
picture size is not one of them: a pipeline makes clips of one size, and its rates are valid for this size.
"""

import math
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from PIL import Image, ImageDraw

from ..pipelines import FashionFlowPipeline
from ..video.decoding import ClipDecoder
from ..video.interpolation import interpolate
from ..video.io import write_clip, write_segment
from ..video.playing_rate import frames_shown_for_each
from ..video.preview import Preview
from .rates import BUDGET_SECONDS, SHIPPED_RATES, Rates


DECODED_FRAMES = 8
FEW_FRAMES, MORE_FRAMES = 4, 12
"""Frames of the two steps that are measured. The numbers differ enough for a slope, and both steps together are faster than one step
of a clip."""


ROUNDS = 2
"""How often the two steps are measured; the faster pass counts, because only another program can make a pass slower."""


def measure(pipe: FashionFlowPipeline, budget: float = BUDGET_SECONDS, guess: Rates = SHIPPED_RATES) -> Rates:
    """Measures the rates of a pipeline on its device with a few passes of its real parts, in at most `budget` seconds.

    A pass of a slow model is stopped between two layers, and the time of the whole pass is extrapolated from the finished layers. A
    rate that was not reached at all is taken from `guess`. The scheduler, all random states and the hooks stay unchanged.
    """
    # Not the whole budget, because the layer that runs at this moment, and the work after it, are still finished.
    until = time.monotonic() + 0.9 * budget
    photo = _figure(pipe.width, pipe.height)
    stopwatch = _Stopwatch(pipe)
    rates = guess
    try:
        with torch.no_grad():
            # Twice, because the first call of any function is slower than all later calls.
            for _ in range(2):
                seconds, encoded = stopwatch(
                    lambda: pipe.encode_image(photo, torch.Generator().manual_seed(0)),
                    ("vae", "image_encoder", "conditioner"),
                    until,
                )
                rates = replace(rates, clip=seconds)
                if encoded is None or time.monotonic() > until - 0.8 * budget:
                    break
            if encoded is None:
                return rates
            context, first_frame = encoded
            rates = _measure_step(pipe, stopwatch, context, first_frame, rates, until - budget / 2)
            return _measure_playback(pipe, stopwatch, photo, first_frame, rates, until)
    finally:
        pipe.maybe_free_model_hooks()


def _measure_step(
    pipe: FashionFlowPipeline,
    stopwatch: "_Stopwatch",
    context: torch.Tensor,
    first_frame: torch.Tensor,
    rates: Rates,
    until: float,
) -> Rates:
    multiple = pipe.unet.frame_multiple
    timestep = torch.tensor(pipe.scheduler.config.num_train_timesteps // 2, device=first_frame.device)

    def one_pass(frames: int, deep_features: torch.Tensor | None = None) -> tuple[float, object]:
        clip = first_frame.expand(-1, -1, frames, -1, -1).to(pipe.unet.dtype)  # [1, C, F, H, W]
        motion = clip.new_zeros(1, frames, pipe.unet.config.motion_channels) if pipe.has_motion else None
        channels = pipe.unet.config.guide_channels
        guide = clip.new_zeros(1, channels, *clip.shape[2:]) if channels else None
        return stopwatch(
            lambda: pipe.unet(clip, timestep, context, motion=motion, deep_features=deep_features, guide=guide),
            ("unet",),
            until,
        )

    fewest, few, more = (multiple * math.ceil(max(2, frames) / multiple) for frames in (2, FEW_FRAMES, MORE_FRAMES))
    with Preview(pipe) as preview:
        # Twice, because the first pass is slower, and another program may have used the device.
        first = [one_pass(fewest), one_pass(fewest)]
        seconds = min(seconds for seconds, _ in first)
        rates = replace(rates, step=0.0, denoised_frame=seconds / fewest)
        if first[-1][1] is None or ROUNDS * (few + more) * seconds / fewest > until - time.monotonic():
            return rates
        rounds = [[one_pass(frames) for frames in (few, more)] for _ in range(ROUNDS)]
        few_seconds, more_seconds = (min(seconds for seconds, _ in passes) for passes in zip(*rounds, strict=True))
        preview_seconds, _ = stopwatch(preview.picture, ("vae",), until)
        shallow_share = 1.0
        full_output = rounds[-1][-1][1]
        if pipe.config.deep_interval > 1 and full_output is not None:
            passes = [one_pass(more, full_output.deep_features) for _ in range(ROUNDS)]
            complete = [seconds for seconds, result in passes if result is not None]
            if complete:  # the time of a stopped pass is extrapolated to layers that a shallow pass does not have
                shallow_share = min(1.0, min(complete) / more_seconds)
    slope = (more_seconds - few_seconds) / (more - few)
    slope = slope if slope > 0 else more_seconds / more
    return replace(
        rates,
        step=max(0.0, few_seconds - few * slope) + preview_seconds,
        denoised_frame=slope,
        shallow_share=shallow_share,
    )


def _measure_playback(
    pipe: FashionFlowPipeline,
    stopwatch: "_Stopwatch",
    photo: Image.Image,
    first_frame: torch.Tensor,
    rates: Rates,
    until: float,
) -> Rates:
    # A blend from the photo to its mirror image, so that every part of the picture changes.
    share = torch.linspace(0, 1, DECODED_FRAMES).to(first_frame)[None, None, :, None, None]
    latents = first_frame * (1 - share) + first_frame.flip(-1) * share  # [1, C, F, H, W]
    frames = []
    begun_at = time.monotonic()
    guide = pipe.guide(photo, None, DECODED_FRAMES)
    if guide is not None:
        rates = replace(rates, clip=rates.clip + time.monotonic() - begun_at)
    seconds, done = stopwatch(
        lambda: frames.extend(ClipDecoder(pipe, latents, photo=photo, guide=guide).frames()) or frames, ("vae",), until
    )
    rates = replace(rates, decoded_frame=seconds / DECODED_FRAMES)
    if done is None or time.monotonic() > until:
        return rates
    shown = []
    factor = frames_shown_for_each(pipe.config.frame_rate)
    fps = pipe.config.frame_rate * factor
    factor = max(2, factor)
    seconds, _ = stopwatch(lambda: shown.extend(interpolate(frames[:4], factor)), (), until)
    # With a guide, the frames in between are made in the same way as the other frames.
    between = rates.decoded_frame if pipe.has_geometry else seconds / (len(shown) - 4)
    rates = replace(rates, frame_between=between)

    def write() -> None:
        with tempfile.TemporaryDirectory() as folder:
            write_clip(Path(folder) / "clip.mp4", shown, fps)
            write_segment(Path(folder) / "piece.mp4", shown, fps)

    seconds, _ = stopwatch(write, (), until)
    return replace(rates, shown_frame=seconds / len(shown))


class _OutOfTime(Exception):
    """Raised between two layers of a model, when the time is over."""


class _Stopwatch:
    """Measures the time of calls of a pipeline's parts, and stops calls that take too long."""

    def __init__(self, pipe: FashionFlowPipeline):
        self._pipe = pipe

    def __call__(self, call: Callable[[], object], parts: tuple[str, ...], until: float) -> tuple[float, object]:
        """Returns the seconds that a call takes, and its result. If the call is stopped at `until`, the seconds are extrapolated and the
        result is `None`."""
        layers = [
            layer for part in parts for layer in getattr(self._pipe, part).modules() if not list(layer.children())
        ]
        begun = 0

        def check(*_) -> None:
            nonlocal begun
            begun += 1
            if time.monotonic() > until:
                raise _OutOfTime

        hooks = [layer.register_forward_pre_hook(check) for layer in layers]
        started = time.perf_counter()
        try:
            result = call()
            self._wait()
            return time.perf_counter() - started, result
        except _OutOfTime:
            return (time.perf_counter() - started) * max(1, len(layers) / begun), None
        finally:
            for hook in hooks:
                hook.remove()

    def _wait(self) -> None:
        """Waits until the device has finished all its work."""
        device = torch.device(self._pipe.execution_device).type
        if device in ("cuda", "mps"):
            getattr(torch, device).synchronize()


def _figure(width: int, height: int) -> Image.Image:
    """A drawing that resembles a dressed figure in front of a studio background."""
    photo = Image.new("RGB", (width, height), (245, 245, 245))
    draw = ImageDraw.Draw(photo)
    draw.ellipse((width * 0.43, height * 0.06, width * 0.57, height * 0.2), fill=(170, 120, 90))
    for stripe in range(20):
        top = height * (0.22 + stripe * 0.03)
        colour = (40 + 8 * stripe, 90, 200 - 6 * stripe)
        draw.rectangle(
            (width * (0.35 - stripe * 0.005), top, width * (0.65 + stripe * 0.005), top + height * 0.03), fill=colour
        )
    return photo
