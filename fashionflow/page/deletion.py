"""Deletes what visitors have uploaded or were shown, in time and whatever is in the way.

Gradio's own deletion ends for ever at the first file that cannot be deleted, such as a folder that a visitor has named as a photo, or if
a file is uploaded meanwhile. It also goes by the time of day, which may jump. Importing this module replaces it; for which files it is called
stays as it is.
"""

import logging
import os
import time

import gradio as gr
from gradio import route_utils


LOOK_SECONDS = 60
"""Seconds between two looks at the files of the page. The age of a file is counted from the look that finds it, because the clock that does
not jump says nothing of the time before."""

logger = logging.getLogger(__name__)

_found: dict[str, tuple[float, float]] = {}
"""When each file was written or touched last, on the clock of the files, and when this was found, on the clock of `time.monotonic`."""


def delete_files(page: gr.Blocks, age: int | None) -> None:
    """Deletes the files of `page` that have not been touched for more than `age` seconds, or all of them. A file that cannot be deleted is
    tried again the next time, and does not keep the others."""
    kept = set().union(*(getattr(component, "keep_in_cache", ()) for component in page.blocks.values()))
    for files in page.temp_file_sets:
        for file in list(files):  # others add to it at the same time
            if file in kept:
                continue
            try:
                if age is None or _seconds_unchanged(file) > age:
                    os.remove(file)
                    files.discard(file)
                    _found.pop(file, None)
            except FileNotFoundError:
                files.discard(file)
                _found.pop(file, None)
            except (OSError, ValueError) as error:
                logger.error(
                    "A file of a visitor could not be deleted: %s.", getattr(error, "strerror", None) or error
                )


def _seconds_unchanged(file: str) -> float:
    """For how long a file is known to be as it is."""
    now, changed_at = time.monotonic(), os.lstat(file).st_ctime
    if _found.get(file, (None, now))[0] != changed_at:
        _found[file] = changed_at, now
    return now - _found[file][1]


route_utils.delete_files_created_by_app = delete_files
