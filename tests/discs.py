"""A red disc before a green ground, for tests of what is found in a photo."""

import numpy as np


RED, GREEN = (190, 40, 30), (60, 160, 70)
HEIGHT, WIDTH = 160, 128


def disc(radius: float, size: tuple[int, int] = (HEIGHT, WIDTH)) -> np.ndarray:
    """A disc in the middle with a soft edge one pixel wide, float32 in [0, 1]."""
    row, column = np.mgrid[: size[0], : size[1]] + 0.5
    away = np.hypot(row - size[0] / 2, column - size[1] / 2)
    return np.clip(radius - away + 0.5, 0, 1).astype(np.float32)


def photo_of(coverage: np.ndarray, figure=RED, ground=GREEN) -> np.ndarray:
    share = coverage[..., None]
    return (np.array(figure) * share + np.array(ground) * (1 - share)).round().astype(np.uint8)
