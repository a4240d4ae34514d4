"""Draws a photo's layers again, turned about the body's vertical axis: the photo's own pixels where the motion takes them.

A turn about a vertical axis, seen from far away, moves a point along its own row of pixels. So each row of a layer is a line that is
bent and drawn by itself: neighbouring pixels are the two ends of a segment, and every pixel of the frame takes the nearest segment
that covers its middle and faces the viewer. Nothing cracks, and what is hidden stays hidden.

Shape letters used in this file:
    F frames   H, W pixels   R rows that the figure covers   S columns of a layer there   N columns of the frame there
    P pixels of the frame where something is
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from ..photo.matte import CLEAR
from .mirroring import mean_around, with_mirrored_cloth
from .photo_layers import PhotoLayers
from .segments import columns_beside, look_up, nearest_segments
from .walking import after_walking


CAMERA = 900.0
"""Pixels from the camera to the turning axis for a clip 256 pixels wide: what is nearer than the axis looks a little larger."""
CAMERA_WIDTH = 256

WALKING_DISTANCE = 4.5
"""Metres from the camera at which a walk begins: `d` metres on, everything is 4.5 / (4.5 - d) times as large."""

TORN = 3.0
"""Pixels of depth between neighbouring pixels, at any size of the clip, from which they belong to two things, such as an arm and the body
behind it."""

STRETCHED = 3.0
"""Pixels of the frame that one of the photo may be spread over before what it shows there counts as unknown."""

SOFT, HARD = math.radians(0.5), math.radians(4)
"""Turned by less than the one, the figure keeps the photo's soft edge; from the other on, front and back are closed along it."""

EDGE_FROM, EDGE_TO = 0.15, 0.65
"""Share of the nine pixels around one that the figure covers: up to the one the pixel is not the figure's, from the other on it is."""

OVER_ROWS, OVER_COLUMNS = (1, 2, 1, 2), (1, 1)
"""How a pixel's neighbours are weighted where the figure is continued: (1, 2, 3, 4, 3, 2, 1) over the rows and (1, 2, 1) over the columns,
which are sums of two pixels so far apart, taken one after another."""

AMONG_FROM, AMONG_TO = 0.25, 0.5
"""Share of the 25 pixels around one that is continued: up to the one the pixel stays as it is, from the other on it is smoothed too."""

INSET = 2.0
"""Pixels of a photo `INSET_WIDTH` pixels across by which the colours along the outline of a turned figure come from further inside: the
photo's outermost pixels are mixed with its background, and spread over a turned side they would be a line."""
INSET_WIDTH = 512

MIRRORED_TO, NOT_MIRRORED = 60.0, 75.0
"""Degrees of turn up to which a side is continued by mirrored cloth, and from which it is not: more of it than of the front is seen then."""

SQUEEZED = 0.75
"""Cosine of a turn below which the photo's pixels are so squeezed that one of the frame is the mean of several."""


@dataclass
class WarpedFrames:
    """Frames of a photo's layers.

    Args:
        pixels: sRGB in [0, 1], [F, 3, H, W].
        known: what they show, each in [0, 1], [F, 4, H, W]: the photo's front, the rest of the figure (its back and what continues the
            front: guesses, but for a photo of the back), the background as the photo shows it, and the background that was filled in.
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
        motion: rows as `fashionflow.pipelines.motions.rows` makes them, [F, 3].
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
        sheets = [_Sheet.of(layers, region, is_back) for is_back in (False, True)]
        head_rows = max(0, round(layers.head_ends) - region.rows.start)
        for index, (turn, factor) in enumerate(zip(angle.tolist(), size.tolist(), strict=True)):
            parts = _draw_figure(sheets, head_rows, turn)  # [6, R, N]
            if abs(walked[index]) < 1e-4:
                target = (slice(None), region.rows, region.columns)
            else:
                in_frame = parts.new_zeros(len(parts), height, width)
                in_frame[:, region.rows, region.columns] = parts
                parts = after_walking(in_frame, region.rows, layers.axis, factor, walked[index])
                target = (slice(None),) * 3
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


@dataclass
class _Sheet:
    """The front or the back, row by row as its side sees it, with one pixel more at both ends: without it what the photo's own edge cuts
    off would end in the middle of its last pixel.

    Args:
        depth, coverage: [R, S].
        x: columns, from the turning axis, pixels, [R, S].
        closed_x: the same, but the first pixel beyond the outline is moved to the outline, [R, S].
        inset: by how much further to the right each pixel's colours come from when it is turned, pixels, [R, S].
        colours: with three pixels more in each row, so that every place has four neighbours, [3, R, S + 3].
        width: of the frame's region, N.
        axis: column of the turning axis in that region.
        camera: pixels from the camera to the axis.
    """

    depth: torch.Tensor
    coverage: torch.Tensor
    x: torch.Tensor
    closed_x: torch.Tensor
    inset: torch.Tensor
    colours: torch.Tensor
    width: int
    axis: float
    camera: float

    @classmethod
    def of(cls, layers: PhotoLayers, region: _Region, is_back: bool) -> "_Sheet":
        """The front or the back of a photo's layers."""
        depth, colours = (layers.back, layers.back_colours) if is_back else (layers.front, layers.front_colours)
        part = (..., region.rows, region.source)
        depth, coverage, colours = (
            F.pad(whole[part].flatten(0, -2)[None], (1, 1), mode="replicate")[0].unflatten(0, whole[part].shape[:-1])
            for whole in (depth, layers.coverage, colours)
        )
        x = torch.arange(region.source.start - 1, region.source.stop + 1, device=depth.device) + 0.5 - layers.axis
        x = x.expand_as(depth)
        if is_back:  # from behind, the row runs the other way
            x, depth, coverage, colours = (values.flip(-1) for values in (x, depth, coverage, colours))
        return cls(
            depth=depth,
            coverage=coverage,
            x=x,
            closed_x=_up_to_the_outline(x, coverage),
            inset=_inset(coverage > CLEAR, INSET * layers.coverage.shape[1] / INSET_WIDTH),
            colours=F.pad(colours, (1, 2), mode="replicate"),
            width=region.columns.stop - region.columns.start,
            axis=layers.axis - region.columns.start,
            camera=CAMERA * layers.coverage.shape[1] / CAMERA_WIDTH,
        )


def _draw_figure(sheets: list[_Sheet], head_rows: int, angle: float) -> torch.Tensor:
    """The figure turned by `angle`, radians: its colours multiplied by its share of the pixel, how much of them is the photo's front and how
    much is guessed, and its share, [3 + 2 + 1, R, N].

    Args:
        sheets: front and back.
        head_rows: how many of the rows, from above, show the head.
    """
    front, back = (_draw_sheet(sheet, angle) for sheet in sheets)
    # Along the outline of the two together the pixels are shared with what is behind; where they meet, nothing shines through.
    drawn = (front.found | back.found).float()[None]
    edge = F.avg_pool2d(F.pad(drawn, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
    closed = _closed(angle)
    edge = torch.lerp(torch.ones_like(edge), ((edge - EDGE_FROM) / (EDGE_TO - EDGE_FROM)).clamp(0, 1), closed)
    # The nearer one lies over the other one.
    front_is_near = (front.depth >= back.depth)[None]  # [1, R, N]
    front_share = edge * torch.where(front_is_near, front.alpha, front.alpha * (1 - back.alpha))
    back_share = edge * torch.where(front_is_near, back.alpha * (1 - front.alpha), back.alpha)
    colours = front.colours * front_share + back.colours * back_share
    share = front_share + back_share
    certain = front_share * front.certain
    continued = share - certain - back_share * back.certain
    colours = _smoothed_down(colours, share, continued)
    if (most := _mirrored_share(angle)) > 0:
        loose = (front_share - certain) / share.clamp(min=1e-4)
        colours = with_mirrored_cloth(colours, share, loose, head_rows, most)
    return torch.cat([colours, certain, share - certain, share])


def _smoothed_down(colours: torch.Tensor, share: torch.Tensor, continued: torch.Tensor) -> torch.Tensor:
    """Colours multiplied by their share, [3, R, N], smoothed over the rows where they are continued: each row is drawn by itself, so
    neighbouring ones can differ there.

    Args:
        share: of each pixel that the figure covers, [1, R, N].
        continued: the part of it that shows no pixel of the photo's own, [1, R, N].
    """
    margins = (sum(OVER_COLUMNS) // 2,) * 2 + (sum(OVER_ROWS) // 2,) * 2
    loose = (continued / share.clamp(min=1e-4)).clamp(0, 1)
    parts = F.pad(torch.cat([colours * loose, share * loose]), margins, mode="replicate")
    for step in OVER_ROWS:
        parts = parts[:, :-step] + parts[:, step:]
    for step in OVER_COLUMNS:
        parts = parts[:, :, :-step] + parts[:, :, step:]  # in the end [4, R, N]
    smooth = parts[:3] / parts[3:].clamp(min=1e-4) * share
    # Single pixels of the photo among continued ones are the rim of something, in which the photo's background is mixed.
    around = mean_around(loose, 5)
    loose = torch.maximum(loose, ((around - AMONG_FROM) / (AMONG_TO - AMONG_FROM)).clamp(0, 1))
    return torch.lerp(colours, smooth, loose * (parts[3:] > 1e-3))


def _closed(angle: float) -> float:
    """From 0, with the photo's own soft edge, to 1, closed along the outline: see `SOFT` and `HARD`."""
    return min(1.0, max(0.0, (abs(angle) - SOFT) / (HARD - SOFT)))


def _mirrored_share(angle: float) -> float:
    """How much of what mirrored cloth replaces at a turn of `angle`, radians: see `MIRRORED_TO` and `NOT_MIRRORED`."""
    degrees = abs(math.degrees(angle))
    return _closed(angle) * min(1.0, max(0.0, (NOT_MIRRORED - degrees) / (NOT_MIRRORED - MIRRORED_TO)))


@dataclass
class _DrawnLayer:
    """One layer turned, continued by one pixel: colours [3, R, N]; alpha and how certain they are, [1, R, N]; depth, minus infinity
    where there is nothing, and where it was found, [R, N]."""

    colours: torch.Tensor
    alpha: torch.Tensor
    certain: torch.Tensor
    depth: torch.Tensor
    found: torch.Tensor


def _draw_sheet(sheet: _Sheet, angle: float) -> _DrawnLayer:
    """The front or the back, turned by `angle`, radians."""
    # The soft rim lies in the plane of the outline: turned, it would stand out like a fin, and hide what is behind it.
    closed = _closed(angle)
    depth, coverage = sheet.depth, sheet.coverage
    # Back to where the point really is: the photo shows what is near larger than what is far.
    x = torch.lerp(sheet.x, sheet.closed_x, closed) * (1 - depth / sheet.camera)  # [R, S]
    turned_depth = depth * math.cos(angle) - x * math.sin(angle)
    place = (x * math.cos(angle) + depth * math.sin(angle)) / (1 - turned_depth / sheet.camera)
    place = place + sheet.axis  # [R, S], columns of the region
    segments = nearest_segments(place, turned_depth, coverage > CLEAR * closed, sheet.width)

    (num_rows, length), left = depth.shape, segments.left
    first = segments.row * length + left  # [P], places in the sheet
    ends_of = lambda line: (line.flatten().index_select(0, first), line.flatten().index_select(0, first + 1))  # noqa: E731
    depths, coverages = ends_of(depth), ends_of(coverage)
    jump = (depths[1] - depths[0]).abs() > TORN
    clear = (coverages[0] > CLEAR) | (coverages[1] > CLEAR)
    # Over a tear the farther thing goes on: that is what the nearer one uncovers. Half a pixel at both ends belongs to the photo's own.
    torn = jump & (torch.minimum(segments.share, 1 - segments.share) * segments.stretch > 0.5)
    share = torch.where(torn, segments.runs_away, segments.share)
    certain = (segments.found & ~torn) * torch.where(jump, 1.0, STRETCHED / segments.stretch.clamp(min=STRETCHED))
    shown = left + share + closed * torch.lerp(*ends_of(sheet.inset), share)
    if abs(math.cos(angle)) > SQUEEZED:
        colours = look_up(sheet.colours, segments.row, shown)  # [3, P]
    else:  # the mean of two places a half of the pixel apart, or a print that is squeezed would flicker
        half = (0.25 / segments.stretch).clamp(max=2)
        sides = ((shown + side).clamp(0, length - 1) for side in (-half, half))
        colours = sum(look_up(sheet.colours, segments.row, side) for side in sides) / 2
    matte = torch.lerp(torch.lerp(*coverages, share), clear.float(), closed)
    drawn = depth.new_zeros(6, num_rows * sheet.width)
    drawn[5] = -torch.inf
    drawn[:, segments.places] = torch.cat([colours, torch.stack([matte, certain, segments.depth])])
    colours, alpha, certain, nearness = drawn.unflatten(1, (num_rows, sheet.width)).split([3, 1, 1, 1])
    return _DrawnLayer(colours, alpha, certain, nearness[0], segments.everywhere)


def _up_to_the_outline(x: torch.Tensor, coverage: torch.Tensor) -> torch.Tensor:
    """Columns, [R, S], of which the first beyond the outline is moved to the outline: where the coverage, [R, S], is `CLEAR`."""
    inside = coverage > CLEAR
    rise = coverage[:, 1:] - coverage[:, :-1]
    share = ((CLEAR - coverage[:, :-1]) / torch.where(rise == 0, torch.ones_like(rise), rise)).clamp(0, 1)
    outline = torch.lerp(x[:, :-1], x[:, 1:], share)
    begins, ends = _outline(inside)
    moved = x.clone()
    moved[:, :-1] = torch.where(begins, outline, moved[:, :-1])
    moved[:, 1:] = torch.where(ends, outline, moved[:, 1:])
    return moved


def _outline(inside: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Where the figure begins, and where it ends, between each pixel and the next one of its row, bool [R, S - 1] each."""
    left, right = inside[:, :-1], inside[:, 1:]
    return ~left & right, left & ~right


def _inset(inside: torch.Tensor, most: float) -> torch.Tensor:
    """How much further to the right than itself each pixel takes its colours from, so that none come from the outline, pixels, [R, S]:
    `most` along it, less the farther from it, and less where the figure is narrow.

    Args:
        inside: where the figure is, bool [R, S].
    """
    before, after = columns_beside(
        inside, -(10**6), 10**6
    )  # far away where the picture's own edge cuts the figure off
    columns = torch.arange(inside.shape[1], device=inside.device)
    at_the_outline = ((after - before - 1) / 8).clamp(0, most)
    by = lambda distance: (at_the_outline - (distance - 1) / 2).clamp(min=0)  # noqa: E731
    inset = torch.where(inside, by(columns - before) - by(after - columns), 0.0)
    # What is drawn ends at the outline, which lies between two pixels; the outer one shows what the inner one shows.
    moved = inset.clone()
    begins, ends = _outline(inside)
    moved[:, 1:] = torch.where(ends, inset[:, :-1] - 1, moved[:, 1:])
    moved[:, :-1] = torch.where(begins, inset[:, 1:] + 1, moved[:, :-1])
    return moved
