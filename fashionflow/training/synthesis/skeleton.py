"""Computes the place of every bone from a pose: a chain of joints for the trunk, and placed hands and feet for the limbs.

The transforms move points of the rest pose to the posed body, which faces -y. Turning and walking are applied later (`runway.py`). B is
the number of bones.
"""

import numpy as np

from .body import Figure
from .mesh import rotation
from .pose import SIDES, Leg, Pose


SPINE = ("spine05", "spine04", "spine03", "spine02", "spine01")
REACH = 0.995  # a limb is never completely straight
UP, FORWARD, LEFT = np.array([0.0, 0, 1]), np.array([0.0, -1, 0]), np.array([1.0, 0, 0])


def frame(along: np.ndarray, towards: np.ndarray) -> np.ndarray:
    """An orthonormal frame by columns, [3, 3]: first `along`, second as near to `towards` as possible."""
    first = along / np.linalg.norm(along)
    second = towards - first * (first @ towards)
    second /= np.linalg.norm(second)
    return np.stack([first, second, np.cross(first, second)], axis=1)


class Skeleton:
    """The bones of one figure."""

    def __init__(self, figure: Figure):
        self.figure = figure
        self.bones = figure.model.bone_names
        self.parents = [-1 if parent is None else int(parent) for parent in figure.model.bone_parents]
        self.joints = figure.joints.astype(np.float64)
        self.children_of_foot = [n for n in self.bones if n.startswith("toe")]
        ball = self.joint("toe2-1.L") - self.joint("foot.L")
        self.ball, self.ankle_height = ball, float(self.joint("foot.L")[2] - figure.floor)

    def joint(self, bone: str) -> np.ndarray:
        return self.joints[self.bones[bone]]

    def ankle(self, leg: Leg) -> float:
        """How high the ankle is above the floor, with the ball of the foot on it."""
        pitched = rotation(LEFT, leg.pitch) @ -self.ball
        return self.ankle_height + float(self.ball[2] + pitched[2]) + leg.lift

    def transforms(self, pose: Pose) -> np.ndarray:
        """The transform with which each bone moves points of the rest pose, float32 [B, 3, 4]."""
        local: dict[int, np.ndarray] = {}
        turn = lambda bone, axis, angle: local.__setitem__(  # noqa: E731
            self.bones[bone], rotation(axis, angle) @ local.get(self.bones[bone], np.eye(3))
        )
        root = rotation(UP, pose.hip_turn) @ rotation(FORWARD, pose.hip_tilt)
        for bone in SPINE:
            turn(bone, FORWARD, -(pose.hip_tilt + pose.lean) / len(SPINE))
            turn(bone, UP, (pose.twist - pose.hip_turn) / len(SPINE))
        turn("spine02", LEFT, -pose.chest)
        for bone, share in (("neck01", 0.4), ("head", 0.6)):
            turn(bone, UP, pose.head_turn * share)
            turn(bone, LEFT, pose.head_nod * share + pose.chest * 0.5)
            turn(bone, FORWARD, -pose.head_lean * share)
        for side, sign in zip(SIDES, (1, -1), strict=True):
            # In the rest pose the arms are spread; when they hang, the shoulders sink with them.
            turn(f"clavicle.{side}", FORWARD, -sign * 3)
            turn(f"shoulder01.{side}", FORWARD, -sign * 9)
            self._curl_fingers(local, side, pose.arms[side].curl)
        world = self._chain(local, root, np.array([pose.hip_shift, 0, 0]), pose)
        return np.ascontiguousarray(world[:, :3], dtype=np.float32)

    def _chain(self, local: dict[int, np.ndarray], root: np.ndarray, shift: np.ndarray, pose: Pose) -> np.ndarray:
        """Composes the local turns from the root outwards, [B, 4, 4]; limbs are placed when their first bone is reached."""
        world = np.zeros((len(self.joints), 4, 4))
        world[:, 3, 3] = 1
        placed: dict[int, np.ndarray] = {}
        starts = {self.bones[f"upperleg01.{side}"]: ("leg", side) for side in SIDES}
        starts |= {self.bones[f"upperarm01.{side}"]: ("arm", side) for side in SIDES}
        shift = shift + UP * self._drop(root, shift, pose)
        for bone, parent in enumerate(self.parents):
            joint = self.joints[bone]
            if parent < 0:
                turned, start = root, joint + shift
            else:
                turned = world[parent, :3, :3] @ local.get(bone, np.eye(3))
                start = world[parent, :3, :3] @ joint + world[parent, :3, 3]
            if bone in starts:
                limb, side = starts[bone]
                place = self._place_leg if limb == "leg" else self._place_arm
                hips = world[0, :3, :3] @ self.joint(f"upperleg01.{side}") + world[0, :3, 3]
                placed |= place(side, start, hips, pose)
            if bone in placed:
                turned = placed[bone]
            world[bone, :3, :3], world[bone, :3, 3] = turned, start - turned @ joint
        return world

    def _drop(self, root: np.ndarray, shift: np.ndarray, pose: Pose) -> float:
        """How far the hips move up or down so that the leg that bears the weight is almost straight."""
        heights = []
        for side, sign in zip(SIDES, (1, -1), strict=True):
            leg = pose.legs[side]
            hip, knee, ankle = (self.joint(f"{bone}.{side}") for bone in ("upperleg01", "lowerleg01", "foot"))
            length = (np.linalg.norm(knee - hip) + np.linalg.norm(ankle - knee)) * REACH
            pivot = self.joints[0]
            now = pivot + root @ (hip - pivot) + shift
            across = np.array([sign * leg.out, self.joint("foot.L")[1] + leg.back]) - now[:2]
            target = self.figure.floor + self.ankle(leg)
            heights.append(target + np.sqrt(max(length**2 - across @ across, 1e-4)) - now[2])
        return min(heights)

    def _place_leg(self, side: str, hip: np.ndarray, hips: np.ndarray, pose: Pose) -> dict[int, np.ndarray]:
        leg, sign = pose.legs[side], 1 if side == "L" else -1
        ankle = np.array([sign * leg.out, self.joint("foot.L")[1] + leg.back, self.figure.floor + self.ankle(leg)])
        towards = rotation(UP, sign * leg.toe_out) @ FORWARD
        upper, lower = self._two_bones(
            f"upperleg01.{side}", f"lowerleg01.{side}", f"foot.{side}", hip, ankle, towards, FORWARD
        )
        foot = rotation(UP, sign * leg.toe_out) @ rotation(LEFT, leg.pitch)
        turns = {self.bones[f"upperleg01.{side}"]: upper, self.bones[f"lowerleg01.{side}"]: lower}
        turns[self.bones[f"foot.{side}"]] = foot
        toes = rotation(UP, sign * leg.toe_out) if leg.lift < 1e-3 else foot
        return turns | {self.bones[n]: toes for n in self.children_of_foot if n.endswith(side)}

    def _place_arm(self, side: str, shoulder: np.ndarray, hips: np.ndarray, pose: Pose) -> dict[int, np.ndarray]:
        arm, sign = pose.arms[side], 1 if side == "L" else -1
        wrist = hips + np.array([sign * arm.out, arm.back, arm.up])
        elbow = rotation(UP, -sign * arm.elbow) @ -FORWARD
        bones = f"upperarm01.{side}", f"lowerarm01.{side}", f"wrist.{side}"
        upper, lower = self._two_bones(*bones, shoulder, wrist, elbow, None)
        return {self.bones[bones[0]]: upper, self.bones[bones[1]]: lower}

    def _two_bones(
        self,
        upper: str,
        lower: str,
        end: str,
        start: np.ndarray,
        goal: np.ndarray,
        bend: np.ndarray,
        rest_bend: np.ndarray | None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Turns of two bones that bring the second one's end to `goal`, with the joint between them towards `bend`.

        `rest_bend` is where that joint points in the rest pose, or `None` to take it from the joints themselves.
        """
        first, middle, last = (self.joint(bone) for bone in (upper, lower, end))
        length_upper, length_lower = np.linalg.norm(middle - first), np.linalg.norm(last - middle)
        if rest_bend is None:
            rest_bend = middle - (first + last) / 2
        reach = goal - start
        distance = np.clip(np.linalg.norm(reach), 0.3 * length_upper, REACH * (length_upper + length_lower))
        goal_frame = frame(reach, bend)
        cosine = (length_upper**2 + distance**2 - length_lower**2) / (2 * length_upper * distance)
        angle = np.arccos(np.clip(cosine, -1, 1))
        knee = length_upper * (np.cos(angle) * goal_frame[:, 0] + np.sin(angle) * goal_frame[:, 1])
        shin = distance * goal_frame[:, 0] - knee
        return (
            frame(knee, goal_frame[:, 1]) @ frame(middle - first, rest_bend).T,
            frame(shin, goal_frame[:, 1]) @ frame(last - middle, rest_bend).T,
        )

    def _curl_fingers(self, local: dict[int, np.ndarray], side: str, curl: float) -> None:
        """Bends each finger about the line across the knuckles."""
        across = self.joint(f"finger5-1.{side}") - self.joint(f"finger2-1.{side}")
        sign = 1 if side == "L" else -1
        for finger in (2, 3, 4, 5):
            for joint in (1, 2, 3):
                local[self.bones[f"finger{finger}-{joint}.{side}"]] = rotation(across, sign * curl)


def skin(surface_weights: np.ndarray, homogeneous: np.ndarray, normals: np.ndarray, transforms: np.ndarray):
    """Linear blend skinning.

    Args:
        surface_weights: [N, B].
        homogeneous: rest positions with a 1 behind each, [N, 4].
        normals: rest normals, [N, 3].
        transforms: [B, 3, 4].

    Returns:
        Positions and unit normals, float32 [N, 3] each.
    """
    blended = (surface_weights @ transforms.reshape(len(transforms), 12)).reshape(-1, 3, 4)
    positions = np.matmul(blended, homogeneous[..., None])[..., 0]
    turned = np.matmul(blended[..., :3], normals[..., None])[..., 0]
    return positions, turned / np.maximum(np.linalg.norm(turned, axis=1, keepdims=True), 1e-6)
