"""Measures whether the body turns as requested, with the 3-D pose of MediaPipe's pose landmarker.

The landmarker takes one frame and returns 33 points of the body in metres. The line between the shoulders and the line between the hips
show how far the body is turned. The measure needs no true clip, so it can also judge motions that nobody filmed. Its own error on the 56
rendered test clips, which is the score of the true clips, is stated beside every score.
"""

import numpy as np
from PIL import Image

from .extras import optional
from .weights import find_weights


INPUT_SIZE = 256  # pixels per side of the landmarker's input
LANDMARKS = 39  # 33 of the body and 6 helpers
SHOULDERS, HIPS = (11, 12), (23, 24)  # left and right
SEEN = 0.5
"""The landmarker's own probability below which the frame shows nobody."""

TURNING = 30.0
"""A clip that turns by this many degrees away from frame 0 is a turning clip; swaying clips stay below."""


def is_turning(yaw: np.ndarray) -> bool:
    """Whether a body with these angles, degrees [F], turns away from its first direction."""
    yaw = np.asarray(yaw, dtype=np.float64)
    return bool(np.abs(yaw - yaw[0]).max() >= TURNING)


def angle_between(degrees: np.ndarray, others: np.ndarray) -> np.ndarray:
    """The smaller angle between directions, in [0, 180]."""
    return np.abs((np.asarray(degrees) - np.asarray(others) + 180) % 360 - 180)


def turn_error(asked: np.ndarray, measured: np.ndarray) -> float:
    """The mean over later frames of the angle between the requested turn and the measured turn, both since frame 0; degrees [F]. NaN if
    the body is not seen in frame 0, or is seen in less than half of the later frames."""
    asked, measured = np.asarray(asked, dtype=np.float64), np.asarray(measured, dtype=np.float64)
    errors = angle_between(asked - asked[0], measured - measured[0])[1:]
    return float(np.nanmean(errors)) if np.isfinite(errors).mean() >= 0.5 else float("nan")


class BodyAngle:
    """Measures the angle of a body in a picture.

    Raises:
        MissingPackageError: if ai-edge-litert is not installed.
        WeightsError: if the landmarker's weights are not in the cache folder.
    """

    def __init__(self):
        path = find_weights("pose")
        self.interpreter = optional("ai_edge_litert.interpreter").Interpreter(str(path), num_threads=1)
        self.interpreter.allocate_tensors()
        self.input = self.interpreter.get_input_details()[0]["index"]
        outputs = {tuple(output["shape"]): output["index"] for output in self.interpreter.get_output_details()}
        self.points, self.presence = outputs[1, 3 * LANDMARKS], outputs[1, 1]

    def __call__(self, frame: np.ndarray) -> float:
        """Degrees, 0 towards the camera, positive towards the right of the picture; NaN if nobody is seen.

        Args:
            frame: uint8 RGB, [height, width, 3], one person in the middle and most of them in view.
        """
        self.interpreter.set_tensor(self.input, _square(frame)[None].astype(np.float32) / 255)
        self.interpreter.invoke()
        if self.interpreter.get_tensor(self.presence).item() < SEEN:
            return float("nan")
        points = self.interpreter.get_tensor(self.points).reshape(LANDMARKS, 3)  # metres: right, down, away
        across = np.zeros(3)
        for left, right in (SHOULDERS, HIPS):
            line = points[left] - points[right]
            across += line / max(np.linalg.norm(line), 1e-6)
        return float(np.degrees(np.arctan2(across[2], across[0])))

    def of_clip(self, frames: np.ndarray) -> np.ndarray:
        """Degrees, [F], of a clip's frames, uint8 [F, height, width, 3]; a repeated frame is measured only once."""
        angles = [self(frames[0])]
        for before, frame in zip(frames[:-1], frames[1:], strict=True):
            angles.append(angles[-1] if np.array_equal(before, frame) else self(frame))
        return np.array(angles)


def _square(frame: np.ndarray) -> np.ndarray:
    """The whole frame in the middle of a square of its corner's colour, at the landmarker's size."""
    height, width = frame.shape[:2]
    side = max(height, width)
    square = Image.new("RGB", (side, side), tuple(int(value) for value in frame[0, 0]))
    square.paste(Image.fromarray(frame), ((side - width) // 2, (side - height) // 2))
    return np.asarray(
        square.resize(
            (INPUT_SIZE, INPUT_SIZE), Image.Resampling.BOX if side > INPUT_SIZE else Image.Resampling.BILINEAR
        )
    )
