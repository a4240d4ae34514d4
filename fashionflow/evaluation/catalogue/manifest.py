"""The manifest: one row a clip, in a parquet file, and the rows of clips that were finished since it was written, a small file each.

A worker writes the row of a clip right after the clip, so whoever is killed loses nothing but the clips in work. Now and then the rows
are merged into the one file, which is replaced as a whole.
"""

from __future__ import annotations

import hashlib
import io
import uuid
from collections.abc import Iterable
from dataclasses import fields

from ...generation.settings import ClipSettings
from .errors import CatalogueError
from .store import Store, reason_of


MANIFEST = "manifest.parquet"
PARTS = "parts"

SETTINGS = tuple(field.name for field in fields(ClipSettings))
DECISIVE = tuple(name for name in SETTINGS if name != "memory")
"""The settings that determine a clip; every mode of memory makes the same one."""

TYPES = {
    "name": "string",  # the clip's, without a suffix; the key of the row
    "product_number": "string",
    "photo": "string",
    "back_photo": "string",
    "clip": "string",  # its file below OUT; empty if none could be made
    "thumb": "string",
    "error": "string",  # why there is no clip, in one sentence
    "advice": "string",  # what may be wrong with the photo, in sentences
    "verdict": "string",  # of `fidelity.VERDICTS`
    "score": "float64",  # `Fidelity.score`: 0 (lost) to 1 (as in the photo)
    "colour_difference": "float64",  # of the worst quarter of the frames
    "similarity": "float64",
    "garment_found": "bool_",
    "frames": "int64",
    "steps": "int64",
    "seed": "int64",
    "motion": "string",
    "turn_angle": "float64",
    "sampler": "string",
    "guidance": "float64",
    "frame_rate": "float64",
    "interpolation": "int64",
    "quality": "int64",
    "memory": "string",
    "model": "string",
    "model_hash": "string",
    "version": "string",  # of FashionFlow
    "photo_sha256": "string",
    "back_sha256": "string",
    "photo_stamp": "string",  # tells whether the file has changed, without reading it
    "back_stamp": "string",
    "photo_bytes": "int64",  # read, of both photos
    "clip_bytes": "int64",  # written, of the clip and its thumb
    "seconds": "float64",  # that the clip took, with its scores
    "attempts": "int64",  # more than 1 if workers died over it
    "made_at": "string",  # UTC
}
"""The columns of the manifest and their types of Arrow. All may be null."""


def whole_row(**values) -> dict:
    """A row with all columns; those that are not given are `None`."""
    return dict.fromkeys(TYPES) | values


def to_parquet(rows: Iterable[dict]) -> bytes:
    import pyarrow
    import pyarrow.parquet

    schema = pyarrow.schema([(name, getattr(pyarrow, kind)()) for name, kind in TYPES.items()])
    rows = list(rows)
    table = pyarrow.table({name: [row.get(name) for row in rows] for name in TYPES}, schema=schema)
    file = io.BytesIO()
    pyarrow.parquet.write_table(table, file)
    return file.getvalue()


def from_parquet(content: bytes) -> list[dict]:
    import pyarrow.parquet

    rows = pyarrow.parquet.read_table(io.BytesIO(content)).to_pylist()
    return [{name: row.get(name) for name in TYPES} for row in rows]  # an older version may lack columns


def write_part(store: Store, row: dict) -> str:
    """Writes the row of a finished clip, and returns its file's name."""
    name = f"{_beginning(row['name'])}{uuid.uuid4().hex[:8]}.parquet"
    store.write(to_parquet([row]), name)
    return name


def find_part(store: Store, name: str) -> str | None:
    """The small file that a worker has written about a clip in this run, if there is one."""
    return next((part for part in store.names(PARTS) if part.startswith(_beginning(name))), None)


def read_part(store: Store, part: str) -> dict:
    (row,) = from_parquet(store.read(part))
    return row


def _beginning(name: str) -> str:
    return f"{PARTS}/{hashlib.sha256(name.encode()).hexdigest()[:16]}-"


class Manifest:
    """The rows of a catalogue, read from its store.

    Attributes:
        rows: the row of each name.

    Raises:
        CatalogueError: if the file is damaged.
    """

    def __init__(self, store: Store):
        self._store = store
        self._parts = sorted(store.names(PARTS))
        self.rows: dict[str, dict] = {}
        found = [row for part in self._parts for row in self._read(part)]
        if store.fs.exists(store.path(MANIFEST)):
            self.rows = {row["name"]: row for row in self._read(MANIFEST)}
        for row in sorted(found, key=lambda row: row["made_at"] or ""):
            self.rows[row["name"]] = row

    @property
    def has_parts(self) -> bool:
        """Whether rows are in small files only."""
        return bool(self._parts)

    def add(self, row: dict, part: str | None = None) -> None:
        """Takes a row, and the name of the small file in which it already is."""
        self.rows[row["name"]] = row
        if part is not None:
            self._parts.append(part)

    def merge(self) -> None:
        """Writes all rows into the one file, and deletes the small ones.

        Raises:
            CatalogueError: if it cannot be written; the small files are then still there.
        """
        self._store.write(to_parquet(self.rows[name] for name in sorted(self.rows)), MANIFEST)
        there = self._store.names(PARTS)
        self._store.delete([part for part in self._parts if part in there])
        self._parts = []

    def _read(self, name: str) -> list[dict]:
        try:
            return from_parquet(self._store.read(name))
        except Exception as error:
            raise CatalogueError(
                f"The file {name!r} of {self._store.url!r} cannot be read as a manifest ({reason_of(error)}); move it away, "
                "and its clips are made again."
            ) from error
