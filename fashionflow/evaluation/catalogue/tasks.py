"""What the program that makes a catalogue and its workers tell each other."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Task:
    """One clip for a worker to make. It is sent as JSON.

    Args:
        name, photo, back_photo, product_number: as in `Entry`.
        settings: what `ClipSettings` takes.
        before: the manifest's row of this clip if only the photo's file could have changed since, so that it need not be made again if
            the content is still the same.
    """

    name: str
    photo: str
    settings: dict
    back_photo: str | None = None
    product_number: str | None = None
    before: dict | None = None


@dataclass(frozen=True)
class Outcome:
    """What came of a task.

    Args:
        row: of the manifest.
        part: the small file in the store that holds the row.
        stop: why no clip can be made any more, in one sentence; then there is no row.
    """

    row: dict | None = None
    part: str | None = None
    stop: str | None = None
