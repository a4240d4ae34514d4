"""The surroundings of a photographed garment: its place in the frame, the ground behind it, its hanger and its shadow.

Pictures are RGB in [0, 255], [height, width, 3]; lengths are pixels of the frame; x to the right, y down.
"""

import math
from dataclasses import dataclass

import cv2
import numpy as np

from .cutout import Cutout


TEXTURE_SCALE = 2  # texture pixels per pixel of the frame, so that the cloth stays sharp
MARGIN = 3  # pixels around the garment's box, so that its soft edge is inside
OWN_GROUND = 0.4  # share of the photos with a garment that fits the frame that keep their own ground


@dataclass(frozen=True)
class Hanger:
    """A hanger of wire, wood or plastic, seen from in front.

    Args:
        hook, arms: the points that its lines go through, [points, 2].
        colour: RGB in [0, 255].
        width: the width of the arms, pixels.
        rod: whether it hangs on a rod that crosses the picture.
    """

    hook: np.ndarray
    arms: np.ndarray
    colour: tuple[int, int, int]
    width: float
    rod: bool


@dataclass(frozen=True)
class Shadow:
    """The garment's shadow on the wall behind it: shifted and blurred by these numbers of pixels, `strength` in [0, 1]."""

    right: float
    down: float
    blur: float
    strength: float


@dataclass(frozen=True)
class Stage:
    """A garment's place and surroundings.

    Args:
        cloth: the garment's colours and coverage in its box, uint8, [box height * 2, box width * 2, 4].
        coverage: the same coverage at the frame's scale, float32 in [0, 1], [box height, box width].
        corner: the box's left and top in the frame; parts of the box may lie outside.
        pivot: x and y of the point that the garment hangs from and turns about.
        background: the frame without the garment, float32, [height, width, 3].
        hanger: None if the garment hangs from something invisible.
        shadow: the shadow on the background.
    """

    cloth: np.ndarray
    coverage: np.ndarray
    corner: tuple[float, float]
    pivot: tuple[float, float]
    background: np.ndarray
    hanger: Hanger | None
    shadow: Shadow


@dataclass(frozen=True)
class Placement:
    """The place of a photo in the frame: a point of the photo times `scale` plus `shift` (x, y), pixels."""

    scale: float
    shift: np.ndarray

    def of(self, picture: np.ndarray, size: tuple[int, int], corner: np.ndarray, factor: int = 1) -> np.ndarray:
        """The part of the placed picture that begins at `corner` and has `size` (height, width), both in pixels of the frame, with
        `factor` pixels per pixel of the frame. Beyond the photo its border continues, but coverage ends."""
        scale = self.scale * factor
        # Pixel i of a picture has its middle at i + 0.5.
        offset = (self.shift - corner) * factor + (scale - 1) / 2
        smaller = min(1.0, scale)
        if smaller < 0.75:  # shrinking by interpolation alone would cause aliasing
            picture = cv2.GaussianBlur(picture, (0, 0), 0.4 / smaller)
        return cv2.warpAffine(
            picture,
            np.array([[scale, 0, offset[0]], [0, scale, offset[1]]]),
            (size[1] * factor, size[0] * factor),
            flags=cv2.INTER_CUBIC,
            borderMode=cv2.BORDER_REPLICATE if picture.ndim == 3 else cv2.BORDER_CONSTANT,
        )


def set_stage(cutout: Cutout, size: tuple[int, int], random: np.random.Generator) -> Stage:
    """Places the garment in a frame of `size` (height, width) as an upload would show it, over its own ground or in a
    studio."""
    left, top, box_width, box_height = cv2.boundingRect((cutout.coverage > 0.5).astype(np.uint8))
    placement, own_ground = _place(cutout, size, random)
    corner = np.floor(np.array([left, top]) * placement.scale + placement.shift) - MARGIN
    box = tuple(int(np.ceil(side * placement.scale)) + 2 * MARGIN + 1 for side in (box_height, box_width))
    coverage = np.clip(placement.of(cutout.coverage, box, corner), 0, 1)
    fine_coverage = np.clip(placement.of(cutout.coverage, box, corner, TEXTURE_SCALE), 0, 1)
    colours = placement.of(cutout.colours, box, corner, TEXTURE_SCALE)
    background = _ground(cutout, placement, size) if own_ground else _studio_background(size, random)
    hanger = None if own_ground or random.random() < 0.35 else _hanger(coverage, corner, random)
    mask = coverage > 0.5
    upper = mask[: max(2, len(mask) // 4)]
    across = [np.flatnonzero(part.any(axis=0)).mean() for part in (mask, upper)]
    return Stage(
        cloth=np.dstack([colours, (fine_coverage * 255).astype(np.uint8)]),
        coverage=coverage,
        corner=(float(corner[0]), float(corner[1])),
        pivot=(
            float(corner[0] + np.mean(across)),
            float(hanger.hook[:, 1].min() if hanger else corner[1] - random.uniform(0, 25)),
        ),
        background=background,
        hanger=hanger,
        shadow=Shadow(
            right=random.choice([-1, 1]) * random.uniform(2, 9),
            down=random.uniform(1, 7),
            blur=random.uniform(2.5, 9),
            strength=0.0 if random.random() < 0.25 else random.uniform(0.08, 0.3),
        ),
    )


def _place(cutout: Cutout, size: tuple[int, int], random: np.random.Generator) -> tuple[Placement, bool]:
    """Draws the place of the photo, and whether it keeps its own ground."""
    height, width = size
    left, top, box_width, box_height = cv2.boundingRect((cutout.coverage > 0.5).astype(np.uint8))
    photo_height, photo_width = cutout.coverage.shape
    centre = np.array([left + box_width / 2, top + box_height / 2])
    middle = np.array([width / 2 + random.normal(0, 0.02) * width, height * random.uniform(0.48, 0.55)])
    cover = max(width / photo_width, height / photo_height)
    # If a photo that covers the frame would cut off the garment, the garment gets a studio background.
    fits = cover * max(box_width / width, box_height / height) < 1.02
    if fits and random.random() < OWN_GROUND:
        scale = cover * random.uniform(1.0, 1.12)
        reach = np.array([photo_width, photo_height]) * scale
        middle = np.clip(middle, [width, height] - reach + centre * scale, centre * scale)
        return Placement(scale, middle - centre * scale), True
    fill = random.uniform(0.66, 0.95) if random.random() < 0.85 else random.uniform(0.95, 1.2)
    scale = fill * min(height / box_height, 1.05 * width / box_width)
    return Placement(scale, middle - centre * scale), False


def _studio_background(size: tuple[int, int], random: np.random.Generator) -> np.ndarray:
    """A clean light ground, float32, [height, width, 3]."""
    height, width = size
    if random.random() < 0.6:
        colour = np.full(3, random.uniform(0.94, 1.0))
    else:
        hsv = np.float32([[[random.uniform(0, 360), random.uniform(0.02, 0.22), random.uniform(0.75, 1.0)]]])
        colour = cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)[0, 0]
    rows, columns = np.mgrid[0:height, 0:width]
    falloff = (rows / height - 0.5) * random.uniform(-0.05, 0.05) + (columns / width - 0.5) * random.uniform(
        -0.04, 0.04
    )
    grain = random.normal(0, random.uniform(0, 1.2), (height, width, 1))
    return np.clip(colour * 255 * (1 + falloff[..., None]) + grain, 0, 255).astype(np.float32)


def _ground(cutout: Cutout, placement: Placement, size: tuple[int, int]) -> np.ndarray:
    """The photo's own ground with the garment taken away, in the frame, float32, [height, width, 3].

    Under the garment, the ground's large colours continue smoothly, and its fine texture is copied from the surroundings.
    """
    # Wider than the garment, so that its contact shadow is removed with it.
    reach = max(3, round(0.05 * max(cutout.coverage.shape))) | 1
    garment = cv2.dilate((cutout.coverage > 0.1).astype(np.uint8), np.ones((reach, reach), np.uint8)) > 0
    picture = cutout.picture.astype(np.float32)
    smooth = cv2.GaussianBlur(_filled(picture, ~garment), (0, 0), 4)
    detail, lost = np.where(garment[..., None], 0, picture - smooth), garment
    height, width = garment.shape
    for share in (0.25, 0.4, 0.55, 0.7):
        for down, across in ((0, 1), (0, -1), (1, 0), (-1, 0)):
            step = (round(down * share * height), round(across * share * width))
            hidden = np.roll(garment, step, axis=(0, 1))
            detail = np.where((lost & ~hidden)[..., None], np.roll(detail, step, axis=(0, 1)), detail)
            lost = lost & hidden
    ground = np.where(garment[..., None], smooth + 0.7 * detail, picture)
    return np.clip(placement.of(ground, size, np.zeros(2)), 0, 255)


def _filled(picture: np.ndarray, known: np.ndarray) -> np.ndarray:
    """The picture with its unknown pixels filled from a pyramid: each level fills the pixels that the next finer level does not know."""
    levels, weights = [picture * known[..., None]], [known.astype(np.float32)]
    while min(weights[-1].shape) > 2:
        half = (np.array(weights[-1].shape[::-1]) + 1) // 2
        levels.append(cv2.resize(levels[-1], half, interpolation=cv2.INTER_AREA))
        weights.append(cv2.resize(weights[-1], half, interpolation=cv2.INTER_AREA))
    # The mean colour has a small weight, for places where even the coarsest level knows nothing.
    filled = (levels[-1] + 1e-3 * picture[known].mean(axis=0)) / (weights[-1] + 1e-3)[..., None]
    for level, weight in zip(levels[-2::-1], weights[-2::-1], strict=True):
        filled = level + cv2.resize(filled, weight.shape[::-1]) * (1 - weight)[..., None]
    return filled


def _hanger(coverage: np.ndarray, corner: np.ndarray, random: np.random.Generator) -> Hanger:
    """A hanger whose arms end inside the garment's shoulders (or waistband)."""
    mask = coverage > 0.5
    height = len(mask)
    outline = np.where(mask.any(axis=0), mask.argmax(axis=0), height)  # the upper outline's row in each column
    left, right = np.quantile(np.flatnonzero(outline < 0.14 * height + 4), [0.15, 0.85])
    ends = [np.array([x, outline[int(x)] + 3.0]) for x in (left, right)]
    neck = np.array([(left + right) / 2, min(end[1] for end in ends) - 0.14 * (right - left)])
    radius, stem = random.uniform(4.5, 6.5), random.uniform(7, 13)
    # From the top of the stem round to one side, open below.
    angle = np.radians(np.linspace(90, -160, 14))
    curve = neck + np.stack([radius * np.cos(angle), radius * (np.sin(angle) - 1) - stem], axis=1)
    colours = ((70, 70, 75), (150, 150, 155), (25, 25, 25), (165, 115, 70), (235, 235, 235))
    return Hanger(
        hook=np.concatenate([neck[None], curve]) + corner,
        arms=np.stack([ends[0], neck, ends[1]]) + corner,
        colour=colours[random.integers(len(colours))],
        width=float(random.choice([1.6, 2.2, 3.5])),
        rod=bool(random.random() < 0.5),
    )


def compose(garment: np.ndarray, stage: Stage, yaw: float, roll: float) -> np.ndarray:
    """The garment in front of its background, with its hanger and its shadow, uint8, [height, width, 3].

    Args:
        garment: the output of `Painter.draw`, float32, [height, width, 4].
        stage: the surroundings in which it hangs.
        yaw, roll: the angles of the hanger, radians, about the vertical axis and in the plane of the picture.
    """
    height, width = garment.shape[:2]
    picture, shadow = stage.background, stage.shadow
    if shadow.strength:
        shifted = cv2.warpAffine(
            garment[..., 3], np.array([[1, 0, shadow.right], [0, 1, shadow.down]]), (width, height)
        )
        picture = picture * (1 - shadow.strength * cv2.GaussianBlur(shifted, (0, 0), shadow.blur))[..., None]
    if stage.hanger:
        picture = _with_hanger(picture, stage.hanger, stage.pivot, yaw, roll)
    picture = garment[..., :3] + picture * (1 - garment[..., 3:])
    return np.clip(picture + 0.5, 0, 255).astype(np.uint8)


def _with_hanger(
    picture: np.ndarray, hanger: Hanger, pivot: tuple[float, float], yaw: float, roll: float
) -> np.ndarray:
    """The picture with the hanger drawn over it. The garment is drawn over both later, so that the hanger is visible only in its neck."""
    height, width = picture.shape[:2]
    # Lines are drawn larger and then shrunk. OpenCV takes positions as whole numbers with this many fractional bits.
    enlarged, bits = 4, 4
    layer = np.zeros((height * enlarged, width * enlarged), np.uint8)

    def draw(line: np.ndarray, thickness: float) -> None:
        points = np.round(line * enlarged * (1 << bits)).astype(np.int32)
        cv2.polylines(layer, [points], False, 255, max(1, round(thickness * enlarged)), cv2.LINE_AA, bits)

    if hanger.rod:
        draw(np.array([[-9.0, pivot[1] + 1], [width + 9.0, pivot[1] + 1]]), hanger.width + 2)
    turn = np.array([[math.cos(roll), -math.sin(roll)], [math.sin(roll), math.cos(roll)]])
    for line, thickness in ((hanger.hook, 1.6), (hanger.arms, hanger.width)):
        draw((line - pivot) * [math.cos(yaw), 1] @ turn + pivot, thickness)
    amount = cv2.resize(layer, (width, height), interpolation=cv2.INTER_AREA)[..., None] / np.float32(255)
    return picture * (1 - amount) + np.float32(hanger.colour) * amount
