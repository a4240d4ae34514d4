"""Makes a catalogue: finds out what is not made yet, has it made, and keeps the manifest and the page up to date."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock, Timeout

from ... import __version__
from ...generation.settings import ClipSettings
from ...runtime.model_folder import describe_model, find_folder, model_name, named
from ...video.metadata import model_hash
from .entries import Entry, read_entries
from .errors import CatalogueError
from .manifest import DECISIVE, Manifest, whole_row
from .page import write_page
from .store import Store, stamps
from .tasks import Outcome, Task


ROWS_BETWEEN, SECONDS_BETWEEN = 200, 60
"""The manifest's file and the page are written anew after so many clips or seconds, whichever comes first."""

LOCK = ".catalogue.lock"

MakeAll = Callable[[list[Task], Store], Iterator[Outcome]]


@dataclass
class Progress:
    """How far a catalogue is.

    Args:
        kept: clips that were there already, and failures that would be the same again.
        todo: clips to make in this run.
        made, failed: of those.
        first_after: seconds from the start until the first was finished; `None` before.
        seconds: since the start.
        read_bytes, written_bytes: photos that workers have read, and clips with their thumbs that they have written.
    """

    kept: int = 0
    todo: int = 0
    made: int = 0
    failed: int = 0
    first_after: float | None = None
    seconds: float = 0.0
    read_bytes: int = 0
    written_bytes: int = 0


def make_catalogue(
    photos: str,
    out: str,
    defaults: Callable[..., ClipSettings],
    make_all: MakeAll,
    model: str | None = None,
    retry_failed: bool = False,
    on_progress: Callable[[Progress, dict | None], None] = lambda progress, row: None,
) -> Progress:
    """Makes all clips of a folder or a table that are not there yet.

    Args:
        photos: a folder, a CSV or a parquet file, see `read_entries`.
        out: the folder of the catalogue; a path, or an address that fsspec knows.
        defaults: given the model's description, the settings where a table says nothing.
        make_all: makes tasks, and gives their outcomes as they are finished.
        model: as for `load_pipeline`.
        retry_failed: whether failures are tried again though nothing has changed.
        on_progress: called once before the first clip and with the row of each one.

    Raises:
        CatalogueError: if it cannot be made, or not further; what is finished stays.
        ValueError: with one sentence about the model or a setting.
    """
    begun_at = time.monotonic()
    description = describe_model(model)
    settings = defaults(description)
    settings.check(description)
    entries = read_entries(photos, settings, description)
    about_model = {"model": model_name(model), "model_hash": model_hash(find_folder(named(model)))}
    store = Store(out)
    with _alone(store):
        store.check()
        manifest = Manifest(store)
        if manifest.has_parts:  # of a command that was killed; from here on, what workers write is of this run
            manifest.merge()
        tasks, failures, kept = _what_to_do(entries, manifest, store, about_model, retry_failed)
        progress = Progress(kept=kept, todo=len(tasks) + len(failures))
        on_progress(progress, None)
        for row in failures:
            manifest.add(row)
            progress.failed += 1
            on_progress(progress, row)
        try:
            written_at, unwritten = time.monotonic(), 0
            with contextlib.closing(make_all(tasks, store) if tasks else _nothing()) as outcomes:
                for outcome in outcomes:
                    if outcome.stop is not None:
                        raise CatalogueError(outcome.stop)
                    manifest.add(outcome.row, outcome.part)
                    _count(progress, outcome.row, time.monotonic() - begun_at)
                    on_progress(progress, outcome.row)
                    unwritten += 1
                    if unwritten >= ROWS_BETWEEN or time.monotonic() - written_at > SECONDS_BETWEEN:
                        _write(store, manifest)
                        written_at, unwritten = time.monotonic(), 0
        except BaseException:
            with contextlib.suppress(CatalogueError):  # rows are safe in their small files; the first error counts
                _write(store, manifest)
            raise
        _write(store, manifest)
    progress.seconds = time.monotonic() - begun_at
    return progress


def _nothing() -> Iterator[Outcome]:
    yield from ()


def _write(store: Store, manifest: Manifest) -> None:
    manifest.merge()
    write_page(store, manifest.rows.values())


def _count(progress: Progress, row: dict, seconds: float) -> None:
    progress.failed += row["error"] is not None
    progress.made += row["error"] is None
    progress.read_bytes += row["photo_bytes"] or 0
    progress.written_bytes += row["clip_bytes"] or 0
    progress.first_after, progress.seconds = progress.first_after or seconds, seconds


@contextlib.contextmanager
def _alone(store: Store) -> Iterator[None]:
    """Keeps a second command from writing the same catalogue at the same time. Object stores have no locks, so there it is not noticed."""
    if not store.is_local:
        yield
        return
    lock = Path(store.path(LOCK))
    try:
        lock.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(lock, timeout=0):
            yield
    except Timeout as error:
        raise CatalogueError(
            f"Another command is making the catalogue {store.url!r}; wait until it has ended."
        ) from error
    except OSError as error:
        raise store.not_written(error) from error
    finally:
        with contextlib.suppress(OSError):
            lock.unlink(missing_ok=True)


def _what_to_do(
    entries: list[Entry], manifest: Manifest, store: Store, about_model: dict, retry_failed: bool
) -> tuple[list[Task], list[dict], int]:
    """The clips to make, the rows of those that cannot be, and the number of the others, of which nothing has changed."""
    clips = store.names("clips")
    known = [entry for entry in entries if entry.name in manifest.rows and entry.error is None]
    now = stamps([file for entry in known for file in (entry.photo, entry.back_photo) if file])
    tasks, failures, kept = [], [], 0
    for entry in entries:
        before = manifest.rows.get(entry.name)
        about = {"name": entry.name, "photo": entry.photo, "back_photo": entry.back_photo}
        about |= {"product_number": entry.product_number}
        if entry.error is not None:
            if before and before["error"] == entry.error and not retry_failed:
                kept += 1
                continue
            made_at = datetime.now(UTC).isoformat()
            failures.append(whole_row(**about, **about_model, error=entry.error, version=__version__, made_at=made_at))
            continue
        settings = asdict(entry.settings)
        same = (
            before is not None
            and all(before[key] == settings[key] for key in DECISIVE)
            and before["model_hash"] == about_model["model_hash"]
            and (before["back_photo"] is None) == (entry.back_photo is None)
            and (before["clip"] in clips if before["error"] is None else not retry_failed)
        )
        if same and _stamps_of(before) == (now.get(entry.photo), now.get(entry.back_photo)) and before["photo_stamp"]:
            manifest.rows[entry.name] = before | about
            kept += 1
        else:
            tasks.append(Task(**about, settings=settings, before=before | about if same else None))
    return tasks, failures, kept


def _stamps_of(row: dict) -> tuple[str | None, str | None]:
    return row["photo_stamp"], row["back_stamp"]
