"""Judges whether a clip keeps the garment of its photo: its colours and its pattern, frame by frame.

If the model that made the clip has geometry, it tells where the garment is. In other clips, colour separates it from a plain background.

Colours are compared as two palettes, so that a turn, which shows more of one side, changes little. The pattern is compared patch by
patch: whether the patches of a frame's garment can be found in the photo, and whether they have as much detail.

Frames are uint8 RGB, [height, width, 3]. Colours are CIE Lab under D65: L in [0, 100], a and b in about [-100, 100].
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache, cached_property

import cv2
import numpy as np
from PIL import Image

from .colour_difference import palette, palette_difference, to_lab
from .garment_region import NECKLINE, Figure, find_figure, garment_bottom, garment_region


MOST_FRAMES = 36
"""The largest number of frames of a clip that are judged, evenly spaced in time. A chart of a few seconds cannot show more."""

VERDICTS = ("kept", "slightly off", "lost")

# The limits at which a clip is no longer "kept" and at which it is "lost", for the worst quarter of its frames. They were measured on 38
# rendered test clips, whose garment is correct by definition: 37 stay below the first limit of colour and 35 above the first limit of
# similarity. Of copies with the hue turned by 20 degrees, 76 % are off in colour. Copies that are dissolved in noise by 30 % are all off
# in pattern, and 74 % of them are lost. A plain garment has no pattern to lose, so blur changes little in it.
COLOUR_LIMITS = (3.0, 6.0)
SIMILARITY_LIMITS = (0.70, 0.50)

LARGEST_DIFFERENCE = 100.0
"""About that of black and white."""

SENTENCES = {
    "kept": "The garment keeps its colours and its pattern.",
    "colour slightly off": "The garment keeps its pattern, but its colours are slightly off.",
    "pattern slightly off": "The garment keeps its colours, but its pattern is slightly off.",
    "both slightly off": "The garment's colours and its pattern are slightly off.",
    "colour lost": "The garment's colours are not those of the photo.",
    "pattern lost": "The garment's pattern is not that of the photo.",
    "both lost": "Neither the garment's colours nor its pattern are those of the photo.",
}
"""The English sentence for each `Fidelity.sentence_key`."""

PATCH = 12
"""Pixels along one side of a patch: the size of a print's motif on a figure of 300 pixels."""
FRAME_STRIDE, PHOTO_STRIDE = 8, 2
NARROWINGS = (1.0, 0.75, 0.5)
"""Factors for the width of the photo in which patches are searched; a print turned by 60 degrees is half as wide."""
SEARCH = 0.1
"""How far up and down a patch is searched, as a share of the figure's height. Sideways it is searched everywhere."""
WORKING_HEIGHT = 320
"""Pixels. Larger pictures are scaled down to this height, so that a patch always shows as much and a clip always takes as long."""
SMALLEST_REGION = 200
"""The number of garment pixels that is enough to judge a garment."""
UNSEEN_CONTRAST = 18.0
"""The variance of a patch, in Lab squared, below which its contrast comes from folds and shading rather than from a pattern."""


def by_colour(picture: Image.Image) -> None:
    """The `coverage_of` of a model without geometry. It gives no coverage, so the figure is found by colour."""
    return


@dataclass(frozen=True)
class Fidelity:
    """How closely a clip matches its photo.

    Args:
        indices: the indices of the judged frames, [N].
        seconds: the times at which they are shown, [N]; counted in frames if no frame rate was given.
        colour_difference: CIE Delta E 2000 (2:1:1) between the garment's colours and those in the photo, [N]. 0 is the same, 1
            the smallest difference that people see side by side.
        similarity: how much of the pattern is the photo's pattern, in [0, 1], [N]. The photo itself has 1; cloth that turns and folds has
            0.7 to 0.95.
        found: whether a garment was found in the photo; otherwise everything that is not background was compared.
    """

    indices: np.ndarray
    seconds: np.ndarray
    colour_difference: np.ndarray
    similarity: np.ndarray
    found: bool

    @property
    def score(self) -> float:
        """One number for the clip: 1 is the photo itself, above 2/3 the garment is kept, below 1/3 it is lost. It is the worse of colour
        and pattern, in the worst quarter of the frames."""
        colour, similarity = self.worst_quarter
        return min(
            _score(colour, (0.0, *COLOUR_LIMITS)), _score(1 - similarity, (0.0, *(1 - s for s in SIMILARITY_LIMITS)))
        )

    @property
    def worst_frame(self) -> int:
        """The index of the judged frame that differs most from the photo."""
        colour = self.colour_difference / COLOUR_LIMITS[0]
        return int(self.indices[np.argmax(np.maximum(colour, (1 - self.similarity) / (1 - SIMILARITY_LIMITS[0])))])

    @property
    def worst_quarter(self) -> tuple[float, float]:
        """The colour difference that three quarters of the frames stay below, and the similarity that they stay above."""
        return float(np.quantile(self.colour_difference, 0.75)), float(np.quantile(self.similarity, 0.25))

    @property
    def verdict(self) -> str:
        """One of `VERDICTS`, the worse of colour and pattern."""
        return VERDICTS[max(self._severities)]

    @property
    def sentence_key(self) -> str:
        """A key of `SENTENCES`."""
        colour, pattern = self._severities
        if colour == pattern == 0:
            return VERDICTS[0]
        what = "both" if colour == pattern else "colour" if colour > pattern else "pattern"
        # "The garment keeps its pattern, but ..." would be wrong if the colour is lost and the pattern is off. Therefore the sentences
        # for "lost" do not mention the other property.
        return f"{what} {self.verdict}"

    @property
    def sentence(self) -> str:
        return SENTENCES[self.sentence_key]

    @property
    def _severities(self) -> tuple[int, int]:
        colour, similarity = self.worst_quarter
        return (
            sum(bool(colour > limit) for limit in COLOUR_LIMITS),
            sum(bool(similarity < limit) for limit in SIMILARITY_LIMITS),
        )


def _score(flaw: float, limits: tuple[float, float, float]) -> float:
    """1 for no flaw, 2/3 and 1/3 at the limits, and 0 at twice the last one; straight lines between them."""
    return float(np.interp(flaw, (*limits, 2 * limits[-1]), (1, 2 / 3, 1 / 3, 0)))


def fidelity(
    frames: np.ndarray | Iterable[np.ndarray],
    photo: np.ndarray,
    fps: float | None = None,
    coverage_of: Callable[[Image.Image], np.ndarray | None] = by_colour,
) -> Fidelity:
    """Judges a clip by the photo that it was made from.

    Args:
        frames: the clip, uint8 RGB [F, height, width, 3], or its frames one by one; then at most twice `MOST_FRAMES` of them are in
            memory at a time.
        photo: the photo as the pipeline fits it, uint8 RGB, [height, width, 3]. Another size is scaled to that of the frames.
        fps: frames a second, for `Fidelity.seconds`.
        coverage_of: returns where the figure is in a picture, like `FashionFlowPipeline.coverage_of`.

    Raises:
        ValueError: if there are no frames, or the frames or the photo are not such pictures.
    """
    garment, kept, indices, stride = None, [], [], 1
    for index, frame in enumerate(frames):
        if garment is None:
            _check(frame, "frames")
            _check(photo, "photo")
            garment = Garment(_resized(photo, frame.shape[1::-1]), coverage_of)
        if index % stride == 0:
            kept.append(frame)
            indices.append(index)
        if len(kept) > 2 * MOST_FRAMES:
            kept, indices, stride = kept[::2], indices[::2], 2 * stride
    if garment is None:
        raise ValueError("`frames` must hold at least one frame, got none.")
    chosen = np.linspace(0, len(kept) - 1, min(MOST_FRAMES, len(kept))).round().astype(int)
    judged = np.array([garment.compare(kept[number]) for number in chosen])  # [N, 2]
    indices = np.array(indices)[chosen]
    return Fidelity(indices, indices / (fps or 1), judged[:, 0], judged[:, 1], garment.found)


class Garment:
    """A photo's garment, prepared for the comparison with single frames.

    Args:
        photo: uint8 RGB, [height, width, 3].
        coverage_of: as for `fidelity`.

    Raises:
        ValueError: if the photo is not such a picture.
    """

    def __init__(self, photo: np.ndarray, coverage_of: Callable[[Image.Image], np.ndarray | None] = by_colour):
        _check(photo, "photo")
        self._coverage_of = coverage_of
        shrink = min(1, WORKING_HEIGHT / photo.shape[0])
        self._size = tuple(max(PATCH, round(side * shrink)) for side in photo.shape[1::-1])
        photo = _resized(photo, self._size)
        self._lab = to_lab(photo)
        self._figure = find_figure(photo, coverage_of(Image.fromarray(photo)))
        self._bottom = garment_bottom(self._lab, self._figure)
        region = garment_region(photo.shape, self._figure, NECKLINE, self._bottom)
        self.found = bool(region.sum() >= SMALLEST_REGION)
        # A garment in skin colours would vanish if skin were left out.
        self._leaves_skin = self.found and _skin(self._lab[region]).mean() < 0.15
        self._region = self._region_in(self._lab, self._figure)
        self._palette = palette(self._lab[self._region]) if self._region.any() else None
        self._contrasts = _contrasts(_patches(self._lab, *_places(self._region, FRAME_STRIDE)))

    def compare(self, frame: np.ndarray) -> tuple[float, float]:
        """Colour difference and similarity of one frame, as in `Fidelity`.

        Raises:
            ValueError: if the frame is not a uint8 RGB picture.
        """
        _check(frame, "frame")
        frame = _resized(frame, self._size)
        coverage = self._coverage_of(Image.fromarray(frame))
        figure = find_figure(frame, coverage) or self._figure
        shift = 0
        if figure is not None and self._figure is not None:
            scale = self._figure.height / figure.height
            if abs(scale - 1) > 0.03 and 0.5 < scale < 2:  # the person walks closer, and the print grows
                frame = _resized(frame, tuple(round(side * scale) for side in self._size))
                figure = find_figure(frame, coverage) or figure
            shift = self._figure.top - figure.top
        lab = to_lab(frame)
        region = self._region_in(lab, figure)
        if self._palette is None or not region.any():  # nothing of a garment is left to compare
            return LARGEST_DIFFERENCE, 0.0
        tops, lefts = _places(region, FRAME_STRIDE)
        patches = _patches(lab, tops, lefts)
        if not len(patches):
            return palette_difference(palette(lab[region]), self._palette), 0.0
        similarity = self._found_in_photo(patches, tops + shift) * _alike(_contrasts(patches), self._contrasts).mean()
        return palette_difference(palette(lab[region]), self._palette), float(similarity)

    def _found_in_photo(self, patches: np.ndarray, tops: np.ndarray) -> float:
        """How well each patch, [N, K], matches the best patch of the photo at a similar height, averaged over the patches."""
        entries, entry_tops, energies = self._dictionary
        own = np.square(patches).sum(axis=1)
        reach = SEARCH * (self._figure.height if self._figure else len(self._lab))
        best = np.zeros(len(patches), np.float32)
        for top in np.unique(tops):
            row = tops == top
            start, end = np.searchsorted(entry_tops, [top - reach, top + reach])
            if end > start:
                covariances = patches[row] @ entries[start:end].T  # [n, M]
                total = own[row, None] + energies[start:end] + UNSEEN_CONTRAST
                best[row] = ((2 * covariances + UNSEEN_CONTRAST) / total).max(axis=1)
        return float(best.clip(min=0).mean())

    @cached_property
    def _dictionary(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The photo's patches at every narrowing, [M, K], sorted by their tops, [M], and their variances, [M]."""
        height, width = self._region.shape
        whole = self._region
        if self.found:  # search the photo's whole garment, including the sleeves
            around = NECKLINE - 0.03, min(1.0, self._bottom + 0.03)
            whole = garment_region(whole.shape, self._figure, *around, share=1.0)
        entries, tops = [], []
        for narrowing in NARROWINGS:
            size = (max(PATCH, round(width * narrowing)), height)
            lab = _resized(self._lab, size)
            places = _places(_resized(whole.astype(np.uint8), size) > 0, PHOTO_STRIDE)
            entries.append(_patches(lab, *places))
            tops.append(places[0])
        entries, tops = np.concatenate(entries), np.concatenate(tops)
        order = np.argsort(tops, kind="stable")
        return entries[order], tops[order], np.square(entries[order]).sum(axis=1)

    def _region_in(self, lab: np.ndarray, figure: Figure | None) -> np.ndarray:
        """Where the garment is in a frame. If no garment was found, everything except the background; if no figure was found,
        everything."""
        if self.found:
            region = garment_region(lab.shape, figure, NECKLINE, self._bottom)
            without_skin = region & ~_skin(lab) if self._leaves_skin else region
            # A garment that has turned skin-coloured, or has nearly disappeared, is judged as well.
            return without_skin if without_skin.sum() > 0.3 * region.sum() else region
        return figure.mask if figure is not None else np.ones(lab.shape[:2], dtype=bool)


def _skin(lab: np.ndarray) -> np.ndarray:
    """Where a colour could be skin, of any person: its hue lies between red and yellow, and it is neither grey nor vivid."""
    hue, chroma = np.arctan2(lab[..., 2], lab[..., 1]), np.hypot(lab[..., 1], lab[..., 2])
    return (hue > np.radians(30)) & (hue < np.radians(75)) & (chroma > 10) & (chroma < 42) & (lab[..., 0] > 15)


def _places(region: np.ndarray, stride: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns of the top left corners of patches, whose centres are in a region."""
    rows, columns = (np.arange(0, side - PATCH + 1, stride) for side in region.shape)
    rows, columns = (grid.ravel() for grid in np.meshgrid(rows, columns, indexing="ij"))
    inside = region[rows + PATCH // 2, columns + PATCH // 2]
    return rows[inside], columns[inside]


def _patches(lab: np.ndarray, tops: np.ndarray, lefts: np.ndarray) -> np.ndarray:
    """Patches without their mean colours, [N, K], as coefficients whose products are covariances. They hold the lower two thirds of the
    lightness frequencies and the lower third of the colour frequencies, because eyes and cameras see no finer colours."""
    coefficients = []
    for channel, count in enumerate((8, 4, 4)):
        windows = np.lib.stride_tricks.sliding_window_view(lab[..., channel], (PATCH, PATCH))[tops, lefts]
        coefficients.append(windows.reshape(len(tops), PATCH**2) @ _cosines(count).T)
    return np.concatenate(coefficients, axis=1) / PATCH


@cache
def _cosines(count: int) -> np.ndarray:
    """The first `count` by `count` basis functions of the discrete cosine transform of a patch, except the constant one."""
    waves = cv2.dct(np.eye(PATCH, dtype=np.float32), flags=cv2.DCT_ROWS).T[:count]  # [count, PATCH]
    return np.einsum("ay,bx->abyx", waves, waves).reshape(count**2, -1)[1:]


def _contrasts(patches: np.ndarray) -> np.ndarray:
    """The deciles of the patches' contrast, [9]."""
    if not len(patches):
        return np.zeros(9)
    return np.quantile(np.sqrt(np.square(patches).sum(axis=1)), np.linspace(0.1, 0.9, 9))


def _alike(contrasts: np.ndarray, others: np.ndarray) -> np.ndarray:
    """1 for equal contrasts, near 0 if one is many times the other."""
    return (2 * contrasts * others + UNSEEN_CONTRAST) / (contrasts**2 + others**2 + UNSEEN_CONTRAST)


def _check(picture: np.ndarray, name: str) -> None:
    if getattr(picture, "dtype", None) != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3 or not picture.size:
        got = f"{picture.dtype} {list(picture.shape)}" if isinstance(picture, np.ndarray) else type(picture).__name__
        raise ValueError(f"`{name}` must be uint8 RGB, [height, width, 3], got {got}.")


def _resized(picture: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """A picture at a size, (width, height)."""
    if picture.shape[1::-1] == size:
        return picture
    smaller = size[0] * size[1] < picture.shape[0] * picture.shape[1]
    return cv2.resize(picture, size, interpolation=cv2.INTER_AREA if smaller else cv2.INTER_LINEAR)
