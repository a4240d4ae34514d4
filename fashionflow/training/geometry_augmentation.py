"""Changes photos and their shapes at random, so that the geometry network sees more photos than were rendered.

Five changes, in this order: the figure gets other colours, the photo is moved in its frame, the figure gets another background, the
figure gets a print in that background's colour, and the photo gets the faults of a camera and of a file format. Colours are sRGB in
[0, 1], float32; lengths and depths are pixels.
"""

from dataclasses import dataclass, replace

import cv2
import numpy as np

from .synthesis.layers import Layers


LEAST_SEEN = 0.04
"""The share of the frame that a figure must cover after it was moved."""

PLACES_TRIED = 8
"""How many places are tried until the figure covers that much. After the last one, the figure stays where it was."""

GREY = np.array([0.299, 0.587, 0.114], np.float32)
"""The weights of red, green and blue in the lightness of a colour."""


@dataclass(frozen=True)
class GeometryExample:
    """A photo and the output that the network should give for it; arrays are float32, [height, width] except the photo.

    Args:
        photo: sRGB in [0, 1], [height, width, 3].
        coverage: share of each pixel that the figure or garment covers, in [0, 1].
        front, back: depths of the nearest and the farthest surface, pixels; 0 where they are not known.
        front_known, back_known: 1 where that depth is known and 0 elsewhere.
        axis: column of the vertical turning axis, pixels from the left edge; it may lie outside.
    """

    photo: np.ndarray
    coverage: np.ndarray
    front: np.ndarray
    back: np.ndarray
    front_known: np.ndarray
    back_known: np.ndarray
    axis: float


def unchanged(layers: Layers) -> GeometryExample:
    """A rendered example without changes. Under the open hem of a skirt, where its inside is visible, the back counts as not known."""
    front, back = layers.front.astype(np.float32), layers.back.astype(np.float32)
    # Depths are measured at a pixel's middle, so a covered pixel on the outline of a body may have no depth. The outline of a garment
    # laid flat has depth 0.
    flat = np.array_equal(back, -front)
    there = (layers.coverage > 127) & ((front != 0) | (back != 0) | flat)
    inside_of_skirt = (back > 0.5 * front) & (front > 20)
    return GeometryExample(
        photo=layers.photo.astype(np.float32) / 255,
        coverage=layers.coverage.astype(np.float32) / 255,
        front=front * there,
        back=np.minimum(back, front - 0.5) * there,
        front_known=there.astype(np.float32),
        back_known=(there & ~inside_of_skirt).astype(np.float32),
        axis=layers.axis,
    )


def changed(
    example: GeometryExample, random: np.random.Generator, background_share: float, pictures: list[np.ndarray]
) -> GeometryExample:
    """A changed example, made from an unchanged one.

    Args:
        example: the example to change.
        random: draws the changes.
        background_share: probability that the figure gets another background, in [0, 1].
        pictures: the pictures from which backgrounds are cut, uint8 sRGB [height, width, 3]; there may be none.
    """
    recoloured, alone = random.random() < 0.4, random.random() < background_share
    figure = colours_continued(example) if recoloured or alone else example.photo
    if recoloured:
        figure = _recoloured(figure, example.coverage, random)
        example = replace(example, photo=_over(figure, example.photo, example.coverage))
    matrix = _place(example.coverage, example.axis, random)
    moved = _moved(example, matrix, reflected=random.random() < 0.4)
    if alone:
        figure = cv2.warpAffine(figure, matrix, figure.shape[1::-1], borderMode=cv2.BORDER_REPLICATE)
        ground = _background(figure, moved.coverage, random, pictures)
        moved = replace(moved, photo=_over(figure, ground, moved.coverage))
    if random.random() < 0.5:
        moved = replace(moved, photo=_printed(moved.photo, moved.coverage, random))
    if random.random() < 0.5:
        moved = mirrored(moved)
    return replace(moved, photo=_photographed(moved.photo, random))


def mirrored(example: GeometryExample) -> GeometryExample:
    """The mirror image of the example."""
    names = ("photo", "coverage", "front", "back", "front_known", "back_known")
    arrays = {name: np.ascontiguousarray(getattr(example, name)[:, ::-1]) for name in names}
    return GeometryExample(**arrays, axis=example.coverage.shape[1] - example.axis)


def colours_continued(example: GeometryExample) -> np.ndarray:
    """The photo with the figure's own colours in place of the mixed colours along its outline, [height, width, 3]."""
    inner = cv2.erode((example.coverage > 0.99).astype(np.float32), np.ones((3, 3), np.uint8))
    weight = cv2.GaussianBlur(inner, (0, 0), 2.0)
    near = cv2.GaussianBlur(example.photo * inner[..., None], (0, 0), 2.0) / np.maximum(weight, 1e-4)[..., None]
    mixed = (inner == 0) & (weight > 1e-3)
    return np.where(mixed[..., None], near, example.photo)


def _over(figure: np.ndarray, ground: np.ndarray, coverage: np.ndarray) -> np.ndarray:
    """The figure laid over the ground, [height, width, 3]."""
    return ground + (figure - ground) * coverage[..., None]


def _recoloured(photo: np.ndarray, coverage: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """The photo multiplied by a colour, or shifted towards white or black."""
    kind = random.random()
    if kind < 0.5:
        hsv = np.float32([[[random.uniform(0, 360), random.uniform(0.1, 0.8), random.uniform(0.35, 1.0)]]])
        colour = cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)[0, 0]
        # Dark cloth is brightened, because the product alone would be black.
        lightness = float((photo @ GREY)[coverage > 0.5].mean()) if (coverage > 0.5).any() else 1.0
        return np.clip(photo * colour * min(3.0, 0.6 / max(lightness, 0.05)), 0, 1)
    amount = random.uniform(0.2, 0.8)
    return photo * (1 - amount) + (amount if kind < 0.8 else 0.0)


def _place(coverage: np.ndarray, axis: float, random: np.random.Generator) -> np.ndarray:
    """Draws the photo's place in its frame: scale, small rotation and shift, as an OpenCV matrix, [2, 3].

    A side that cuts the figure stays outside or on the frame's edge, because the photo does not show how the figure continues there.
    """
    height, width = coverage.shape
    mask = coverage > 0.5
    if not mask.any():
        return np.eye(2, 3)
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    cut = [(columns[0] == 0, columns[-1] == width - 1), (rows[0] == 0, rows[-1] == height - 1)]
    smallest = 1.0 if any(all(sides) for sides in cut) else 0.7
    for _ in range(PLACES_TRIED):
        low, high = (0.8, 1.5) if random.random() < 0.75 else (0.7, 2.0)
        scale = np.exp(random.uniform(np.log(max(smallest, low)), np.log(high)))
        angle = random.uniform(-4, 4) if random.random() < 0.3 and not np.any(cut) else 0.0
        # A point of the figure moves to a point of the frame: the figure's middle, or a point at any height, to a point near the frame's
        # middle.
        middle = (rows[0] + rows[-1] + 1) / 2
        row = middle if random.random() < 0.5 else random.uniform(rows[0], rows[-1] + 1)
        target = np.array([width, height]) * (0.5 + random.normal(0, [0.1, 0.12]) * random.choice([0.5, 1, 2]))
        matrix = cv2.getRotationMatrix2D((axis, row), angle, scale)
        matrix[:, 2] += target - (axis, row)
        for side, (length, (first, last)) in enumerate(zip((width, height), cut, strict=True)):
            if first:
                matrix[side, 2] = min(matrix[side, 2], 0.0)
            if last:
                matrix[side, 2] = max(matrix[side, 2], length * (1 - scale))
        # OpenCV counts from the middle of the first pixel, and we count from its edge.
        matrix[:, 2] += matrix[:, :2] @ (0.5, 0.5) - 0.5
        small = np.array([[0.125], [0.125]])
        seen = cv2.warpAffine(
            cv2.resize(coverage, (width // 8, height // 8), interpolation=cv2.INTER_AREA),
            np.hstack([matrix[:, :2], matrix[:, 2:] * small]),
            (width // 8, height // 8),
        )
        if seen.mean() > LEAST_SEEN:
            return matrix
    return np.eye(2, 3)


def _moved(example: GeometryExample, matrix: np.ndarray, reflected: bool) -> GeometryExample:
    """The example with every point moved by `matrix`. Depths are never mixed with pixels that have none.

    Beyond the photo, its border continues. With `reflected`, its mirror image continues, if that shows no part of the figure.
    """
    height, width = example.coverage.shape
    scale = float(np.sqrt(np.linalg.det(matrix[:, :2])))

    def warp(array: np.ndarray, border: int = cv2.BORDER_CONSTANT) -> np.ndarray:
        return cv2.warpAffine(array, matrix, (width, height), borderMode=border)

    coverage = warp(example.coverage)
    front_share, back_share = warp(example.front_known), warp(example.back_known)
    front, back = (warp(depth) / np.maximum(front_share, 1e-3) * scale for depth in (example.front, example.back))
    known = (coverage > 0.5) & (front_share > 0.25)
    back_known = known & (back_share > 0.99 * front_share)
    rows = np.flatnonzero((example.coverage > 0.5).any(1))
    middle = rows.mean() if rows.size else height / 2
    # The same shift by half a pixel as in `_place`.
    axis = matrix[0] @ (example.axis - 0.5, middle, 1.0) + 0.5
    if reflected:
        reflected = np.abs(warp(example.coverage, cv2.BORDER_REFLECT_101) - coverage).max() < 0.02
    return GeometryExample(
        photo=warp(example.photo, cv2.BORDER_REFLECT_101 if reflected else cv2.BORDER_REPLICATE),
        coverage=coverage,
        front=front * known,
        back=back * known,
        front_known=known.astype(np.float32),
        back_known=back_known.astype(np.float32),
        axis=float(axis),
    )


def _background(
    figure: np.ndarray, coverage: np.ndarray, random: np.random.Generator, pictures: list[np.ndarray]
) -> np.ndarray:
    """Draws a background for a figure, sometimes with a soft shadow of the figure, [height, width, 3]."""
    size = coverage.shape
    kind = random.random()
    if kind < 0.4 and pictures:
        ground = _cut_picture(pictures[random.integers(len(pictures))], size, random)
    elif kind < 0.5:
        ground = _texture(size, random)
    elif kind < 0.65 and (coverage > 0.5).any():
        ground = _plain(_lightest(figure, coverage) + random.normal(0, 0.03, 3), size, random)
    else:
        colour = np.full(3, random.uniform(0.75, 1.0) if random.random() < 0.5 else random.uniform(0.03, 1.0))
        ground = _plain(colour + random.normal(0, random.choice([0.01, 0.12]), 3), size, random)
    if random.random() < 0.4:
        shift = np.array([[1, 0, random.uniform(-18, 18)], [0, 1, random.uniform(-4, 12)]])
        shadow = cv2.warpAffine(coverage, shift, size[::-1], borderMode=cv2.BORDER_REPLICATE)
        shadow = cv2.GaussianBlur(shadow, (0, 0), random.uniform(2, 12))
        ground = ground * (1 - random.uniform(0.08, 0.5) * shadow[..., None])
    return np.clip(ground, 0, 1).astype(np.float32)


def _printed(photo: np.ndarray, coverage: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """The photo with spots, letters, stripes or lines on the figure, mostly in the colour of the ground beside it, [height, width, 3].

    Such a print still belongs to the figure, although it looks like the ground.
    """
    inside, outside = coverage > 0.9, coverage < 0.2
    width = coverage.shape[1]
    scale = width / 256
    beside = outside & (cv2.dilate(coverage, np.ones((2 * round(12 * scale) + 1,) * 2, np.uint8)) > 0.5)
    if not inside.any() or not outside.any():
        return photo
    colour = np.median(photo[beside if beside.any() else outside], axis=0) + random.normal(0, 0.015, 3)
    if random.random() < 0.25:
        colour = random.uniform(0, 1, 3)
    lengths = lambda low, high: max(1, round(scale * random.uniform(low, high)))  # noqa: E731
    places = np.argwhere(inside)
    kind = random.choice(["spots", "letters", "stripes", "lines"], p=[0.4, 0.2, 0.2, 0.2])
    share = np.zeros(coverage.shape, np.uint8)
    for _ in range(random.integers(1, 14)):
        row, column = (int(place) for place in places[random.integers(len(places))])
        if kind == "spots":
            axes = lengths(3, 22), lengths(3, 22)
            cv2.ellipse(share, (column, row), axes, random.uniform(0, 180), 0, 360, 255, -1)
        elif kind == "letters":
            text = "".join(chr(code) for code in random.integers(ord("A"), ord("Z") + 1, random.integers(1, 6)))
            font, size = int(random.integers(7)), scale * random.uniform(0.5, 1.8)
            cv2.putText(share, text, (column - round(20 * scale), row), font, size, 255, lengths(1, 5), cv2.LINE_AA)
        elif kind == "stripes":
            cv2.line(share, (0, row), (width, int(row + scale * random.normal(0, 10))), 255, lengths(2, 9))
        else:
            end = int(column + scale * random.normal(0, 15)), int(row + scale * random.normal(0, 30))
            cv2.line(share, (column, row), end, 255, lengths(2, 14))
    share = cv2.GaussianBlur(share.astype(np.float32) / 255, (0, 0), random.uniform(0.4, 1.2)) * inside
    shade = 1.0
    if random.random() < 0.6:  # folds continue through a print
        light = cv2.GaussianBlur(photo @ GREY, (0, 0), 4)
        shade = np.clip(light / max(float(np.median(light[inside])), 0.01), 0.7, 1.1)[..., None]
    return (photo + (np.clip(colour * shade, 0, 1) - photo) * share[..., None]).astype(np.float32)


def _lightest(figure: np.ndarray, coverage: np.ndarray) -> np.ndarray:
    """Mean colour of the lightest third of a figure's pixels, [3]."""
    colours = figure[coverage > 0.5]
    lightness = colours @ GREY
    return colours[lightness >= np.quantile(lightness, 0.67)].mean(0)


def _plain(colour: np.ndarray, size: tuple[int, int], random: np.random.Generator) -> np.ndarray:
    """A wall of a colour that gets lighter to one side, sometimes with a floor, [height, width, 3]."""
    down, across = np.mgrid[-1 : 1 : size[0] * 1j, -1 : 1 : size[1] * 1j].astype(np.float32)
    steepest = random.choice([0.02, 0.08, 0.25])
    light = random.uniform(-steepest, steepest) * down + random.uniform(-steepest, steepest) * across
    if random.random() < 0.3:
        light = light - random.uniform(0, 0.3) * (down**2 + across**2)
    if random.random() < 0.25:
        light = light + random.uniform(-0.2, 0.2) * (down > random.uniform(0.2, 0.95))
    return (np.clip(colour, 0, 1) * (1 + light[..., None])).astype(np.float32)


def _cut_picture(picture: np.ndarray, size: tuple[int, int], random: np.random.Generator) -> np.ndarray:
    """A part of a picture that fills the frame, half the time out of focus, [height, width, 3]."""
    cover = max(size[0] / picture.shape[0], size[1] / picture.shape[1]) * random.uniform(1.0, 2.0)
    sides = [max(length, round(side * cover)) for side, length in zip(picture.shape[:2], size, strict=True)]
    picture = cv2.resize(picture, sides[::-1], interpolation=cv2.INTER_AREA if cover < 1 else cv2.INTER_LINEAR)
    top, left = (random.integers(side - length + 1) for side, length in zip(sides, size, strict=True))
    part = picture[top : top + size[0], left : left + size[1]].astype(np.float32) / 255
    if random.random() < 0.5:
        part = part[:, ::-1]
    if random.random() < 0.5:
        part = cv2.GaussianBlur(np.ascontiguousarray(part), (0, 0), random.uniform(0.5, 15))
    return part


def _texture(size: tuple[int, int], random: np.random.Generator) -> np.ndarray:
    """Noise of several sizes around a colour, like plaster, leaves or a crowd, [height, width, 3]."""
    ground = np.full((*size, 3), random.uniform(0.15, 0.95, 3), np.float32)
    strength, fall = random.uniform(0.03, 0.25), random.uniform(0.4, 1.0)
    channels = random.choice([1, 3])
    for level in range(1, 7):
        grid = random.normal(0, strength, (2**level + 1, 2**level + 1, channels)).astype(np.float32)
        grid = cv2.resize(grid, size[::-1], interpolation=cv2.INTER_CUBIC)
        ground += grid[..., None] if grid.ndim == 2 else grid
        strength *= fall
    return ground


def _photographed(photo: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """The photo as another camera and another file would show it, [height, width, 3]."""
    if random.random() < 0.6:
        photo = photo ** np.float32(np.exp(random.uniform(-0.4, 0.4)))
    if random.random() < 0.5:
        photo = photo * random.uniform(0.85, 1.12, 3).astype(np.float32)
    if random.random() < 0.4:
        photo = (photo - photo.mean()) * np.float32(random.uniform(0.65, 1.3)) + photo.mean()
    if random.random() < 0.4:
        photo = photo @ _colour_turn(0.0, random.uniform(0.3, 1.5))
    if random.random() < 0.12:
        photo = photo @ _colour_turn(random.uniform(-np.pi, np.pi), 1.0)
    photo = np.clip(photo, 0, 1)
    height, width = photo.shape[:2]
    if random.random() < 0.15:
        factor = random.uniform(0.35, 0.9)
        small = cv2.resize(photo, (round(width * factor), round(height * factor)), interpolation=cv2.INTER_AREA)
        photo = cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR)
    if random.random() < 0.25:
        photo = cv2.GaussianBlur(photo, (0, 0), random.uniform(0.4, 1.6))
    if random.random() < 0.5:
        noise = random.standard_normal(photo.shape, np.float32)
        photo = photo + np.float32(random.uniform(0, 0.04)) * noise
    if random.random() < 0.5:
        pixels = (np.clip(photo, 0, 1) * 255 + 0.5).astype(np.uint8)
        _, file = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, int(random.integers(25, 96))])
        photo = cv2.imdecode(file, cv2.IMREAD_COLOR).astype(np.float32) / 255
    return np.clip(photo, 0, 1).astype(np.float32)


def _colour_turn(angle: float, saturation: float) -> np.ndarray:
    """The matrix, to be multiplied from the right, that turns hues by an angle in radians and strengthens colours, [3, 3]."""
    grey = np.full((3, 3), 1 / 3)
    across = np.array([[0, -1, 1], [1, 0, -1], [-1, 1, 0]]) / np.sqrt(3)
    turn = grey + saturation * (np.cos(angle) * (np.eye(3) - grey) + np.sin(angle) * across)
    return turn.astype(np.float32)
