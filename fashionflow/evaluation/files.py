"""Small text files that are never seen half written."""

from pathlib import Path

from ..video.files import written_whole


def write_whole(path: Path, text: str) -> None:
    """Writes a text file whole or not at all: a full disk leaves the file that was there.

    Raises:
        OSError: if it cannot be written.
    """
    with written_whole(path) as unfinished:
        unfinished.write_text(text, encoding="utf-8")
