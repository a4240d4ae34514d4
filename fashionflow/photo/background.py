"""Puts the garment or person of a photo on a plain studio background, as in the training data of the shipped model.

If the optional package rembg and the weights of one of its models are on this machine, a matting network finds the figure. Otherwise the
geometry of the current model finds it, if the model has geometry and is certain. Otherwise OpenCV's GrabCut finds it, by colour alone.
Nothing is downloaded.
"""

import threading
from functools import cache
from importlib.util import find_spec

import cv2
import numpy as np
from PIL import Image

from ..errors import PhotoError
from .matte import matte, without_small_pieces
from .segmentation import UNSURE, blurriness, cleaned, continued, cut, find_figure, is_certain, shrunk


MATTING_MODELS = ("isnet-general-use", "u2net", "silueta", "u2netp")
"""The models of rembg that may be used, best first. They are free for any use and take less than two seconds per photo on a processor."""

GEOMETRY, GRABCUT = "geometry", "OpenCV GrabCut"
"""The results of `matting_in_use` if there is no matting network."""

BACKDROP = 245
"""The grey level of the studio backdrop, sRGB: nearly white, as in most training clips of the shipped model."""

DARKER_BACKDROP = 176
"""The backdrop behind a garment that is nearly white itself."""

FIGURE_SIDE = 112  # pixels, the longer side of the picture in which the figure is searched for
MASK_SIDE = 384  # pixels, the longer side at which GrabCut draws its outline
MATTING_SIDE = 1024  # pixels, the longer side of a matting network's input, and at which coverage is refined
STRIP_ROWS = 256  # rows blended at a time: a phone's photo would take a gigabyte as floats

_MAKING_SESSION = threading.Lock()


def clean_background(photo: Image.Image, coverage: np.ndarray | None = None) -> Image.Image:
    """The photo with its garment or person on a plain, nearly white background (grey behind a white garment).

    Args:
        photo: an RGB photo of any size; the result has the same.
        coverage: the figure's coverage of the photo, from a model with geometry, in [0, 1], of any size, [h, w].

    Raises:
        PhotoError: with one sentence, if no plausible figure was found; the photo should then stay unchanged.
    """
    session, used = _session(), matting_in_use(coverage)
    small = shrunk(photo, MASK_SIDE if used == GRABCUT else MATTING_SIDE)
    picture = np.asarray(small)  # [height, width, 3]
    if session is not None:
        import rembg

        coverage = np.asarray(rembg.remove(small, session=session, only_mask=True), np.float32) / 255
    elif used == GEOMETRY:
        coverage = without_small_pieces(matte(picture, coverage))
    else:
        coverage = _by_colour(picture)
    area = coverage.mean()
    if not 0.05 <= area <= 0.95:
        raise PhotoError("no-figure", part=f"{area:.0%}")
    return _composed(photo, picture, coverage)


def matting_in_use(coverage: np.ndarray | None = None) -> str:
    """The method that finds the figure: "rembg" and the model's name, `GEOMETRY` or `GRABCUT`.

    Args:
        coverage: as for `clean_background`. If it is blurred, GrabCut is better: it knows nothing of people but needs no plain background.
    """
    session = _session()
    if session is not None:
        return f"rembg {session.model_name}"
    return GEOMETRY if coverage is not None and blurriness(coverage) < UNSURE else GRABCUT


def _session():
    with _MAKING_SESSION:  # two visitors at once would load the network twice
        return _make_session()


@cache
def _make_session():
    """A session of the best rembg model whose weights are on this machine, or None. It is created once in a process."""
    # rembg cannot be imported without onnxruntime, which is not among its own requirements.
    if find_spec("rembg") is None or find_spec("onnxruntime") is None:
        return None
    import rembg
    from rembg.sessions import sessions_class

    classes = {session_class.name(): session_class for session_class in sessions_class}
    for name in MATTING_MODELS:
        # rembg itself would download missing weights.
        if name in classes and classes[name].resolve_existing(f"{name}.onnx"):
            return rembg.new_session(name)
    return None


def _by_colour(picture: np.ndarray) -> np.ndarray:
    """Finds the figure by colour: float32 in [0, 1], [height, width], for a picture of uint8 sRGB, [height, width, 3]."""
    height, width = picture.shape[:2]
    small = np.asarray(shrunk(Image.fromarray(picture), FIGURE_SIDE))
    rough = find_figure(small)
    if rough is None or not is_certain(small, rough):
        raise ValueError(
            "The background was left as it is, because the garment cannot be distinguished from it; "
            "choose a photo of one garment on a background of another colour."
        )
    # The true outline lies within a band around the rough outline.
    rough = cv2.resize(rough, (width, height), interpolation=cv2.INTER_LINEAR)
    reach = max(3, round(0.025 * max(height, width)))
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
    start = np.where(rough > 0, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
    start[cv2.erode(rough, disc, borderType=cv2.BORDER_REFLECT) > 0] = cv2.GC_FGD
    start[cv2.dilate(rough, disc) == 0] = cv2.GC_BGD
    mask = cleaned(cut(picture, start, 2)).astype(np.float32)
    return cv2.GaussianBlur(mask, (0, 0), 1.0, borderType=cv2.BORDER_REFLECT)


def _composed(photo: Image.Image, picture: np.ndarray, coverage: np.ndarray) -> Image.Image:
    """The photo's figure in front of the backdrop.

    Args:
        picture: the photo shrunk, uint8 sRGB, [height, width, 3].
        coverage: where the figure is in it, float32 in [0, 1], [height, width].
    """
    certain = cv2.erode((coverage > 0.5).astype(np.uint8), np.ones((3, 3), np.uint8), iterations=2)
    # Along the edge, the figure's own colours are continued outwards; otherwise the old background would be visible there as a seam.
    colours = continued(picture, certain.astype(bool)).astype(np.float32)
    photographed = cv2.GaussianBlur(certain.astype(np.float32), (0, 0), 1.5)
    edge = (coverage > 0.5) & (certain == 0)
    light = np.median(colours[edge].min(axis=-1)) if edge.any() else 0
    backdrop = DARKER_BACKDROP if light > 205 else BACKDROP
    layers = np.dstack([colours, photographed, coverage])  # [height, width, 5]
    result = np.empty((photo.height, photo.width, 3), np.uint8)
    scale_x, scale_y = picture.shape[1] / photo.width, picture.shape[0] / photo.height
    columns = (np.arange(photo.width, dtype=np.float32) + 0.5) * scale_x - 0.5
    for top in range(0, photo.height, STRIP_ROWS):
        rows = (np.arange(top, min(top + STRIP_ROWS, photo.height), dtype=np.float32) + 0.5) * scale_y - 0.5
        places = np.broadcast_arrays(columns[None], rows[:, None])
        strip = cv2.remap(
            layers, *map(np.ascontiguousarray, places), cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        )  # [rows, width, 5]
        own = np.asarray(photo.crop((0, top, photo.width, top + len(rows))), np.float32)
        figure = strip[..., :3] + (own - strip[..., :3]) * strip[..., 3:4]
        result[top : top + len(rows)] = backdrop + (figure - backdrop) * strip[..., 4:] + 0.5
    return Image.fromarray(result)
