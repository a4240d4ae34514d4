"""The camera: which part of the figure is in the picture, from what distance and from what height."""

from dataclasses import dataclass

import numpy as np

from .body import Figure


FRAMINGS = {"full": 0.5, "three_quarter": 0.2, "torso": 0.15, "part": 0.15}
"""Names of the framings, and how often each is drawn."""
NEAR, FAR = 0.3, 30.0  # metres


@dataclass
class Camera:
    """Looks along +y from `eye`; `view` is the vertical field of view in degrees."""

    framing: str
    eye: np.ndarray
    target: np.ndarray
    view: float

    @classmethod
    def draw(cls, random: np.random.Generator, figure: Figure, ground: float, hem: float, walk: float) -> "Camera":
        """Draws a camera for `figure`.

        Args:
            ground: height of the floor, metres.
            hem: height of the garment's lowest edge, which a three-quarter picture shows if it can, metres.
            walk: metres that the figure comes nearer.
        """
        framing = str(random.choice(list(FRAMINGS), p=list(FRAMINGS.values())))
        if walk and random.random() < 0.6:
            framing = "full"  # a walk is visible in the feet
        top = figure.top + 0.05
        bottom = {
            "full": ground - 0.02,
            "three_quarter": min(figure.knee + random.uniform(-0.12, 0.2), max(hem - 0.04, ground + 0.2)),
            "torso": figure.hip - random.uniform(-0.02, 0.2),
            "part": random.uniform(ground + 0.03, figure.hip),
        }[framing]
        if framing == "part":  # cropped like product photos: feet or the head may be cut off
            top = max(figure.top + random.uniform(-0.32, 0.08), bottom + 0.5)
        middle, height = (top + bottom) / 2, top - bottom
        view = float(random.uniform(14, 30))
        share = random.uniform(0.78, 0.94) if framing == "full" else random.uniform(0.86, 1.0)
        distance = height / share / 2 / np.tan(np.radians(view / 2))
        distance = max(distance, height / 2 / np.tan(np.radians(view / 2)) * 1.07 + walk)
        eye = np.array([0.0, -distance, middle + random.uniform(-0.25, 0.35) * min(height, 1.0)])
        target = np.array([random.normal(0, 0.012) * height, 0.0, middle])
        if framing == "part":
            target[0] += random.normal(0, 0.07) * height
        if framing != "full":
            # The lower edge cuts the figure, so spare room belongs above it.
            target[2] += (1 / share - 1) * height * 0.3
        return cls(framing, eye, target, view)

    def matrix(self, aspect: float) -> np.ndarray:
        """World to clip coordinates for a picture `aspect` times as wide as high, float32 [4, 4]."""
        forward = self.target - self.eye
        forward = forward / np.linalg.norm(forward)
        right = np.cross(forward, [0, 0, 1.0])
        right /= np.linalg.norm(right)
        view = np.eye(4)
        view[:3, :3] = np.stack([right, np.cross(right, forward), -forward])
        view[:3, 3] = -view[:3, :3] @ self.eye
        scale = 1 / np.tan(np.radians(self.view / 2))
        depth = (FAR + NEAR) / (NEAR - FAR), 2 * FAR * NEAR / (NEAR - FAR)
        projection = np.array([[scale / aspect, 0, 0, 0], [0, scale, 0, 0], [0, 0, *depth], [0, 0, -1, 0]])
        return (projection @ view).astype(np.float32)
