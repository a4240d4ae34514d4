"""The settings of one clip, without the photo: each setting, its default and its allowed values, declared once.

The page, the command line, the API and the reader of finished files all take the choices and ranges from `LIMITS`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

from ..pipelines.motions import LARGEST_TURN, MOTIONS, motion_rows, turns_past_the_side
from ..pipelines.schedulers import SAMPLERS
from ..runtime.memory_modes import AUTOMATIC, MEMORY_CHOICES
from ..video.playing_rate import frames_shown_for_each


if TYPE_CHECKING:
    from argparse import Namespace

    import torch

    from ..runtime.model_folder import ModelDescription


DEFAULT_STEPS = 4
DEFAULT_QUALITY = 18

RANDOM_SEED = -1
"""What people type for a seed of chance, as in other tools. The page, the command line and the API draw one then; no clip has it."""


@dataclass(frozen=True)
class Limit:
    """The numbers that are allowed for a setting.

    Args:
        smallest, largest: both included.
        is_whole: only whole numbers, of type `int`.
        unit: the unit of the number, for the error sentence; empty if the name says it.
    """

    smallest: float
    largest: float
    is_whole: bool = True
    unit: str = ""

    def allows(self, value: object) -> bool:
        kinds = int if self.is_whole else (int, float)
        return isinstance(value, kinds) and not isinstance(value, bool) and self.smallest <= value <= self.largest

    @property
    def range(self) -> str:
        """Both ends, such as "1 to 1000"."""
        return f"{self.smallest} to {self.largest}"

    def __str__(self) -> str:
        if self.is_whole:
            return f"a whole number from {self.smallest} to {self.largest}"
        return f"between {self.smallest:g} and {self.largest:g}{self.unit}"


@dataclass(frozen=True)
class Choice:
    """The names that are allowed for a setting."""

    names: Iterable[str]

    def allows(self, value: object) -> bool:
        return isinstance(value, str) and value in tuple(self.names)

    def __str__(self) -> str:
        return f"one of {', '.join(self.names)}"


LIMITS: dict[str, Limit | Choice] = {
    "motion": Choice(MOTIONS),
    "turn_angle": Limit(-LARGEST_TURN, LARGEST_TURN, is_whole=False, unit=" degrees"),
    "steps": Limit(1, 1000),
    "frames": Limit(2, 280),
    "seed": Limit(0, 2**32 - 1),
    "sampler": Choice(SAMPLERS),
    "guidance": Limit(1, 5, is_whole=False),
    "frame_rate": Limit(1, 60, is_whole=False),
    "interpolation": Limit(1, 8),
    "quality": Limit(1, 51),
    "memory": Choice(MEMORY_CHOICES),
}
"""The allowed values of each setting. `None` is also allowed if it is the setting's default."""


@dataclass(frozen=True)
class ClipSettings:
    """The settings of a clip, without the photo. `LIMITS` holds the allowed values of each setting.

    Args:
        frames: number of frames that the denoiser makes, including the photo.
        steps: denoising steps.
        seed: makes the clip reproducible.
        motion: a name from `fashionflow.pipelines.motions.MOTIONS`; `None` leaves the motion to the model.
        turn_angle: degrees; `None` uses the motion's own angle.
        sampler: a name from `fashionflow.pipelines.schedulers.SAMPLERS`.
        guidance: how strongly the denoiser is pushed towards the requested motion, from 1 (not at all); above 1 every step takes twice
            as long.
        frame_rate: denoised frames shown per second; `None` uses the model's own rate. Other rates play slower or faster.
        interpolation: frames shown for each denoised frame, from 1 (no frames in between); `None` uses a number that looks smooth.
        quality: x264's CRF, from 1 (best, largest).
        memory: a mode from `fashionflow.runtime.memory_modes.MEMORY_CHOICES`; it changes only the memory and the time that a clip takes.
    """

    frames: int
    steps: int
    seed: int
    motion: str | None = None
    turn_angle: float | None = None
    sampler: str = next(iter(SAMPLERS))
    guidance: float = 1.0
    frame_rate: float | None = None
    interpolation: int | None = None
    quality: int = DEFAULT_QUALITY
    memory: str = AUTOMATIC

    def check(self, model: ModelDescription) -> None:
        """Raises a `ValueError` with one sentence if this model cannot use the settings, before anybody waits for the clip."""
        multiple = model.frame_multiple
        fewest, most = max(LIMITS["frames"].smallest, multiple), LIMITS["frames"].largest
        if not Limit(fewest, most).allows(self.frames) or self.frames % multiple:
            kind = "a whole number" if multiple == 1 else f"a multiple of {multiple}"
            raise ValueError(f"`frames` must be {kind} from {fewest} to {most}, got {self.frames!r}.")
        if self.motion is not None and not model.has_motion:
            raise ValueError(f"`motion` must be empty for this model, which takes no motion, got {self.motion!r}.")
        if self.turn_angle is not None and self.motion is None:
            raise ValueError(f"`turn_angle` must be empty where no motion is chosen, got {self.turn_angle!r}.")
        for field in fields(self):
            value = getattr(self, field.name)
            may_be_left_open = field.default is None and value is None
            if not may_be_left_open and not LIMITS[field.name].allows(value):
                raise ValueError(f"`{field.name}` must be {LIMITS[field.name]}, got {value!r}.")
        if self.guidance != 1 and self.motion is None:
            raise ValueError(f"`guidance` must be 1 where no motion is chosen, got {self.guidance!r}.")

    @property
    def turns_past_the_side(self) -> bool:
        """Whether the clip shows the back of the figure."""
        return self.motion is not None and turns_past_the_side(self.motion, self.turn_angle, self.seed)

    def motion_rows(self) -> torch.Tensor | None:
        """The motion as the denoiser takes it, [F, 3]; `None` leaves it to the model."""
        return motion_rows(self.motion, self.frames, self.turn_angle, self.seed) if self.motion else None

    def playing_rate(self, own_rate: float) -> tuple[int, float]:
        """The number of frames shown for each frame of the denoiser, and the frame rate in frames per second.
        `own_rate` is the model's own frame rate."""
        factor = self.interpolation or frames_shown_for_each(own_rate)
        return factor, (self.frame_rate or own_rate) * factor


def settings_of(arguments: Namespace, model: ModelDescription, seed: int) -> ClipSettings:
    """The settings that a command line asks for; `fashionflow.__main__.add_clip_settings` describes its arguments."""
    return ClipSettings(
        frames=model.default_num_frames if arguments.frames is None else arguments.frames,
        steps=arguments.steps,
        seed=seed,
        motion=MOTIONS[0] if arguments.motion is None and model.has_motion else arguments.motion,
        turn_angle=arguments.turn_angle,
        sampler=arguments.sampler,
        guidance=arguments.guidance,
        frame_rate=arguments.frame_rate,
        interpolation=arguments.interpolation,
        quality=arguments.quality,
        memory=arguments.memory,
    )
