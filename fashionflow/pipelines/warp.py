"""Draws a photo's layers again, turned about the body's vertical axis: the photo's own pixels where the motion takes them.

A turn about a vertical axis, seen from far away, moves a point along its own row of pixels. So each row of a layer is a line that is
bent and drawn by itself: neighbouring pixels are the two ends of a segment, and every pixel of the frame takes the nearest segment
that covers its middle and faces the viewer. Nothing cracks, and what is hidden stays hidden.

Shape letters used in this file:
    F frames   H, W pixels   R rows that the figure covers
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from .photo_layers import CLEAR, PhotoLayers


CAMERA = 900.0
"""Pixels from the camera to the turning axis for a clip 256 pixels wide: what is nearer than the axis looks a little larger."""
CAMERA_WIDTH = 256

WALKING_DISTANCE = 4.5
"""Metres from the camera at which a walk begins: `d` metres on, everything is 4.5 / (4.5 - d) times as large."""

STRIDE = 0.66
"""Metres between two steps of the same foot."""
LIFT, BOB, SHIFT = 0.03, 0.008, 0.01
"""Of the figure's height: how far a foot leaves the floor, how far the body sinks between two steps, and how far it shifts to the foot
that it stands on."""
FACE, CROTCH = 0.08, 0.52  # of the figure's height, from its top: where the face is, and where the legs begin

TORN = 3.0
"""Pixels of depth between neighbouring pixels from which they belong to two things, such as an arm and the body behind it."""

STRETCHED = 3.0
"""Pixels of the frame that one of the photo may be spread over before what it shows there counts as unknown."""

SOFT, HARD = math.radians(1), math.radians(8)
"""Turned by less than the one, the figure keeps the photo's soft edge; from the other on, front and back are closed along it."""

EDGE_FROM, EDGE_TO = 0.15, 0.65
"""Share of the nine pixels around one that the figure covers: up to the one the pixel is not the figure's, from the other on it is."""

SQUEEZED = 0.75
"""Cosine of a turn below which the photo's pixels are so squeezed that one of the frame is the mean of several."""

GAP = 8
"""Pixels in a row between drawn ones that are filled from both sides."""

EMPTY = -1


@dataclass
class WarpedFrames:
    """Frames of a photo's layers.

    Args:
        pixels: sRGB in [0, 1], [F, 3, H, W].
        known: what they show, each in [0, 1], [F, 4, H, W]: the photo's front, its back (a guess, or a photo of it), the background as
            the photo shows it, and the background that was filled in. What is left to 1 is not known.
        outline: share of each pixel that the figure covers, in [0, 1], [F, 1, H, W].
    """

    pixels: torch.Tensor
    known: torch.Tensor
    outline: torch.Tensor


def turn_and_size(motion: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The turn in radians and the factor by which a body is larger than at first, [F] each, of motion rows, [F, 3]."""
    angle = torch.atan2(motion[:, 0], motion[:, 1])
    return angle, WALKING_DISTANCE / (WALKING_DISTANCE - motion[:, 2]).clamp(min=0.5)


@torch.no_grad()
def warp(layers: PhotoLayers, motion: torch.Tensor) -> WarpedFrames:
    """The layers as the motion takes them.

    Args:
        layers: of a photo.
        motion: rows as `fashionflow.motion.rows` makes them, [F, 3].
    """
    angle, size = turn_and_size(motion.float())
    walked = motion[:, 2].tolist()
    height, width = layers.coverage.shape
    shape, device = (len(angle), 1, height, width), layers.coverage.device
    outline = torch.zeros(shape, device=device)
    known_figure = torch.zeros(len(angle), 2, height, width, device=device)
    figure = torch.zeros(len(angle), 3, height, width, device=device)
    region = _Region.of(layers)
    if region is not None:
        for index, (turn, factor) in enumerate(zip(angle.tolist(), size.tolist(), strict=True)):
            parts = _draw_figure(layers, region, turn)  # [6, R, N]
            if abs(walked[index]) < 1e-4:
                target = (slice(None), region.rows, region.columns)
            else:
                parts, target = _walked(parts, region, factor, walked[index], layers), (slice(None),) * 3
            for whole, part in zip((figure, known_figure, outline), parts.split([3, 2, 1]), strict=True):
                whole[index][target] = part
    uncovered = 1 - outline
    pixels = torch.addcmul(figure, layers.background, uncovered).clamp_(0, 1)
    seen = layers.background_known
    return WarpedFrames(pixels, torch.cat([known_figure, uncovered * seen, uncovered * (1 - seen)], dim=1), outline)


@dataclass
class _Region:
    """The part of the picture where a figure is, whichever way it is turned: `rows` and `columns` of the frame, and `source`, the
    columns of the photo where it is."""

    rows: slice
    columns: slice
    source: slice

    @classmethod
    def of(cls, layers: PhotoLayers) -> "_Region | None":
        """The region of a photo's figure, or `None` if there is none."""
        height, width = layers.coverage.shape
        rows = torch.nonzero(layers.coverage.amax(1) > 0)[:, 0].tolist()
        columns = torch.nonzero(layers.coverage.amax(0) > 0)[:, 0].tolist()
        if not rows:
            return None
        source = slice(max(0, columns[0] - 2), min(width, columns[-1] + 3))
        inside = layers.coverage > 0
        away = (torch.arange(width, device=inside.device) + 0.5 - layers.axis).expand(height, -1)[inside].abs()
        depth = torch.maximum(layers.front.abs(), layers.back.abs())[inside]
        reach = (away.square() + depth.square()).sqrt().max().item()
        reach = reach / max(0.5, 1 - depth.max().item() / (CAMERA * width / CAMERA_WIDTH)) + 3
        columns = slice(max(0, math.floor(layers.axis - reach)), min(width, math.ceil(layers.axis + reach)))
        return cls(slice(rows[0], rows[-1] + 1), columns, source)


def _draw_figure(layers: PhotoLayers, region: _Region, angle: float) -> torch.Tensor:
    """The figure turned by `angle`, radians: its colours multiplied by its share of the pixel, what is certain of its front and of its
    back, and its share, [3 + 2 + 1, R, N]."""
    front, back = (_draw_layer(layers, region, is_back, angle) for is_back in (False, True))
    # Along the outline of the two together the pixels are shared with what is behind; where they meet, nothing shines through.
    drawn = (front.found | back.found).float()[None]
    gaps = _gaps(drawn)
    drawn = torch.where(gaps, torch.ones_like(drawn), drawn)
    edge = F.avg_pool2d(F.pad(drawn, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
    edge = ((edge - EDGE_FROM) / (EDGE_TO - EDGE_FROM)).clamp(0, 1)
    # The nearer one lies over the other one.
    front_is_near = (front.depth >= back.depth)[None]  # [1, R, N]
    front_share = edge * torch.where(front_is_near, front.alpha, front.alpha * (1 - back.alpha))
    back_share = edge * torch.where(front_is_near, back.alpha * (1 - front.alpha), back.alpha)
    colours = front.colours * front_share + back.colours * back_share
    parts = torch.cat([colours, front_share * front.certain, back_share * back.certain, front_share + back_share])
    around = F.avg_pool2d(F.pad(parts, (GAP, GAP, 0, 0)), (1, 2 * GAP + 1), stride=1)
    return torch.where(gaps, around / around[5:].clamp(min=1e-3), parts)


def _gaps(drawn: torch.Tensor) -> torch.Tensor:
    """Pixels that nothing covers, a few in a row between others that are drawn, bool [1, R, N]: there a long segment of a far surface
    lost its place to a short one of a nearer surface."""
    grown = F.max_pool2d(drawn, (1, GAP + 1), stride=1, padding=(0, GAP // 2))
    closed = -F.max_pool2d(-grown, (1, GAP + 1), stride=1, padding=(0, GAP // 2))
    return (closed > 0) & (drawn == 0)


@dataclass
class _DrawnLayer:
    """One layer turned, continued by one pixel: colours [3, R, N]; alpha and how certain they are, [1, R, N]; depth, minus infinity
    where there is nothing, and where it was found, [R, N]."""

    colours: torch.Tensor
    alpha: torch.Tensor
    certain: torch.Tensor
    depth: torch.Tensor
    found: torch.Tensor


def _draw_layer(layers: PhotoLayers, region: _Region, is_back: bool, angle: float) -> _DrawnLayer:
    """The front or the back, turned by `angle`, radians."""
    width = layers.coverage.shape[1]
    depth, colours = (layers.back, layers.back_colours) if is_back else (layers.front, layers.front_colours)
    part = (..., region.rows, region.source)
    depth, coverage, colours = depth[part], layers.coverage[part], colours[part]
    texture = layers.texture[part] - region.source.start
    camera = CAMERA * width / CAMERA_WIDTH
    x = torch.arange(region.source.start, region.source.stop, device=depth.device) + 0.5 - layers.axis
    if is_back:  # from behind, the row runs the other way
        x, depth, coverage, colours = (values.flip(-1) for values in (x, depth, coverage, colours))
        texture = depth.shape[1] - 1 - texture.flip(-1)
    # Back to where the point really is: the photo shows what is near larger than what is far.
    x = x * (1 - depth / camera)  # [R, S]
    turned_depth = depth * math.cos(angle) - x * math.sin(angle)
    place = (x * math.cos(angle) + depth * math.sin(angle)) / (1 - turned_depth / camera)
    place = place + (layers.axis - region.columns.start)  # [R, S], columns of the region
    covered = coverage > 0
    segments = _nearest_segments(place, turned_depth, covered, region.columns.stop - region.columns.start)
    left, source, found = segments.left, segments.source, segments.found

    jump = (depth[:, 1:] - depth[:, :-1]).abs() > TORN * width / CAMERA_WIDTH
    clear = coverage > CLEAR
    clear = clear[:, :-1] | clear[:, 1:]
    torn, clear = jump.gather(1, left), clear.gather(1, left)
    # Over a tear the farther thing goes on: that is what the nearer one uncovers.
    source = torch.where(torn, left + segments.runs_away, source)
    certain = (found & ~torn) * (STRETCHED / segments.stretch.clamp(min=STRETCHED))
    closed = min(1.0, max(0.0, (abs(angle) - SOFT) / (HARD - SOFT)))
    apart = source - left
    shown = torch.lerp(texture.gather(1, left), texture.gather(1, left + 1), apart)
    shown = torch.lerp(source, shown.clamp(0, depth.shape[1] - 1), closed)
    picture = colours
    if abs(math.cos(angle)) > SQUEEZED:
        drawn = _look_up(picture, shown)  # [3, R, N]
    else:  # the mean of two places a half of the pixel apart, or a print that is squeezed would flicker
        half = (0.25 / segments.stretch).clamp(max=2)
        sides = (_look_up(picture, (shown + side).clamp(0, depth.shape[1] - 1)) for side in (-half, half))
        drawn = sum(sides) / 2
    matte = torch.lerp(coverage.gather(1, left), coverage.gather(1, left + 1), apart)
    matte = torch.lerp(matte, clear.float(), closed)
    there = F.max_pool1d(found.float(), 3, stride=1, padding=1) > 0
    return _DrawnLayer(
        colours=drawn[:3],
        alpha=(matte * there)[None],
        certain=certain[None],
        depth=segments.depth.masked_fill(~there, -torch.inf),
        found=found,
    )


@dataclass
class _Segments:
    """What was found for every pixel of the frame, [R, N] each, continued by one pixel beside it.

    Args:
        left: number of the segment: that of the photo's pixel at its left end.
        source: where between the photo's pixels, counted from the first one's middle.
        depth: how near it is, pixels.
        stretch: how long the segment is, pixels.
        runs_away: 1 where the segment's right end is the farther one, else 0.
        found: whether there is one.
    """

    left: torch.Tensor
    source: torch.Tensor
    depth: torch.Tensor
    stretch: torch.Tensor
    runs_away: torch.Tensor
    found: torch.Tensor


def _nearest_segments(place: torch.Tensor, depth: torch.Tensor, covered: torch.Tensor, width: int) -> _Segments:
    """For the middle of every pixel of the frame, the nearest segment of its row that covers it and runs to the right.

    Args:
        place: columns of the frame that the row's pixels are taken to, [R, S].
        depth: how near they are then, pixels, [R, S].
        covered: which of the row's pixels belong to the figure, bool [R, S].
        width: of the frame, N.
    """
    num_rows, length = place.shape
    start, end = place[:, :-1], place[:, 1:]
    first = (start - 0.5).ceil()  # of the pixels whose middle is covered
    usable = (covered[:, :-1] | covered[:, 1:]) & (first + 0.5 < end) & (end > 0.5) & (first < width)
    # Nearness and number in one whole number, so that the largest wins; 2 ** 19 steps of nearness are some 400 a pixel.
    middle = (depth[:, :-1] + depth[:, 1:]) / 2
    nearest, farthest = middle.max(), middle.min()
    steps = 2**30 // length
    level = ((middle - farthest) / (nearest - farthest).clamp(min=1e-3) * (steps - 1)).int()
    number = torch.arange(length - 1, device=place.device, dtype=torch.int32)
    key = torch.where(usable, level * length + number, EMPTY)
    best = torch.full((num_rows, width), EMPTY, dtype=torch.int32, device=place.device)
    best.scatter_reduce_(1, first.clamp(0, width - 1).long(), key, "amax")
    # A segment longer than a pixel covers the pixels that follow, up to its end.
    columns = torch.arange(width, device=place.device)
    latest = torch.where(best > EMPTY, columns, EMPTY).cummax(1).values  # [R, N]
    left = best.gather(1, latest.clamp(min=0)).clamp(min=0).long() % length
    start, end = place.gather(1, left), place.gather(1, left + 1)
    found = (latest > EMPTY) & (end > columns + 0.5)
    # What was not found takes what is beside it, for the soft edge; a single missing pixel between two others is closed.
    before, after = F.pad(found[:, :-1], (1, 0)), F.pad(found[:, 1:], (0, 1))
    beside = torch.where(found, columns, torch.where(before, columns - 1, torch.where(after, columns + 1, columns)))
    left, start, end = (values.gather(1, beside) for values in (left, start, end))
    stretch = (end - start).clamp(min=1e-4)
    source = left + ((beside + 0.5 - start) / stretch).clamp(0, 1)
    near, far = depth.gather(1, left), depth.gather(1, left + 1)
    return _Segments(left, source, near, stretch, (far < near).float(), found | (before & after))


def _look_up(picture: torch.Tensor, source: torch.Tensor) -> torch.Tensor:
    """Rows of a picture, [C, R, S], at places along them, [R, N], by cubic interpolation (Catmull-Rom); [C, R, N]."""
    channels, num_rows, length = picture.shape
    left = source.floor()
    t = (source - left)[..., None]
    weights = (
        ((-0.5 * t + 1) * t - 0.5) * t,
        (1.5 * t - 2.5) * t * t + 1,
        ((-1.5 * t + 2) * t + 0.5) * t,
        (0.5 * t - 0.5) * t * t,
    )
    # With its edges repeated, so that every place has four neighbours.
    padded = F.pad(picture, (1, 2), mode="replicate").permute(1, 2, 0).reshape(-1, channels)  # [R * (S + 3), C]
    index = left.long() + torch.arange(num_rows, device=source.device)[:, None] * (length + 3)
    total = weights[0] * padded[index]
    for offset in (1, 2, 3):
        total.addcmul_(weights[offset], padded[index + offset])
    return total.permute(2, 0, 1).clamp(0, 1)


def _walked(parts: torch.Tensor, region: _Region, factor: float, walked: float, layers: PhotoLayers) -> torch.Tensor:
    """Parts of a figure, [C, R, N], in a whole frame, [C, H, W], after it has walked `walked` metres towards the camera.

    It is `factor` times as large, about its face, which the camera follows, and takes steps: the body rises and sinks and shifts from
    foot to foot, and of a figure whose feet are in the picture one side leaves the floor in turn.
    """
    height, width = layers.coverage.shape
    device = parts.device
    whole = parts.new_zeros(1, len(parts), height, width)
    whole[0][:, region.rows, region.columns] = parts
    y = torch.arange(height, device=device)[:, None] + 0.5  # [H, 1]
    x = torch.arange(width, device=device) + 0.5  # [W]
    top, tall = region.rows.start, region.rows.stop - region.rows.start
    face = top + FACE * tall
    y, x = face + (y - face) / factor, layers.axis + (x - layers.axis) / factor  # before it came nearer

    phase = walked / STRIDE
    begun = min(1.0, phase / 0.15)  # the first step begins from standing
    below = ((y - top) / tall).clamp(0, 1)  # 0 at the head, 1 at the feet
    # Standing feet stay; the body above them moves.
    up = begun * tall * BOB * (math.cos(4 * math.pi * phase) - 1) / 2 * (1 - below)
    aside = begun * tall * SHIFT * math.sin(2 * math.pi * phase) * (1 - below)
    feet_in_picture = region.rows.stop < height
    if feet_in_picture:
        legs = ((below - CROTCH) / (1 - CROTCH)).clamp(0, 1)
        legs = legs * legs * (3 - 2 * legs)  # [H, 1]
        right = torch.sigmoid((x - layers.axis) / (0.03 * tall))  # [W], 1 on the picture's right side
        for side, offset in ((1 - right, 0.0), (right, 0.5)):
            swing = ((phase + offset) % 1 - 0.6) / 0.4
            if swing > 0:
                up = up + begun * tall * LIFT * math.sin(math.pi * swing) * legs * side
    y, x = torch.broadcast_tensors(y + up, x - aside)
    grid = torch.stack([2 * x / width - 1, 2 * y / height - 1], dim=-1)[None].float()
    return F.grid_sample(whole, grid, align_corners=False, mode="bicubic")[0].clamp(0, 1)
