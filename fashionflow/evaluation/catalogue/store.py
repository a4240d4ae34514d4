"""Files in a folder that may lie on this machine or in an object store, reached by their names through fsspec."""

from __future__ import annotations

import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from ...errors import PhotoError
from ...video.files import FULL, written_whole
from .errors import CatalogueError


class Store:
    """The folder in which a catalogue is written.

    Args:
        url: a path on this machine, or what fsspec knows, such as "s3://bucket/folder".

    Attributes:
        is_local: whether it is a folder of this machine.

    Raises:
        CatalogueError: if fsspec does not know such a place, a package for it is missing, or it is a file.
    """

    def __init__(self, url: str):
        from fsspec.implementations.local import LocalFileSystem

        self.url = url
        self.fs, self.root = find_place(url)
        self.root = self.root.rstrip("/")
        self.is_local = isinstance(self.fs, LocalFileSystem)
        if self.is_local and os.path.isfile(self.root):
            raise CatalogueError(f"The catalogue needs a folder, and {url!r} is a file; choose another place.")

    @property
    def address(self) -> str:
        """What a worker that runs in another folder can open."""
        return self.root if self.is_local else self.url

    def path(self, name: str) -> str:
        return f"{self.root}/{name}"

    def put(self, file: Path, name: str) -> None:
        """Copies a finished file of this machine here. It is never seen half written: an object store shows whole objects only, and on
        this machine it is moved to its name at the end.

        Raises:
            CatalogueError: if it cannot be written.
        """
        try:
            if self.is_local:
                target = Path(self.path(name))
                target.parent.mkdir(parents=True, exist_ok=True)
                with written_whole(target) as unfinished:
                    shutil.copyfile(file, unfinished)
            else:
                self.fs.makedirs(self.fs._parent(self.path(name)), exist_ok=True)
                self.fs.put_file(str(file), self.path(name))
        except Exception as error:  # every kind of store has errors of its own
            raise self.not_written(error) from error

    def write(self, content: bytes, name: str) -> None:
        """Writes a small file whole, like `put`."""
        try:
            if self.is_local:
                target = Path(self.path(name))
                target.parent.mkdir(parents=True, exist_ok=True)
                with written_whole(target) as unfinished:
                    unfinished.write_bytes(content)
            else:
                self.fs.makedirs(self.fs._parent(self.path(name)), exist_ok=True)
                self.fs.pipe_file(self.path(name), content)
        except Exception as error:
            raise self.not_written(error) from error

    def read(self, name: str) -> bytes:
        """
        Raises:
            FileNotFoundError: if there is no such file.
        """
        return self.fs.cat_file(self.path(name))

    def names(self, folder: str) -> set[str]:
        """The names of all files below a folder of the store, with the folder's; none if there is no such folder."""
        self.fs.invalidate_cache()
        try:
            return {path.removeprefix(f"{self.root}/") for path in self.fs.find(self.path(folder))}
        except FileNotFoundError:
            return set()

    def delete(self, names: list[str]) -> None:
        if names:
            self.fs.rm([self.path(name) for name in names])

    def check(self) -> None:
        """Tries whether files can be written here, and leaves nothing.

        Raises:
            CatalogueError: if not.
        """
        trial = ".trial"
        self.write(b"FashionFlow", trial)
        self.delete([trial])

    def not_written(self, error: Exception) -> CatalogueError:
        if isinstance(error, CatalogueError):
            return error
        if isinstance(error, OSError) and error.errno in FULL:
            return full(self.url)
        return CatalogueError(
            f"Nothing can be written to {self.url!r} ({reason_of(error)}); see to it, and run the same command again."
        )


def full(place: str) -> CatalogueError:
    return CatalogueError(
        f"The disk of {place!r} is full; make room and run the same command again, which goes on where this one ended."
    )


def find_place(url: str) -> tuple:
    """fsspec's file system for a path or an address, and the path in it.

    Raises:
        CatalogueError: if fsspec does not know such a place, or a package for it is missing.
    """
    from fsspec.core import url_to_fs

    try:
        return url_to_fs(url)
    except (
        Exception
    ) as error:  # ValueError for an unknown kind, ImportError for a missing package, a store's own for its settings
        raise CatalogueError(f"The place {url!r} cannot be reached ({reason_of(error)}); check it.") from error


def read_file(url: str) -> bytes:
    """The content of a photo's file.

    Raises:
        PhotoError: if there is none, or it cannot be read.
    """
    try:
        fs, path = find_place(url)
        return fs.cat_file(path)
    except Exception as error:
        raise PhotoError("not-there", path=repr(url)) from error


def stamp_of(info: dict) -> str | None:
    """What tells whether a file has changed without reading it: its size, and its time or the store's own tag. `None` if the store tells
    neither, so that its files are read each time.

    Args:
        info: what fsspec tells of the file.
    """
    marks = (info.get(key) for key in ("ETag", "etag", "mtime", "LastModified", "last_modified", "updated", "created"))
    mark = next((mark for mark in marks if mark is not None), None)
    return None if mark is None else f"{info['size']} {mark}"


def stamp(url: str) -> str | None:
    try:
        fs, path = find_place(url)
        return stamp_of(fs.info(path))
    except Exception:  # whoever makes the clip says what is wrong with the photo
        return None


def reason_of(error: BaseException) -> str:
    """What an error of somebody else's code says, in one line without a full stop."""
    said = getattr(error, "strerror", None) or str(error)
    return " ".join(said.split()).rstrip(".")[:200] or type(error).__name__


def stamps(urls: list[str]) -> dict[str, str | None]:
    """The stamps of many files, asked for side by side, because an object store takes its time for each."""
    with ThreadPoolExecutor(32) as pool:
        return dict(zip(urls, pool.map(stamp, urls), strict=True))
