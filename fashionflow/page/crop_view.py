"""The whole photo with the crop's frame drawn on it, and what the model has understood of it."""

import base64
from html import escape
from io import BytesIO

import cv2
import numpy as np
from PIL import Image

from ..photo.reading import Crop
from .languages import Words


LONG_SIDE = 640
"""Of the copy of the photo that is drawn, in pixels: the view is at most 400 px high."""

CUT_OUT = (234, 88, 12)
"""The colour over the figure, sRGB: the page's orange, one step lighter than its accent."""
CUT_OUT_OPACITY = 0.45


def crop_view(
    words: Words, photo: Image.Image, crop: Crop, aspect: float, coverage: np.ndarray | None = None, axis: float = 0.5
) -> str:
    """The view as HTML. scripts/crop.js moves the frame under a finger, by `data-places`: by how much `across` and `down` change over the
    whole width and height of the view, and what they are.

    Args:
        words: the visitor's language.
        photo: the whole photo.
        crop: the part of it that becomes the clip.
        aspect: the clip's width divided by its height.
        coverage, axis: what the pipeline's `coverage_and_axis_of` says of the photo.
    """
    box = crop.box(photo.size, aspect)
    left, top = min(0, box[0]), min(0, box[1])
    width, height = max(photo.width, box[2]) - left, max(photo.height, box[3]) - top

    def place(x_0: float, y_0: float, x_1: float, y_1: float) -> str:
        shares = ((x_0 - left) / width, (y_0 - top) / height, (x_1 - x_0) / width, (y_1 - y_0) / height)
        names = ("left", "top", "width", "height")
        return ";".join(f"{name}:{100 * share:.3f}%" for name, share in zip(names, shares, strict=True))

    whole = place(0, 0, *photo.size)
    small = photo.copy()
    small.thumbnail((LONG_SIDE, LONG_SIDE), reducing_gap=2)
    parts = [f'<img class="photo" style="{whole}" alt="{escape(words("photo.label"))}" src="{_url(small, "JPEG")}">']
    if coverage is not None:
        parts.append(
            f'<img class="cut-out" style="{whole}" alt="" src="{_url(_cut_out(coverage, small.size), "PNG")}">'
        )
        x = axis * photo.width
        parts.append(f'<div class="axis" style="{place(x, 0, x, photo.height)}"></div>')
    parts.append(f'<div class="frame" style="{place(*box)}"></div>')
    rooms = (photo.width - (box[2] - box[0]), photo.height - (box[3] - box[1]))
    places = [2 * side / abs(room) if abs(room) >= 1 else 0 for side, room in zip((width, height), rooms, strict=True)]
    return (
        f'<div class="crop-view" style="--aspect:{width / height:.4f}" data-places="{places[0]:.3f} {places[1]:.3f} {crop.across} {crop.down}">'
        f"{''.join(parts)}</div>"
    )


def _cut_out(coverage: np.ndarray, size: tuple[int, int]) -> Image.Image:
    """The figure in one colour, transparent elsewhere, mode "RGBA"."""
    alpha = cv2.resize(coverage, size, interpolation=cv2.INTER_LINEAR) * 255 * CUT_OUT_OPACITY
    picture = Image.new("RGBA", size, CUT_OUT)
    picture.putalpha(Image.fromarray(alpha.round().astype(np.uint8)))
    return picture


def _url(picture: Image.Image, kind: str) -> str:
    file = BytesIO()
    picture.save(file, kind, quality=82)
    return f"data:image/{kind.lower()};base64,{base64.b64encode(file.getvalue()).decode()}"
