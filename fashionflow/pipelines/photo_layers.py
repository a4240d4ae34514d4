"""A photo taken apart into layers that can be moved: the figure's front, its back, and the background behind it.

Pictures are float32 sRGB in [0, 1]; everything is of the clip's size. Depths are pixels of the clip, positive towards the viewer, 0 in
the plane of the turning axis.

Shape letters used in this file:
    H, W pixels
"""

from dataclasses import dataclass

import cv2
import numpy as np
import torch

from ..models.geometry import PhotoGeometry
from ..photo.background_plate import background_plate
from ..photo.head import find_head, guessed_back, seen_through_hair
from ..photo.matte import CLEAR, OWN_COLOURS, matte, without_small_pieces
from ..photo.prints import without_prints
from ..photo.segmentation import continued
from ..photo.shoes import with_missed_shoes


CLOSING = 5.0
"""Along the outline front and back come together over so many pixels of a photo of `CLOSING_WIDTH` pixels across."""
CLOSING_WIDTH = 256


@dataclass
class PhotoLayers:
    """A photo's layers.

    Args:
        front_colours, back_colours: what the figure looks like from the photo's side and from the other side, each as seen through
            the photo's own pixels, continued beyond the outline, [3, H, W].
        coverage: share of each pixel that the figure covers, in [0, 1], [H, W].
        front, back: depths, pixels, [H, W], equal along the outline and continued beyond it.
        background: the photo without the figure, [3, H, W].
        background_known: 1 where the photo shows the background, 0 where it was filled in, [H, W].
        axis: column of the turning axis, pixels from the left edge.
        head_ends: row below the head, pixels from the upper edge; 0 if none was found.
        back_known: whether `back_colours` come from a photo of the back rather than from a guess.
    """

    front_colours: torch.Tensor
    back_colours: torch.Tensor
    coverage: torch.Tensor
    front: torch.Tensor
    back: torch.Tensor
    background: torch.Tensor
    background_known: torch.Tensor
    axis: float
    head_ends: float = 0.0
    back_known: bool = False

    def to(self, device: torch.device | str) -> "PhotoLayers":
        """The same layers on another device."""
        return PhotoLayers(
            **{
                name: value.to(device) if isinstance(value, torch.Tensor) else value
                for name, value in vars(self).items()
            }
        )

    def resized(self, height: int, width: int) -> "PhotoLayers":
        """The same layers for a clip of another size with the same aspect."""
        scale = width / self.coverage.shape[1]

        def maps(value: torch.Tensor) -> torch.Tensor:
            picture = value.reshape(1, -1, *value.shape[-2:])
            picture = torch.nn.functional.interpolate(picture, (height, width), mode="bilinear", antialias=True)
            return picture.reshape(*value.shape[:-2], height, width)

        return PhotoLayers(
            front_colours=maps(self.front_colours),
            back_colours=maps(self.back_colours),
            coverage=maps(self.coverage),
            front=maps(self.front) * scale,
            back=maps(self.back) * scale,
            background=maps(self.background),
            background_known=maps(self.background_known),
            axis=self.axis * scale,
            head_ends=self.head_ends * scale,
            back_known=self.back_known,
        )


def take_apart(photo: np.ndarray, geometry: PhotoGeometry) -> PhotoLayers:
    """The layers of a photo.

    Args:
        photo: uint8 sRGB, [H, W, 3].
        geometry: its shape, predicted at any size of the same aspect.
    """
    height, width = photo.shape[:2]
    scale = width / geometry.coverage.shape[3]
    coverage, front, back = (
        part[0, 0].float().cpu().numpy() for part in (geometry.coverage, geometry.front, geometry.back)
    )
    predicted = (coverage > CLEAR).astype(np.uint8)
    enlarge = lambda values: cv2.resize(values, (width, height), interpolation=cv2.INTER_LINEAR)  # noqa: E731
    doubtful = enlarge(without_small_pieces(coverage))
    coverage = with_missed_shoes(photo, without_small_pieces(matte(photo, coverage)))
    # The matte may reach a little beyond what was predicted; there the depths go on.
    front, back = (enlarge(beyond(depth, predicted)) * scale for depth in (front, back))
    # Where a wisp of hair or a loose thread may be, the background is filled in too, or it would hang in the air.
    background, background_known = background_plate(photo, coverage, doubtful=doubtful)
    # Where the photo shows the figure's own colours and nothing of the background; everywhere if that is nowhere.
    own = cv2.erode((coverage > OWN_COLOURS).astype(np.uint8), np.ones((3, 3), np.uint8), borderValue=1) > 0
    own = own if own.any() else np.ones_like(own)
    front_colours = continued(photo, own)
    front, back = closed(coverage, front, np.minimum(front, back))
    # Of the rim the photo's own colours stay where they are much more like the figure's than like the background's.
    unlike = lambda other: np.abs(photo.astype(np.int16) - other).sum(-1)  # noqa: E731
    rim = (coverage > OWN_COLOURS) & (2.5 * unlike(front_colours) < unlike(background))
    front_colours = np.where(rim[..., None], photo, front_colours)
    head = find_head(front_colours, coverage)
    through = seen_through_hair(front_colours, coverage, background, head)
    if through.any():
        front_colours = continued(front_colours, (own | rim) & ~through)
    # Its hair is searched for again, because now it has only colours of its own.
    back_colours = guessed_back(without_prints(front_colours, coverage), coverage, head)
    picture = lambda pixels: torch.from_numpy(np.ascontiguousarray(pixels)).permute(2, 0, 1).float() / 255  # noqa: E731
    return PhotoLayers(
        front_colours=picture(front_colours),
        back_colours=picture(back_colours),
        coverage=torch.from_numpy(coverage),
        front=torch.from_numpy(front),
        back=torch.from_numpy(back),
        background=picture(background),
        background_known=torch.from_numpy(background_known),
        axis=geometry.axis * scale,
        head_ends=0.0 if head is None else float(head[1]),
    )


def closed(coverage: np.ndarray, front: np.ndarray, back: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Depths of front and back that come together along the outline, and go on as they are there beyond it, [H, W] each.

    The picture's own edges are no outline: a figure that they cut off stays open there.
    """
    mask = (coverage > CLEAR).astype(np.uint8)
    reach = CLOSING * mask.shape[1] / CLOSING_WIDTH
    inside = cv2.distanceTransform(mask, cv2.DIST_L2, cv2.DIST_MASK_5).clip(
        max=sum(mask.shape)
    )  # where all is inside, too
    # Between the two a round edge: a quarter of an ellipse over `reach` pixels.
    depth = 1 - np.clip((inside - 0.5) / reach, 0, 1)
    share = np.sqrt(1 - depth**2)
    middle = smooth_inside((front + back) / 2, mask, 1.5 * mask.shape[1] / CLOSING_WIDTH)
    front, back = middle + (front - middle) * share, middle + np.minimum(back - middle, front - middle) * share
    # The first pixel outside is where the two meet: from it on they are one.
    outside = beyond(middle, mask)
    return tuple(np.where(mask > 0, depth, outside).astype(np.float32) for depth in (front, np.minimum(front, back)))


def smooth_inside(values: np.ndarray, mask: np.ndarray, sigma: float) -> np.ndarray:
    """Values blurred without those outside the mask (uint8), float32, [H, W]."""
    weights = mask.astype(np.float32)
    blurred = cv2.GaussianBlur(values * weights, (0, 0), sigma) / np.maximum(
        cv2.GaussianBlur(weights, (0, 0), sigma), 1e-3
    )
    return np.where(mask > 0, blurred, values).astype(np.float32)


def beyond(values: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Values that go on outside the mask (uint8) as they are at the nearest place inside, float32, [H, W]."""
    if not mask.any():
        return np.zeros_like(values)
    _, labels = cv2.distanceTransformWithLabels(1 - mask, cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_PIXEL)
    inside = np.zeros(labels.max() + 1, np.float32)
    inside[labels[mask > 0]] = values[mask > 0]
    return inside[labels]
