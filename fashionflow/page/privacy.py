"""Whose files are whose, so that the files of visitors who want to leave nothing go when they go.

Gradio tells us when a page's connection has ended. A closed tab, a reloaded page and a bad network all look the same to it, so
there is a time of grace, and a tab has a number of its own, kept in the browser, by which it is known when it comes back.
"""

import threading
import time
import weakref
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import gradio as gr
from gradio.context import LocalContext
from gradio.utils import get_upload_folder

from ..generation.job import JOB_PREFIX, Job
from ..generation.queue import KEEP_SECONDS, JobQueue


GRACE_SECONDS = 60
"""For so long a tab that wants to leave nothing may be without a connection before its files are deleted."""

LONGEST_TAB = 64  # letters of a tab's number; ours have 32
FEW_FILES = 256


@dataclass
class Tab:
    """What belongs to one open tab.

    Attributes:
        private: whether it wants to leave nothing.
        sessions: Gradio's names for its connections, more than one just after a reload.
        files: in Gradio's folder: what was uploaded, and what the page showed.
        jobs: what was asked for.
        seen_at: when it was heard of last, on the clock of `time.monotonic`.
        prune_at: how many files there may be before those that are deleted are forgotten.
    """

    private: bool = False
    sessions: set[str] = field(default_factory=set)
    files: set[str] = field(default_factory=set)
    jobs: list[Job] = field(default_factory=list)
    seen_at: float = field(default_factory=time.monotonic)
    prune_at: int = FEW_FILES


class Privacy:
    """One for a page. Only tabs that came by `arrive` are remembered, and no longer than their files are."""

    def __init__(self, job_queue: JobQueue):
        self.job_queue = job_queue
        self._tabs: dict[str, Tab] = {}
        self._sessions: dict[str, str] = {}  # Gradio's sessions, and the numbers of their tabs
        self._lock = threading.RLock()
        job_queue.watchers.append(self._submitted)

    def watch(self, page: gr.Blocks) -> None:
        """Has all files noted that come from, or go to, the tabs of `page`, whichever of its events they belong to."""
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
        """A page was loaded.

        Args:
            session: Gradio's name for its connection.
            number: the tab's, as the browser told it.
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
        """The visitor has changed their mind."""
        with self._lock:
            if tab := self._tab(session):
                tab.private = private

    def leave(self, session: str) -> None:
        """A page's connection has ended, for a moment or for ever."""
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
            else:  # asked again when the time of grace is over; whoever says something meanwhile begins it anew
                timer = threading.Timer(GRACE_SECONDS - quiet, self.leave, (session,))
                timer.daemon = True
                timer.start()

    def note(self, session: str, data: object) -> None:
        """Notes the files in what a tab sent or was sent."""
        with self._lock:
            tab = self._tab(session)
            if tab is None:
                return
            tab.seen_at = time.monotonic()
            tab.files.update(_files_in(data, get_upload_folder()))
            if len(tab.files) > tab.prune_at:
                tab.files = {path for path in tab.files if Path(path).is_file()}
                tab.prune_at = max(FEW_FILES, 2 * len(tab.files))

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
            path.unlink(missing_ok=True)
            if not any(path.parent.iterdir() if path.parent.is_dir() else ()):
                path.parent.rmdir()

    def _forget_old(self) -> None:
        """Forgets the tabs that have gone and whose files have been deleted by now like everybody's."""
        now = time.monotonic()
        for number, tab in list(self._tabs.items()):
            if now - tab.seen_at > KEEP_SECONDS:
                for session in list(tab.sessions):
                    self._end(session, tab)
                del self._tabs[number]


def _files_in(data: object, folder: str) -> Iterator[str]:
    """The paths in `folder` that are named in what Gradio sends. Files of jobs go with their jobs."""
    if isinstance(data, dict):
        data = data.values()
    elif isinstance(data, str):
        if data.startswith(f"{folder}/") and f"/{JOB_PREFIX}" not in data and ".." not in data:
            yield data
        return
    elif not isinstance(data, (list, tuple)):
        return
    for value in data:
        yield from _files_in(value, folder)
