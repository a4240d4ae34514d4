"""Files that are never seen half written."""

import errno
import os
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path


UNFINISHED = ".fashionflow-"
"""How the name of a file begins while it is being written."""

ABANDONED_SECONDS = 24 * 3600
"""An unfinished file that has not changed for so long belongs to a program that was killed (`kill -9`, a power cut)."""

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)
"""The operating system's numbers for a disk that is full or read-only."""

CLOSED = (errno.ENOENT, errno.ENOTDIR, errno.EACCES, errno.EPERM, errno.EIO)
"""Those for a folder that has gone or cannot be written to; whoever reads gets the same."""

LEAST_ROOM = 2**18  # bytes: less than any clip


@contextmanager
def written_whole(path: Path | str) -> Iterator[Path]:
    """Gives a path beside `path` to write to, and moves the finished file to `path` at the end. If anything goes wrong, nothing is left
    of it, and an earlier file at `path` stays. Several threads may write the same file at the same time."""
    path = Path(path)
    _delete_abandoned(path.parent)
    unfinished = path.with_name(f"{UNFINISHED}{uuid.uuid4().hex}{path.suffix}")
    try:
        yield unfinished
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)


@lru_cache(maxsize=1000)
def _delete_abandoned(folder: Path) -> None:
    """Deletes what killed programs have left unfinished in a folder; once in the life of this program, because folders may be large."""
    for unfinished in folder.glob(f"{UNFINISHED}{'[0-9a-f]' * 32}*"):
        with suppress(OSError):  # it is another user's
            if time.time() - unfinished.stat().st_mtime > ABANDONED_SECONDS:
                unfinished.unlink(missing_ok=True)


def check_can_be_written(path: Path) -> None:
    """Tries whether a file can be written to `path`, and leaves nothing there. The folder must exist.

    Raises:
        ValueError: with one sentence, if its name is not possible, or its folder cannot be written to or is full.
    """
    try:
        with suppress(FileNotFoundError):
            path.lstat()
        with tempfile.TemporaryFile(dir=path.parent) as trial:
            trial.write(bytes(LEAST_ROOM))
            trial.flush()
    except ValueError as error:  # a zero byte
        raise ValueError(f"The name {str(path)!r} is not possible for a file; choose another one.") from error
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise ValueError(
            f"Nothing can be written to {str(path)!r} ({reason}); choose another place or name."
        ) from error
