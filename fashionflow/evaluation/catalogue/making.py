"""Makes one clip of a catalogue, judges it, puts it into the store, and says what came of it in a row of the manifest."""

from __future__ import annotations

import hashlib
import io
import os
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from PIL import Image

from ... import __version__
from ...generation.one_clip import clip_request, make_clip
from ...generation.own_folder import OwnFolder, delete_abandoned
from ...generation.settings import ClipSettings
from ...photo.reading import PhotoError, read_photo
from ...pipelines import FashionFlowPipeline
from ...runtime.memory import is_out_of_memory
from ...runtime.memory_modes import OutOfMemory
from ...video.ffmpeg import FfmpegError
from ...video.files import FULL
from ...video.io import read_frames
from ..fidelity import fidelity
from .errors import CatalogueError
from .manifest import find_part, read_part, whole_row, write_part
from .store import Store, full, read_file, reason_of, stamp
from .tasks import Outcome, Task


MOST_ATTEMPTS = 3
"""How often a clip is begun: once, and twice more if the worker dies over it."""

THUMB_HEIGHT = 320  # pixels

DIED = (
    f"The clip was begun {MOST_ATTEMPTS} times, and each time its worker died, for which a lack of memory is the usual reason; choose "
    "fewer frames or fewer workers, and run the command with --retry-failed."
)


class ClipMaker:
    """Makes the clips of a catalogue, one after the other.

    Args:
        pipe: a pipeline that nobody else runs meanwhile.
        store: where clips, thumbs and rows are written.
    """

    def __init__(self, pipe: FashionFlowPipeline, store: Store):
        self._pipe, self._store = pipe, store
        delete_abandoned(Path(tempfile.gettempdir()))  # what killed workers have left

    def make(self, task: Task, attempt: int = 1) -> Outcome:
        """Makes a clip. No error about one clip leaves this method: it is in the row.

        Args:
            attempt: how often the clip has been begun, with this time.
        """
        if attempt > 1 and (
            part := find_part(self._store, task.name)
        ):  # the worker died between its row and its answer
            return Outcome(read_part(self._store, part), part)
        begun_at = time.monotonic()
        row = whole_row(
            name=task.name,
            product_number=task.product_number,
            photo=task.photo,
            back_photo=task.back_photo,
            # Before the photo is read: if it changes meanwhile, the next run looks at it again.
            photo_stamp=stamp(task.photo),
            back_stamp=task.back_photo and stamp(task.back_photo),
            model=self._pipe.model_name,
            model_hash=self._pipe.model_hash,
            version=__version__,
            attempts=attempt,
            **task.settings,
        )
        try:
            if attempt > MOST_ATTEMPTS:
                raise _Failed(DIED)
            made = self._made(task, row)
            if made is None:
                row = task.before | {"photo_stamp": row["photo_stamp"], "back_stamp": row["back_stamp"]}
                return Outcome(row, write_part(self._store, row))
            row |= made
        except CatalogueError as error:
            return Outcome(stop=str(error))
        except Exception as error:
            if isinstance(error, OSError) and error.errno in FULL:
                return Outcome(stop=str(full(tempfile.gettempdir())))
            row["error"] = sentence(error)
        row |= {"seconds": time.monotonic() - begun_at, "made_at": datetime.now(UTC).isoformat()}
        try:
            return Outcome(row, write_part(self._store, row))
        except CatalogueError as error:
            return Outcome(stop=str(error))

    def _made(self, task: Task, row: dict) -> dict | None:
        """Makes the clip and returns the rest of its row; `None` if the photos are the same as before. `row` gets the hashes of the photos,
        which a failed clip has as well."""
        front = read_file(task.photo)
        back = read_file(task.back_photo) if task.back_photo else None
        hashes = {"photo_sha256": _sha256(front), "back_sha256": back and _sha256(back)}
        row |= hashes | {"photo_bytes": len(front) + len(back or b"")}
        if task.before and all(task.before[key] == value for key, value in hashes.items()):
            return None
        photo = read_photo(front)
        try:
            back_photo = None if back is None else read_photo(back)
        except PhotoError as error:
            raise _Failed(f"The photo of the back: {error}") from error
        request, advice = clip_request(self._pipe, ClipSettings(**task.settings), photo, back_photo)
        own = OwnFolder()
        clip, thumb = own.path / "clip.mp4", own.path / "thumb.webp"
        try:
            make_clip(self._pipe, request, clip)
            frames = read_frames(clip)
            judged = fidelity(frames, np.asarray(request.photo), coverage_of=self._pipe.coverage_of)
            write_thumb(frames[judged.worst_frame], thumb)
            written = os.path.getsize(clip) + os.path.getsize(thumb)
            names = {"clip": f"clips/{task.name}.mp4", "thumb": f"thumbs/{task.name}.webp"}
            self._store.put(thumb, names["thumb"])
            self._store.put(clip, names["clip"])
        finally:
            own.delete()
        colour, similarity = judged.worst_quarter
        return names | {
            "clip_bytes": written,
            "advice": " ".join(each.sentence() for each in advice) or None,
            "verdict": judged.verdict,
            "score": judged.score,
            "colour_difference": colour,
            "similarity": similarity,
            "garment_found": judged.found,
        }


class _Failed(ValueError):
    """A clip cannot be made; the message says why in one sentence."""


def sentence(error: Exception) -> str:
    """Why a clip could not be made, in one sentence."""
    if is_out_of_memory(error) and not isinstance(error, OutOfMemory):
        return "Memory ran out; choose fewer frames or fewer workers, and run the command with --retry-failed."
    if isinstance(error, FfmpegError):
        return f"ffmpeg could not make the video file{error.reason}; run the command with --retry-failed."
    if isinstance(error, (ValueError, OutOfMemory)):
        return str(error)
    return f"The clip could not be made: {reason_of(error).partition(chr(10))[0]}."


def write_thumb(frame: np.ndarray, path: Path) -> None:
    """Writes a frame, uint8 RGB [height, width, 3], as a small WebP picture."""
    picture = Image.fromarray(frame)
    picture.thumbnail((2 * THUMB_HEIGHT, THUMB_HEIGHT))
    content = io.BytesIO()
    picture.save(content, "WEBP", quality=80)
    path.write_bytes(content.getvalue())


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
