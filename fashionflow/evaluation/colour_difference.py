"""Colour differences as people see them: CIE Delta E 2000 between two colours, and between the palettes of two pieces of cloth.

Colours are CIE Lab under D65: L in [0, 100], a and b in about [-100, 100].
"""

import cv2
import numpy as np


LIGHTNESS_WEIGHT = 2.0
"""For textiles, lightness counts half (k_L = 2, as CIE 94 and CMC 2:1 advise), because folds and light change it."""

PALETTE_SIZE = 8
SHARE_ALLOWED = 2.0
"""A colour may fill this many times its share of the photo. Any further area of it is compared with another colour."""
SHARE_COMPARED = 0.8
"""The share of a garment that is compared. The colours that fit worst are left out, because a hand or hair in front of the garment is not
one of its colours."""


def to_lab(frame: np.ndarray) -> np.ndarray:
    """sRGB, uint8 [height, width, 3], as CIE Lab, float32."""
    return cv2.cvtColor(frame.astype(np.float32) / 255, cv2.COLOR_RGB2Lab)


def delta_e_2000(colours: np.ndarray, others: np.ndarray, lightness_weight: float = 1.0) -> np.ndarray:
    """The CIE's colour difference of 2000 between colours in CIE Lab, [..., 3]; the arrays broadcast.

    Follows Sharma, Wu and Dalal, "The CIEDE2000 color-difference formula" (Color Research and Application 30, 2005). The comments give
    the equation numbers of that paper. `lightness_weight` is k_L.
    """
    (l1, a1, b1), (l2, a2, b2) = (np.moveaxis(np.asarray(c, dtype=np.float64), -1, 0) for c in (colours, others))

    def damping(chroma):  # the common factor of (4) and (17)
        return np.sqrt(chroma**7 / (chroma**7 + 25.0**7))

    grey = 0.5 * (1 - damping((np.hypot(a1, b1) + np.hypot(a2, b2)) / 2))  # (4)
    a1, a2 = (1 + grey) * a1, (1 + grey) * a2  # (5)
    c1, c2 = np.hypot(a1, b1), np.hypot(a2, b2)  # (6)
    h1, h2 = np.degrees(np.arctan2(b1, a1)) % 360, np.degrees(np.arctan2(b2, a2)) % 360  # (7)
    coloured = c1 * c2 != 0

    turn = np.where(coloured, (h2 - h1 + 180) % 360 - 180, 0)  # (10); for two opposite hues either sign is right
    lightness, chroma = l2 - l1, c2 - c1  # (8), (9)
    hue = 2 * np.sqrt(c1 * c2) * np.sin(np.radians(turn / 2))  # (11)
    mean_l, mean_c = (l1 + l2) / 2, (c1 + c2) / 2  # (12), (13)
    far = np.abs(h1 - h2) > 180
    mean_h = np.where(coloured, (h1 + h2 + np.where(far, np.where(h1 + h2 < 360, 360, -360), 0)) / 2, h1 + h2)  # (14)

    t = 1 - 0.17 * np.cos(np.radians(mean_h - 30)) + 0.24 * np.cos(np.radians(2 * mean_h))
    t += 0.32 * np.cos(np.radians(3 * mean_h + 6)) - 0.20 * np.cos(np.radians(4 * mean_h - 63))  # (15)
    rotation = (
        -np.sin(np.radians(60 * np.exp(-(((mean_h - 275) / 25) ** 2)))) * 2 * damping(mean_c)
    )  # (16), (17), (21)
    scale_l = lightness_weight * (1 + 0.015 * (mean_l - 50) ** 2 / np.sqrt(20 + (mean_l - 50) ** 2))  # (18)
    scale_c, scale_h = 1 + 0.045 * mean_c, 1 + 0.015 * mean_c * t  # (19), (20)
    lightness, chroma, hue = lightness / scale_l, chroma / scale_c, hue / scale_h
    return np.sqrt(np.maximum(lightness**2 + chroma**2 + hue**2 + rotation * chroma * hue, 0))  # (22)


def palette(colours: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """`PALETTE_SIZE` colours that represent many colours, [N, 3], and the share of each, by median cut."""
    groups = [colours[:: max(1, len(colours) // 2000)].astype(np.float64)]
    while len(groups) < PALETTE_SIZE:
        spreads = [len(group) * group.var(axis=0).max() for group in groups]
        group = groups.pop(int(np.argmax(spreads)))
        ordered = group[np.argsort(group[:, group.var(axis=0).argmax()], kind="stable")]
        middle = len(ordered) // 2
        if not middle:
            groups.append(group)
            break
        groups += [ordered[:middle], ordered[middle:]]
    sizes = np.array([len(group) for group in groups])
    return np.stack([group.mean(axis=0) for group in groups]), sizes / sizes.sum()


def palette_difference(seen: tuple[np.ndarray, np.ndarray], known: tuple[np.ndarray, np.ndarray]) -> float:
    """The mean Delta E 2000 (2:1:1) between each seen colour and the nearest known colour whose share is not used up."""
    differences = delta_e_2000(seen[0][:, None], known[0], LIGHTNESS_WEIGHT)
    wanted, available = seen[1].copy(), SHARE_ALLOWED * known[1]
    total, left = 0.0, SHARE_COMPARED
    for first, second in zip(*np.unravel_index(differences.argsort(axis=None), differences.shape), strict=True):
        share = min(wanted[first], available[second], left)
        total += share * differences[first, second]
        wanted[first], available[second], left = wanted[first] - share, available[second] - share, left - share
    return float(total / SHARE_COMPARED)
