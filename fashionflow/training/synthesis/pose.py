"""The poses of the figure: weight on one leg, hands at rest, breathing, steps; and smooth changes from one pose to another.

A pose is a set of named numbers, so poses can be mixed. Hands and feet are placed, and the limbs follow (`skeleton.py`). Lengths are
metres, angles degrees; "left" is the person's own left, at positive x.
"""

from dataclasses import dataclass, field, replace

import numpy as np

from ...pipelines.motions import ease
from .motion import Motion


SIDES = ("L", "R")
STRIDE = 0.66  # metres between two steps of the same foot


@dataclass
class Arm:
    """One arm. The hand's place is measured from the hip joint of its side.

    Args:
        out: distance from the hip joint sideways to the wrist.
        back: distance to the back.
        up: height above the hip joint.
        elbow: where the elbow points: 0 to the back, 90 outwards.
        curl: how far the fingers bend, degrees per joint.
    """

    out: float = 0.13
    back: float = 0.0
    up: float = -0.04
    elbow: float = 25.0
    curl: float = 14.0


@dataclass
class Leg:
    """One foot, on the floor unless lifted.

    Args:
        out: distance from the middle of the body to the ankle.
        back: distance to the back.
        lift: height above the floor.
        toe_out: how far the toes point outwards.
        pitch: the angle of the foot by which the heel is off the floor.
    """

    out: float = 0.085
    back: float = 0.0
    lift: float = 0.0
    toe_out: float = 8.0
    pitch: float = 0.0


@dataclass
class Pose:
    """A whole pose. `hip_shift` moves the hips to the left, `hip_tilt` raises the left hip, `lean` bends the trunk to the left,
    `twist` turns the shoulders to the left of the hips, `chest` lifts it (breathing)."""

    hip_shift: float = 0.0
    hip_tilt: float = 0.0
    hip_turn: float = 0.0
    lean: float = 0.0
    twist: float = 0.0
    chest: float = 0.0
    head_turn: float = 0.0
    head_nod: float = 0.0
    head_lean: float = 0.0
    arms: dict[str, Arm] = field(default_factory=lambda: {side: Arm() for side in SIDES})
    legs: dict[str, Leg] = field(default_factory=lambda: {side: Leg() for side in SIDES})

    @classmethod
    def draw(cls, random: np.random.Generator) -> "Pose":
        """Draws a pose at rest. Most poses have the weight on one leg and the hands down; `_posed_arm` gives the other arms."""
        pose = cls(head_turn=random.normal(0, 5), head_nod=random.normal(1, 2), head_lean=random.normal(0, 1.5))
        side = float(random.choice([-1, 1]))  # the leg that bears the weight
        amount = float(random.uniform(0, 1))
        pose.hip_shift, pose.hip_tilt, pose.lean = side * 0.035 * amount, side * 3.5 * amount, side * 3.0 * amount
        pose.hip_turn, pose.twist = float(random.normal(0, 3)), float(random.normal(0, 3))
        standing = float(random.uniform(0.06, 0.1))
        for name, sign in zip(SIDES, (1, -1), strict=True):
            free = amount * (sign != side)
            pose.legs[name] = Leg(
                out=standing + 0.03 * free,
                back=-0.09 * free * random.uniform(0, 1),
                toe_out=random.uniform(3, 12) + 10 * free,
            )
            hanging = Arm(
                out=random.uniform(0.11, 0.16), back=random.uniform(-0.05, 0.03), up=random.uniform(-0.06, 0.0)
            )
            pose.arms[name] = replace(hanging, elbow=random.uniform(15, 45), curl=random.uniform(8, 22))
            if random.random() < 0.35:
                pose.arms[name] = _posed_arm(random)
        return pose

    def mix(self, other: "Pose", amount: float) -> "Pose":
        """The pose `amount` of the way to `other`."""
        return _mix(self, other, amount)


def _posed_arm(random: np.random.Generator) -> Arm:
    """An arm that does not hang: a hand on the hip, in a pocket, in front of the body or behind it."""
    place = random.choice(["hip", "pocket", "before", "behind"])
    if place == "hip":
        return Arm(out=0.075, back=-0.03, up=random.uniform(0.12, 0.16), elbow=random.uniform(62, 80), curl=22)
    if place == "pocket":
        return Arm(out=0.08, back=-0.06, up=random.uniform(0.07, 0.1), elbow=random.uniform(40, 70), curl=18)
    reach = random.uniform(0.14, 0.2)
    across, up = random.uniform(-0.12, 0.02), random.uniform(0.06, 0.24)
    if place == "before":
        return Arm(out=across, back=-reach, up=up, elbow=random.uniform(35, 70), curl=random.uniform(10, 30))
    return Arm(out=max(across, -0.06), back=reach - 0.02, up=up, elbow=random.uniform(50, 80), curl=20)


def _mix(first, second, amount: float):
    """Mixes two poses, arms or legs field by field."""
    mixed = {}
    for name, value in vars(first).items():
        other = getattr(second, name)
        if isinstance(value, dict):
            mixed[name] = {side: _mix(value[side], other[side], amount) for side in value}
        else:
            mixed[name] = value + (other - value) * amount
    return type(first)(**mixed)


class Posing:
    """The pose at every moment of a clip.

    Args:
        start, end: poses at rest; the body eases from one to the other in the middle of the clip.
        motion: the motion of the body; a walk takes steps, a turn shifts the weight from foot to foot.
        seconds: length of the clip.
        breath: the moment of a breath at which the clip starts, in [0, 1).
        arms_out: the smallest distance of each wrist from its hip joint, which wide skirts need.
        heel: the foot's angle in its shoe, degrees.
    """

    def __init__(
        self, start: Pose, end: Pose, motion: Motion, seconds: float, breath: float, arms_out: float, heel: float
    ):
        self.start, self.end, self.motion, self.seconds = start, end, motion, seconds
        self.breath, self.arms_out, self.heel = breath, arms_out, heel

    def at(self, time: float) -> Pose:
        """The pose at `time` seconds."""
        progress = time / self.seconds
        pose = self.start.mix(self.end, float(ease(np.clip((progress - 0.15) / 0.7, 0, 1))))
        breathing = np.sin(2 * np.pi * (time / 3.6 + self.breath))
        swaying = np.sin(2 * np.pi * (time / 5.3 + 1.7 * self.breath))
        pose.chest += 0.9 * breathing
        pose.hip_shift += 0.004 * swaying
        pose.lean += 0.5 * swaying
        pose.head_turn += 2.5 * np.sin(2 * np.pi * (time / 4.7 + self.breath))
        for arm in pose.arms.values():
            arm.up += 0.003 * breathing
            arm.out += 0.004 * swaying
        if self.motion.walk:
            self._walk(pose, float(self.motion.distance(progress)), progress)
        else:
            self._shuffle(pose, progress)
        for side in SIDES:
            if pose.arms[side].up < 0.06:  # not on the hip
                pose.arms[side].out = max(pose.arms[side].out, self.arms_out)
            pose.legs[side].pitch += self.heel
        return pose

    def _walk(self, pose: Pose, distance: float, progress: float) -> None:
        """Replaces the standing feet by steps: a foot on the floor stays where it is while the body moves on."""
        strength = float(ease(np.clip(progress / 0.12, 0, 1)))
        for side, offset, sign in (("L", 0.0, 1), ("R", 0.5, -1)):
            phase = (distance / STRIDE + offset + self.breath) % 1
            reach = 0.3 * STRIDE  # the body moves 0.6 of a stride while a foot is on the floor
            leg, arm = pose.legs[side], pose.arms[side]
            if phase < 0.6:
                back, lift, pitch = reach * (phase / 0.3 - 1), 0.0, 22 * max(0.0, phase / 0.6 - 0.75) / 0.25
            else:
                swing = (phase - 0.6) / 0.4
                back, lift = reach * (1 - 2 * float(ease(np.float64(swing)))), 0.055 * np.sin(np.pi * swing)
                pitch = 22 * (1 - swing) * (swing < 1)
            leg.back += strength * (back - leg.back)
            leg.out += strength * (0.06 - leg.out)
            leg.lift, leg.pitch = strength * lift, strength * pitch
            arm.back += -strength * 0.45 * back  # arms swing against the legs
            stance = np.cos(2 * np.pi * (phase - 0.3))
            pose.hip_shift += strength * sign * 0.014 * stance
            pose.hip_tilt += strength * sign * 1.2 * stance
            pose.hip_turn += strength * sign * 12 * back
            pose.twist -= strength * sign * 20 * back

    def _shuffle(self, pose: Pose, progress: float) -> None:
        """Small steps on the spot while the body turns: the feet leave the floor in turn."""
        step = 1e-3
        speed = abs(float(self.motion.yaw(progress + step) - self.motion.yaw(progress - step))) / (
            2 * step * self.seconds
        )
        turned = float(self.motion.yaw(progress)) / 55  # steps
        strength = min(speed / 60, 1.0)
        for side, offset in (("L", 0.0), ("R", 0.5)):
            swing = np.sin(2 * np.pi * (turned / 2 + offset))
            pose.legs[side].lift += 0.028 * strength * max(0.0, swing)
            pose.legs[side].back -= 0.04 * strength * swing
            pose.hip_shift -= 0.012 * strength * swing * (1 if side == "L" else -1)
