"""Files that are never seen half written."""

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def written_whole(path: Path | str) -> Iterator[Path]:
    """Gives a path beside `path` to write to, and moves the finished file to `path` at the end. If anything goes wrong, nothing is left
    of it, and an earlier file at `path` stays. Several threads may write the same file at the same time."""
    path = Path(path)
    unfinished = path.with_name(f".{uuid.uuid4().hex}{path.suffix}")
    try:
        yield unfinished
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)
