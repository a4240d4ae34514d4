"""Triangle meshes in the rest pose, and the functions that every part needs to make them.

Axes are those of `anny`: x to the person's left, y to the back, z up, in metres; the face looks towards -y. N is the number of
vertices, M of triangles, B of bones.
"""

from dataclasses import dataclass

import numpy as np


@dataclass
class Surface:
    """A mesh in the rest pose that follows the bones.

    Args:
        positions: [N, 3], metres.
        faces: vertex numbers, [M, 3].
        weights: how far each bone moves each vertex, [N, B], rows summing to 1.
        coordinates: two numbers per vertex for the shader, [N, 2]: texture coordinates, or (arm, unused) for cloth.
        normals: [N, 3]; computed from the faces if not given.
        rest: positions that the shader uses as the rest pose, [N, 3]; for draped cloth these are the positions of the body under it.
    """

    positions: np.ndarray
    faces: np.ndarray
    weights: np.ndarray
    coordinates: np.ndarray
    normals: np.ndarray | None = None
    rest: np.ndarray | None = None

    def __post_init__(self):
        if self.normals is None:
            self.normals = vertex_normals(self.positions, self.faces)
        if self.rest is None:
            self.rest = self.positions

    def keep_faces(self, kept: np.ndarray) -> "Surface":
        """The surface of the faces in `kept`, bool [M], without the vertices that no face uses any more."""
        used, faces = np.unique(self.faces[kept], return_inverse=True)
        return Surface(
            positions=self.positions[used],
            faces=faces.reshape(-1, 3),
            weights=self.weights[used],
            coordinates=self.coordinates[used],
            normals=self.normals[used],
            rest=self.rest[used],
        )


def vertex_normals(positions: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Unit normals, the mean of the neighbouring faces' normals weighted by area, [N, 3]."""
    first, second, third = (positions[faces[:, corner]] for corner in range(3))
    face_normals = np.cross(second - first, third - first)  # [M, 3]
    normals = np.empty_like(positions)
    for axis in range(3):
        weights = np.repeat(face_normals[:, axis], 3)
        normals[:, axis] = np.bincount(faces.ravel(), weights, minlength=len(positions))
    return normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-9)


def grid_faces(rows: int, columns: int) -> np.ndarray:
    """Triangles of a grid of vertices numbered row by row, [2 (rows - 1) (columns - 1), 3]."""
    corner = (np.arange(rows - 1)[:, None] * columns + np.arange(columns - 1)).ravel()
    right, below, across = corner + 1, corner + columns, corner + columns + 1
    return np.concatenate([np.stack([corner, below, right], 1), np.stack([right, below, across], 1)])


def split_seams(faces: np.ndarray, texture_faces: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """One vertex for each pair of position and texture coordinate, since a seam gives a position several of them.

    Args:
        faces: position numbers, [M, 3].
        texture_faces: texture coordinate numbers, [M, 3].

    Returns:
        The position number and the texture coordinate number of each new vertex, [N] each, and the new faces, [M, 3].
    """
    pairs = np.stack([faces.ravel(), texture_faces.ravel()], 1)
    unique, inverse = np.unique(pairs, axis=0, return_inverse=True)
    return unique[:, 0], unique[:, 1], inverse.reshape(-1, 3)


def smoothstep(low: float, high: float, values: np.ndarray) -> np.ndarray:
    """0 below `low`, 1 above `high` (or the other way round if `low` is larger), and smooth between."""
    progress = np.clip((np.asarray(values) - low) / (high - low), 0, 1)
    return progress * progress * (3 - 2 * progress)


def rotation(axis: np.ndarray | tuple, degrees: float) -> np.ndarray:
    """The matrix of a right-handed turn about `axis`, float64 [3, 3]."""
    x, y, z = np.asarray(axis, np.float64) / np.linalg.norm(axis)
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    angle = np.radians(degrees)
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross
