"""Hair: from a MakeHuman folder if there is one, or our own shapes grown from the head: short, bob, long, bun, ponytail.

Coordinates are (position around the head, distance from the hair's edge in metres); the shader draws strands along the first.
"""

from dataclasses import dataclass

import numpy as np

from .body import NUM_BODY_VERTICES, Figure
from .garment import hang, look_up, polar_radius
from .makehuman import Assets
from .mesh import Surface, grid_faces, smoothstep


STYLES = ("short", "bob", "long", "bun", "ponytail")
COLOURS = (
    *((0.05, 0.035, 0.03), (0.1, 0.065, 0.05), (0.18, 0.1, 0.06), (0.3, 0.18, 0.1), (0.42, 0.27, 0.14)),
    *((0.58, 0.42, 0.24), (0.72, 0.58, 0.38), (0.42, 0.17, 0.09), (0.5, 0.5, 0.5)),
)
ASSET_SHARE = 0.8  # share of the clips that use assets, if there are any
ROWS, COLUMNS = 22, 48


@dataclass
class Hair:
    """A head of hair: its meshes, its colour (sRGB in [0, 1]) and the name of its style."""

    surfaces: list[Surface]
    colour: tuple[float, float, float]
    style: str

    @classmethod
    def draw(cls, random: np.random.Generator, figure: Figure, assets: Assets | None) -> "Hair":
        colour = np.array(COLOURS[min(int(random.exponential(2.6)), len(COLOURS) - 1)]) * random.uniform(0.85, 1.15, 3)
        if assets and random.random() < ASSET_SHARE:
            folder = assets.hair[random.integers(len(assets.hair))]
            surface = assets.get(folder).surface(figure)
            surface.coordinates = np.stack([surface.coordinates[:, 0], np.ones(len(surface.coordinates))], 1)
            return cls([surface], tuple(colour), folder.name)
        style = str(random.choice(STYLES))
        head = _Head(figure)
        surfaces = [head.cap(0.012 if style in ("bun", "ponytail") else 0.02)]
        if style == "bob":
            surfaces.append(head.curtain(float(random.uniform(0.09, 0.15)), 0.02))
        elif style == "long":
            surfaces.append(head.curtain(float(random.uniform(0.2, 0.42)), 0.018))
        elif style == "bun":
            surfaces.append(head.ball(float(random.uniform(0.035, 0.05)), float(random.uniform(0.2, 0.9))))
        elif style == "ponytail":
            surfaces.append(head.tail(float(random.uniform(0.18, 0.35))))
        return cls(surfaces, tuple(colour), style)


class _Head:
    """The places on a figure's head where hair grows."""

    def __init__(self, figure: Figure):
        self.figure = figure
        model = figure.model
        self.bone = model.bone_names["head"]
        skin = figure.skin_surface()
        on_head = (model.weights[:, self.bone][model.vertices] > 0.5) & (skin.coordinates[:, 0] > -1)
        self.skin, self.on_head = skin, on_head
        self.eyes = figure.joint("eye.L") * (0, 1, 1)
        head = skin.positions[on_head]
        self.top, self.front, self.back = head[:, 2].max(), head[:, 1].min(), head[:, 1].max()
        crown = head[head[:, 2] > self.eyes[2] + 0.04]
        self.centre = np.array([0, crown[:, 1].mean(), self.eyes[2] + 0.03])

    def hairline(self, positions: np.ndarray) -> np.ndarray:
        """How far above the hairline each point is, metres: high on the forehead, past the ears, low at the nape."""
        deep = positions[:, 1] - (self.front + 0.035)
        line = self.eyes[2] + 0.068 - 1.0 * np.clip(deep, 0, 0.17) - 25 * positions[:, 0] ** 2 * (deep < 0.08)
        return positions[:, 2] - np.maximum(line, self.eyes[2] - 0.085)

    def round(self, positions: np.ndarray) -> np.ndarray:
        """The position around the head, in [0, 1]; 0.5 is the front."""
        return np.arctan2(positions[:, 0], positions[:, 1] - self.centre[1]) / (2 * np.pi) + 0.5

    def cap(self, thickness: float) -> Surface:
        """The scalp, lifted outwards."""
        skin, above = self.skin, self.hairline(self.skin.positions)
        grown = self.on_head & (above > -0.03)
        kept = skin.keep_faces(grown[skin.faces].all(1))
        above = self.hairline(kept.positions)
        outwards = kept.positions - self.centre
        outwards /= np.linalg.norm(outwards, axis=1, keepdims=True)
        lifted = kept.positions + outwards * (thickness * smoothstep(-0.02, 0.05, above) + 0.002)[:, None]
        weights = np.zeros_like(kept.weights)
        weights[:, self.bone] = 1
        return Surface(
            lifted.astype(np.float32), kept.faces, weights, np.stack([self.round(lifted), above], 1).astype(np.float32)
        )

    def curtain(self, length: float, thickness: float) -> Surface:
        """Hair that hangs at the sides and the back, outside of head, neck and shoulders."""
        figure = self.figure
        body = figure.positions[:NUM_BODY_VERTICES]
        trunk = body[(figure.arm[:NUM_BODY_VERTICES] < 0.03) & (body[:, 2] > self.eyes[2] - length - 0.1)]
        across, deep = trunk[:, 0], trunk[:, 1] - self.centre[1]
        lowest = self.eyes[2] - length
        heights = np.linspace(self.top - 0.03, lowest, 40)
        near = np.hypot(across, deep) < 0.2
        outline = polar_radius(np.arctan2(across, deep)[near], trunk[near, 2], np.hypot(across, deep)[near], heights)
        outline = hang(outline) + thickness
        opening = 0.36 * 2 * np.pi
        angle = np.linspace(-opening, opening, COLUMNS)[None] * np.ones((ROWS, 1))  # 0 is the back
        height = np.linspace(self.top - 0.03, lowest, ROWS)[:, None] * np.ones((1, COLUMNS))
        radius = look_up(outline, angle.ravel() % (2 * np.pi), height.ravel(), heights).reshape(ROWS, COLUMNS)
        hanging = smoothstep(0, 0.25, np.linspace(0, 1, ROWS))[:, None]
        strands = 0.004 * np.sin(9 * angle) * hanging
        radius = np.minimum(radius, 0.14) + strands - 0.03 * (1 - hanging) * np.abs(np.cos(angle))
        x, y = radius * np.sin(angle), self.centre[1] + radius * np.cos(angle)
        points = np.stack([x, y, height], -1).reshape(-1, 3)
        to_edge = np.minimum(height - lowest, (opening - np.abs(angle)) * 0.1).ravel()
        weights = np.zeros((len(points), figure.model.weights.shape[1]), np.float32)
        on_back = 0.85 * smoothstep(self.eyes[2] - 0.08, self.eyes[2] - 0.3, points[:, 2])
        weights[:, self.bone] = 1 - on_back
        weights[:, figure.model.bone_names["spine01"]] = on_back
        coordinates = np.stack([self.round(points), to_edge], 1)
        return Surface(points.astype(np.float32), grid_faces(ROWS, COLUMNS), weights, coordinates.astype(np.float32))

    def ball(self, radius: float, up: float) -> Surface:
        """A bun; `up` in [0, 1] moves it from the nape to the crown."""
        angle = np.radians(-15 + 75 * up)
        centre = self.centre + np.array([0, 0.1 * np.cos(angle), 0.1 * np.sin(angle)])
        return self._tube(centre + np.array([[0, 0, 0.9 * radius], [0, 0, -0.9 * radius]]), radius, round_ends=True)

    def tail(self, length: float) -> Surface:
        """A ponytail from the back of the crown."""
        start = np.array([0, self.back + 0.005, self.eyes[2] + 0.05])
        path = start + np.array([[0, -0.02, 0.01], [0, 0.035, -0.01], [0, 0.045, -0.5 * length], [0, 0.02, -length]])
        return self._tube(path, 0.028, round_ends=False)

    def _tube(self, path: np.ndarray, radius: float, round_ends: bool) -> Surface:
        progress = np.linspace(0, 1, ROWS)
        knots = np.linspace(0, 1, len(path))
        middle = np.stack([np.interp(progress, knots, path[:, axis]) for axis in range(3)], 1)
        width = radius * (
            np.sqrt(np.clip(1 - (2 * progress - 1) ** 2, 0, 1)) if round_ends else np.sin(np.pi * progress**0.6)
        )
        angle = np.linspace(0, 2 * np.pi, COLUMNS)
        points = middle[:, None] + width[:, None, None] * np.stack([np.sin(angle), np.cos(angle), 0 * angle], -1)
        points = points.reshape(-1, 3).astype(np.float32)
        weights = np.zeros((len(points), self.figure.model.weights.shape[1]), np.float32)
        weights[:, self.bone] = 1
        strand = np.tile(angle / (2 * np.pi), ROWS)
        coordinates = np.stack([strand, np.ones(len(points))], 1).astype(np.float32)
        return Surface(points, grid_faces(ROWS, COLUMNS), weights, coordinates)
