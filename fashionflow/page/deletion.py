"""Deletes what visitors have uploaded or were shown, in time and whatever is in the way.

Gradio's own deletion ends for ever at the first file that cannot be deleted, such as a folder that a visitor has named as a photo, or if
a file is uploaded meanwhile. Importing this module replaces it; when it is called, and for which files, stays as it is.
"""

import logging
import os
import time

import gradio as gr
from gradio import route_utils


logger = logging.getLogger(__name__)


def delete_files(page: gr.Blocks, age: int | None) -> None:
    """Deletes the files of `page` that are older than `age` in seconds, or all of them. A file that cannot be deleted is tried again the
    next time, and does not keep the others."""
    kept = set().union(*(getattr(component, "keep_in_cache", ()) for component in page.blocks.values()))
    for files in page.temp_file_sets:
        for file in list(files):  # others add to it at the same time
            if file in kept:
                continue
            try:
                if age is None or time.time() - os.lstat(file).st_ctime > age:
                    os.remove(file)
                    files.discard(file)
            except FileNotFoundError:
                files.discard(file)
            except (OSError, ValueError) as error:
                logger.error(
                    "A file of a visitor could not be deleted: %s.", getattr(error, "strerror", None) or error
                )


route_utils.delete_files_created_by_app = delete_files
