"""A job: clips that were asked for together, with a number by which they can be found again, and events to follow.

A job belongs to nobody's connection. Whoever knows its number can follow it, as often as they like and from anywhere, and it
is made whether anybody follows or not.
"""

import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from secrets import choice

from PIL import Image

from .request import AnimationRequest, Event, Finished, Segment, Step, Waiting


JOB_PREFIX = "job-"
NUMBER_LETTERS = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"  # no 0, 1, I and O, which are misread
NUMBER_LENGTH = 9  # 45 bits: nobody finds another's clip by trying
WAITING_SECONDS = 0.5  # between two words on how long there is still to wait


class Stopped(Exception):
    """Raised inside the work once nobody wants it any more."""


class Job:
    """Clips asked for together. Made by `JobQueue.submit`.

    Args:
        requests: what to make, one clip each.
        folder: where the job's own folder is made.
        segments: whether clips are also told in pieces for a live player.
        wait: what the line says of this job: clips made first, and seconds until it begins.
        promised: seconds announced for the first clip; `None` where nothing was.

    Attributes:
        number: finds the job again, such as "K7QM3F2PX"; cannot be guessed.
        state: "waiting", "working", "finished", "stopped" or "failed"; the last three are its end.
        results: what was made, by clip; `None` for what was not, or not yet.
        error: why it failed.
        ended_at: on the clock of `time.time`; `None` before.
    """

    def __init__(
        self,
        requests: tuple[AnimationRequest, ...],
        folder: Path,
        segments: bool = True,
        wait: Callable[["Job"], Waiting] = lambda job: Waiting(0, 0.0),
        promised: float | None = None,
    ):
        self.number = "".join(choice(NUMBER_LETTERS) for _ in range(NUMBER_LENGTH))
        self.requests, self.segments, self.promised = requests, segments, promised
        self.folder = Path(tempfile.mkdtemp(prefix=JOB_PREFIX, dir=folder))
        self.state = "waiting"
        self.results: list[Finished | None] = [None] * len(requests)
        self.error: Exception | None = None
        self.asked_at, self.ended_at = time.time(), None
        self.stop_asked, self.discarded = threading.Event(), threading.Event()
        self._wait = wait
        self._events: list[tuple[int, Event]] = []  # with serial numbers; of waiting and steps only the last is kept
        self._told = 0
        self._changed = threading.Condition()
        for index, request in enumerate(requests):
            request.photo.save(self._photo_path(index))
            if request.back_photo is not None:
                request.back_photo.save(self._back_photo_path(index))

    @property
    def has_ended(self) -> bool:
        return self.ended_at is not None

    @property
    def next_clip(self) -> int | None:
        """The first clip that was not made yet."""
        return next((index for index, result in enumerate(self.results) if result is None), None)

    def photo(self, clip: int) -> Image.Image:
        """The photo of a clip, as the model was given it.

        Raises:
            FileNotFoundError: if the job has been deleted.
        """
        with Image.open(self._photo_path(clip)) as photo:
            return photo.convert("RGB")

    def back_photo(self, clip: int) -> Image.Image | None:
        """The photo of the back of a clip, as the model was given it; `None` if there was none, or the job has been deleted."""
        try:
            with Image.open(self._back_photo_path(clip)) as photo:
                return photo.convert("RGB")
        except FileNotFoundError:
            return None

    def follow(self) -> Iterator[Event]:
        """The job's events, live, until it ends; then its error if it had one. Whoever comes late gets what still matters
        of the past: finished clips, and the pieces and the last step of the clip at work."""
        with self._changed:
            finished = {event.clip for _, event in self._events if isinstance(event, Finished)}
            backlog = [
                event
                for _, event in self._events
                if not (isinstance(event, (Step, Segment)) and event.clip in finished)
            ]
            seen, waiting = self._told, self.state == "waiting"
        if waiting:
            yield self._wait(self)
        yield from backlog
        while True:
            with self._changed:
                self._changed.wait_for(lambda seen=seen: self._told > seen or self.has_ended, timeout=WAITING_SECONDS)
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
        """Asks the work to end; what has been made of the clip at work is kept."""
        self.stop_asked.set()

    def discard(self) -> None:
        """Has the work end and every file of the job deleted: at once, or when the step at work is done."""
        self.discarded.set()
        self.stop_asked.set()
        with self._changed:
            if self.has_ended:
                self.delete()

    def delete(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)

    # What follows is for the studio's own thread.

    def tell(self, event: Event) -> None:
        """Has everybody who follows know; previews that a newer one has replaced are forgotten.

        Raises:
            Stopped: if nobody wants the job any more.
        """
        if self.discarded.is_set():
            raise Stopped
        with self._changed:
            self._events = [(serial, old) for serial, old in self._events if not isinstance(old, (Waiting, Step))]
            self._told += 1
            self._events.append((self._told, event))
            if isinstance(event, Finished):
                self.results[event.clip] = event
            self._changed.notify_all()

    def begin(self) -> None:
        self.state = "working"

    def pause(self) -> None:
        """Lets others make a clip before the next one of this job."""
        self.state = "waiting"

    def end(self, state: str, error: Exception | None = None) -> None:
        """Keeps the results and lets go of everything large."""
        with self._changed:
            self._events = [(serial, old) for serial, old in self._events if not isinstance(old, (Waiting, Step))]
            self.state, self.error = state, error
            self.ended_at = time.time()
            self.requests = tuple(replace(request, photo=None, back_photo=None) for request in self.requests)
            if self.discarded.is_set():
                self.delete()
            self._changed.notify_all()

    def _photo_path(self, clip: int) -> Path:
        return self.folder / f"photo-{clip}.png"

    def _back_photo_path(self, clip: int) -> Path:
        return self.folder / f"back-photo-{clip}.png"


def plain_number(typed: object) -> str:
    """A job's number as people type it: in any case, with spaces or hyphens."""
    return "".join(letter for letter in str(typed or "").upper() if letter in NUMBER_LETTERS)[: 2 * NUMBER_LENGTH]


def spoken_number(number: str) -> str:
    """A job's number as people read it: in groups of three."""
    return "-".join(number[start : start + 3] for start in range(0, len(number), 3))
