"""The motion of the whole body over a clip: the angle by which it is turned, and the distance that it walks.

A positive angle turns the face towards the right of the picture; 0 faces the camera.
"""

from dataclasses import dataclass

import numpy as np

from ...pipelines.motions import ease


MOTIONS = {"turn": 0.26, "turn_back": 0.18, "half_turn": 0.17, "spin": 0.11, "sway": 0.13, "walk": 0.15}
"""Names of the motions, and how often each is drawn."""


@dataclass(frozen=True)
class Motion:
    """A motion's curves over progress in [0, 1].

    Args:
        name: one of `MOTIONS`.
        start: the angle at the start, degrees.
        angle: the turn's largest angle from there, degrees, with its sign.
        swings: how many times a sway goes back and forth.
        walk: metres walked towards the camera.
    """

    name: str
    start: float
    angle: float
    swings: float = 1.0
    walk: float = 0.0

    @classmethod
    def draw(cls, random: np.random.Generator) -> "Motion":
        name = str(random.choice(list(MOTIONS), p=list(MOTIONS.values())))
        start, direction = float(random.normal(0, 10)), float(random.choice([-1, 1]))
        smallest, largest = {
            "turn": (35, 110),
            "turn_back": (30, 80),
            "half_turn": (150, 200),
            "spin": (360, 360),
            "sway": (6, 20),
            "walk": (0, 12),
        }[name]
        walk = float(random.uniform(0.35, 0.75)) if name == "walk" else 0.0
        if name == "walk":
            start *= 0.5  # people walk in the direction in which they look
        return cls(name, start, direction * random.uniform(smallest, largest), random.uniform(0.6, 1.3), walk)

    def yaw(self, progress: np.ndarray) -> np.ndarray:
        """Degrees at each `progress`."""
        progress = np.asarray(progress, np.float64)
        if self.name == "turn_back":
            curve = np.sin(np.pi * ease(progress))
        elif self.name == "sway":
            curve = np.sin(2 * np.pi * progress * self.swings)
        else:
            curve = ease(progress)
        return self.start + self.angle * curve

    def distance(self, progress: np.ndarray) -> np.ndarray:
        """Metres walked towards the camera at each `progress`."""
        return self.walk * np.asarray(progress, np.float64)
