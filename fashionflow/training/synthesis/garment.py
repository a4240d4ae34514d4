"""Garments that follow the body: tops, bodices, sleeves, trousers, shorts, jackets.

All are cut from one mesh, the base mesh's tights, which covers the body from the neck to wrists and ankles. This module pushes the mesh
outwards, once per clip. The shader (`shaders/cut.glsl`) leaves out the parts beyond neckline, hem and cuffs, so that edges are sharp
whatever the mesh.
"""

from dataclasses import dataclass

import numpy as np

from .body import NO_ARM, Figure
from .fabric import Fabric
from .mesh import Surface, smoothstep, vertex_normals


NECKLINES = ("round", "v", "square", "straps", "high", "none")
"""In the order of their numbers in the shader; "none" is for garments that end at the waist."""
ANGLES, HEIGHTS = 48, 40  # bins of the body's radius
TRUNK_GIRTH = 1.0  # girth in metres for which a print is laid out
SMOOTHINGS = 4


@dataclass
class Cut:
    """The part of the body that a garment covers, and how loosely.

    Args:
        fabric: the fabric that it is made of.
        neckline: one of `NECKLINES`.
        depth, width, back_depth: the sizes of the neckline, metres; `width` is half its width.
        lowest, highest: heights in the rest pose, metres.
        sleeve: where sleeves end: 0 at the shoulder, 1 at the wrist; below 0 the arm is bare.
        opening: half the width of an open front, metres, or below 0 if closed.
        offset: the distance between body and cloth, metres.
        looseness: 0 follows the body, 1 hangs straight down from where it is widest.
        puff, bell: how much the sleeves widen at the shoulder and at their ends, metres.
        leg_flare: how much the legs widen, metres per metre.
        strap, strap_width: the distance of the straps' middle from the body's middle, and half their width, metres.
        trim: colour of a border along the edges, or `None`.
    """

    fabric: Fabric
    neckline: str = "none"
    depth: float = 0.08
    width: float = 0.09
    back_depth: float = 0.02
    lowest: float = -2.0
    highest: float = 2.0
    sleeve: float = -0.12
    opening: float = -1.0
    offset: float = 0.007
    looseness: float = 0.0
    puff: float = 0.0
    bell: float = 0.0
    leg_flare: float = 0.0
    strap: float = 0.1
    strap_width: float = 0.012
    trim: tuple[float, float, float] | None = None

    def uniforms(self, figure: Figure) -> dict:
        """The numbers that `cut.glsl` needs."""
        repeats = [
            self.fabric.repeats(girth) * self.fabric.tile / girth for girth in (TRUNK_GIRTH, ARM_GIRTH, LEG_GIRTH)
        ]
        return {
            "neckline": NECKLINES.index(self.neckline),
            "neck": (self.depth, self.width, self.back_depth, figure.neck - 0.03),
            "range": (self.lowest, self.highest, self.sleeve, self.opening),
            "strap": (self.strap, self.strap_width),
            "girth": tuple(
                girth * share / (2 * np.pi)
                for girth, share in zip((TRUNK_GIRTH, ARM_GIRTH, LEG_GIRTH), repeats, strict=True)
            ),
            "trim": (*self.trim, 1.0) if self.trim else (0.0, 0.0, 0.0, 0.0),
        }


ARM_GIRTH, LEG_GIRTH = 0.34, 0.5  # girths in metres for which a print is laid out


def polar_radius(angle: np.ndarray, height: np.ndarray, radius: np.ndarray, heights: np.ndarray) -> np.ndarray:
    """The largest radius in each bin of height and angle, [HEIGHTS, ANGLES]; empty bins take their neighbours'."""
    table = np.zeros((len(heights), ANGLES))
    row = np.clip(np.searchsorted(-heights, -height), 0, len(heights) - 1)
    column = (np.floor(angle / (2 * np.pi) * ANGLES).astype(int)) % ANGLES
    np.maximum.at(table, (row, column), radius)
    for _ in range(ANGLES):
        empty = table == 0
        if not empty.any():
            break
        spread = np.max([np.roll(table, 1, 1), np.roll(table, -1, 1)], axis=0)
        table = np.where(empty, spread, table)
        empty = table == 0
        table = np.where(empty, np.max([np.roll(table, 1, 0), np.roll(table, -1, 0)], axis=0), table)
    return table


def hang(table: np.ndarray) -> np.ndarray:
    """The radii of cloth that hangs from above: from the top row down, no row is narrower than the row before."""
    return np.maximum.accumulate(table, axis=0)


def look_up(table: np.ndarray, angle: np.ndarray, height: np.ndarray, heights: np.ndarray) -> np.ndarray:
    """The table's value between its bins (bilinear)."""
    row = np.interp(-height, -heights, np.arange(len(heights)))
    column = angle / (2 * np.pi) * ANGLES - 0.5
    low_row, low_column = np.floor(row).astype(int), np.floor(column).astype(int)
    down, across = row - low_row, column - low_column
    high_row = np.minimum(low_row + 1, len(heights) - 1)
    upper = table[low_row, low_column % ANGLES] * (1 - across) + table[low_row, (low_column + 1) % ANGLES] * across
    lower = table[high_row, low_column % ANGLES] * (1 - across) + table[high_row, (low_column + 1) % ANGLES] * across
    return upper * (1 - down) + lower * down


def drape(figure: Figure, cut: Cut) -> Surface:
    """The garment's surface in the rest pose: the tights, pushed outwards as `cut` defines."""
    tights = figure.group("helper-tights")
    body, arm = tights.positions.astype(np.float64), tights.coordinates[:, 0]
    normals = vertex_normals(body, tights.faces)
    along_sleeve = np.clip(arm / max(cut.sleeve, 0.05), 0, 1) * (arm > 0)
    offset = cut.offset + cut.bell * along_sleeve**2 + cut.puff * np.sin(np.pi * np.clip(arm / 0.4, 0, 1))
    cloth = _smooth(body + normals * offset[:, None], tights.faces)
    # Smoothing must not pull the cloth into the body, and must not lift it off the shoulders, on which it lies.
    most = offset + 0.003 + 0.017 * smoothstep(figure.shoulder[2] - 0.02, figure.shoulder[2] - 0.1, body[:, 2])
    lifted = np.clip(((cloth - body) * normals).sum(1), offset, most)
    cloth = body + normals * lifted[:, None]
    on_trunk = arm <= NO_ARM + 0.1
    if cut.looseness > 0:
        cloth = _hang_trunk(figure, cloth, on_trunk, cut.looseness)
    if cut.looseness > 0 or cut.leg_flare > 0:
        cloth = _hang_legs(figure, cloth, on_trunk, cut)
    surface = Surface(
        cloth.astype(np.float32),
        tights.faces,
        tights.weights,
        tights.coordinates.astype(np.float32),
        normals=vertex_normals(cloth, tights.faces).astype(np.float32),
        rest=tights.positions,
    )
    return surface.keep_faces(_may_show(tights, cut))


def _smooth(positions: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Moves each vertex towards the mean of its neighbours, a few times, so that cloth spans hollow parts."""
    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    edges = np.concatenate([edges, edges[:, ::-1]])
    count = np.bincount(edges[:, 0], minlength=len(positions))[:, None]
    for _ in range(SMOOTHINGS):
        mean = np.stack(
            [np.bincount(edges[:, 0], positions[edges[:, 1], axis], len(positions)) for axis in range(3)], 1
        )
        positions = 0.5 * positions + 0.5 * mean / np.maximum(count, 1)
    return positions


def _hang_trunk(figure: Figure, cloth: np.ndarray, on_trunk: np.ndarray, looseness: float) -> np.ndarray:
    """Lets the trunk's cloth hang from the bust and the shoulder blades."""
    armpit = figure.shoulder[2] - 0.12
    chosen = on_trunk & (cloth[:, 2] > figure.crotch - 0.02)
    centre = cloth[chosen & (np.abs(cloth[:, 2] - figure.waist) < 0.1), 1].mean()
    across, deep = cloth[:, 0], -(cloth[:, 1] - centre)
    angle, radius = np.arctan2(across, deep), np.hypot(across, deep)
    heights = np.linspace(armpit, figure.crotch - 0.02, HEIGHTS)
    below = chosen & (cloth[:, 2] < armpit + 0.01)
    loose = hang(polar_radius(angle[below], cloth[below, 2], radius[below], heights))
    wanted = look_up(loose, angle, np.clip(cloth[:, 2], heights[-1], heights[0]), heights)
    share = looseness * smoothstep(armpit, armpit - 0.1, cloth[:, 2]) * chosen
    factor = 1 + share * np.maximum(wanted / np.maximum(radius, 1e-6) - 1, 0)
    result = cloth.copy()
    result[:, 0] = across * factor
    result[:, 1] = centre - deep * factor
    return result


def _hang_legs(figure: Figure, cloth: np.ndarray, on_trunk: np.ndarray, cut: Cut) -> np.ndarray:
    """Lets trouser legs hang from the thigh and widens them downwards."""
    hip, knee, ankle = (figure.joint(f"{bone}.L") for bone in ("upperleg01", "lowerleg01", "foot"))
    line = np.stack([ankle, knee, hip])
    side = np.where(cloth[:, 0] < 0, -1.0, 1.0)
    centre_x = np.interp(cloth[:, 2], line[:, 2], line[:, 0])
    centre_y = np.interp(cloth[:, 2], line[:, 2], line[:, 1])
    across, deep = cloth[:, 0] * side - centre_x, -(cloth[:, 1] - centre_y)
    angle, radius = np.arctan2(across, deep), np.hypot(across, deep)
    top = figure.crotch + 0.05  # the legs' insides meet from the crotch down
    chosen = on_trunk & (cloth[:, 2] < top) & (np.abs(cloth[:, 0]) > 0.004)
    heights = np.linspace(top, ankle[2] - 0.05, HEIGHTS)
    loose = hang(polar_radius(angle[chosen], cloth[chosen, 2], radius[chosen], heights))
    wanted = look_up(loose, angle, np.clip(cloth[:, 2], heights[-1], heights[0]), heights)
    grown = radius + cut.looseness * np.maximum(wanted - radius, 0) + cut.leg_flare * np.maximum(top - cloth[:, 2], 0)
    share = smoothstep(top, top - 0.05, cloth[:, 2]) * chosen
    factor = 1 + share * (grown / np.maximum(radius, 1e-6) - 1)
    result = cloth.copy()
    result[:, 0] = side * np.maximum(centre_x + across * factor, np.minimum(0.004, np.abs(cloth[:, 0])))
    result[:, 1] = centre_y - deep * factor
    return result


def _may_show(tights: Surface, cut: Cut) -> np.ndarray:
    """The faces that the cut does not exclude completely, bool [M]. Faces that are certainly bare do not have to be drawn."""
    height, arm = tights.positions[:, 2], tights.coordinates[:, 0]
    on_trunk = arm <= NO_ARM + 0.02
    bare = (
        (arm > max(cut.sleeve, NO_ARM) + 0.12)
        | (on_trunk & (height < cut.lowest - 0.04))
        | (height > cut.highest + 0.04)
    )
    return ~bare[tights.faces].all(1)
