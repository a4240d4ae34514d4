"""What runs in a process of Ray's with a device of its own: it loads the model once, and makes one clip at a time.

The page and this process may be on two machines with no folder in common. So a clip's files travel with its events, and whether a job was
stopped comes as a call.
"""

from __future__ import annotations

import logging
import os
import shutil
import socket
import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from .. import __version__
from .calls import Call, Ending, make_clip
from .events import Event, Finished, Segment
from .own_folder import OwnFolder, delete_abandoned
from .rates import Rates


DEVICE_FAILED = "CUDA error"
"""How PyTorch says that a card is of no use to this process any more. (It says of full memory "CUDA out of memory".)"""

BROKEN = 70
"""The exit status of a process whose device has failed."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Model:
    """How a worker loads its model: arguments of `load_pipeline`, and two of its switches."""

    model: str | None = None
    tiny_decoder: str | None = None
    tiny_clips: bool = False
    compile: bool = False
    cuda_graphs: bool = False


@dataclass(frozen=True)
class Loaded:
    """A worker whose model is loaded: `report` is as `running_report` says it, `host` is the name of its machine, `process` the number of
    its process there, and `rates` are `None` if they were not measured."""

    report: str
    host: str
    process: int
    rates: Rates | None


@dataclass(frozen=True)
class Parcel:
    """What is sent to the page: an event, or how the clip ended. The file that an event is about travels with it, and its path is only
    the file's name."""

    item: Event | Ending
    file: bytes | None = None

    @classmethod
    def of(cls, item: Event | Ending) -> Parcel:
        if isinstance(item, (Segment, Finished)):
            return cls(replace(item, path=Path(item.path.name)), item.path.read_bytes())
        return cls(item)


class ClipActor:
    """A worker's process, as Ray runs it: several methods at a time, each on a thread of its own.

    Args:
        folder: the folder in which it creates its own folder for the clips at work; by default the system's temporary folder.
    """

    def __init__(self, folder: Path | None = None):
        self._folder = OwnFolder(folder)
        self._at_work = threading.Lock()
        self._asked: dict[str, tuple[threading.Event, threading.Event]] = {}  # by call: to stop, and to discard

    def version(self) -> str:
        """The version of FashionFlow on this machine. The answer says as well that the process lives."""
        return __version__

    def folder(self) -> Path:
        """Where the files of the clip at work are."""
        return self._folder.path

    def load(self, model: Model, device: str, measure: bool) -> Loaded | str:
        """Loads the model onto a device, as `load_pipeline` names devices. Returns a sentence if that cannot be done."""
        from ..runtime.acceleration import DEFAULTS  # with PyTorch
        from ..runtime.loading import load_pipeline, running_report
        from .profiler import measure as measured

        switches = replace(DEFAULTS, compile=model.compile, cuda_graphs=model.cuda_graphs)
        try:
            pipe = load_pipeline(model.model, device, switches, model.tiny_decoder, model.tiny_clips)
        except ValueError as error:
            return str(error)
        pipe.set_progress_bar_config(disable=True)
        self._pipe, rates = pipe, None
        if measure:
            try:
                rates = measured(pipe)
            except Exception:  # clips can be made without a time estimate
                logger.exception("The time of a clip could not be measured.")
        return Loaded(running_report(pipe), socket.gethostname(), os.getpid(), rates)

    def make_clip(self, number: str, call: Call) -> Iterator[Parcel]:
        """Makes a clip, as `calls.make_clip` does. `number` is new for every call."""
        asked = self._signals(number)
        with self._at_work, TemporaryDirectory(dir=self._folder.path, ignore_cleanup_errors=True) as folder:
            try:
                with closing(make_clip(self._pipe, replace(call, folder=Path(folder)), *asked)) as items:
                    for item in items:
                        yield Parcel.of(item)
            except RuntimeError as error:
                if DEVICE_FAILED in str(error):
                    logger.exception("The device has failed.")
                    os._exit(BROKEN)  # only a new process can use the card again
                raise
            finally:
                self._asked.pop(number, None)
        delete_abandoned(self._folder.path.parent)  # of workers on this machine that were killed

    def end_early(self, number: str, discarded: bool) -> None:
        """Stops the clip of a call within one step; if it is not discarded, what was made of it is still sent."""
        stop_asked, discard_asked = self._signals(number)
        if discarded:
            discard_asked.set()
        stop_asked.set()

    def rest(self) -> None:
        """Gives back memory that was kept between steps and between clips."""
        from ..runtime.acceleration import return_freed_memory  # with PyTorch

        return_freed_memory()

    def close(self) -> None:
        """Deletes the files of the clip at work, and ends the process."""
        shutil.rmtree(self._folder.path, ignore_errors=True)
        os._exit(0)

    def _signals(self, number: str) -> tuple[threading.Event, threading.Event]:
        return self._asked.setdefault(number, (threading.Event(), threading.Event()))
