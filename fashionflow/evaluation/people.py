"""Finds faces and figures in a picture with two small MediaPipe networks that are independent of our models.

Frames are uint8 RGB, [H, W, 3].
"""

import cv2
import numpy as np
from PIL import Image, ImageOps

from .extras import optional
from .weights import find_weights


FACE_SEEN = 0.75
"""The probability from which a face counts as found. On 14 real photos the detector gave whole faces 0.8 to 0.95, and at most 0.7 if the
photo cuts the face off above the mouth or shows no person."""


class _Network:
    """A MediaPipe network that takes a square picture.

    Raises:
        MissingPackageError: if ai-edge-litert is not installed.
        WeightsError: if its weights are not in the cache folder.
    """

    def __init__(self, weights: str):
        path = find_weights(weights)
        self.interpreter = optional("ai_edge_litert.interpreter").Interpreter(str(path), num_threads=1)
        self.interpreter.allocate_tensors()
        picture = self.interpreter.get_input_details()[0]
        self.input, self.side = picture["index"], int(picture["shape"][1])
        self.outputs = {int(output["shape"][-1]): output["index"] for output in self.interpreter.get_output_details()}

    def run(self, square: np.ndarray, output: int) -> np.ndarray:
        """Returns the output with `output` numbers per place, for a picture of the network's size, float32 [side, side, 3]."""
        self.interpreter.set_tensor(self.input, square[None])
        self.interpreter.invoke()
        return self.interpreter.get_tensor(self.outputs[output])


class FaceFinder(_Network):
    """Finds out whether a picture shows a face of a person up to about five metres away. Smeared faces count if they have eyes and a
    mouth."""

    def __init__(self):
        super().__init__("face")

    def __call__(self, frame: np.ndarray) -> float:
        """The probability in [0, 1] that a face is somewhere in the frame."""
        corner = tuple(int(value) for value in frame[0, 0])
        square = ImageOps.pad(Image.fromarray(frame), (self.side, self.side), Image.Resampling.BOX, color=corner)
        logits = self.run(np.asarray(square, np.float32) / 127.5 - 1, 1)  # [1, 2304, 1], one per place in the picture
        return float(1 / (1 + np.exp(-float(logits.max()))))


class FigureFinder(_Network):
    """Finds the figure in a picture. The network is made for people, but it also finds most garments without a person."""

    def __init__(self):
        super().__init__("figure")

    def __call__(self, frame: np.ndarray) -> np.ndarray:
        """Where the figure is, bool [H, W]."""
        square = cv2.resize(frame, (self.side, self.side), interpolation=cv2.INTER_AREA).astype(np.float32) / 255
        probability = self.run(square, 1)[0, :, :, 0]
        return cv2.resize(probability, frame.shape[1::-1], interpolation=cv2.INTER_LINEAR) > 0.5
