"""Fabrics: the print on the cloth, the size of the print and the shine of the cloth.

A print is a tile that repeats without a seam. `tile` says how many metres of cloth it covers.
"""

import colorsys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter

from ...photo.reading import read_photo
from .mesh import smoothstep
from .prints import PRINTS, TILE_PIXELS


PATTERNS = {
    "plain": 0.2,
    "stripes": 0.1,
    "plaid": 0.08,
    "dots": 0.08,
    "floral": 0.14,
    "checks": 0.05,
    "gradient": 0.04,
    "geometric": 0.07,
    "photo": 0.24,
}
"""Names of the patterns, and how often each is drawn; without photos, "photo" becomes one of the others."""
TILE_METRES = {"photo": (0.16, 0.4), "floral": (0.14, 0.5), "plaid": (0.1, 0.36), "gradient": (0.9, 0.9)}
CROP_TRIES = 12


@dataclass
class Fabric:
    """A fabric before it is cut.

    Args:
        pattern: one of `PATTERNS`.
        texture: one tile of the print, uint8 [size, size, 3], first row at the bottom.
        tile: metres that the tile covers, each way.
        shine: 0 (wool) to 1 (satin).
        wrinkles: how strongly the cloth creases, 0 to 1.
    """

    pattern: str
    texture: np.ndarray
    tile: float
    shine: float
    wrinkles: float

    @classmethod
    def draw(cls, random: np.random.Generator, photos: list[Path], pattern: str | None = None) -> "Fabric":
        """Draws a fabric of `pattern`, or of any pattern. Crops of `photos` are possible if there are any."""
        if pattern is None:
            names = [name for name in PATTERNS if photos or name != "photo"]
            shares = np.array([PATTERNS[name] for name in names])
            pattern = str(random.choice(names, p=shares / shares.sum()))
        if pattern == "photo":
            texture = photo_tile(photos[random.integers(len(photos))], random)
        else:
            texture = PRINTS[pattern](random, draw_colours(random))
        tile = float(random.uniform(*TILE_METRES.get(pattern, (0.1, 0.3))))
        shine = float(random.choice([random.uniform(0, 0.25), random.uniform(0.25, 1.0)], p=[0.75, 0.25]))
        return cls(pattern, woven(texture, random), tile, shine, float(random.uniform(0.15, 0.8)))

    def repeats(self, metres: float) -> int:
        """How many whole tiles fit around `metres` of cloth, so that no seam is visible."""
        return max(1, round(metres / self.tile))


def woven(texture: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """The print with its threads: over and under (plain weave), or in slanting lines (twill), more or less visible."""
    row, column = np.mgrid[0:TILE_PIXELS, 0:TILE_PIXELS]
    threads = (row // 2 + column // 2) % 2 if random.random() < 0.6 else (row + column) // 2 % 2
    dimmed = 1 - random.uniform(0.0, 0.12) * threads[..., None]
    return (texture * dimmed).astype(np.uint8)


def draw_colours(random: np.random.Generator) -> np.ndarray:
    """Draws four colours that match, float [4, 3] in [0, 1]: the first is the ground."""
    hue, saturation = random.random(), random.beta(2, 2.2)
    ground = colorsys.hsv_to_rgb(hue, saturation, random.uniform(0.25, 0.95))
    plain = random.random()
    if plain < 0.28:  # black, white, cream and navy are common in wardrobes
        ground = [(0.06, 0.06, 0.07), (0.93, 0.93, 0.92), (0.9, 0.85, 0.75), (0.08, 0.1, 0.22)][random.integers(4)]
    others = []
    spread = random.choice([0.06, 0.2, 0.5])
    for _ in range(3):
        value = random.uniform(0.2, 1.0)
        others.append(colorsys.hsv_to_rgb((hue + random.normal(0, spread)) % 1, random.beta(2, 2), value))
    colours = np.array([ground, *others])
    # At least one colour must stand out from the ground; otherwise the print is invisible.
    if np.abs(colours[1] - colours[0]).max() < 0.35:
        colours[1] = (0.95, 0.94, 0.9) if colours[0].mean() < 0.5 else (0.1, 0.09, 0.12)
    return colours


def photo_tile(path: Path, random: np.random.Generator) -> np.ndarray:
    """A tile from the middle of a garment photo, mirrored both ways so that it repeats, uint8 [size, size, 3].

    Raises:
        PhotoError: if the photo cannot be read; its message says why.
    """
    photo = read_photo(path)
    width, height = photo.size
    border = np.concatenate(
        [np.asarray(photo.crop(box).resize((8, 8))).reshape(-1, 3) for box in _corners(width, height)]
    ).astype(np.float32)
    best, best_score = None, -np.inf
    for _ in range(CROP_TRIES):
        size = random.uniform(0.12, 0.24) * min(width, height)
        left = random.uniform(0.32, 0.68) * width - size / 2
        top = random.uniform(0.3, 0.7) * height - size / 2
        crop = photo.crop((int(left), int(top), int(left + size), int(top + size)))
        small = np.asarray(crop.resize((16, 16), Image.Resampling.BOX), np.float32)
        # The crop should show cloth and not the floor beside it: far from the colours of the corners, evenly lit, with a print if there
        # is one.
        away = np.abs(small.reshape(-1, 1, 3) - border).max(-1).min(1).mean()
        lit = small.mean(-1)
        unevenness = np.abs(lit[:8].mean() - lit[8:].mean()) + np.abs(lit[:, :8].mean() - lit[:, 8:].mean())
        score = min(away, 40) + 0.5 * small.std(axis=(0, 1)).mean() - unevenness
        if score > best_score:
            best, best_score = crop, score
    half = TILE_PIXELS // 2
    crop = best.resize((half, half), Image.Resampling.LANCZOS)
    # Light and shade of the photo must not repeat with the tile, so the crop is divided by its own slowly changing brightness.
    pixels = np.asarray(crop, np.float32)
    slow = np.asarray(crop.convert("L").filter(ImageFilter.GaussianBlur(half / 5)), np.float32)[..., None] + 8
    pixels = np.clip(pixels * (slow.mean() / slow) ** 0.8, 0, 255).astype(np.uint8)
    across = np.concatenate([pixels, pixels[:, ::-1]], 1)
    return np.concatenate([across, across[::-1]], 0)[::-1].copy()


def _corners(width: int, height: int) -> list[tuple[int, int, int, int]]:
    wide, tall = max(width // 10, 1), max(height // 10, 1)
    return [(x, y, x + wide, y + tall) for x in (0, width - wide) for y in (0, height - tall)]


def wrinkle_heights(random: np.random.Generator, size: int = 256) -> np.ndarray:
    """Heights of creased cloth that repeat without a seam, float32 [size, size] in [0, 1]: ridges at several scales."""
    frequencies = np.fft.fftfreq(size) * size
    radius = np.hypot(frequencies[:, None], frequencies[None])
    heights = np.zeros((size, size))
    for low, high, share in ((1, 3, 1.0), (3, 7, 0.35), (8, 20, 0.07)):
        band = smoothstep(low * 0.6, low, radius) * (1 - smoothstep(high, high * 1.4, radius))
        noise = np.fft.ifft2(np.fft.fft2(random.standard_normal((size, size))) * band).real
        heights += share * (1 - np.abs(noise / noise.std()).clip(0, 2) / 2)  # |noise| gives ridges where it crosses 0
    heights -= heights.min()
    return (heights / heights.max()).astype(np.float32)
