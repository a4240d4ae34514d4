"""The studio: a seamless backdrop, white or coloured, brighter or darker upwards, on which the figure's shadow falls."""

import colorsys
from dataclasses import dataclass

import numpy as np


@dataclass
class Background:
    """Colours are sRGB in [0, 1].

    Args:
        top, bottom: colours at the picture's upper and lower edge.
        glow: how much brighter the middle is.
        shadow: how dark the key light's shadow on the floor is, 0 to 1.
        contact: how dark the floor is right under the feet, 0 to 1.
    """

    top: np.ndarray
    bottom: np.ndarray
    glow: float
    shadow: float
    contact: float

    @classmethod
    def draw(cls, random: np.random.Generator) -> "Background":
        kind = random.choice(["white", "grey", "colour", "dark"], p=[0.55, 0.17, 0.22, 0.06])
        if kind == "white":
            base = np.full(3, random.uniform(0.93, 1.0)) + random.normal(0, 0.006, 3)
        elif kind == "grey":
            base = np.full(3, random.uniform(0.55, 0.92)) + random.normal(0, 0.012, 3)
        elif kind == "colour":
            base = np.array(
                colorsys.hsv_to_rgb(random.random(), random.uniform(0.05, 0.35), random.uniform(0.55, 0.98))
            )
        else:
            base = np.array(colorsys.hsv_to_rgb(random.random(), random.uniform(0, 0.3), random.uniform(0.12, 0.4)))
        slope = random.normal(0, 0.03)
        return cls(
            top=np.clip(base * (1 + slope), 0, 1),
            bottom=np.clip(base * (1 - slope), 0, 1),
            glow=float(random.uniform(0, 0.06)),
            shadow=float(random.uniform(0.05, 0.4)),
            contact=float(random.uniform(0.2, 0.5)),
        )
