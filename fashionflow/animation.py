"""What can be asked of a studio, and what it tells while it works."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import torch
from PIL import Image

from . import __version__
from .motion import LARGEST_TURN, MOTIONS
from .pipelines import FashionFlowPipeline
from .schedulers import SAMPLERS


MOST_FRAMES = 280
MOST_STEPS = 1000
DEFAULT_STEPS = 4
LARGEST_SEED = 2**32 - 1


@dataclass(frozen=True)
class AnimationRequest:
    """What one visitor wants.

    Args:
        photo: the garment photo, upright, mode "RGB"; best as `fit_photo` returns it, because requests in line are kept.
        frames: frames that the denoiser makes, the photo included.
        steps: denoising steps.
        seed: makes the clip reproducible.
        motion: a name from `fashionflow.motion.MOTIONS`; `None` leaves the motion to the model.
        turn_angle: degrees, in [-360, 360]; `None` takes the motion's own.
        sampler: a name from `fashionflow.schedulers.SAMPLERS`.
    """

    photo: Image.Image
    frames: int
    steps: int
    seed: int
    motion: str | None = None
    turn_angle: float | None = None
    sampler: str = next(iter(SAMPLERS))

    def check(self, pipe: FashionFlowPipeline) -> None:
        """Raises a `ValueError` of one sentence for what this pipeline cannot do, before anybody waits for it."""
        multiple = pipe.unet.frame_multiple
        fewest = max(2, multiple)
        if not _is_whole(self.frames, fewest, MOST_FRAMES) or self.frames % multiple:
            kind = "a whole number" if multiple == 1 else f"a multiple of {multiple}"
            raise ValueError(f"`frames` must be {kind} from {fewest} to {MOST_FRAMES}, got {self.frames!r}.")
        if not _is_whole(self.steps, 1, MOST_STEPS):
            raise ValueError(f"`steps` must be a whole number from 1 to {MOST_STEPS}, got {self.steps!r}.")
        if not _is_whole(self.seed, 0, LARGEST_SEED):
            raise ValueError(f"`seed` must be a whole number from 0 to {LARGEST_SEED}, got {self.seed!r}.")
        if self.motion is not None and not pipe.has_motion:
            raise ValueError(f"`motion` must be empty for this model, which moves as it likes, got {self.motion!r}.")
        if self.motion is not None and self.motion not in MOTIONS:
            raise ValueError(f"`motion` must be one of {', '.join(MOTIONS)}, got {self.motion!r}.")
        if self.turn_angle is not None:
            if self.motion is None:
                raise ValueError(f"`turn_angle` must be empty where no motion is chosen, got {self.turn_angle!r}.")
            number = isinstance(self.turn_angle, (int, float)) and not isinstance(self.turn_angle, bool)
            if not number or not -LARGEST_TURN <= self.turn_angle <= LARGEST_TURN:
                raise ValueError(f"`turn_angle` must be between -360 and 360 degrees, got {self.turn_angle!r}.")
        if self.sampler not in tuple(SAMPLERS):
            raise ValueError(f"`sampler` must be one of {', '.join(SAMPLERS)}, got {self.sampler!r}.")

    def denoise(self, pipe: FashionFlowPipeline, on_step_end: Callable[..., dict] | None = None) -> torch.Tensor:
        """The clip's latents, [1, C, F, H, W].

        Args:
            pipe: the pipeline that `check` was asked about.
            on_step_end: called after every step, as diffusers calls its `callback_on_step_end`.
        """
        return pipe(
            self.photo,
            num_frames=self.frames,
            num_inference_steps=self.steps,
            motion=self.motion,
            turn_angle=self.turn_angle,
            sampler=self.sampler,
            # On the processor, whatever the device, so that a seed means the same clip everywhere.
            generator=torch.Generator().manual_seed(self.seed),
            output_type="latent",
            callback_on_step_end=on_step_end,
        ).frames

    def settings(self, pipe: FashionFlowPipeline) -> dict[str, str | int | float | None]:
        """What goes into the finished file, so that the clip can be made again. Nothing in it tells whose photo it was."""
        names = ("motion", "turn_angle", "frames", "steps", "seed", "sampler")
        return {name: getattr(self, name) for name in names} | {
            "model": pipe.model_name,
            "version": __version__,
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
        }


@dataclass(frozen=True)
class Waiting:
    """`ahead` jobs have the device first; 0 says that this one begins."""

    ahead: int


@dataclass(frozen=True)
class Step:
    """Step `index` of `total` is done. `elapsed` and `remaining` are seconds; `preview` is the clip as it looks now."""

    index: int
    total: int
    elapsed: float
    remaining: float
    preview: Image.Image


@dataclass(frozen=True)
class Segment:
    """Piece `index` of the finished clip is at `path`, `elapsed` seconds after the start; it can be played by itself."""

    path: Path
    index: int
    elapsed: float


@dataclass(frozen=True)
class Finished:
    """The clip is at `path`: `frames` frames at `fps`, made in `seconds` from `seed`."""

    path: Path
    seed: int
    seconds: float
    fps: float
    frames: int


Event = Waiting | Step | Segment | Finished


def _is_whole(number: object, smallest: int, largest: int) -> bool:
    return isinstance(number, int) and not isinstance(number, bool) and smallest <= number <= largest
