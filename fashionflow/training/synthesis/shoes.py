"""Shoes: from a MakeHuman folder if there is one, or our own, lofted around the foot: flats, pumps, sneakers, boots.

Coordinates are (0, height above the sole's lower side in metres); the shader colours the sole by the second.
"""

import colorsys
from dataclasses import dataclass

import numpy as np

from .body import NUM_BODY_VERTICES, Figure
from .makehuman import Assets
from .mesh import Surface, grid_faces, rotation, smoothstep


STYLES = {"flats": 0.22, "pumps": 0.36, "sneakers": 0.2, "boots": 0.22}
ASSET_SHARE = 0.35  # share of the clips that use assets, if there are any; low because all assets are alike
STATIONS, CORNERS = 24, 20
NEAREST = 40  # vertices that a ring of a boot's leg encloses
LARGEST_PITCH = 36.0  # degrees


@dataclass
class Shoes:
    """A pair of shoes.

    Args:
        surfaces: their meshes.
        colour, sole: colours of the upper and the sole.
        pitch: the angle that heels give the foot, degrees.
        ground: height of the floor under the soles in the rest pose, metres.
        style: its name.
    """

    surfaces: list[Surface]
    colour: tuple[float, float, float]
    sole: tuple[float, float, float]
    pitch: float
    ground: float
    style: str

    @classmethod
    def draw(cls, random: np.random.Generator, figure: Figure, assets: Assets | None) -> "Shoes":
        colour = colorsys.hsv_to_rgb(random.random(), random.beta(1.5, 3), random.uniform(0.03, 0.9))
        if random.random() < 0.5:
            colour = [(0.04, 0.04, 0.04), (0.85, 0.84, 0.8), (0.55, 0.4, 0.28), (0.2, 0.12, 0.08)][random.integers(4)]
        if assets and random.random() < ASSET_SHARE:
            folder = assets.shoes[random.integers(len(assets.shoes))]
            surface = assets.get(folder).surface(figure)
            surface.coordinates = np.ones_like(surface.coordinates)
            ground = float(surface.positions[:, 2].min())
            return cls([surface], tuple(colour), tuple(colour), 0.0, ground, folder.name)
        style = str(random.choice(list(STYLES), p=list(STYLES.values())))
        heel = {
            "flats": 0.0,
            "sneakers": 0.0,
            "pumps": random.uniform(0.03, 0.09),
            "boots": random.choice([0.0, 0.05]),
        }
        sole = (0.9, 0.9, 0.88) if style == "sneakers" else tuple(np.array(colour) * 0.4)
        thickness = 0.022 if style == "sneakers" else 0.008
        thin = random.random() < 0.6
        lasts = [Last(figure, side, thickness, float(heel[style])) for side in ("L", "R")]
        shaft = random.uniform(0.05, 0.3) if style == "boots" else 0.0
        surfaces = [surface for last in lasts for surface in last.shoe(style, shaft, thin)]
        return cls(surfaces, tuple(colour), sole, lasts[0].pitch, figure.floor - thickness, style)


class Last:
    """The shape of the foot for a shoe: its middle, width and height at stations from heel to toe."""

    def __init__(self, figure: Figure, side: str, thickness: float, heel: float):
        self.figure, self.side, self.thickness = figure, side, thickness
        bones = figure.model.bone_names
        self.foot, self.toes = bones[f"foot.{side}"], bones[f"toe2-1.{side}"]
        self.shin = bones[f"lowerleg02.{side}"]
        names = [number for name, number in bones.items() if name.endswith(side) and name.startswith(("foot", "toe"))]
        weights = figure.model.weights[:NUM_BODY_VERTICES]
        body = figure.positions[:NUM_BODY_VERTICES].astype(np.float64)
        self.leg = body[weights[:, [self.foot, self.shin, bones[f"lowerleg01.{side}"]]].sum(1) > 0.5]
        self.ankle = figure.joint(f"foot.{side}").astype(np.float64)
        self.ball = figure.joint(f"toe2-1.{side}").astype(np.float64)
        foot = body[(weights[:, names].sum(1) > 0.5) & (body[:, 2] < self.ankle[2])]
        self.forward = (self.ball - self.ankle) * (1, 1, 0)
        self.forward /= np.linalg.norm(self.forward)
        self.across = np.array([-self.forward[1], self.forward[0], 0])
        along, sideways = (foot - self.ankle) @ self.forward, (foot - self.ankle) @ self.across
        self.heel_end, self.toe_end = along.min() - 0.006, along.max() + 0.012
        self.stations = np.linspace(self.heel_end, self.toe_end, STATIONS)
        middle, half, height = [], [], []
        for station in np.clip(self.stations, along.min() + 0.012, along.max() - 0.012):
            near = np.abs(along - station) < 0.012
            middle.append((sideways[near].min() + sideways[near].max()) / 2)
            half.append((sideways[near].max() - sideways[near].min()) / 2)
            height.append(foot[near, 2].max() - figure.floor)
        smooth = np.array([0.25, 0.5, 0.25])
        self.middle, self.half, self.height = (
            np.convolve(np.pad(values, 1, mode="edge"), smooth, "valid") for values in (middle, half, height)
        )
        self.ball_along = float((self.ball - self.ankle) @ self.forward)
        lever = self.ball_along - (self.heel_end + 0.03)
        self.pitch = float(min(np.degrees(np.arcsin(min(heel / lever, 0.9))), LARGEST_PITCH))

    def shoe(self, style: str, shaft: float, thin_heel: bool) -> list[Surface]:
        """The shoe's meshes."""
        floor = self.figure.floor
        progress = (self.stations - self.heel_end) / (self.toe_end - self.heel_end)  # 0 at the heel, 1 at the toe
        if style in ("boots", "sneakers"):
            top = self.height + 0.007
            if style == "sneakers":
                top = np.minimum(top, 0.085)
        else:
            low = 0.024 + 0.035 * smoothstep(0.25, 0.0, progress)
            toe_box = smoothstep(0.6, 0.72, progress)
            top = low * (1 - toe_box) + (self.height + 0.006) * toe_box
        # The ends are round: the width shrinks along an ellipse, and the toe gets lower.
        from_heel, to_toe = self.stations - self.heel_end, self.toe_end - self.stations
        roundness = np.sqrt(np.clip(1 - (1 - np.clip(from_heel / 0.03, 0, 1)) ** 2, 0, 1)) * np.sqrt(
            np.clip(1 - (1 - np.clip(to_toe / 0.045, 0, 1)) ** 2, 0, 1)
        )
        angle = np.linspace(0, 2 * np.pi, CORNERS + 1)
        wide, tall = np.cos(angle), np.sin(angle)
        wide, tall = np.sign(wide) * np.abs(wide) ** 0.6, np.sign(tall) * np.abs(tall) ** 0.7
        half = (self.half + 0.006) * roundness
        bottom = -self.thickness
        top = bottom + (top - bottom) * (0.35 + 0.65 * np.sqrt(roundness))
        sideways = self.middle[:, None] + half[:, None] * wide[None] * (1 - 0.12 * (tall[None] > 0) * tall[None])
        up = bottom + (top - bottom)[:, None] * (0.5 + 0.5 * tall[None])
        points = (
            (self.ankle * (1, 1, 0))
            + self.stations[:, None, None] * self.forward
            + sideways[..., None] * self.across
            + (floor + up)[..., None] * np.array([0, 0, 1.0])
        )
        bend = smoothstep(self.ball_along - 0.005, self.ball_along + 0.02, self.stations)
        weights = np.zeros((STATIONS, CORNERS + 1, len(self.figure.joints)), np.float32)
        weights[..., self.foot], weights[..., self.toes] = 1 - bend[:, None], bend[:, None]
        surfaces = [self._surface(points, weights, up - bottom)]
        if self.pitch:
            surfaces.append(self._heel(0.008 if thin_heel else 0.02))
        if shaft:
            surfaces.append(self._shaft(shaft))
        return surfaces

    def _surface(self, points: np.ndarray, weights: np.ndarray, up: np.ndarray) -> Surface:
        rows, columns = points.shape[:2]
        coordinates = np.stack([np.zeros(rows * columns), np.broadcast_to(up, (rows, columns)).ravel()], 1)
        return Surface(
            points.reshape(-1, 3).astype(np.float32),
            grid_faces(rows, columns),
            weights.reshape(rows * columns, -1),
            coordinates.astype(np.float32),
        )

    def _heel(self, radius: float) -> Surface:
        """The heel of the shoe: from under the foot's heel straight down to the floor, when the foot is pitched."""
        turned = rotation((1, 0, 0), self.pitch)
        sole = self.ankle * (1, 1, 0) + (self.heel_end + 0.026) * self.forward
        sole[2] = self.figure.floor - self.thickness
        ball = self.ball.copy()
        ball[2] = sole[2]
        length = float((turned @ (sole - ball))[2])
        down = turned.T @ np.array([0, 0, -1.0])
        steps = np.array([-0.012, 0.0, 0.25, 1.0, 1.0])
        width = np.array([0.022, 0.021, 0.6 * 0.021 + 0.4 * radius, radius, 0.0])
        angle = np.linspace(0, 2 * np.pi, CORNERS + 1)
        ring = np.cos(angle)[:, None] * self.across + np.sin(angle)[:, None] * self.forward
        points = sole + (steps * np.where(steps < 0, 1, length))[:, None, None] * down + width[:, None, None] * ring
        weights = np.zeros((*points.shape[:2], len(self.figure.joints)), np.float32)
        weights[..., self.foot] = 1
        return self._surface(points, weights, np.zeros((len(steps), 1)))

    def _shaft(self, height: float) -> Surface:
        """A boot's leg, round the ankle and the shin."""
        levels = np.linspace(self.figure.floor + 0.035, self.ankle[2] + height, 16)
        angle = np.linspace(0, 2 * np.pi, CORNERS + 1)
        points = np.empty((len(levels), CORNERS + 1, 3))
        for row, level in enumerate(levels):
            leg = self.leg
            if level < self.ankle[2]:
                leg = leg[(leg - self.ankle) @ self.forward < 0.055]
            near = leg[np.argsort(np.abs(leg[:, 2] - level))[:NEAREST]]
            centre = (near[:, :2].min(0) + near[:, :2].max(0)) / 2
            reach = (near[:, :2] - centre) @ np.stack([np.sin(angle), np.cos(angle)])
            radius = reach.max(0) + 0.008
            points[row, :, 0], points[row, :, 1] = (
                centre[0] + radius * np.sin(angle),
                centre[1] + radius * np.cos(angle),
            )
            points[row, :, 2] = level
        bend = smoothstep(self.ankle[2] - 0.01, self.ankle[2] + 0.05, levels)
        weights = np.zeros((len(levels), CORNERS + 1, len(self.figure.joints)), np.float32)
        weights[..., self.foot], weights[..., self.shin] = 1 - bend[:, None], bend[:, None]
        return self._surface(points, weights, np.full((len(levels), 1), 1.0))
