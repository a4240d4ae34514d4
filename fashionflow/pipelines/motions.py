"""What the body should do: presets and angle curves, as one row of numbers a frame.

A row is (sine of the turn since frame 0, cosine of it, distance walked since frame 0 in metres). A row of zeros, which no angle
gives, leaves the motion to the model. Positive angles turn the face towards the right of the picture.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np


if TYPE_CHECKING:
    import torch


MOTION_CHANNELS = 3
LONGEST_WALK = 0.55  # metres over a clip; the rendered training clips hold nothing longer
LARGEST_TURN = 360.0  # degrees
SIDE = 100.0  # degrees up to which a photo of the front shows what comes into view


def ease(progress: np.ndarray) -> np.ndarray:
    """0 to 1 with a soft start and a soft end (smoothstep)."""
    return progress * progress * (3 - 2 * progress)


@dataclass(frozen=True)
class Preset:
    """A named motion.

    Args:
        label: what a visitor reads.
        turn: the curve of the turn over the clip; from progress in [0, 1] to multiples of `angle`.
        angle: degrees that the curve is multiplied by unless the caller gives another angle.
        walks: whether the body also walks towards the camera.
    """

    label: str
    turn: Callable[[np.ndarray], np.ndarray]
    angle: float
    walks: bool = False


# The turns stop where one photo still shows most of what comes into view; another angle is for the visitor to ask for.
PRESETS: dict[str, Preset] = {
    "turn-left": Preset("Turn left", ease, -45),
    "turn-right": Preset("Turn right", ease, 45),
    "turn-and-back": Preset("Turn and back", lambda progress: np.sin(math.pi * progress), 45),
    "show-the-back": Preset("Show the back", ease, 180),
    "spin": Preset("Spin", ease, 360),
    "sway": Preset("Sway", lambda progress: np.sin(2 * math.pi * progress), 20),
    "walk": Preset("Walk", ease, 0, walks=True),
}
SURPRISE = "surprise-me"
MOTIONS: tuple[str, ...] = (*PRESETS, SURPRISE)


def rows(yaw: np.ndarray, distance: np.ndarray) -> torch.Tensor:
    """Motion rows, float32 [F, 3], from the body's angle in degrees and distance walked in metres, one a frame."""
    import torch  # not with this module, whose names the command line and the page need at their start

    turn = np.radians(np.asarray(yaw, dtype=np.float64))
    turn = turn - turn[0]
    walked = np.asarray(distance, dtype=np.float64)
    return torch.from_numpy(np.stack([np.sin(turn), np.cos(turn), walked - walked[0]], axis=1)).float()


def surprise(seed: int) -> tuple[str, float]:
    """A preset and an angle for it, drawn from `seed`."""
    random = np.random.default_rng(seed)
    name = str(random.choice(list(PRESETS)))
    direction = random.choice([-1, 1]) if name in ("turn-and-back", "show-the-back", "spin", "sway") else 1
    return name, float(direction * PRESETS[name].angle * random.uniform(0.8, 1.1 if name != "spin" else 1.0))


def motion_rows(name: str, num_frames: int, turn_angle: float | None = None, seed: int = 0) -> torch.Tensor:
    """The motion `name` over a clip of `num_frames` frames, [F, 3].

    Args:
        name: one of `MOTIONS`.
        turn_angle: degrees of the turn (its largest, for motions that come back), in [-360, 360]; positive turns the
            face towards the right of the picture. `None` takes the preset's own.
        seed: draws the motion when `name` is "surprise-me".

    Raises:
        ValueError: if `name` is no motion or `turn_angle` is out of range.
    """
    if name not in MOTIONS:
        raise ValueError(f"`motion` must be one of {', '.join(MOTIONS)}, got {name!r}.")
    if turn_angle is not None and not -LARGEST_TURN <= turn_angle <= LARGEST_TURN:
        raise ValueError(f"`turn_angle` must be between -360 and 360 degrees, got {turn_angle}.")
    surprise_angle = None
    if name == SURPRISE:
        name, surprise_angle = surprise(seed)
    preset = PRESETS[name]
    angle = next(a for a in (turn_angle, surprise_angle, preset.angle) if a is not None)
    progress = np.linspace(0, 1, num_frames)
    return rows(angle * preset.turn(progress), LONGEST_WALK * progress * preset.walks)


def turns_past_the_side(name: str, turn_angle: float | None = None, seed: int = 0) -> bool:
    """Whether a motion brings into view what a photo of the front does not show. The arguments are those of `motion_rows`."""
    cosines = motion_rows(name, 65, turn_angle, seed)[:, 1]  # so many frames hold the widest turn of every motion
    return bool(cosines.min() < math.cos(math.radians(SIDE)))
