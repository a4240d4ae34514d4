"""One entry of the history, as JSON that the browser keeps: where the clip is, what it was made from, and how it looks."""

import base64
import time
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from PIL import Image

from ...generation.job import Job
from ...generation.request import SETTINGS
from ...video.io import read_frames
from ..languages import Words


THUMBNAIL_HEIGHT = 160  # pixels
THUMBNAIL_BYTES, PHOTO_BYTES = 6_000, 20_000  # browsers keep 5 MB of a page, and there are at most 24 entries
QUALITIES = range(90, 20, -10)


@dataclass(frozen=True)
class Entry:
    """
    Args:
        number, clip: of the job, and which of its clips.
        settings: as the browser sent them; nobody has checked them.
        photo, back_photo: for `uploads.read_upload`; there may be no photo of the back.
    """

    number: str
    clip: int
    settings: dict
    photo: dict
    back_photo: dict | None


def make(job: Job, clip: int, path: Path, words: Words) -> dict:
    """
    Raises:
        OSError: if the job has been deleted.
    """
    request, made_at = job.requests[clip], path.stat().st_mtime
    photo, back_photo, frames = job.photo(clip), job.back_photo(clip), read_frames(path)
    thumbnail = Image.fromarray(frames[len(frames) // 2])
    thumbnail.thumbnail((2 * THUMBNAIL_HEIGHT, THUMBNAIL_HEIGHT))
    motion = f"{words(f'motion.{request.motion}')} · " if request.motion else ""
    return {
        "job": job.number,
        "clip": clip,
        "settings": {name: getattr(request, name) for name in SETTINGS},
        "caption": motion + words("history.seed", seed=request.seed),
        "at": round(1000 * made_at),  # as JavaScript counts time
        "age": max(0.0, time.time() - made_at),
        "thumbnail": data_uri(thumbnail, THUMBNAIL_BYTES),
        "photo": data_uri(photo, PHOTO_BYTES),
        "back_photo": back_photo and data_uri(back_photo, PHOTO_BYTES),
    }


def read(entry: object, words: Words) -> Entry:
    """An entry that comes back from a browser.

    Raises:
        ValueError: if it is none of ours.
    """
    try:
        number, clip, settings, photo = (entry[name] for name in ("job", "clip", "settings", "photo"))
        back_photo = entry.get("back_photo")  # which older entries have not
    except (TypeError, KeyError) as error:
        raise ValueError(words("history.damaged")) from error
    photos = [photo] if back_photo is None else [photo, back_photo]
    kinds = ((number, str), (clip, int), (settings, dict), *((value, str) for value in photos))
    if not all(isinstance(value, kind) for value, kind in kinds) or not all(uri.startswith("data:") for uri in photos):
        raise ValueError(words("history.damaged"))
    return Entry(number, clip, settings, {"url": photo}, back_photo and {"url": back_photo})


def data_uri(picture: Image.Image, most_bytes: int) -> str:
    """A picture as a JPEG inside of an address, as good as the space allows."""
    for quality in QUALITIES:
        jpeg = BytesIO()
        picture.save(jpeg, "JPEG", quality=quality, optimize=True)
        if jpeg.tell() <= most_bytes:
            break
    return "data:image/jpeg;base64," + base64.b64encode(jpeg.getvalue()).decode()
