"""The part of a photo that the model sees, and the scaling of this part to the model's size."""

import math
from dataclasses import dataclass

import cv2
import numpy as np
from PIL import Image


MIN_ZOOM, MAX_ZOOM = 0.5, 4.0
"""How far a crop may zoom out and in."""

WIDEST_MARGIN = 0.15
"""Zooming out ends when the whole photo is visible, plus this share of its size."""


def crop_box(size: tuple[int, int], aspect: float) -> tuple[int, int, int, int]:
    """The largest centred part of a picture that has the wanted aspect, as (left, top, right, bottom) in pixels.

    Args:
        size: the picture's width and height, pixels.
        aspect: width divided by height, above 0.

    Raises:
        ValueError: if `aspect` is not above 0.
    """
    if not aspect > 0:
        raise ValueError(f"`aspect` must be above 0, got {aspect}.")
    width, height = size
    box_width = min(width, max(1, round(height * aspect)))
    box_height = min(height, max(1, round(width / aspect)))
    left, top = (width - box_width) // 2, (height - box_height) // 2
    return left, top, left + box_width, top + box_height


def fit(image: Image.Image, width: int, height: int, mode: str) -> Image.Image:
    """A photo scaled to the model's size.

    Args:
        image: an RGB photo of any size.
        width, height: the wanted size, pixels.
        mode: "crop" keeps the largest centred part of the right aspect; "pad" keeps the whole photo and extends its
            background; "stretch" ignores the aspect, as in the training of the released weights.

    Raises:
        ValueError: if `mode` is none of these.
    """
    if mode == "crop":
        return image.resize((width, height), Image.Resampling.LANCZOS, box=crop_box(image.size, width / height))
    if mode == "stretch":
        return image.resize((width, height), Image.Resampling.BILINEAR)
    if mode == "pad":
        scale = min(width / image.width, height / image.height)
        inner_size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
        inner = image.resize(inner_size, Image.Resampling.LANCZOS)
        padded = Image.new("RGB", (width, height), _border_colour(inner))
        padded.paste(inner, ((width - inner.width) // 2, (height - inner.height) // 2))
        return padded
    raise ValueError(f"`mode` must be crop, pad or stretch, got {mode!r}.")


@dataclass(frozen=True)
class Crop:
    """The part of a photo that the model sees; `Crop()` is the same as the mode "crop" of `fit`.

    Args:
        zoom: 1 shows the largest part that has the model's aspect, 2 shows half of it in each direction, 0.5 shows twice as much,
            with the background extended beyond the photo; `MIN_ZOOM` to `MAX_ZOOM`. However small `zoom` is, the crop shows at most
            the whole photo plus `WIDEST_MARGIN`.
        across: -1 for the photo's left edge, 1 for its right, 0 in the middle.
        down: -1 for the photo's upper edge, 1 for its lower.
    """

    zoom: float = 1.0
    across: float = 0.0
    down: float = 0.0

    def check(self) -> None:
        """Raises ValueError, with one sentence, if a value is out of range."""
        if not MIN_ZOOM <= self.zoom <= MAX_ZOOM:
            raise ValueError(f"`zoom` must be {MIN_ZOOM} to {MAX_ZOOM}, got {self.zoom}.")
        for name, place in (("across", self.across), ("down", self.down)):
            if not -1 <= place <= 1:
                raise ValueError(f"`{name}` must be -1 to 1, got {place}.")

    def box(self, size: tuple[int, int], aspect: float) -> tuple[float, float, float, float]:
        """The part of a photo that is shown, as (left, top, right, bottom) in its pixels.

        The part reaches beyond the photo if it shows more than the photo has. A photo narrower than the crop then lies at the crop's
        opposite edge for `across` of 1 or -1, so that moving the crop to the right always moves the photo to the left.

        Args:
            size: the photo's width and height, pixels.
            aspect: width divided by height, above 0.
        """
        largest = crop_box(size, aspect)
        widest = max(size[0] / (largest[2] - largest[0]), size[1] / (largest[3] - largest[1])) * (1 + WIDEST_MARGIN)
        edges = []
        for photo_side, start, end, place in (
            (size[0], largest[0], largest[2], self.across),
            (size[1], largest[1], largest[3], self.down),
        ):
            side = min((end - start) / self.zoom, (end - start) * widest)
            room = abs(photo_side - side)
            first = (start + end - side + place * room) / 2
            if side <= photo_side:  # `start` was rounded down, so the far edge could be missed by half a pixel
                first = min(max(first, 0), photo_side - side)
            edges.append((first, first + side))
        (left, right), (top, bottom) = edges
        return left, top, right, bottom


ROOM = 0.04
"""The free space that a crop leaves around a figure, above its head and below its feet, as a share of its height."""


def figure_crop(size: tuple[int, int], aspect: float, figure: tuple[float, float, float, float] | None) -> Crop:
    """The crop that shows the whole figure if the photo allows it, and otherwise its head rather than its feet.

    Args:
        size: the photo's width and height, pixels.
        aspect: width divided by height of the crop, above 0.
        figure: left, top, right and bottom of the figure in the photo, pixels; `None` if none was found, which gives the photo's centre.
    """
    if figure is None:
        return Crop()
    width, height = size
    left, top, right, bottom = figure
    cut_left, cut_right, cut_top, cut_bottom = left <= 0, right >= width, top <= 0, bottom >= height
    room = ROOM * (bottom - top)
    # Where the photo's own edge cuts off the figure, it needs no free space.
    top, bottom = max(0.0, top - room), min(float(height), bottom + room)
    left, right = max(0.0, left - room), min(float(width), right + room)
    crop = crop_box(size, aspect)
    crop_width, crop_height = crop[2] - crop[0], crop[3] - crop[1]
    zoom = min(1.0, crop_height / max(1.0, bottom - top), crop_width / max(1.0, right - left))
    # A figure that the photo's edge cuts off continues beyond the edge, and nothing could be put in its place.
    if (crop_width == width and cut_left and cut_right) or (crop_height == height and cut_top and cut_bottom):
        zoom = 1.0
    zoom = max(MIN_ZOOM, zoom)
    shown = Crop(zoom).box(size, aspect)
    shown_width, shown_height = shown[2] - shown[0], shown[3] - shown[1]
    first_row = (top + bottom - shown_height) / 2 if bottom - top <= shown_height + 1 else top
    first_column = (left + right - shown_width) / 2
    if shown_height > height and cut_top != cut_bottom:
        first_row = 0.0 if cut_top else height - shown_height
    if shown_width > width and cut_left != cut_right:
        first_column = 0.0 if cut_left else width - shown_width
    return Crop(
        round(float(zoom), 4), _place(width, shown_width, first_column), _place(height, shown_height, first_row)
    )


def _place(photo_side: float, side: float, first: float) -> float:
    """`Crop.across` or `down` of a crop of length `side` that begins at `first`, as near to that as the photo allows."""
    room = abs(photo_side - side)
    if room < 1:
        return 0.0
    return round(float(min(1.0, max(-1.0, (2 * first - (photo_side - side)) / room))), 4)


def cropped(photo: Image.Image, width: int, height: int, crop: Crop) -> Image.Image:
    """The part of a photo that `crop` shows, at the model's size. `cropped(..., Crop())` is `fit(..., "crop")`.

    Args:
        photo: an RGB photo of any size.
        width, height: the wanted size, pixels.

    Raises:
        ValueError: if the crop is out of range.
    """
    crop.check()
    left, top, right, bottom = crop.box(photo.size, width / height)
    seen = max(left, 0), max(top, 0), min(right, photo.width), min(bottom, photo.height)
    if seen == (left, top, right, bottom):
        return photo.resize((width, height), Image.Resampling.LANCZOS, box=seen)
    # The position of the photo's part in the frame, whole pixels.
    across, down = width / (right - left), height / (bottom - top)
    start_x, end_x = round((seen[0] - left) * across), round((seen[2] - left) * across)
    start_y, end_y = round((seen[1] - top) * down), round((seen[3] - top) * down)
    inner = photo.resize((max(1, end_x - start_x), max(1, end_y - start_y)), Image.Resampling.LANCZOS, box=seen)
    return _extended(inner, width, height, start_x, start_y)


def _extended(inner: Image.Image, width: int, height: int, start_x: int, start_y: int) -> Image.Image:
    """A picture placed in a larger frame, with its background continued to the frame's edges.

    Each row and column continues in its own colour, and after a few pixels in a softened colour that ignores everything but the
    background. So the shading of a backdrop and a floor continue, but a garment that the photo's edge cuts off leaves no stripe.
    """
    pixels = np.asarray(inner, np.float32)  # [inner height, inner width, 3]
    soft = pixels.copy()
    soft[0], soft[-1] = _edge_colours(pixels[:3]), _edge_colours(pixels[-3:])
    if inner.width < width:  # otherwise the corners belong to the upper and lower edge
        left, right = pixels[:, :3].swapaxes(0, 1), pixels[:, -3:].swapaxes(0, 1)
        # What both sides have in the same rows is the floor, a skirting board or a shadow, and no sleeve.
        difference = np.square(np.median(left, axis=0) - np.median(right, axis=0)).sum(axis=1)
        alike = np.exp(-difference / 30**2)[:, None]
        soft[:, 0], soft[:, -1] = _edge_colours(left, alike), _edge_colours(right, alike)
    margins = start_y, height - inner.height - start_y, start_x, width - inner.width - start_x
    hard, soft = (cv2.copyMakeBorder(side, *margins, cv2.BORDER_REPLICATE) for side in (pixels, soft))
    outside = cv2.copyMakeBorder(np.zeros(pixels.shape[:2], np.uint8), *margins, cv2.BORDER_CONSTANT, value=1)
    distance = cv2.distanceTransform(outside, cv2.DIST_L2, cv2.DIST_MASK_5)  # [height, width], 0 on the photo
    softness = np.clip(distance * 40 / height, 0, 1)[..., None]
    return Image.fromarray((hard + (soft - hard) * softness).round().clip(0, 255).astype(np.uint8))


def _edge_colours(strip: np.ndarray, is_background: np.ndarray | float = 0.0) -> np.ndarray:
    """The background's colour along an edge, sRGB, [length, 3].

    Args:
        strip: the outermost pixels there, [depth, length, 3].
        is_background: how certain it is that a pixel of the edge shows the background, in [0, 1], [length, 1].
    """
    line = np.median(strip, axis=0)  # [length, 3]
    # Colours that differ from most of the edge around them, such as a leg's or a sleeve's, have little weight.
    half = max(1, len(line) * 3 // 8)
    around = np.pad(line, ((half, half), (0, 0)), mode="symmetric")
    usual = np.median(np.lib.stride_tricks.sliding_window_view(around, 2 * half + 1, axis=0), axis=-1)
    weights = np.exp(-(np.square(line - usual).sum(axis=1, keepdims=True) / 30**2))
    weights = np.maximum(weights, is_background).clip(1e-3).astype(np.float32)
    reach = math.ceil(len(line) / 8) | 1
    counted, total = (
        cv2.GaussianBlur(
            value.reshape(len(line), 1, -1), (1, 2 * reach + 1), len(line) / 24, borderType=cv2.BORDER_REPLICATE
        )
        for value in (line * weights, weights)
    )
    smooth = counted.reshape(line.shape) / total.reshape(-1, 1)
    return smooth + (line - smooth) * is_background


def _border_colour(image: Image.Image) -> tuple[int, int, int]:
    """The median colour along the four edges: the studio's backdrop, unless the garment fills the picture."""
    pixels = np.asarray(image)
    edges = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    red, green, blue = np.median(edges, axis=0).round().astype(int)
    return int(red), int(green), int(blue)
