"""A job: clips that were requested together, with a number that identifies the job and events that report its progress.

A job does not depend on a connection. Anybody who knows its number can follow it, any number of times and from anywhere, and the
job runs even if nobody follows it.
"""

import contextlib
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextvars import copy_context
from dataclasses import replace
from pathlib import Path
from secrets import choice

from PIL import Image

from ..errors import UploadError
from .events import Event, Finished, Segment, Step, Waiting
from .request import ClipRequest


JOB_PREFIX = "job-"
NUMBER_LETTERS = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"  # without 0, 1, I and O, because people misread them
NUMBER_LENGTH = 9  # 45 bits: nobody can find another person's clip by guessing
WAITING_SECONDS = 0.5  # between two events that report the remaining waiting time


class Stopped(Exception):
    """Raised by the worker when the job has been stopped or discarded."""


class Signal(threading.Event):
    """An event that other processes see too, if they have a signal of the same path: it leaves a file there."""

    def __init__(self, path: Path):
        super().__init__()
        self._path = path

    def set(self) -> None:
        super().set()
        with contextlib.suppress(OSError):  # the job has been deleted, or the disk is full
            self._path.touch()

    def is_set(self) -> bool:
        return super().is_set() or self._path.exists()


class Job:
    """Clips that were requested together. `JobQueue.submit` creates it.

    Args:
        requests: one request for each clip.
        folder: the folder in which the job creates its own folder.
        segments: whether the job's events also include segments of the clips for a live player.
        wait: returns the job's position in the queue: the number of clips made first, and the seconds until the job begins.
        time_estimate: seconds until the first clip is finished, as estimated when the job was requested; `None` if there was no estimate.
        visitor: who asked for the job, as `JobQueue.submit` was told.

    Raises:
        UploadError: if the photos cannot be stored, because the disk is full or cannot be written to. Nothing of them is left.

    Attributes:
        number: identifies the job, such as "K7QM3F2PX"; cannot be guessed.
        state: "waiting", "working", "finished", "stopped" or "failed"; the last three are final.
        results: the result of each clip; `None` for a clip that was not made, or is not made yet.
        error: the reason why the job failed.
        losses: how many workers were lost while they made the current clip.
        asked_at, ended_at: when the job was requested, and when it ended, on the clock of `time.monotonic`, which does not jump; `None` before
            the end.
    """

    def __init__(
        self,
        requests: tuple[ClipRequest, ...],
        folder: Path,
        segments: bool = True,
        wait: Callable[["Job"], Waiting] = lambda job: Waiting(0, 0.0),
        time_estimate: float | None = None,
        visitor: str | None = None,
    ):
        self.number = "".join(choice(NUMBER_LETTERS) for _ in range(NUMBER_LENGTH))
        self.requests, self.segments, self.time_estimate = requests, segments, time_estimate
        self.visitor = visitor
        try:
            self.folder = Path(tempfile.mkdtemp(prefix=JOB_PREFIX, dir=folder))
        except OSError as error:
            raise UploadError("no-room") from error
        self.state = "waiting"
        self.results: list[Finished | None] = [None] * len(requests)
        self.error: Exception | None = None
        self.losses = 0
        self.asked_at, self.ended_at = time.monotonic(), None
        self.stop_asked, self.discarded = signals(self.folder)
        self.context = copy_context()  # whoever asked for the job, as Gradio knows them; `None` after the end
        self._wait = wait
        self._events: list[tuple[int, Event]] = []  # with serial numbers; only the latest `Waiting` or `Step` is kept
        self._last_serial = 0
        self._changed = threading.Condition()
        files: dict[int, Path] = {}  # by the identity of a photo, because clips of one job often share their photo

        def write(photo: Image.Image | None) -> Path | None:
            if photo is not None and id(photo) not in files:
                files[id(photo)] = self.folder / f"photo-{len(files)}.png"
                photo.save(files[id(photo)])
            return files.get(id(photo))

        try:
            self._photos = [(write(request.photo), write(request.back_photo)) for request in requests]  # of each clip
        except OSError as error:
            self.delete()
            raise UploadError("no-room") from error

    @property
    def has_ended(self) -> bool:
        return self.ended_at is not None

    @property
    def next_clip(self) -> int | None:
        """The index of the first clip that has not been made yet; `None` if there is none."""
        return next((index for index, result in enumerate(self.results) if result is None), None)

    def photo(self, clip: int) -> Image.Image:
        """The photo of a clip, as the model received it.

        Raises:
            FileNotFoundError: if the job has been deleted.
        """
        return _read(self._photos[clip][0])

    def back_photo(self, clip: int) -> Image.Image | None:
        """The back photo of a clip, as the model received it; `None` if there was none, or if the job has been deleted."""
        path = self._photos[clip][1]
        try:
            return path and _read(path)
        except FileNotFoundError:
            return None

    def follow(self) -> Iterator[Event]:
        """Yields the job's events live until the job ends; then raises its error, if it has one.

        A follower who comes late first gets the past events that still matter: finished clips, and the segments and the last step
        of the current clip.
        """
        with self._changed:
            finished = {event.clip for _, event in self._events if isinstance(event, Finished)}
            backlog = [
                event
                for _, event in self._events
                if not (isinstance(event, (Step, Segment)) and event.clip in finished)
            ]
            seen, waiting = self._last_serial, self.state == "waiting"
        if waiting:
            yield self._wait(self)
        yield from backlog
        while True:
            with self._changed:
                self._changed.wait_for(
                    lambda seen=seen: self._last_serial > seen or self.has_ended, timeout=WAITING_SECONDS
                )
                news = [(serial, event) for serial, event in self._events if serial > seen]
                ended, waiting = self.has_ended, self.state == "waiting"
            if news:
                seen = news[-1][0]
            elif waiting and not ended:
                yield self._wait(self)
            for _, event in news:
                yield event
            if ended:
                break
        if self.error is not None:
            raise self.error

    def stop(self) -> None:
        """Asks the worker to end the job; the part of the current clip that is already made is kept."""
        self.stop_asked.set()

    def discard(self) -> None:
        """Ends the job and deletes all its files: at once, or when the current step is done."""
        self.discarded.set()
        self.stop_asked.set()
        with self._changed:
            if self.has_ended:
                self.delete()

    def delete(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)

    # The methods below are for the job queue's own thread.

    def tell(self, event: Event) -> None:
        """Sends an event to everybody who follows the job; previews that a newer one replaces are dropped, and a segment that a lost worker
        has sent before, because players have it already: the same seed gives the same clip.

        Raises:
            Stopped: if the job has been discarded.
        """
        if self.discarded.is_set():
            raise Stopped
        with self._changed:
            if isinstance(event, Segment) and any(_is_segment(old, event) for _, old in self._events):
                return
            self._events = [(serial, old) for serial, old in self._events if not isinstance(old, (Waiting, Step))]
            self._last_serial += 1
            self._events.append((self._last_serial, event))
            if isinstance(event, Finished):
                self.results[event.clip] = event
            self._changed.notify_all()

    def begin(self) -> None:
        self.state = "working"

    def pause(self) -> None:
        """Lets other jobs make a clip before the next clip of this job."""
        self.state = "waiting"

    def end(self, state: str, error: Exception | None = None) -> None:
        """Ends the job: keeps the results and releases all large data."""
        with self._changed:
            self._events = [(serial, old) for serial, old in self._events if not isinstance(old, (Waiting, Step))]
            self.state, self.error = state, error
            self.ended_at = time.monotonic()
            self.requests = tuple(replace(request, photo=None, back_photo=None) for request in self.requests)
            self.context = None
            if self.discarded.is_set():
                self.delete()
            self._changed.notify_all()


def _is_segment(event: Event, segment: Segment) -> bool:
    return isinstance(event, Segment) and (event.clip, event.index) == (segment.clip, segment.index)


def signals(folder: Path) -> tuple[Signal, Signal]:
    """Whether the job of a folder was asked to stop, and whether it was discarded."""
    return Signal(folder / "stop-asked"), Signal(folder / "discarded")


def _read(path: Path) -> Image.Image:
    with Image.open(path) as photo:
        return photo.convert("RGB")


def plain_number(typed: object) -> str:
    """A job's number in its plain form; people may type it in any case, with spaces or hyphens."""
    return "".join(letter for letter in str(typed or "").upper() if letter in NUMBER_LETTERS)[: 2 * NUMBER_LENGTH]


def spoken_number(number: str) -> str:
    """A job's number in the form that people read: in groups of three characters."""
    return "-".join(number[start : start + 3] for start in range(0, len(number), 3))
