"""Skirts and the tails of coats: rings of cloth around hips and legs that fall in folds, swing out and follow turns with a delay."""

from dataclasses import dataclass

import numpy as np

from .body import Figure
from .fabric import Fabric
from .mesh import grid_faces, smoothstep, vertex_normals


RINGS, COLUMNS = 28, 112
# 0 is the front, positive to the person's left; the seam is at the back.
ANGLE = np.linspace(-np.pi, np.pi, COLUMNS + 1)
DIRECTIONS = np.stack([np.sin(ANGLE[:-1]), -np.cos(ANGLE[:-1])])  # [2, COLUMNS]
LATE_RINGS = np.linspace(0, 1, 6)  # places between waist and hem where the springs are simulated


@dataclass
class Flare:
    """A skirt's cut.

    Args:
        fabric: the fabric that it is made of.
        top: height of its upper edge in the rest pose, metres.
        length: metres from there to the hem.
        flare: how much wider it gets, metres per metre.
        folds: how many folds go round.
        fold_depth: how deep they are at the hem, metres.
        irregular: 0 for even pleats, 1 for cloth that falls irregularly.
        uneven_hem, uneven_angle: how far the hem rises and sinks around the body, as a share of the length, and where it is longest.
        tiers: how many gathered bands are one under the other.
        opening: half the angle of an open front, radians, 0 if closed.
        offset: the distance between the cloth and the layer under it, metres.
        over: numbers of the garments that it is worn over, which must not show through it.
        trim: colour of a border along the hem, or `None`.
    """

    fabric: Fabric
    top: float
    length: float
    flare: float = 0.2
    folds: int = 8
    fold_depth: float = 0.03
    irregular: float = 0.5
    uneven_hem: float = 0.0
    uneven_angle: float = 0.0
    tiers: int = 1
    opening: float = 0.0
    offset: float = 0.006
    over: tuple[int, ...] = ()
    trim: tuple[float, float, float] | None = None


class Skirt:
    """A skirt on a figure.

    Attributes:
        faces: [M, 3].
        coordinates: metres of cloth round and down from the upper edge, [RINGS * (COLUMNS + 1), 2].
        edges: 0 at the waist to 1 at the hem, and the distance to the nearest edge in metres, [RINGS * (COLUMNS + 1), 2].
        down: 0 at the waist to 1 at the hem, for each ring, [RINGS].
    """

    def __init__(self, cut: Flare, figure: Figure, random: np.random.Generator):
        self.cut, self.figure = cut, figure
        self.down = np.linspace(0, 1, RINGS) ** 0.9
        self.faces = grid_faces(RINGS, COLUMNS + 1)
        self.phases = random.uniform(0, 2 * np.pi, 4)
        self.shares = np.array([1.0, *(cut.irregular * random.uniform(0.2, 0.7, 3))])
        self.counts = np.array([cut.folds, *np.maximum(cut.folds + random.integers(-4, 5, 3), 1)])
        hem = 1 + cut.uneven_hem * np.cos(ANGLE - cut.uneven_angle)
        self.heights = cut.top - cut.length * self.down[:, None] * (1 + (hem - 1)[None] * self.down[:, None])
        trunk = figure.trunk().positions
        middle = trunk[np.abs(trunk[:, 2] - cut.top) < 0.06, :2].mean(0)
        self.rest_radius = self._radius(self._under(trunk, middle), 0.0)
        girth = 2 * np.pi * self.rest_radius[int(0.65 * RINGS)].mean()
        tiles = cut.fabric.repeats(girth) * cut.fabric.tile
        round_body = np.broadcast_to(ANGLE / (2 * np.pi) * tiles, self.heights.shape)
        self.coordinates = np.stack([round_body, self.heights], -1).reshape(-1, 2).astype(np.float32)
        to_hem = (1 - self.down[:, None]) * cut.length * np.ones(len(ANGLE))
        to_opening = (np.abs(ANGLE) - cut.opening)[None] * self.rest_radius[:, np.r_[0:COLUMNS, 0]]
        edge = np.minimum(to_hem, to_opening) if cut.opening else to_hem
        depth = np.broadcast_to(self.down[:, None], edge.shape)
        self.edges = np.stack([depth, edge], -1).reshape(-1, 2).astype(np.float32)

    def widest(self, height: float) -> float:
        """How far the skirt reaches sideways at a height in the rest pose, metres; 0 where there is none."""
        if not self.cut.top - self.cut.length < height < self.cut.top:
            return 0.0
        ring = int(np.argmin(np.abs(self.heights.mean(1) - height)))
        return float(self.rest_radius[ring].max())

    def hidden(self) -> tuple[float, float]:
        """The range of heights in the rest pose in which nothing under the skirt is visible."""
        cut = self.cut
        if cut.opening:
            return (0.0, 0.0)
        return (cut.top - 0.5 * cut.length * (1 - cut.uneven_hem), cut.top - 0.005)

    def _under(self, body: np.ndarray, centre: np.ndarray) -> np.ndarray:
        """How far the body reaches in each direction at each ring: the outline that cloth would span, [RINGS, COLUMNS]."""
        reach = (body[:, :2] - centre) @ DIRECTIONS  # [N, COLUMNS]
        rings = self.heights.mean(1)
        support = np.empty((RINGS, COLUMNS))
        for ring, height in enumerate(rings):
            below = 0.06 if ring > 2 else 0.02  # at the waist, the hips must not push the cloth off
            near = (body[:, 2] < height + 0.06) & (body[:, 2] > height - below)
            if ring <= 2:
                near &= body[:, 2] < height + 0.02
            support[ring] = reach[near].max(0) if near.any() else support[ring - 1]
        cosine = np.cos(ANGLE[:-1, None] - ANGLE[None, :-1])
        facing = cosine > 0.2
        inverse = np.where(facing, 1 / np.where(facing, cosine, 1.0), np.inf)
        # The convex outline's radius in a direction is the least over all its supporting lines.
        return (support[:, None, :] * inverse[None]).min(2)

    def _radius(self, under: np.ndarray, swing: float) -> np.ndarray:
        """The radius of each ring without folds, [RINGS, COLUMNS]."""
        cut, down = self.cut, self.down[:, None]
        under = under + cut.offset
        if cut.flare > 0.08:
            under = np.maximum.accumulate(under, 0)
        hanging = under[:1] + cut.flare * cut.length * down * (1 + 1.2 * swing)
        if cut.tiers > 1:
            hanging = hanging + 0.02 * np.floor(down * cut.tiers * 0.999)
        return np.maximum(under, hanging)

    def pose(self, body: np.ndarray, hips: np.ndarray, late: np.ndarray, swing: float, push: np.ndarray):
        """The skirt at one moment, in the frame of the posed body (which faces -y).

        Args:
            body: the posed points under the skirt, [N, 3].
            hips: the transform of the hips, [3, 4].
            late: how far the cloth lags behind the body's turn at `LATE_RINGS`, degrees, [6].
            swing: how far the turn swings the skirt out; 0 at rest.
            push: how far the hem is shifted sideways, metres, [2].

        Returns:
            Positions and unit normals, float32 [RINGS * (COLUMNS + 1), 3] each.
        """
        cut, down = self.cut, self.down[:, None]
        root = self.figure.joints[0].astype(np.float64)
        shift = hips[:, :3] @ root + hips[:, 3] - root
        upright = body - shift
        # Rings tilt with the hips near the waist, so heights are measured along with them.
        tilt = (upright - root) @ hips[2, :3] + root[2] - upright[:, 2]
        upright[:, 2] -= tilt * np.interp(upright[:, 2], [cut.top - cut.length, cut.top], [0.3, 1.0])
        near_waist = np.abs(upright[:, 2] - cut.top) < 0.06
        centre = upright[near_waist, :2].mean(0)
        radius = self._radius(self._under(upright, centre), swing)
        loose = np.clip(0.25 + 2.2 * cut.flare, 0, 1) * smoothstep(0, 0.3, self.down)
        turned = ANGLE[None] - np.radians(loose * np.interp(self.down, LATE_RINGS, late))[:, None]
        # Cloth slides round the body: the outline stays with the body, the folds go with the cloth.
        radius = np.stack([np.interp(t, ANGLE[:-1], r, period=2 * np.pi) for t, r in zip(turned, radius, strict=True)])
        folds = (
            sum(
                share * np.sin(count * ANGLE + phase)
                for share, count, phase in zip(self.shares, self.counts, self.phases, strict=True)
            )
            / self.shares.sum()
        )
        depth = smoothstep(0.04, 0.9, down)
        if cut.tiers > 1:
            depth = 0.35 * depth + 0.65 * (down * cut.tiers % 1.0001)
        radius = radius + cut.fold_depth * depth * (1 + folds * 1.2) * (1 + 0.5 * swing)
        off = push * (loose[:, None] * down**2)  # [RINGS, 2]
        x = centre[0] + off[:, :1] + radius * np.sin(turned)
        y = centre[1] + off[:, 1:] - radius * np.cos(turned)
        lifted = self.heights + 0.35 * swing * cut.flare * cut.length * down**2
        points = np.stack([x, y, lifted], -1)
        # The hips' tilt is already in the outline of the body; the waist only gets higher on one side.
        tilt = (points - root) @ hips[2, :3] + root[2] - points[..., 2]
        points[..., 2] += tilt * (1 - 0.7 * down)
        points = points + shift
        points = points.reshape(-1, 3)
        normals = vertex_normals(points, self.faces).reshape(RINGS, COLUMNS + 1, 3)
        seam = normals[:, 0] + normals[:, -1]
        normals[:, 0] = normals[:, -1] = seam / np.linalg.norm(seam, axis=1, keepdims=True)
        return points.astype(np.float32), normals.reshape(-1, 3).astype(np.float32)
