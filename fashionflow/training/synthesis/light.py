"""Studio light: a key light that casts shadows, a fill light, a rim light from behind, and light from all sides."""

from dataclasses import dataclass

import numpy as np


@dataclass
class Light:
    """Directions point from the figure to the light; colours are linear and multiply the surface's.

    Args:
        key, fill, rim: unit vectors.
        key_colour, fill_colour, rim_colour: linear RGB.
        above, below: linear RGB of the light from all sides, from the ceiling and from the floor.
        softness: the width of the key light's shadows, 0 (hard) to 1.
    """

    key: np.ndarray
    fill: np.ndarray
    rim: np.ndarray
    key_colour: np.ndarray
    fill_colour: np.ndarray
    rim_colour: np.ndarray
    above: np.ndarray
    below: np.ndarray
    softness: float

    @classmethod
    def draw(cls, random: np.random.Generator) -> "Light":
        warmth = random.normal(0, 0.035)
        warm, cool = np.array([1 + warmth, 1.0, 1 - warmth]), np.array([1 - 0.5 * warmth, 1.0, 1 + 0.5 * warmth])
        side = float(random.choice([-1, 1]))
        flat = random.uniform(0, 1)  # with 0 the light shades the body strongly, with 1 hardly
        key = direction(side * random.uniform(10, 55), random.uniform(25, 60))
        fill = direction(-side * random.uniform(25, 65), random.uniform(5, 35))
        rim = direction(180 + random.uniform(-50, 50), random.uniform(20, 50))
        return cls(
            key=key,
            fill=fill,
            rim=rim,
            key_colour=warm * (0.72 - 0.3 * flat),
            fill_colour=cool * random.uniform(0.1, 0.28),
            rim_colour=cool * random.uniform(0.0, 0.3),
            above=cool * (0.42 + 0.22 * flat),
            below=warm * (0.28 + 0.2 * flat),
            softness=float(random.uniform(0.25, 1.0)),
        )

    def shadow_matrix(self, centre: np.ndarray, reach: float) -> np.ndarray:
        """World to the shadow map's clip coordinates: a parallel view from the key light of everything within `reach` metres of `centre`,
        float32 [4, 4]."""
        right = np.cross([0, 0, 1.0], self.key)
        right /= np.linalg.norm(right)
        axes = np.stack([right, np.cross(self.key, right), -self.key])  # right, up, away from the light
        matrix = np.eye(4)
        matrix[:3, :3] = axes / reach
        matrix[:3, 3] = -(axes @ centre) / reach
        return matrix.astype(np.float32)


def direction(round_figure: float, height: float) -> np.ndarray:
    """A unit vector, [3], from degrees to the right of the camera, seen from the figure, and degrees above the horizon."""
    turn, rise = np.radians(round_figure), np.radians(height)
    return np.array([np.sin(turn) * np.cos(rise), -np.cos(turn) * np.cos(rise), np.sin(rise)])
