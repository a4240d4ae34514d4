"""What tests of a working job queue need: waiting for it, and its files while others delete some of them."""

import os
import time
from pathlib import Path

from fashionflow.generation.queue import JobQueue


def wait_until_idle(job_queue: JobQueue) -> None:
    """Returns when no job runs or waits."""
    while job_queue.in_line:
        time.sleep(0.01)


def files_below(folder: Path) -> set[Path]:
    """All files in a folder and the folders in it. Unlike `Path.rglob`, it bears that a folder is deleted meanwhile."""
    return {Path(here, name) for here, _, names in os.walk(folder) for name in names}
