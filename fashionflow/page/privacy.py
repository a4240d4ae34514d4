"""Records which files belong to which visitor. Visitors who want to leave nothing have their files deleted when they leave.

Gradio tells us when a page's connection has ended. A closed tab, a reloaded page and a bad network all look the same to Gradio. Therefore
the files are deleted only after a grace period. Each tab has its own number, kept in the browser, by which it is recognized when it comes
back.
"""

import threading
import time
import weakref
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import gradio as gr
from gradio.context import LocalContext
from gradio.utils import get_upload_folder

from ..generation.job import JOB_PREFIX, Job
from ..generation.queue import KEEP_SECONDS, JobQueue


GRACE_SECONDS = 60
"""How long a tab that wants to leave nothing may be without a connection before its files are deleted."""

LONGEST_TAB = 64  # characters of a tab's number; ours have 32
FEW_FILES = 256


@dataclass
class Tab:
    """The data of one open tab.

    Attributes:
        private: whether the tab wants to leave nothing.
        sessions: Gradio's names for the tab's connections; there is more than one just after a reload.
        files: the tab's files in Gradio's folder: uploads, and files that the page showed.
        jobs: the jobs that the tab requested.
        seen_at: the time of the tab's last message, on the clock of `time.monotonic`.
        prune_at: with more files than this, deleted files are removed from `files`.
    """

    private: bool = False
    sessions: set[str] = field(default_factory=set)
    files: set[str] = field(default_factory=set)
    jobs: list[Job] = field(default_factory=list)
    seen_at: float = field(default_factory=time.monotonic)
    prune_at: int = FEW_FILES


class Privacy:
    """The record of one page. It holds only tabs that were registered with `arrive`, and no longer than their files are kept."""

    def __init__(self, job_queue: JobQueue):
        self.job_queue = job_queue
        self._tabs: dict[str, Tab] = {}
        self._sessions: dict[str, str] = {}  # from Gradio's sessions to the numbers of their tabs
        self._lock = threading.RLock()
        job_queue.watchers.append(self._submitted)

    def watch(self, page: gr.Blocks) -> None:
        """Records all files that the tabs of `page` send or receive, in any of its events."""
        process, privacy_or_none = page.process_api, weakref.ref(self)

        async def process_and_note(*args, **kwargs):
            session, privacy = kwargs.get("session_hash"), privacy_or_none()
            if session is None or privacy is None:
                return await process(*args, **kwargs)
            privacy.note(session, kwargs.get("inputs"))
            result = await process(*args, **kwargs)
            privacy.note(session, result.get("data"))
            return result

        page.process_api = process_and_note

    def arrive(self, session: str, number: object, private: bool) -> None:
        """Registers a tab whose page was loaded.

        Args:
            session: Gradio's name for the tab's connection.
            number: the tab's number, as the browser sent it.
            private: whether the tab wants to leave nothing.
        """
        number = number if isinstance(number, str) and 0 < len(number) <= LONGEST_TAB else session
        with self._lock:
            self._forget_old()
            tab = self._tabs.setdefault(number, Tab())
            tab.sessions.add(session)
            tab.private, tab.seen_at = private, time.monotonic()
            self._sessions[session] = number

    def choose(self, session: str, private: bool) -> None:
        """Records that the visitor has changed their choice."""
        with self._lock:
            if tab := self._tab(session):
                tab.private = private

    def leave(self, session: str) -> None:
        """Handles the end of a page's connection, for a moment or for ever."""
        with self._lock:
            tab = self._tab(session)
            if tab is None:
                return
            quiet = time.monotonic() - tab.seen_at
            if not tab.private or len(tab.sessions) > 1:
                self._end(session, tab)
            elif quiet >= GRACE_SECONDS:
                del self._tabs[self._sessions[session]]
                self._end(session, tab)
                self._delete(tab)
            else:  # check again when the grace period is over; any message from the tab restarts the period
                timer = threading.Timer(GRACE_SECONDS - quiet, self.leave, (session,))
                timer.daemon = True
                timer.start()

    def note(self, session: str, data: object) -> None:
        """Records the files in the data that a tab sent or received."""
        with self._lock:
            tab = self._tab(session)
            if tab is None:
                return
            tab.seen_at = time.monotonic()
            tab.files.update(_files_in(data, get_upload_folder()))
            if len(tab.files) > tab.prune_at:
                tab.files = {path for path in tab.files if Path(path).is_file()}
                tab.prune_at = max(FEW_FILES, 2 * len(tab.files))

    def is_private(self, job: Job) -> bool:
        """Whether a tab that requested this job wants to leave nothing."""
        with self._lock:
            return any(tab.private and job in tab.jobs for tab in self._tabs.values())

    def _submitted(self, job: Job) -> None:
        request = LocalContext.request.get(None)
        with self._lock:
            if tab := self._tab(getattr(request, "session_hash", None)):
                tab.jobs.append(job)

    def _tab(self, session: str | None) -> Tab | None:
        return self._tabs.get(self._sessions.get(session))

    def _end(self, session: str, tab: Tab) -> None:
        tab.sessions.discard(session)
        self._sessions.pop(session, None)

    def _delete(self, tab: Tab) -> None:
        for job in tab.jobs:
            self.job_queue.discard(job)
        others = set().union(*(other.files for other in self._tabs.values()))  # the same photo has the same path
        for path in map(Path, tab.files - others):
            with suppress(OSError):  # it is a folder, or impossible: a visitor may name anything
                path.unlink(missing_ok=True)
            with suppress(OSError):  # there is more in it, or it has gone
                path.parent.rmdir()

    def _forget_old(self) -> None:
        """Removes the tabs that have left and whose files the regular clean-up has deleted by now."""
        now = time.monotonic()
        for number, tab in list(self._tabs.items()):
            if now - tab.seen_at > KEEP_SECONDS:
                for session in list(tab.sessions):
                    self._end(session, tab)
                del self._tabs[number]


def _files_in(data: object, folder: str) -> Iterator[str]:
    """The paths in `folder` that appear in Gradio's data. Files of jobs are left out, because they are deleted with their jobs."""
    if isinstance(data, dict):
        data = data.values()
    elif isinstance(data, str):
        path = Path(data.removeprefix(f"{folder}/"))
        is_below = data.startswith(f"{folder}/") and len(path.parts) > 1 and ".." not in path.parts
        if is_below and not path.parts[0].startswith(JOB_PREFIX):
            yield data
        return
    elif not isinstance(data, (list, tuple)):
        return
    for value in data:
        yield from _files_in(value, folder)
