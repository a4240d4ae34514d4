"""The shape of the body in a photo, which the pixels do not contain: where it is, how far its front and back are, and its turning axis.

The geometry network learns to predict it (`fashionflow.models.geometry`). Depths are pixels of the picture, positive towards the viewer,
0 in the plane of the turning axis, so they mean the same for a full figure, a torso and a flat garment.
"""

import math
import zlib
from dataclasses import asdict, dataclass
from pathlib import Path
from zipfile import BadZipFile

import cv2
import numpy as np
from PIL import Image

from ...video.files import written_whole
from .cutout import cut_out
from .hanging_stage import compose, set_stage
from .relief import Relief


FLAT_DEPTHS = (0.12, 0.36)
"""Half the thickness of a garment laid flat, as a share of half its width: the range that is drawn from."""


@dataclass(frozen=True)
class Layers:
    """A photo and its shape.

    Args:
        photo: uint8 sRGB, [height, width, 3].
        coverage: how much of each pixel the body or garment covers, uint8, 255 for all of it, [height, width].
        front, back: depths of the nearest and the farthest surface, float16, [height, width]; 0 where there is none.
        axis: column of the vertical turning axis, pixels from the left edge.
    """

    photo: np.ndarray
    coverage: np.ndarray
    front: np.ndarray
    back: np.ndarray
    axis: float

    def write(self, path: Path) -> None:
        """Writes a compressed .npz file, which appears only when it is complete."""
        with written_whole(path) as unfinished:
            np.savez_compressed(unfinished, **asdict(self))

    @classmethod
    def read(cls, path: Path) -> "Layers":
        """
        Raises:
            ValueError: if the file is damaged or holds something else.
        """
        try:
            with np.load(path, allow_pickle=False) as arrays:
                return cls(
                    **{name: arrays[name] for name in cls.__dataclass_fields__} | {"axis": float(arrays["axis"])}
                )
        except (OSError, KeyError, TypeError, ValueError, EOFError, BadZipFile, zlib.error) as error:
            raise ValueError(f"{str(path)!r} holds no layers ({error}).") from error


def measured_layers(
    picture: np.ndarray, front: np.ndarray, back: np.ndarray, camera: np.ndarray, body: float
) -> Layers:
    """The layers of a rendered picture.

    Args:
        picture: uint8, [height, width, 3].
        front, back: OpenGL's depths in [0, 1], [height * n, width * n] for a supersampling of n, 1 where there is nothing.
        camera: world to clip coordinates, [4, 4].
        body: where the body stands, metres along the world's y, away from the camera; it turns about x = 0 there.
    """
    height, width = picture.shape[:2]
    camera = camera.astype(np.float64)
    shape = (height, front.shape[0] // height, width, front.shape[1] // width)
    coverage = (front < 1).reshape(shape).mean((1, 3))
    middles = np.s_[shape[1] // 2 :: shape[1], shape[3] // 2 :: shape[3]]
    front, back = front[middles], back[middles]
    there = front < 1
    world_front, world_back = (_unproject(depth, camera) for depth in (front, np.where(there, back, 1.0)))
    middle = np.array([0.0, body, world_front[there][:, 2].mean() if there.any() else 0.0])
    axis, beside = (_project(middle + [offset, 0, 0], camera, (height, width)) for offset in (0.0, 0.1))
    pixels_a_metre = (beside - axis)[0] / 0.1
    depths = [
        np.where(there, (body - world[..., 1]) * pixels_a_metre, 0).astype(np.float16)
        for world in (world_front, world_back)
    ]
    return Layers(picture, (coverage * 255 + 0.5).astype(np.uint8), *depths, axis=float(axis[0]))


def flat_layers(photo: Image.Image, seed: int, size: tuple[int, int]) -> Layers:
    """The layers of a photo of a garment laid flat or hanging, placed in a frame as an upload would show it.

    Args:
        photo: one garment on a ground of another colour.
        seed: draws its place, its ground and its thickness.
        size: height and width of the frame, pixels.

    Raises:
        ValueError: if the garment cannot be cut out of the photo.
    """
    random = np.random.default_rng(seed)
    cutout = cut_out(photo)
    stage = set_stage(cutout, size, random)
    depth = random.uniform(*FLAT_DEPTHS)
    box_height, box_width = stage.coverage.shape
    relief = Relief(stage.coverage, depth=depth).height.astype(np.float32)
    relief = cv2.resize(relief, (box_width, box_height), interpolation=cv2.INTER_LINEAR)
    cloth = cv2.resize(stage.cloth, (box_width, box_height), interpolation=cv2.INTER_AREA).astype(np.float32)
    corner = [math.floor(place) for place in stage.corner]
    coverage = _placed(stage.coverage, corner, size)
    garment = np.dstack([_placed(cloth[..., :3], corner, size) * coverage[..., None], coverage])
    front = np.where(coverage > 0.5, _placed(relief, corner, size), 0).astype(np.float16)
    picture = compose(garment, stage, 0.0, 0.0)
    return Layers(picture, (coverage * 255 + 0.5).astype(np.uint8), front, -front, axis=float(stage.pivot[0]))


def _placed(box: np.ndarray, corner: list[int], size: tuple[int, int]) -> np.ndarray:
    """Places the numbers of a box in a frame of zeros, float32, [height, width, ...]. `corner` is the box's left and top, and may lie
    outside."""
    frame = np.zeros((*size, *box.shape[2:]), np.float32)
    left, top = corner
    rows, columns = (slice(max(0, -start), max(0, side - start)) for start, side in ((top, size[0]), (left, size[1])))
    part = box[rows, columns]
    rows, columns = slice(max(0, top), max(0, top) + part.shape[0]), slice(max(0, left), max(0, left) + part.shape[1])
    frame[rows, columns] = part
    return frame


def _unproject(depth: np.ndarray, camera: np.ndarray) -> np.ndarray:
    """The points in the world, metres, [height, width, 3], for OpenGL's depths in the middle of every pixel."""
    height, width = depth.shape
    row, column = np.mgrid[0:height, 0:width]
    clip = np.stack(
        [(column + 0.5) / width * 2 - 1, 1 - (row + 0.5) / height * 2, depth * 2 - 1, np.ones_like(depth)], -1
    )
    world = clip @ np.linalg.inv(camera).T
    return world[..., :3] / world[..., 3:]


def _project(point: np.ndarray, camera: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The position of a point of the world in a picture of `size`, (x, y) in pixels."""
    clip = camera @ np.append(point, 1.0)
    return np.array([(clip[0] / clip[3] + 1) / 2 * size[1], (1 - clip[1] / clip[3]) / 2 * size[0]])
