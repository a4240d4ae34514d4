"""Prints drawn by formula: tiles that repeat without a seam, uint8 [TILE_PIXELS, TILE_PIXELS, 3], first row at the bottom."""

from collections.abc import Callable

import numpy as np


TILE_PIXELS = 256


def coordinates() -> tuple[np.ndarray, np.ndarray]:
    """x and y over the tile, each [TILE_PIXELS, TILE_PIXELS] in [0, 1)."""
    y, x = np.mgrid[0:TILE_PIXELS, 0:TILE_PIXELS] / TILE_PIXELS
    return x, y


def to_pixels(colours: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Colours in [0, 1] with the unevenness of dyed thread, uint8."""
    uneven = 1 + 0.05 * (random.random((TILE_PIXELS, TILE_PIXELS, 1)) - 0.5)
    return (np.clip(colours * uneven, 0, 1) * 255).astype(np.uint8)


def paint(ground: np.ndarray, mask: np.ndarray, colour: np.ndarray) -> np.ndarray:
    """`colour` where `mask`, bool or in [0, 1], over `ground`, [size, size, 3]."""
    share = mask[..., None].astype(np.float64)
    return ground * (1 - share) + colour * share


def plain(random: np.random.Generator, colours: np.ndarray) -> np.ndarray:
    return to_pixels(np.ones((TILE_PIXELS, TILE_PIXELS, 3)) * colours[0], random)


def stripes(random: np.random.Generator, colours: np.ndarray) -> np.ndarray:
    """Stripes, lengthwise, crosswise or diagonal, of one width or several."""
    x, y = coordinates()
    across = [x, y, x + y][random.choice(3, p=[0.4, 0.45, 0.15])] * random.integers(3, 9) % 1
    image = np.ones((TILE_PIXELS, TILE_PIXELS, 3)) * colours[0]
    image = paint(image, across < random.uniform(0.15, 0.6), colours[1])
    if random.random() < 0.4:
        image = paint(image, (across > 0.75) & (across < 0.75 + random.uniform(0.05, 0.15)), colours[2])
    return to_pixels(image, random)


def plaid(random: np.random.Generator, colours: np.ndarray) -> np.ndarray:
    """Bands of threads, the same both ways, that mix where they cross."""
    x, y = coordinates()
    image = np.ones((TILE_PIXELS, TILE_PIXELS, 3)) * colours[0]
    repeats = random.integers(1, 4)
    for band in range(random.integers(2, 5)):
        start, width = random.random(), random.uniform(0.03, 0.3)
        for along in (x, y):
            inside = (along * repeats - start) % 1 < width
            image = paint(image, 0.5 * inside, colours[1 + band % 3])
    return to_pixels(image, random)


def dots(random: np.random.Generator, colours: np.ndarray) -> np.ndarray:
    """Dots in a square or a staggered lattice, of one size or two."""
    x, y = coordinates()
    repeats = 2 * int(random.integers(1, 4))
    column = np.floor(x * repeats)
    dx, dy = x * repeats % 1 - 0.5, (y * repeats + 0.5 * (column % 2) * (random.random() < 0.7)) % 1 - 0.5
    radius = random.uniform(0.12, 0.36)
    size = radius * np.where((column % 2 == 1) & (random.random() < 0.3), 0.5, 1.0)
    image = paint(np.ones((TILE_PIXELS, TILE_PIXELS, 3)) * colours[0], np.hypot(dx, dy) < size, colours[1])
    return to_pixels(image, random)


def floral(random: np.random.Generator, colours: np.ndarray) -> np.ndarray:
    """Flowers and leaves scattered over the tile, dense or sparse."""
    x, y = coordinates()
    image = np.ones((TILE_PIXELS, TILE_PIXELS, 3)) * colours[0]
    largest = random.uniform(0.05, 0.16)
    leaf = np.array([0.16, 0.34, 0.16]) * random.uniform(0.6, 1.6) if random.random() < 0.6 else colours[3]
    for _ in range(int(random.uniform(0.35, 1.0) / largest**2 * 0.35) + 5):
        centre, size, turn = random.random(2), largest * random.uniform(0.5, 1.0), random.uniform(0, 2 * np.pi)
        dx, dy = (x - centre[0] + 0.5) % 1 - 0.5, (y - centre[1] + 0.5) % 1 - 0.5
        radius, angle = np.hypot(dx, dy), np.arctan2(dy, dx) + turn
        if random.random() < 0.45:  # a leaf: the intersection of two circles
            bend = np.hypot(dx + size * 0.6 * np.sin(turn), dy - size * 0.6 * np.cos(turn))
            other = np.hypot(dx - size * 0.6 * np.sin(turn), dy + size * 0.6 * np.cos(turn))
            image = paint(image, (bend < size) & (other < size), leaf)
            continue
        petals = int(random.integers(4, 8))
        edge = size * (0.62 + 0.38 * np.abs(np.cos(petals / 2 * angle)))
        colour = colours[random.integers(1, 4)]
        image = paint(image, radius < edge, colour)
        image = paint(image, (radius < edge) * np.clip(1 - radius / (0.8 * size), 0, 0.5), colour * 0.5)
        image = paint(image, radius < size * 0.22, np.array([0.95, 0.8, 0.3]))
    return to_pixels(image, random)


def checks(random: np.random.Generator, colours: np.ndarray) -> np.ndarray:
    """Chessboard, gingham or houndstooth-like steps."""
    x, y = coordinates()
    repeats = int(random.integers(2, 7))
    across, along = x * repeats % 1 < 0.5, y * repeats % 1 < 0.5
    image = np.ones((TILE_PIXELS, TILE_PIXELS, 3)) * colours[0]
    if random.random() < 0.5:
        image = paint(paint(image, 0.5 * across, colours[1]), 0.5 * along, colours[1])
    else:
        image = paint(image, across ^ along, colours[1])
    return to_pixels(image, random)


def gradient(random: np.random.Generator, colours: np.ndarray) -> np.ndarray:
    """A gradient from one colour to another along the cloth, and back within the tile."""
    _, y = coordinates()
    amount = 0.5 - 0.5 * np.cos(2 * np.pi * (y + random.random()))
    return to_pixels(paint(np.ones((TILE_PIXELS, TILE_PIXELS, 3)) * colours[0], amount, colours[1]), random)


def geometric(random: np.random.Generator, colours: np.ndarray) -> np.ndarray:
    """Small diamonds, triangles, zigzags or rings."""
    x, y = coordinates()
    repeats = 2 * int(random.integers(1, 4))
    dx, dy = np.abs(x * repeats % 1 - 0.5), np.abs(y * repeats % 1 - 0.5)
    image = np.ones((TILE_PIXELS, TILE_PIXELS, 3)) * colours[0]
    kind = random.integers(4)
    if kind == 0:
        image = paint(paint(image, dx + dy < 0.45, colours[1]), dx + dy < 0.2, colours[2])
    elif kind == 1:
        image = paint(image, (y * repeats % 1) < 1 - 2 * dx, colours[1])
    elif kind == 2:
        image = paint(image, (y * repeats + 1.0 * dx) % 1 < random.uniform(0.25, 0.5), colours[1])
    else:
        ring = np.hypot(dx, dy)
        image = paint(paint(image, ring < 0.42, colours[1]), ring < 0.26, colours[2])
    return to_pixels(image, random)


PRINTS: dict[str, Callable[[np.random.Generator, np.ndarray], np.ndarray]] = {
    "plain": plain,
    "stripes": stripes,
    "plaid": plaid,
    "dots": dots,
    "floral": floral,
    "checks": checks,
    "gradient": gradient,
    "geometric": geometric,
}
