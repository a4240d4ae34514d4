"""The motion of hanging cloth, and the look of its back.

Lengths are pixels of the frame; x to the right, y down, z towards the viewer, z = 0 in the plane of the photo.
"""

import math
from dataclasses import dataclass

import cv2
import numpy as np

from ...pipelines.motions import ease
from .relief import CAMERA, Relief


SUBSTEPS = 32  # simulation steps of the springs for each frame
AMBIENT = 0.62  # the share of light that reaches cloth turned away from the lamp
SHADES = (0.72, 1.12)  # the range of a frame's light relative to the photo's own
BACK_SHADE = 0.94  # factor on the front's colours
ALIKE = 0.62  # a print covers the garment if the calmer parts have at least this share of the busy parts' detail


@dataclass(frozen=True)
class Wave:
    """A ripple that runs through the cloth: radians per pixel across and down, radians per second, radians at the start."""

    across: float
    down: float
    rate: float
    start: float


class Cloth:
    """A relief that hangs from a point and follows it. Lower parts follow later, and the cloth overshoots and settles.

    Args:
        relief: the garment's rest shape.
        corner: where the relief's box begins in the frame, x and y.
        pivot: the point it hangs from, x and y in the frame.
        size: height and width of the frame.
        yaw: the hanger's turn in degrees, one per frame, [F]; 0 at first, positive turns the front to the right.
        frame_rate: frames a second.
        swing: how far the cloth swings as a pendulum, radians.
        random: draws the cloth.
    """

    def __init__(
        self,
        relief: Relief,
        corner: tuple[float, float],
        pivot: tuple[float, float],
        size: tuple[int, int],
        yaw: np.ndarray,
        frame_rate: float,
        swing: float,
        random: np.random.Generator,
    ):
        self.pivot, self.times = pivot, np.arange(len(yaw)) / frame_rate
        down = relief.y[:, :1] / relief.y.max()  # 0 at the garment's top, 1 at its hem, [rows, 1]
        folds = sum(
            random.uniform(0.3, 0.8) * np.sin(relief.x * 2 * math.pi / random.uniform(22, 60) + random.uniform(0, 6.3))
            for _ in range(3)
        )
        # On the shoulders the garment is thin; towards the hem it falls in folds.
        z = relief.height * (0.75 + 0.25 * ease(np.minimum(down / 0.35, 1)))
        z = np.maximum(z * (1 + 0.07 * folds * ease(down)), 0)
        x, y = relief.x + corner[0], relief.y + corner[1]
        # Perspective enlarges parts that stand out. They are drawn smaller by the same factor, so that the front at rest covers the photo
        # exactly.
        centre_x, centre_y, nearness = size[1] / 2, size[0] / 2, 1 - z / CAMERA
        front = (centre_x + (x - centre_x) * nearness, centre_y + (y - centre_y) * nearness, z)
        self.sheets = (front, (x, y, -z))

        self.down, self.softness = down, random.uniform(0.5, 1.2)
        stiffness = 30 / (1 + (0.8 + 2.2 * self.softness) * down[:, 0] ** 1.3)
        self.yaw, self.yaw_speed = followed(np.radians(yaw), frame_rate, stiffness, random.uniform(0.45, 0.7))
        begun = ease(np.minimum(self.times, 1))
        phase = random.choice([-1, 1]) * 2 * math.pi * random.uniform(0.5, 0.9) * self.times
        self.roll, self.roll_speed = followed(swing * begun * np.sin(phase), frame_rate, stiffness, 0.5)
        nod = 0.7 * swing * begun * np.sin(0.8 * phase + random.uniform(0, 6.3))
        self.nod, _ = followed(nod, frame_rate, stiffness, 0.5)
        self.waves = [
            Wave(
                random.uniform(0.03, 0.09),
                random.uniform(-0.04, 0.04),
                random.choice([-1, 1]) * random.uniform(3, 7),
                random.uniform(0, 6.3),
            )
            for _ in range(3)
        ]
        lamp = np.array([random.uniform(-0.45, 0.45), -0.35, 0.85])
        self.lamp = lamp / np.linalg.norm(lamp)
        # At rest the front has the photo's own light, and the back is a flat sheet seen from behind.
        light = self._light(self.points(0)[0], 1)
        self.rest = (light, np.full_like(light, AMBIENT + (1 - AMBIENT) * self.lamp[2]))

    def points(self, frame: int) -> list[np.ndarray]:
        """The points of the front and of the back, [rows, columns, 3] each."""
        yaw, roll, nod, yaw_speed, roll_speed = (
            rows[frame][:, None] for rows in (self.yaw, self.roll, self.nod, self.yaw_speed, self.roll_speed)
        )
        # Ripples grow with the speed, radians a second.
        ripple = 1.6 * self.softness * np.minimum(np.abs(yaw_speed) + 3 * np.abs(roll_speed), 5) * self.down**1.5
        flare = 0.01 * self.softness * np.minimum(yaw_speed**2, 12) * self.down**2
        moved = []
        for x, y, z in self.sheets:
            x, y = x - self.pivot[0], y - self.pivot[1]
            phases = [w.across * x + w.down * y - w.rate * self.times[frame] + w.start for w in self.waves]
            z = z * (1 + 2 * flare) + ripple * sum(map(np.sin, phases)) / len(phases)
            x = x * (1 + flare)
            x, z = x * np.cos(yaw) + z * np.sin(yaw), z * np.cos(yaw) - x * np.sin(yaw)
            x, y = x * np.cos(roll) + y * np.sin(roll), y * np.cos(roll) - x * np.sin(roll)
            moved.append(np.stack([self.pivot[0] + x, self.pivot[1] + y, z + y * np.sin(nod)], axis=-1))
        return moved

    def shades(self, points: list[np.ndarray]) -> list[np.ndarray]:
        """The light on the front and the back relative to the photo's own, [rows, columns] each; 1 on the front at rest."""
        return [
            np.clip(self._light(sheet, side) / rest, *SHADES)
            for sheet, side, rest in zip(points, (1, -1), self.rest, strict=True)
        ]

    def _light(self, sheet: np.ndarray, side: int) -> np.ndarray:
        """The light on a sheet, [rows, columns]; `side` is 1 for the front and -1 for the back."""
        normal = np.cross(np.gradient(sheet, axis=1), np.gradient(sheet, axis=0)) * side
        normal /= np.linalg.norm(normal, axis=-1, keepdims=True) + 1e-9
        return AMBIENT + (1 - AMBIENT) * np.maximum(normal @ self.lamp, 0)


def followed(
    drive: np.ndarray, frame_rate: float, stiffness: np.ndarray, damping: float
) -> tuple[np.ndarray, np.ndarray]:
    """Simulates rows of cloth that follow a driving angle, each as a damped spring that starts at rest.

    Args:
        drive: the driving angle in radians, one per frame, [F].
        frame_rate: frames a second.
        stiffness: each row's natural frequency, radians per second, [rows].
        damping: the damping as a share of critical damping.

    Returns:
        Angles and angular velocities, radians and radians per second, [F, rows].
    """
    frames = np.arange((len(drive) - 1) * SUBSTEPS + 1) / SUBSTEPS
    step = 1 / (frame_rate * SUBSTEPS)
    angle, speed = np.full(len(stiffness), drive[0]), np.zeros(len(stiffness))
    angles, speeds = [angle], [speed]
    for index, target in enumerate(np.interp(frames, np.arange(len(drive)), drive)[1:], start=1):
        speed = speed + step * (stiffness**2 * (target - angle) - 2 * damping * stiffness * speed)
        angle = angle + step * speed
        if index % SUBSTEPS == 0:
            angles.append(angle)
            speeds.append(speed)
    return np.array(angles), np.array(speeds)


def back_of(cloth: np.ndarray) -> np.ndarray:
    """The cloth of the back, uint8, [height, width, 4]: the cloth of the front, slightly darker, without details that occur only once (a
    logo, buttons, a collar). A print or a weave that covers the garment stays, and so does a belt that goes around."""
    colours, garment = cloth[..., :3], (cloth[..., 3] > 127).astype(np.float32)
    quarter = cv2.resize(colours, None, fx=0.25, fy=0.25, interpolation=cv2.INTER_AREA)
    plain = cv2.medianBlur(quarter, max(5, round(0.14 * min(quarter.shape[:2])) | 1))
    plain = cv2.resize(cv2.GaussianBlur(plain, (0, 0), 2), colours.shape[1::-1], interpolation=cv2.INTER_CUBIC)
    detail = np.abs(colours.astype(np.float32) - plain).mean(axis=-1)
    detail = cv2.GaussianBlur(cv2.dilate(detail, np.ones((7, 7))), (0, 0), 9)
    # How much detail the wider surroundings of each place have. With a print all over, they are all similar.
    wide = 0.1 * colours.shape[1]
    busy = cv2.GaussianBlur(detail**2 * garment, (0, 0), wide) / (cv2.GaussianBlur(garment, (0, 0), wide) + 1e-6)
    calmer, busiest = np.sqrt(np.quantile(busy[garment > 0], [0.3, 0.95]))
    result = colours.astype(np.float32)
    if calmer <= ALIKE * busiest:
        # Relative to the strongest detail, so that a knit or a crease does not count as a print.
        least = max(6.0, 0.35 * float(np.quantile(detail[garment > 0], 0.98)))
        band = ((detail > least) * garment).sum(axis=1) / np.maximum(garment.sum(axis=1), 1)
        once = np.clip((detail - 0.6 * least) / (0.4 * least), 0, 1) * np.clip((0.8 - band) / 0.15, 0, 1)[:, None]
        once = np.minimum(1.6 * cv2.GaussianBlur(once.astype(np.float32), (0, 0), 6), 1)
        kept = cv2.resize((1 - once) ** 2 * garment, quarter.shape[1::-1], interpolation=cv2.INTER_AREA)[..., None]
        around = cv2.GaussianBlur(np.concatenate([quarter * kept, kept], axis=-1), (0, 0), 0.08 * quarter.shape[1])
        around = (around[..., :3] + 1e-4 * np.median(colours[garment > 0], axis=0)) / (around[..., 3:] + 1e-4)
        around = cv2.resize(around, colours.shape[1::-1], interpolation=cv2.INTER_CUBIC)
        result = result * (1 - once[..., None]) + around * once[..., None]
    return np.dstack([np.clip(result * BACK_SHADE, 0, 255).astype(np.uint8), cloth[..., 3]])
