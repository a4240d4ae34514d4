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
"""Pixels of depth between neighbouring pixels, at any size of the clip, from which they belong to two things, such as an arm and the body
behind it."""

STRETCHED = 3.0
"""Pixels of the frame that one of the photo may be spread over before what it shows there counts as unknown."""

SOFT, HARD = math.radians(0.5), math.radians(4)
"""Turned by less than the one, the figure keeps the photo's soft edge; from the other on, front and back are closed along it."""

EDGE_FROM, EDGE_TO = 0.15, 0.65
"""Share of the nine pixels around one that the figure covers: up to the one the pixel is not the figure's, from the other on it is."""

SQUEEZED = 0.75
"""Cosine of a turn below which the photo's pixels are so squeezed that one of the frame is the mean of several."""

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
    edge = F.avg_pool2d(F.pad(drawn, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
    edge = torch.lerp(torch.ones_like(edge), ((edge - EDGE_FROM) / (EDGE_TO - EDGE_FROM)).clamp(0, 1), _closed(angle))
    # The nearer one lies over the other one.
    front_is_near = (front.depth >= back.depth)[None]  # [1, R, N]
    front_share = edge * torch.where(front_is_near, front.alpha, front.alpha * (1 - back.alpha))
    back_share = edge * torch.where(front_is_near, back.alpha * (1 - front.alpha), back.alpha)
    colours = front.colours * front_share + back.colours * back_share
    return torch.cat([colours, front_share * front.certain, back_share * back.certain, front_share + back_share])


def _closed(angle: float) -> float:
    """From 0, with the photo's own soft edge, to 1, closed along the outline: see `SOFT` and `HARD`."""
    return min(1.0, max(0.0, (abs(angle) - SOFT) / (HARD - SOFT)))


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
    # One pixel more at both ends, or what the photo's own edge cuts off would end in the middle of its last pixel.
    depth, coverage, colours, texture = (
        F.pad(whole[part].flatten(0, -2)[None], (1, 1), mode="replicate")[0].unflatten(0, whole[part].shape[:-1])
        for whole in (depth, layers.coverage, colours, layers.texture)
    )
    texture = texture - (region.source.start - 1)
    camera = CAMERA * width / CAMERA_WIDTH
    x = torch.arange(region.source.start - 1, region.source.stop + 1, device=depth.device) + 0.5 - layers.axis
    x = x.expand_as(depth)
    if is_back:  # from behind, the row runs the other way
        x, depth, coverage, colours = (values.flip(-1) for values in (x, depth, coverage, colours))
        texture = depth.shape[1] - 1 - texture.flip(-1)
    # The soft rim lies in the plane of the outline: turned, it would stand out like a fin, and hide what is behind it.
    closed = _closed(angle)
    covered = coverage > CLEAR * closed
    x = torch.lerp(x, _up_to_the_outline(x, coverage), closed)
    # Back to where the point really is: the photo shows what is near larger than what is far.
    x = x * (1 - depth / camera)  # [R, S]
    turned_depth = depth * math.cos(angle) - x * math.sin(angle)
    place = (x * math.cos(angle) + depth * math.sin(angle)) / (1 - turned_depth / camera)
    place = place + (layers.axis - region.columns.start)  # [R, S], columns of the region
    segments = _nearest_segments(place, turned_depth, covered, region.columns.stop - region.columns.start)
    left, source, found = segments.left, segments.source, segments.found

    jump = (depth[:, 1:] - depth[:, :-1]).abs() > TORN
    clear = coverage > CLEAR
    clear = clear[:, :-1] | clear[:, 1:]
    jump, clear = jump.gather(1, left), clear.gather(1, left)
    # Over a tear the farther thing goes on: that is what the nearer one uncovers. Half a pixel at both ends belongs to the photo's own.
    torn = jump & (torch.minimum(source - left, left + 1 - source) * segments.stretch > 0.5)
    source = torch.where(torn, left + segments.runs_away, source)
    certain = (found & ~torn) * torch.where(jump, 1.0, STRETCHED / segments.stretch.clamp(min=STRETCHED))
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


def _up_to_the_outline(x: torch.Tensor, coverage: torch.Tensor) -> torch.Tensor:
    """Columns, [R, S], of which the first beyond the outline is moved to the outline: where the coverage, [R, S], is `CLEAR`."""
    inside = coverage > CLEAR
    rise = coverage[:, 1:] - coverage[:, :-1]
    share = ((CLEAR - coverage[:, :-1]) / torch.where(rise == 0, torch.ones_like(rise), rise)).clamp(0, 1)
    outline = torch.lerp(x[:, :-1], x[:, 1:], share)
    begins, ends = ~inside[:, :-1] & inside[:, 1:], inside[:, :-1] & ~inside[:, 1:]
    moved = x.clone()
    moved[:, :-1] = torch.where(begins, outline, moved[:, :-1])
    moved[:, 1:] = torch.where(ends, outline, moved[:, 1:])
    return moved


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
    # The pixels whose middle a segment covers: neighbours share an end, so none is left out and none is covered twice.
    first, end = ((place - 0.5).ceil().clamp(0, width).long()[:, part] for part in (slice(-1), slice(1, None)))
    count = ((end - first).clamp(min=0) * (covered[:, :-1] | covered[:, 1:])).flatten()
    segment = torch.repeat_interleave(count)  # once for every pixel that it covers
    earlier = (count.cumsum(0) - count)[segment]
    column = first.flatten()[segment] + torch.arange(len(segment), device=place.device) - earlier
    row, left = segment // (length - 1), segment % (length - 1)
    level = _along(place, depth, row, left, column)[2]
    best = torch.full((num_rows, width), EMPTY, dtype=torch.int32, device=place.device)
    if len(segment):
        # Nearness and number in one whole number, so that the largest wins; 2 ** 19 steps of nearness are some 400 a pixel.
        level = (level - level.min()) / (level.max() - level.min()).clamp(min=1e-3)
        steps = 2**30 // length
        key = (level * (steps - 1)).int() * length + left.int()
        best.view(-1).scatter_reduce_(0, row * width + column, key, "amax")
    found = best > EMPTY
    # What was not found takes what is beside it, for the soft edge.
    columns = torch.arange(width, device=place.device)
    before, after = F.pad(found[:, :-1], (1, 0)), F.pad(found[:, 1:], (0, 1))
    beside = torch.where(found, columns, torch.where(before, columns - 1, torch.where(after, columns + 1, columns)))
    left = (best.clamp(min=0).long() % length).gather(1, beside)
    row = torch.arange(num_rows, device=place.device)[:, None]
    share, stretch, level = _along(place, depth, row, left, columns)
    return _Segments(left, left + share, level, stretch, (depth[row, left + 1] < depth[row, left]).float(), found)


def _along(
    place: torch.Tensor, depth: torch.Tensor, row: torch.Tensor, left: torch.Tensor, column: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """How far along the segments that begin at `left` the middles of pixels are, in [0, 1], how long these are, and how near there."""
    start, end = place[row, left], place[row, left + 1]
    length = (end - start).clamp(min=1e-4)
    share = ((column + 0.5 - start) / length).clamp(0, 1)
    return share, length, torch.lerp(depth[row, left], depth[row, left + 1], share)


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
    begun = min(1.0, abs(phase) / 0.15)  # the first step begins from standing
    below = ((y - top) / tall).clamp(0, 1)  # 0 at the head, 1 at the feet
    # Standing feet stay; the body above them moves.
    up = begun * tall * BOB * (math.cos(4 * math.pi * phase) - 1) / 2 * (1 - below)
    aside = -begun * tall * SHIFT * math.sin(2 * math.pi * phase) * (1 - below)
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
