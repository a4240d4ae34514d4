"""Copies of finished clips in a folder of one's own, for a page that only its own machine can open: nothing of them is deleted."""

import logging
import shutil
import threading
import time
from pathlib import Path

from ..generation.events import Finished
from ..generation.job import Job
from ..generation.queue import JobQueue
from ..video.files import check_can_be_written, written_whole
from .hosting import HostingError
from .privacy import Privacy


OWN_MACHINE = ("127.0.0.1", "localhost", "[::1]")
logger = logging.getLogger(__name__)


def read_folder(given: str | None, host: str) -> Path | None:
    """The folder for copies, which is made if it is not there; `None` if none is wanted.

    Args:
        given: its path, as it was typed.
        host: where the page is served, as `read_host` returns it.

    Raises:
        HostingError: if other machines can open the page, or the folder cannot be written to.
    """
    if given is None:
        return None
    if host not in OWN_MACHINE:
        raise HostingError(
            f"--keep would keep the clips of all visitors, and other machines can open the page at {host}; leave one of the two out."
        )
    folder = Path(given).expanduser().absolute()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        check_can_be_written(folder / "clip.mp4")
    except (OSError, ValueError) as error:
        raise HostingError(f"Clips cannot be kept in {given!r}; choose a folder that can be written to.") from error
    return folder


class KeptClips:
    """Copies every finished clip of a job queue, but those of visitors who want to leave nothing.

    Args:
        folder: where the copies go: `2026-11-28 16.31.07 turn-left 309007.mp4`, with the local time, the motion and the seed.
        privacy: tells who wants to leave nothing.
    """

    def __init__(self, folder: Path, job_queue: JobQueue, privacy: Privacy):
        self.folder, self.privacy = folder, privacy
        job_queue.watchers.append(self._submitted)

    def _submitted(self, job: Job) -> None:
        motions = [request.settings.motion for request in job.requests]
        threading.Thread(target=self._follow, args=(job, motions), daemon=True, name="keep").start()

    def _follow(self, job: Job, motions: list[str]) -> None:
        try:
            for event in job.follow():
                if isinstance(event, Finished) and not self.privacy.is_private(job):
                    self._copy(event.path, f"{motions[event.clip]} {event.seed}")
        except OSError as error:
            logger.warning("A clip could not be kept in %s: %s", self.folder, error.strerror)
        except Exception:  # the job failed, of which whoever asked for it is told
            return

    def _copy(self, clip: Path, name: str) -> None:
        path = self.folder / f"{time.strftime('%Y-%m-%d %H.%M.%S')} {name}{clip.suffix}"
        with written_whole(path) as unfinished:
            shutil.copyfile(clip, unfinished)
