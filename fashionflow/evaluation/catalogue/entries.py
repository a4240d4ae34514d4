"""What is to be made: one entry for each photo of a folder, or for each row of a CSV or parquet table."""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ...generation.settings import LIMITS, ClipSettings
from ...photo.reading import PHOTO_SUFFIXES
from .errors import CatalogueError
from .store import find_place, reason_of


if TYPE_CHECKING:
    from ...runtime.model_folder import ModelDescription


COLUMNS = ("photo", "back_photo", "motion", "angle", "seed", "product_number")
"""The columns that a table may have. Only "photo" must be there; an empty cell is the default of the command."""

TABLES = (".csv", ".parquet")
LONGEST_NAME = 120  # characters of a name; file systems allow 255 bytes


@dataclass(frozen=True)
class Entry:
    """One clip to make.

    Args:
        name: its clip is `clips/NAME.mp4`; no two entries have the same.
        photo, back_photo: paths or addresses for fsspec.
        settings: `None` if `error` says in one sentence that they are wrong.
        product_number: the shop's own.
    """

    name: str
    photo: str
    settings: ClipSettings | None
    back_photo: str | None = None
    product_number: str | None = None
    error: str | None = None


def read_entries(photos: str, defaults: ClipSettings, model: ModelDescription) -> list[Entry]:
    """The entries of a folder of photos and its subfolders, or of a table.

    Args:
        photos: a folder, or a file that ends in .csv or .parquet. Relative photo paths in a table begin at the table's folder.
        defaults: the settings where a table says nothing, checked for this model.

    Raises:
        CatalogueError: if it can have no entries: there is no such place, it is of another kind, the table has no column "photo" or
            one that is not known, or it is empty. What is wrong with one row is in its entry.
    """
    from fsspec.implementations.local import LocalFileSystem

    fs, path = find_place(photos)
    fs.invalidate_cache()
    place = path if isinstance(fs, LocalFileSystem) else photos  # workers may run in another folder
    if fs.isdir(path):
        return _of_folder(place, fs, path.rstrip("/"), defaults)
    suffix = next((suffix for suffix in TABLES if path.lower().endswith(suffix)), None)
    if not fs.exists(path):
        raise CatalogueError(f"There is nothing at {photos!r}; name a folder of photos, or a table of them.")
    if suffix is None:
        raise CatalogueError(
            f"The photos must be a folder or a table that ends in {' or '.join(TABLES)}, got {photos!r}."
        )
    try:
        content = fs.cat_file(path)
        columns, rows = _of_csv(content) if suffix == ".csv" else _of_parquet(content)
    except Exception as error:  # damaged, in another encoding, not readable
        raise CatalogueError(f"The table {photos!r} cannot be read ({reason_of(error)}); save it anew.") from error
    unknown = [str(column) for column in columns if column not in COLUMNS]
    if unknown:
        raise CatalogueError(
            f"The table {photos!r} has a column {unknown[0]!r}; its columns may be {', '.join(COLUMNS)}."
        )
    if "photo" not in columns:
        raise CatalogueError(
            f"The table {photos!r} has no column 'photo', which names the file of each photo; add it."
        )
    names, folder = Names(), place.rpartition("/")[0]
    entries = [_entry(row, folder, names, defaults, model) for row in rows]
    if not entries:
        raise CatalogueError(f"The table {photos!r} has no rows; name one that has.")
    return entries


def _of_folder(photos: str, fs, path: str, defaults: ClipSettings) -> list[Entry]:
    found = (file.removeprefix(f"{path}/") for file in fs.find(path))
    files = sorted(file for file in found if file.lower().endswith(PHOTO_SUFFIXES) and not re.search(r"(^|/)\.", file))
    if not files:
        raise CatalogueError(f"There is no photo in {photos!r} (looked for {', '.join(PHOTO_SUFFIXES)}).")
    names = Names()
    return [Entry(names.new(file), f"{photos.rstrip('/')}/{file}", defaults) for file in files]


def _of_csv(content: bytes) -> tuple[list[str], Iterator[dict]]:
    text = content.decode("utf-8-sig")
    header = text.partition("\n")[0]
    separator = (
        ";" if header.count(";") > header.count(",") else ","
    )  # Excel writes semicolons where numbers have commas
    reader = csv.DictReader(io.StringIO(text), delimiter=separator, strict=True)
    rows = [row for row in reader if any(row.values())]
    columns = [column.strip() for column in reader.fieldnames or []]
    return columns, [{column and column.strip(): value for column, value in row.items()} for row in rows]


def _of_parquet(content: bytes) -> tuple[list[str], Iterator[dict]]:
    import pyarrow.parquet

    table = pyarrow.parquet.read_table(io.BytesIO(content))
    return table.column_names, table.to_pylist()


def _entry(row: dict, folder: str, names: Names, defaults: ClipSettings, model: ModelDescription) -> Entry:
    said = {column: _said(row.get(column)) for column in COLUMNS}
    photo, back = (said[column] and _beside(folder, str(said[column])) for column in ("photo", "back_photo"))
    number = said["product_number"] and _whole(said["product_number"])
    number = None if number is None else str(number)
    name = names.new(number or _short(str(said["photo"] or "row")))
    entry = Entry(name, photo or "", None, back, number)
    if None in row:
        return replace(entry, error="The row has more values than the table has columns; put quotes around commas.")
    if photo is None:
        return replace(entry, error="The row names no photo; fill in the column 'photo'.")
    changes = {"motion": said["motion"], "turn_angle": _number(said["angle"]), "seed": _whole(said["seed"])}
    settings = replace(defaults, **{key: value for key, value in changes.items() if value is not None})
    try:
        for key, value in changes.items():  # first, because a text among the numbers is to be named as such
            if value is not None and not LIMITS[key].allows(value):
                column = "angle" if key == "turn_angle" else key
                raise ValueError(f"`{column}` must be {LIMITS[key]}, got {value!r}.")
        settings.check(model)
        if back and not model.has_geometry:
            raise ValueError("`back_photo` must be empty for this model, which uses one photo only.")
    except ValueError as error:
        return replace(entry, error=str(error))
    return replace(entry, settings=settings)


def _said(value: object) -> object:
    """A cell's value; `None` for an empty one, however a table writes that."""
    if isinstance(value, str):
        value = value.strip()
    return None if value in (None, "") or isinstance(value, float) and math.isnan(value) else value


def _number(value: object) -> object:
    """A number if it is one, or else the value as it is, for the sentence."""
    try:
        return float(str(value).replace(",", ".")) if isinstance(value, str) else value
    except ValueError:
        return value


def _whole(value: object) -> object:
    """A whole number if it is one; tables with empty cells keep whole numbers as 7.0."""
    if isinstance(value, str) and re.fullmatch(r"-?\d+", value) and str(int(value)) == value:
        return int(value)
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _beside(folder: str, photo: str) -> str:
    if "://" in photo or photo.startswith("/") or re.match(r"[A-Za-z]:[\\/]", photo) or not folder:
        return photo
    return f"{folder}/{photo}"


def _short(photo: str) -> str:
    """A photo's path as a table gives it; only its last part if it may lead anywhere."""
    path = photo.replace("\\", "/")
    return path.rpartition("/")[2] if "://" in path or path.startswith("/") or ".." in path or ":" in path else path


class Names:
    """Names for clips, each given once. They hold on all file systems and in addresses, and do not depend on later rows."""

    def __init__(self):
        self._given: set[str] = set()

    def new(self, wanted: str) -> str:
        """`wanted` itself where possible: a product number, or a path with its folders. The next of the same name ends in -2."""
        parts = [re.sub(r"[^\w.,=+@ -]", "_", part).strip(". ")[-LONGEST_NAME:] for part in wanted.split("/")]
        plain = name = "/".join(part for part in parts if part) or "clip"
        count = 1
        while name.casefold() in self._given:
            count += 1
            name = f"{plain}-{count}"
        self._given.add(name.casefold())
        return name
