"""The folder in which a server keeps its visitors' files, and the deletion of those that killed servers left behind.

A server deletes its folder when it ends. A server that is killed (`kill -9`, out of memory, a power cut) cannot; the next one that is
started beside it does. A lock on a file in the folder tells whether its server still runs, because the operating system opens the locks
of every process that ends.
"""

import shutil
import tempfile
import time
from pathlib import Path

from filelock import FileLock, Timeout


PREFIX = "fashionflow-"
LOCK = "server.lock"

YOUNGEST_SECONDS = 60
"""A folder that is younger may belong to a server that has created its lock and not closed it yet."""


class OwnFolder:
    """A new private folder that is deleted when Python ends.

    Args:
        parent: where to create it; by default the system's temporary folder.

    Attributes:
        path: the folder.

    Raises:
        OSError: if it cannot be created.
    """

    def __init__(self, parent: Path | str | None = None):
        self._folder = tempfile.TemporaryDirectory(prefix=PREFIX, dir=parent, ignore_cleanup_errors=True)
        self.path = Path(self._folder.name)
        self._lock = FileLock(self.path / LOCK)
        self._lock.acquire()

    def delete(self) -> None:
        """Deletes it before Python ends."""
        self._lock.release()
        self._folder.cleanup()


def delete_abandoned(parent: Path) -> list[Path]:
    """Deletes the folders in `parent` whose servers do not run any more. Returns them. Folders of other users stay."""
    deleted = []
    for lock_file in parent.glob(f"{PREFIX}*/{LOCK}"):
        try:
            # Of a folder with a date in the future, only the lock tells anything: the clock was set back.
            if 0 <= time.time() - lock_file.stat().st_mtime < YOUNGEST_SECONDS:
                continue
            with FileLock(lock_file, timeout=0):
                shutil.rmtree(lock_file.parent, ignore_errors=True)
        except (Timeout, OSError):  # its server runs, or it is another user's, or another server has just deleted it
            continue
        deleted.append(lock_file.parent)
    return deleted
