"""Small text files that are never seen half written."""

from pathlib import Path


def write_whole(path: Path, text: str) -> None:
    """Writes a text file whole or not at all: a full disk leaves the file that was there.

    Raises:
        OSError: if it cannot be written.
    """
    unfinished = path.with_name(f".{path.name}")
    try:
        unfinished.write_text(text, encoding="utf-8")
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
