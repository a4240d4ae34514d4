"""Moves the garment of a photo that shows it flat or hanging: cuts it out, gives it a body, hangs it up, turns it and swings it."""

import math
from functools import lru_cache

import numpy as np
from PIL import Image

from ...pipelines.motions import ease
from .cloth import Cloth, back_of
from .cutout import cut_out
from .hanging_stage import Stage, compose, set_stage
from .relief import Painter, Relief


MOTIONS = {"turn": 0.28, "turn_back": 0.2, "half_turn": 0.18, "spin": 0.12, "sway": 0.22}
"""Names of the motions, and how often each is drawn."""


def hanging_clip(
    photo: Image.Image,
    seed: int,
    num_frames: int = 24,
    frame_rate: float = 8.0,
    size: tuple[int, int] = (320, 256),
) -> tuple[np.ndarray, dict]:
    """Makes one clip of a photographed garment in motion. The same photo, seed and sizes give the same frames.

    Args:
        photo: one garment, laid flat or hanging, on a ground of another colour.
        seed: draws the motion, the place in the frame, the surroundings and the cloth.
        num_frames: frames of the clip, at least 2.
        frame_rate: frames a second, above 0.
        size: height and width of a frame, pixels.

    Returns:
        The frames, uint8 RGB, [num_frames, height, width, 3], of which the first shows the garment at rest as photographed, and a label:
        `motion`; `yaw`, degrees, one per frame, 0 as photographed, positive turns the front towards the right of the picture; `distance`,
        metres walked, one per frame, all 0; `kind`, "hanging".

    Raises:
        ValueError: if the garment cannot be cut out of the photo, or a number is out of range.
        SynthesisError: if a package or OpenGL is missing.
    """
    if num_frames < 2:
        raise ValueError(f"`num_frames` must be at least 2, got {num_frames}.")
    if not frame_rate > 0:
        raise ValueError(f"`frame_rate` must be above 0, got {frame_rate}.")
    cutout = cut_out(photo)
    random = np.random.default_rng(seed)
    motion, yaw = draw_motion(random, num_frames)
    stage = set_stage(cutout, size, random)
    frames = _render(stage, motion, yaw, frame_rate, size, random)
    label = {
        "motion": motion,
        "yaw": [round(float(angle), 2) for angle in yaw],
        "distance": [0.0] * num_frames,
        "kind": "hanging",
    }
    return frames, label


def draw_motion(random: np.random.Generator, num_frames: int) -> tuple[str, np.ndarray]:
    """Draws a motion: its name and its yaw, degrees, [num_frames], which starts at 0."""
    motion = str(random.choice(list(MOTIONS), p=list(MOTIONS.values())))
    direction = float(random.choice([-1, 1]))
    progress = np.linspace(0, 1, num_frames)
    # Half of the turns end before the clip does, and the cloth settles.
    duration = 1.0 if random.random() < 0.5 else random.uniform(0.7, 1.0)
    turned = ease(np.minimum(progress / duration, 1))
    if motion == "sway":
        to_and_fro = np.sin(2 * math.pi * progress * random.uniform(0.7, 1.6))
        return motion, direction * random.uniform(5, 20) * to_and_fro * ease(np.minimum(progress / 0.2, 1))
    if motion == "turn_back":
        return motion, direction * random.uniform(25, 80) * np.sin(math.pi * turned)
    smallest, largest = {"turn": (30, 110), "half_turn": (150, 195), "spin": (360, 360)}[motion]
    return motion, direction * random.uniform(smallest, largest) * turned


def _render(
    stage: Stage, motion: str, yaw: np.ndarray, frame_rate: float, size: tuple[int, int], random: np.random.Generator
) -> np.ndarray:
    """Renders the frames of the staged garment, uint8, [F, height, width, 3]."""
    relief = Relief(stage.coverage, depth=random.uniform(0.28, 0.46))
    swing = math.radians(random.uniform(1.5, 4.0) if motion == "sway" else random.uniform(0.2, 1.0))
    cloth = Cloth(relief, stage.corner, stage.pivot, size, yaw, frame_rate, swing, random)
    painter = _painter(size)
    with painter.context:  # OpenGL draws in one context at a time, and runway clips have their own
        try:
            painter.load(relief, stage.cloth, back_of(stage.cloth))
            frames = []
            for frame in range(len(yaw)):
                points = cloth.points(frame)
                garment = painter.draw(points, cloth.shades(points))
                frames.append(compose(garment, stage, cloth.yaw[frame, 0], cloth.roll[frame, 0]))
        finally:
            painter.unload()
    return np.stack(frames)


@lru_cache(maxsize=1)
def _painter(size: tuple[int, int]) -> Painter:
    """The painter of the last size, cached because creating an OpenGL context takes longer than drawing a clip with it."""
    return Painter(size)
