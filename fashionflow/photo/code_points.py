"""Colours that a picture names by two numbers instead of a profile: a PNG in its chunk `cICP`, AVIF and HEIC in their box `nclx`.

The numbers are those of ITU-T H.273. They become a small ICC profile here, because Pillow reads and converts profiles alone.
"""

import struct

import numpy as np


LOOKED_AT = 2**16  # bytes at the start of a file, where its head is

# The x and y of red, green and blue, by the number of the primaries. All have the white D65.
PRIMARIES = {
    1: ((0.64, 0.33), (0.30, 0.60), (0.15, 0.06)),  # sRGB
    9: ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046)),  # BT.2020
    12: ((0.68, 0.32), (0.265, 0.69), (0.15, 0.06)),  # Display P3
}
WHITE = (0.3127, 0.329)
D50 = np.array([0.9642, 1.0, 0.8249])  # the white of every profile
BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])

ORDINARY, LINEAR, PQ, HLG = (1, 4, 6, 13, 14, 15), 8, 16, 18
"""Numbers of transfer functions. The ordinary ones are all shown as sRGB."""

HDR_WHITE = 203  # cd/m2, the white of a page in HDR (BT.2408); what is brighter becomes white, too
STEPS = 4096


def profile_of_code_points(head: bytes) -> bytes | None:
    """The ICC profile for the colours that the head of a file names; `None` if it names none, or ordinary ones, or unknown ones."""
    if head.startswith(b"\x89PNG"):
        place = head.split(b"IDAT", 1)[0].find(b"\0\0\0\x04cICP")
        points = tuple(head[place + 8 : place + 10]) if place >= 0 else ()
    else:
        place = head.find(b"colrnclx")
        points = struct.unpack_from(">HH", head, place + 8) if 0 <= place <= len(head) - 12 else ()
    if len(points) != 2 or points[0] not in PRIMARIES or (points[0] == 1 and points[1] in ORDINARY):
        return None
    light = _light(points[1])
    return None if light is None else _profile(_to_d50(PRIMARIES[points[0]]), light)


def _light(transfer: int) -> np.ndarray | None:
    """The light, 0 to 1, for each of `STEPS` levels of the signal."""
    signal = np.linspace(0, 1, STEPS)
    if transfer in ORDINARY:
        return np.where(signal <= 0.04045, signal / 12.92, ((signal + 0.055) / 1.055) ** 2.4)
    if transfer == LINEAR:
        return signal
    if transfer == PQ:
        power = signal ** (32 / 2523)
        nits = 10_000 * (np.maximum(power - 107 / 128, 0) / (2413 / 128 - 2392 / 128 * power)) ** (8192 / 1305)
    elif transfer == HLG:
        low, high = signal**2 / 3, (np.exp((signal - 0.55991073) / 0.17883277) + 0.28466892) / 12
        nits = 1000 * np.where(signal <= 0.5, low, high) ** 1.2
    else:
        return None
    return np.minimum(nits / HDR_WHITE, 1)


def _to_d50(primaries: tuple) -> np.ndarray:
    """The XYZ of red, green and blue as columns, seen under D50."""
    columns = np.array([(x / y, 1, (1 - x - y) / y) for x, y in (*primaries, WHITE)]).T
    white = columns[:, 3]
    colours = columns[:, :3] * np.linalg.solve(columns[:, :3], white)
    adapted = np.diag((BRADFORD @ D50) / (BRADFORD @ white))
    return np.linalg.inv(BRADFORD) @ adapted @ BRADFORD @ colours


def _profile(colours: np.ndarray, light: np.ndarray) -> bytes:
    """A profile of three primaries and one curve (ICC.1:2001, sections 6.1 and 6.5)."""

    def xyz(numbers: np.ndarray) -> bytes:
        return struct.pack(">4s4x3i", b"XYZ ", *np.round(numbers * 65536).astype(int))

    curve = struct.pack(">4s4xI", b"curv", STEPS) + np.round(light * 65535).astype(">u2").tobytes()
    contents = [xyz(D50), *map(xyz, colours.T), curve]
    names = [(b"wtpt", 0), (b"rXYZ", 1), (b"gXYZ", 2), (b"bXYZ", 3), (b"rTRC", 4), (b"gTRC", 4), (b"bTRC", 4)]
    starts = np.cumsum([128 + 4 + 12 * len(names), *map(len, contents)])
    table = b"".join(struct.pack(">4sII", name, starts[index], len(contents[index])) for name, index in names)
    head = struct.pack(">I4xI4s4s4s12x4s", starts[-1], 0x02400000, b"mntr", b"RGB ", b"XYZ ", b"acsp")
    head += bytes(28) + xyz(D50)[8:]
    return head.ljust(128, b"\0") + struct.pack(">I", len(names)) + table + b"".join(contents)
