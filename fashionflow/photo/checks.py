"""Plain warnings about a photo before a clip is made from it, each with a remedy if there is one."""

from dataclasses import dataclass

import cv2
import numpy as np
from PIL import Image, ImageFilter

from .background import FIGURE_SIDE, GRABCUT, clean_background, matting_in_use
from .cropping import MAX_ZOOM, MIN_ZOOM, Crop, crop_box
from .segmentation import covered, find_figure, is_certain, shrunk
from .turning_checks import OBSTACLES, obstacle, piece_in


__all__ = ["SENTENCES", "Advice", "advise", "clean_background", "matting_in_use", "remedy"]


SENTENCES = {
    "no-garment": "There is hardly anything to see in this picture; choose a photo of a garment.",
    "no-figure": "No garment or person was found in the photo, so nothing in it will move; choose another photo, or crop closer.",
    "drawing": "This looks like a drawing, and its lines will smear when they turn; choose a photo of the garment.",
    "several": "Several people or garments were found, and they would turn about one axis; crop the photo to one of them.",
    "fills": "The garment fills the picture, so its edges are not seen and it can hardly turn; choose a photo that shows all of it.",
    "too-dark": "The photo is very dark, and the clip will be as dark.",
    "hidden": "A part of the garment lies outside of the crop and will be missing in the clip.",
    "ends-below": (
        "The photo ends before the garment or person does, at its lower edge; someone cut off there hardly turns, "
        "so a photo in full length gives a better clip."
    ),
    "ends-above": "The photo ends before the garment or person does, at its upper edge; what is missing stays missing.",
    "ends-beside": "The garment runs out of the photo at its side; what is missing stays missing when it turns.",
    "busy-background": "The background is busy; the model knows plain ones, and this one will smear when the garment turns.",
    "unclear": (
        "Where the garment ends is hard to tell from its surroundings, and its edges will smear when it turns; "
        "a plain background of another colour helps."
    ),
    "blurry": "The photo is blurry, and the clip will be as soft.",
    "too-small": (
        "Only {width} x {height} pixels are seen of the photo, fewer than the clip's {clip_width} x {clip_height}; "
        "the clip will be soft."
    ),
    "sideways": "The photo is wider than it is high, but the model makes upright clips; turn it if the garment lies sideways.",
}
"""The English sentences, by `Advice.key`; the values of the names in braces are in `Advice.values`."""

MOST_ADVICE = 2
"""Nobody would read more warnings at once."""

# Chosen on about 200 photos of garments, sharp, blurred and darkened, and on the example photos; see tests/test_photo_checks.py.
BLURRY = 0.45  # squared Laplacian per squared gradient at the strongest edges: 1.9 and more in 100 sharp photos
BUSY = 10.0  # CIE Lab distance from a smooth backdrop that a fifth of the background exceeds: at most 4 in a studio
BUSY_UNKNOWN = 15.0  # the same if no garment was found: a part of it may lie at the border
DARK = 35.0  # CIE lightness that 95 of 100 pixels stay below
UNIFORM = 10.0  # CIE Lab units between the 1st and the 99th percentile of an empty picture
SMALL = 0.8  # pixels of the photo for each pixel of the clip, along a side
HIDDEN = 0.012  # share of the garment that the crop may hide without a warning
ENDING = 0.15  # share of an edge along which a garment runs out of the photo
ENDING_BELOW = 0.07  # the same for the lower edge, where only two legs may run out
WIDE = 1.2  # width over height of a photo that may lie on its side
SHARP_HEIGHT = 320  # pixels, the crop's height at which blur is judged
MARGIN = 0.04  # share of the garment's size that "show-all" leaves around it


@dataclass(frozen=True)
class Advice:
    """One warning.

    Args:
        kind: "no-garment", "several", "too-dark", "cut-off", "busy-background", "blurry", "too-small" or "sideways".
        key: the key of its sentence in `SENTENCES`.
        values: the values of the names in the sentence's braces.
        remedy: the name of its remedy for `remedy`, or None.
    """

    kind: str
    key: str
    values: dict
    remedy: str | None = None

    def sentence(self) -> str:
        return SENTENCES[self.key].format(**self.values)


def advise(
    photo: Image.Image, width: int, height: int, crop: Crop, coverage: np.ndarray | None = None
) -> list[Advice]:
    """The most important warnings about a photo, most important first, at most `MOST_ADVICE`; none for a good photo.

    Args:
        photo: an upright RGB photo of any size.
        width, height: the clip's size, pixels.
        crop: the part of the photo that the clip starts from.
        coverage: the figure's coverage from a model with geometry, in [0, 1], of any size, [h, w]. Without it, the figure is searched
            for by colour.

    Raises:
        ValueError: if the crop is out of range.
    """
    crop.check()
    box = np.array(crop.box(photo.size, width / height))
    # Blocks are averaged first: this is ten times faster than a good resampling of a phone's photo, and as good after the second one.
    photo_small = photo.reduce(max(1, max(photo.size) // (4 * FIGURE_SIDE)))
    whole = np.asarray(shrunk(photo_small, FIGURE_SIDE))
    seen = _seen(whole, photo.size, box)
    lab = cv2.cvtColor(whole.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    darkest, lightest = np.quantile(lab[seen].reshape(-1, 3), [0.01, 0.99], axis=0)
    if (lightest - darkest).max() < UNIFORM:
        return [Advice("no-garment", "no-garment", {})]
    found = []
    if np.quantile(lab[seen][..., 0], 0.95) < DARK:
        found.append(Advice("too-dark", "too-dark", {}, "brighten"))
    if coverage is not None:
        figure = covered(coverage, whole.shape[:2])
        key = obstacle(whole, figure, seen, coverage, np.asarray(photo_small))
        if key is not None:
            helps = key == "unclear" and _can_be_cut_out(whole, find_figure(whole))
            found.append(Advice(OBSTACLES[key], key, {}, "clean-background" if helps else None))
        figure = piece_in(figure, seen)
        # A model with geometry turns a figure that the photo's edges cut off, and keeps a busy background unchanged.
        cut_off = [advice for advice in _cut_off(figure, seen) if advice.key == "hidden"]
        busy, certain = False, key is None
    else:
        figure = find_figure(whole)
        cut_off = [] if figure is None else _cut_off(figure, seen)
        busy = _unevenness(lab, figure, seen) > (BUSY if figure is not None else BUSY_UNKNOWN)
        # Checked only if it matters, because it takes as long as all the rest.
        certain = figure is not None and bool(cut_off or busy) and is_certain(whole, figure)
    if not certain:
        cut_off = []
    if photo.width > WIDE * photo.height and crop == Crop() and _may_lie_on_its_side(figure):
        found.append(Advice("sideways", "sideways", {}, cut_off[0].remedy if cut_off else None))
    else:
        found += cut_off
    if busy:
        helps = certain or _can_be_cut_out(whole, None)
        found.append(Advice("busy-background", "busy-background", {}, "clean-background" if helps else None))
    pixels = round(box[2] - box[0]), round(box[3] - box[1])
    if pixels[0] < SMALL * width:
        values = {"width": pixels[0], "height": pixels[1], "clip_width": width, "clip_height": height}
        found.append(Advice("too-small", "too-small", values, "zoom-out" if crop.zoom > 1 else None))
    elif _sharpness(photo, photo_small, box) < BLURRY:
        found.append(Advice("blurry", "blurry", {}, "sharpen"))
    return found[:MOST_ADVICE]


def _can_be_cut_out(picture: np.ndarray, figure: np.ndarray | None) -> bool:
    """Whether "clean-background" can help: without a matting network, only if the figure can be found by colour with certainty."""
    return matting_in_use() != GRABCUT or figure is not None and is_certain(picture, figure)


def remedy(
    name: str, photo: Image.Image, width: int, height: int, crop: Crop, coverage: np.ndarray | None = None
) -> tuple[Image.Image, Crop]:
    """The photo and the crop after a remedy; the one that the remedy does not change is returned as it was.

    Args:
        name: `Advice.remedy`: "show-all" and "zoom-out" change the crop, "clean-background", "sharpen" and "brighten" the
            photo.
        photo, width, height, crop, coverage: as for `advise`.

    Raises:
        ValueError: with one sentence, if the background cannot be cleaned, or if there is no such remedy.
    """
    crop.check()
    if name == "show-all":
        whole = np.asarray(shrunk(photo.reduce(max(1, max(photo.size) // (4 * FIGURE_SIDE))), FIGURE_SIDE))
        if coverage is None:
            figure = find_figure(whole)
        else:
            seen = _seen(whole, photo.size, crop.box(photo.size, width / height))
            figure = piece_in(covered(coverage, whole.shape[:2]), seen)
        return photo, crop if figure is None else _whole_figure(figure, photo.size, width / height)
    if name == "zoom-out":
        left, _, right, _ = crop.box(photo.size, width / height)
        return photo, Crop(max(1.0, crop.zoom * min(1.0, (right - left) / width)), crop.across, crop.down)
    if name == "clean-background":
        return clean_background(photo, coverage), crop
    if name == "sharpen":
        _, top, _, bottom = crop.box(photo.size, width / height)
        radius = 1.5 * (bottom - top) / SHARP_HEIGHT
        return photo.filter(ImageFilter.UnsharpMask(radius, percent=120, threshold=2)), crop
    if name == "brighten":
        return _brightened(photo), crop
    raise ValueError(f"`name` must be show-all, zoom-out, clean-background, sharpen or brighten, got {name!r}.")


def _seen(picture: np.ndarray, size: tuple[int, int], box: tuple[float, float, float, float]) -> tuple[slice, slice]:
    """The rows and columns that a crop shows, in a small copy of a photo.

    Args:
        picture: [height, width, 3].
        size: the photo's width and height, pixels.
        box: the crop's left, top, right and bottom in the photo.
    """
    ends = np.array(picture.shape[1::-1] * 2)
    left, top, right, bottom = (np.array(box) * ends / (size * 2)).round().astype(int).clip(0, ends)
    # A crop may show less than a pixel of a thin strip.
    left, top = min(left, ends[0] - 1), min(top, ends[1] - 1)
    return np.s_[top : max(bottom, top + 1), left : max(right, left + 1)]


def _cut_off(figure: np.ndarray, seen: tuple[slice, slice]) -> list[Advice]:
    """At most one warning about a figure, given by its mask, that the crop or the photo cuts off; `seen` is the crop's rows and columns."""
    inside = figure[seen].sum()
    if inside < (1 - HIDDEN) * figure.sum():
        return [Advice("cut-off", "hidden", {}, "show-all")]
    beside = max(figure[:, 0].mean(), figure[:, -1].mean())
    ends = (
        ("ends-below", figure[-1].mean() > ENDING_BELOW),
        ("ends-above", figure[0].mean() > ENDING),
        ("ends-beside", beside > ENDING),
    )
    return [Advice("cut-off", key, {}) for key, happens in ends if happens][:1]


def _whole_figure(figure: np.ndarray, size: tuple[int, int], aspect: float) -> Crop:
    """The crop with the whole figure in its middle, as nearly as the photo's edges and `MIN_ZOOM` allow."""
    scale = np.array([size[0] / figure.shape[1], size[1] / figure.shape[0]])
    left, top, box_width, box_height = cv2.boundingRect(figure)
    wanted = np.array([box_width, box_height]) * scale * (1 + 2 * MARGIN)
    centre = (np.array([left, top]) + np.array([box_width, box_height]) / 2) * scale
    largest = crop_box(size, aspect)
    zoom = min((largest[2] - largest[0]) / wanted[0], (largest[3] - largest[1]) / wanted[1], 1.0)
    zoom = float(np.clip(zoom, MIN_ZOOM, MAX_ZOOM))
    box = Crop(zoom).box(size, aspect)
    room = np.abs(np.array(size) - (box[2] - box[0], box[3] - box[1])) / 2
    across, down = ((centre - np.array(size) / 2) / np.maximum(room, 1e-6)).clip(-1, 1)
    return Crop(zoom, float(across), float(down))


def _unevenness(lab: np.ndarray, figure: np.ndarray | None, seen: tuple[slice, slice]) -> float:
    """How far the background is from a smoothly shaded backdrop: the 80th percentile of the pixels' distances from it.

    Args:
        lab: the photo in CIE Lab, [height, width, 3].
        figure: its garment's mask, [height, width], or None if it is not known.
        seen: the crop's rows and columns.
    """
    height, width = lab.shape[:2]
    ground = np.ones((height, width), np.uint8)
    if figure is not None:
        ground = 1 - cv2.dilate(figure, np.ones((7, 7), np.uint8))
    else:  # garments lie in the middle
        ground[height // 8 :, width // 8 : -(width // 8)] = 0
    visible = np.zeros_like(ground)
    visible[seen] = 1
    ground = (ground & visible) > 0
    if ground.mean() < 0.04:
        return 0.0
    rows, columns = np.mgrid[0:height, 0:width] / height
    terms = np.stack([np.ones_like(rows), rows, columns, rows**2, columns**2, rows * columns], axis=-1)[ground]
    colours = lab[ground]  # [pixels, 3]
    weights = np.ones((len(colours), 1))
    for _ in range(2):  # in the second round, pixels off the backdrop have less weight
        backdrop = terms @ np.linalg.lstsq(terms * weights, colours * weights, rcond=None)[0]
        distances = np.linalg.norm(colours - backdrop, axis=1)
        weights = 1 / (1 + np.square(distances[:, None] / 6))
    return float(np.quantile(distances, 0.8))


def _sharpness(photo: Image.Image, photo_small: Image.Image, box: np.ndarray) -> float:
    """The Laplacian's energy divided by the gradient's energy, at the strongest edges of the crop; steep edges give a high value.

    The plain variance of the Laplacian would rate every plain garment as blurry and every print as sharp.
    """
    smaller = photo_small.height / photo.height
    if (box[3] - box[1]) * smaller > 1.2 * SHARP_HEIGHT:  # the small photo is large enough, and much faster
        photo, box = photo_small, box * smaller
    left, top, right, bottom = box.clip(0, photo.size * 2)
    scale = min(1.0, SHARP_HEIGHT / (box[3] - box[1]))
    size = max(16, round((right - left) * scale)), max(16, round((bottom - top) * scale))
    frame = photo.resize(size, Image.Resampling.LANCZOS, box=(left, top, right, bottom), reducing_gap=2.0)
    grey = cv2.cvtColor(np.asarray(frame), cv2.COLOR_RGB2GRAY).astype(np.float32)
    energy = sum(cv2.Sobel(grey, cv2.CV_32F, *order, scale=1 / 8) ** 2 for order in ((1, 0), (0, 1)))
    edges = cv2.dilate((energy >= np.quantile(energy, 0.97)).astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    return float(np.square(cv2.Laplacian(grey, cv2.CV_32F)[edges]).sum() / max(energy[edges].sum(), 1e-6))


def _may_lie_on_its_side(figure: np.ndarray | None) -> bool:
    """Whether the figure may lie on its side: it is wider than any garment that is spread out, or it is unknown."""
    if figure is None:
        return True
    _, _, box_width, box_height = cv2.boundingRect(figure)
    return box_width > 2 * box_height


def _brightened(photo: Image.Image) -> Image.Image:
    """The photo with a longer exposure: its lightest parts are as light as usual, and the proportions of all colours are kept."""
    lightest = np.quantile(np.asarray(shrunk(photo, 4 * FIGURE_SIDE)).max(axis=-1), 0.98)
    gain = float(np.clip(230 / max(lightest, 1), 1, 6))
    return photo.point([min(255, round(level * gain)) for level in range(256)] * 3)
