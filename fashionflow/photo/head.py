"""The head of a figure: its position, its hair, and its possible look from behind.

Pictures are uint8 sRGB, [H, W, 3]; coverage is float32 in [0, 1], [H, W].

Shape letters used in this file:
    H, W pixels   N sampled pixels
"""

import cv2
import numpy as np

from .background_plate import filled
from .matte import CLEAR, OWN_COLOURS
from .segmentation import common_colours, squared_distances


NUM_COLOURS = 4
"""The number of colours of hair, and of a face, by which the two are distinguished."""

LEAST_OF_A_COLOUR = 0.1
"""The minimum share of a colour in the pixels of hair or of a face; a rarer colour belongs to something else, such as an ear."""

LIKE_HAIR = 55.0
"""A pixel that differs by this many grey levels or more from every colour of the hair is not hair."""

BALD = 30.0
"""If the colours of crown and face differ by fewer grey levels than this, there is no hair."""

HAIRLINE = 0.66
"""The place where short hair ends at the nape, as a share of the height from crown to shoulders."""

LONG_HAIR = 0.8
"""How far below the shoulders' upper edge long hair is searched for, as a share of the same height."""

STRAND_STRENGTH = 0.6
"""The contrast of invented strands, as a share of the contrast of the visible hair."""

RIM = 0.12
"""How far into the hair the background may be visible, as a share of the head's width."""

SEEN_THROUGH = 0.3
"""A pixel shows too much of the background if its colour is past this share of the way from the hair's to the background's colours."""

LEAST_SHARE = 0.4
"""The minimum share of pixels like hair in the neighbourhood of a pixel of hair."""


def guessed_back(
    front_colours: np.ndarray, coverage: np.ndarray, head: tuple[int, int, int, int] | None
) -> np.ndarray:
    """The possible look of the figure from behind, uint8 [H, W, 3]: the garment's colours of the front, and hair instead of the face.
    `head` is as `find_head` returns it."""
    if head is None:
        return front_colours
    region, head = _around(head, coverage.shape)
    back = front_colours.copy()
    back[region] = _back_of_head(front_colours[region], coverage[region], head)
    return back


def _around(
    head: tuple[int, int, int, int], shape: tuple[int, int]
) -> tuple[tuple[slice, slice], tuple[int, int, int, int]]:
    """The part of a picture of `shape` that contains a head and long hair, and the position of the head in this part."""
    top, bottom, left, right = head
    height, width = bottom - top, right - left
    above, beside = max(0, top - round(0.2 * height)), max(0, left - round(0.3 * width))
    region = (slice(above, round(top + (1.2 + LONG_HAIR) * height)), slice(beside, round(right + 0.3 * width)))
    return region, (top - above, bottom - above, left - beside, right - beside)


def _back_of_head(front_colours: np.ndarray, coverage: np.ndarray, head: tuple[int, int, int, int]) -> np.ndarray:
    """The same as `guessed_back`, for the part of a picture around a head."""
    hair = find_hair(front_colours, coverage, head)
    top, bottom, left, right = head
    height, width = bottom - top, right - left
    rows, columns = np.indices(coverage.shape, sparse=True)
    inside = (columns >= left) & (columns < right) & (coverage > CLEAR)
    # Below the hair, a neck without a mouth takes the place of the face.
    region = (slice(top, bottom), slice(left, right))
    skin = np.zeros(coverage.shape, np.float32)
    skin[region] = is_skin(front_colours[region]) & ~hair[region] & (coverage[region] > OWN_COLOURS)
    back = front_colours.astype(np.float32)
    if skin.sum() > 0.02 * height * width:
        neck = cv2.GaussianBlur(filled(back, skin), (0, 0), 0.3 * width)
        # The neck reaches down to the shoulders and fades there into the colours on them.
        share = np.clip((bottom - rows) / (0.15 * height), 0, 1) * (inside & (rows >= top) & ~hair)
        back += (neck - back) * cv2.GaussianBlur(share.astype(np.float32), (0, 0), 0.01 * width + 0.5)[..., None]
    if hair.sum() > 0.02 * height * width:
        covered = np.clip((_end_of_hair(hair, head) - rows) / (0.04 * height) + 0.5, 0, 1) * inside * ~hair
        # Also a little of the visible hair is covered; otherwise a rim of the face would be left.
        covered = cv2.dilate(covered.astype(np.float32), np.ones((5, 5), np.uint8)) * (coverage > CLEAR)
        covered = cv2.GaussianBlur(covered, (0, 0), 0.8)[..., None]
        back += (_continued_hair(front_colours, hair, height) - back) * covered
    return back.round().clip(0, 255).astype(np.uint8)


def seen_through_hair(
    colours: np.ndarray, coverage: np.ndarray, background: np.ndarray, head: tuple[int, int, int, int] | None
) -> np.ndarray:
    """Where the background is visible through the outer strands of a figure's hair, bool [H, W].

    Args:
        colours: the colours of the figure, uint8 sRGB, [H, W, 3].
        background: the photo without the figure, uint8 sRGB, [H, W, 3].
        head: as `find_head` returns it.
    """
    through = np.zeros(coverage.shape, bool)
    if head is None:
        return through
    region, head = _around(head, coverage.shape)
    colours, coverage, background = colours[region], coverage[region], background[region]
    hair = find_hair(colours, coverage, head)
    top, bottom, left, right = head
    reach = RIM * (right - left)
    inside = cv2.distanceTransform((coverage > CLEAR).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5)
    dense = hair & (inside > reach)
    if dense.sum() < 0.02 * (bottom - top) * (right - left):
        return through
    # The rim that lies beside hair rather than beside a face, a neck or a garment.
    from_hair, from_others = (
        cv2.distanceTransform((~part).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5)
        for part in (dense, (inside > reach) & ~hair)
    )
    rim = (inside > 0) & (inside <= reach) & (from_hair < np.minimum(2 * reach, from_others))
    unlike_hair = _difference(colours, colours[dense])
    unlike_background = np.linalg.norm(colours.astype(np.float32) - background, axis=-1)
    found = rim & (unlike_hair > SEEN_THROUGH * (unlike_hair + unlike_background))
    through[region] = cv2.dilate(found.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    return through


def find_hair(picture: np.ndarray, coverage: np.ndarray, head: tuple[int, int, int, int]) -> np.ndarray:
    """Which pixels are hair, bool [H, W]: those in the colours of the crown rather than of the face, and connected to the crown.

    Args:
        head: as `find_head` returns it.
    """
    top, bottom, left, right = head
    height, width = bottom - top, right - left
    clear = coverage > OWN_COLOURS
    inside = cv2.distanceTransform(np.pad(clear.astype(np.uint8), 1), cv2.DIST_L2, cv2.DIST_MASK_5)[1:-1, 1:-1]
    rows, columns = np.indices(coverage.shape, sparse=True)
    down, across = (rows - top) / height, (columns + 0.5 - (left + right) / 2) / width
    in_head = clear & (np.abs(across) <= 0.5) & (down >= 0)
    crown = in_head & (down < 0.3) & ((inside < 0.1 * width) | (down < 0.08))
    face = in_head & (down > 0.3) & (down < 0.7) & (np.abs(across) < 0.22) & is_skin(picture)
    if not crown.any():
        return np.zeros(coverage.shape, bool)
    if face.any() and np.linalg.norm(np.median(picture[crown], 0) - np.median(picture[face], 0)) < BALD:
        return np.zeros(coverage.shape, bool)
    from_hair = _difference(picture, picture[crown])
    from_face = _difference(picture, picture[face]) if face.any() else np.full_like(from_hair, np.inf)
    probable = clear & (down >= 0) & (down < 1 + LONG_HAIR) & (np.abs(across) <= 0.6) & ~face
    like = probable & (from_hair < np.minimum(from_face, LIKE_HAIR))
    # Strands reflect light, so the share of a neighbourhood that is like hair decides.
    softness = 0.03 * width + 0.5
    share = cv2.GaussianBlur(like.astype(np.float32), (0, 0), softness)
    share /= np.maximum(cv2.GaussianBlur(probable.astype(np.float32), (0, 0), softness), 0.05)
    found = probable & (share > LEAST_SHARE)
    # Hair hangs down without a gap, and the garment may have the colours of the hair.
    gap = max(1, round(0.06 * height))
    near = cv2.dilate(found.astype(np.uint8), np.ones((2 * gap + 1, 1), np.uint8)) > 0
    begun = np.maximum.accumulate(found, axis=0)
    found &= ~np.maximum.accumulate(begun & ~near & (down > 0.3), axis=0)
    _, labels = cv2.connectedComponents(found.astype(np.uint8))
    return found & np.isin(labels, np.unique(labels[crown & found]))


def _difference(picture: np.ndarray, samples: np.ndarray) -> np.ndarray:
    """The difference between each pixel and the nearest common colour of the samples, uint8 [N, 3]; grey levels, float32 [H, W]."""
    samples = samples[:: max(1, len(samples) // 2000)].astype(np.float32)
    colours = common_colours(samples, NUM_COLOURS, LEAST_OF_A_COLOUR)
    picture = cv2.GaussianBlur(picture, (0, 0), 0.8).astype(np.float32)
    return np.sqrt(squared_distances(picture, colours).min(-1))


def _end_of_hair(hair: np.ndarray, head: tuple[int, int, int, int]) -> np.ndarray:
    """The row at which the hair ends, seen from behind, for each column, float32 [1, W].

    Hair that hangs down on both sides of the face also fills the space between them; other hair ends at the nape, a little lower in the
    middle.
    """
    top, bottom, left, right = head
    height, width = bottom - top, right - left
    columns = np.arange(hair.shape[1], dtype=np.float32)
    across = (columns + 0.5 - (left + right) / 2) / (width / 2)
    nape = top + height * (HAIRLINE - 0.1 * across**2)
    lowest = np.where(hair.any(0), hair.shape[0] - 1 - hair[::-1].argmax(0), 0)
    sides = []
    for side in (np.arange(left, (left + right) // 2), np.arange((left + right) // 2, right)):
        side = side[lowest[side] > 0]
        if not len(side):
            return nape[None]
        # The lower part of a strand, but not its last hairs.
        end = np.quantile(lowest[side], 0.8)
        strand = side[lowest[side] >= end - 0.1 * height]
        sides.append((strand.mean(), end))
    (left_place, left_end), (right_place, right_end) = sides
    between = np.interp(columns, [left_place, right_place], [left_end, right_end])
    return np.maximum(nape, between)[None].astype(np.float32)


def _continued_hair(picture: np.ndarray, hair: np.ndarray, height: int) -> np.ndarray:
    """The colours of the hair, continued to where there is none, with strands as strong and as long as its own, float32 [H, W, 3].

    Args:
        height: the height of the head, pixels.
    """
    own = cv2.erode(hair.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    own = own if own.any() else hair
    smooth = cv2.GaussianBlur(filled(picture.astype(np.float32), own.astype(np.float32)), (0, 0), 0.03 * height + 1)
    light = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.float32)
    # Subtract the mean of the hair in the neighbourhood, without the pixels beside the hair.
    blur = lambda values: cv2.GaussianBlur(values, (0, 0), 0.04 * height + 1)  # noqa: E731
    light -= blur(light * own) / np.maximum(blur(own.astype(np.float32)), 1e-3)
    across, down = (np.abs(np.diff(light, axis=axis, append=0))[own].mean() + 1e-3 for axis in (1, 0))
    # Hair that hangs down varies across its strands, and little along them.
    length = float(np.clip((across / down) ** 2, 1.3, 4)) ** 2
    strands = np.random.default_rng(0).standard_normal(hair.shape).astype(np.float32)
    strands = cv2.GaussianBlur(strands, (0, 0), sigmaX=0.006 * height + 0.3, sigmaY=(0.006 * height + 0.3) * length)
    strands *= STRAND_STRENGTH * light[own].std() / max(float(strands.std()), 1e-6)
    return smooth * (1 + strands / np.maximum(smooth.mean(-1), 30))[..., None]


def is_skin(picture: np.ndarray) -> np.ndarray:
    """Where the colours may be skin, bool [H, W], in uint8 sRGB [H, W, 3] (a box in YCrCb, Chai and Ngan 1999, a little wider)."""
    luma, red, blue = np.moveaxis(cv2.cvtColor(np.ascontiguousarray(picture), cv2.COLOR_RGB2YCrCb), -1, 0)
    return (luma > 30) & (red > 133) & (red < 185) & (blue > 75) & (blue < 132)


def find_head(picture: np.ndarray, coverage: np.ndarray) -> tuple[int, int, int, int] | None:
    """The head of the figure as (top, bottom, left, right), or `None` if there is no head, as with a garment laid flat.

    A head is the figure's narrow upper end, about as wide as high, with skin in it, above much wider shoulders.
    """
    mask = coverage > CLEAR
    rows = np.flatnonzero(mask.any(axis=1))
    if len(rows) < 20:
        return None
    top = rows[0]
    left = mask.argmax(axis=1)
    right = mask.shape[1] - mask[:, ::-1].argmax(axis=1)
    widths = np.where(mask.any(axis=1), right - left, 0).astype(np.float32)
    height = rows[-1] - top
    shoulders = widths[top : top + height // 2].max()
    wide = np.flatnonzero(widths[top : top + height // 2] > 0.62 * shoulders)
    bottom = top + (wide[0] if len(wide) else 0)
    head_height = bottom - top
    if head_height < 8:
        return None
    head_width = np.median(widths[top + head_height // 4 : bottom])
    if not 0.7 < head_height / max(head_width, 1) < 3 or head_width > 0.6 * shoulders:
        return None
    # The shoulders begin lower down, and a row without the figure has no ends.
    seen = rows[(rows >= top + 2) & (rows < top + 2 + 0.6 * head_height)]
    head_left, head_right = int(left[seen].min()), int(right[seen].max())
    region, clear = picture[top:bottom, head_left:head_right], mask[top:bottom, head_left:head_right]
    if (clear & is_skin(region)).sum() < 0.12 * clear.sum():
        return None
    return int(top), int(bottom), head_left, head_right
