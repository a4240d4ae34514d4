"""One entry of the history, as JSON that the browser keeps: where the clip is, its photos and settings, and its thumbnail."""

import base64
import time
from dataclasses import asdict, dataclass
from io import BytesIO
from pathlib import Path

from PIL import Image

from ...generation.job import Job
from ...video.io import read_frames
from ..languages import Words


THUMBNAIL_HEIGHT = 160  # pixels
THUMBNAIL_BYTES, PHOTO_BYTES = 6_000, 20_000  # browsers keep 5 MB per page, and there are at most 24 entries
QUALITIES = range(90, 20, -10)


@dataclass(frozen=True)
class Entry:
    """
    Args:
        number, clip: the number of the job, and the index of the clip in it.
        settings: the settings as the browser sent them, unchecked.
        photo, back_photo: arguments for `uploads.read_upload`; there may be no photo of the back.
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
    settings, made_at = job.requests[clip].settings, path.stat().st_mtime
    photo, back_photo, frames = job.photo(clip), job.back_photo(clip), read_frames(path)
    thumbnail = Image.fromarray(frames[len(frames) // 2])
    thumbnail.thumbnail((2 * THUMBNAIL_HEIGHT, THUMBNAIL_HEIGHT))
    motion = f"{words(f'motion.{settings.motion}')} · " if settings.motion else ""
    return {
        "job": job.number,
        "clip": clip,
        "settings": asdict(settings),
        "caption": motion + words("history.seed", seed=settings.seed),
        "at": round(1000 * made_at),  # milliseconds, as in JavaScript
        "age": max(0.0, time.time() - made_at),
        "thumbnail": data_uri(thumbnail, THUMBNAIL_BYTES),
        "photo": data_uri(photo, PHOTO_BYTES),
        "back_photo": back_photo and data_uri(back_photo, PHOTO_BYTES),
    }


def read(entry: object, words: Words) -> Entry:
    """Reads an entry that a browser sends back.

    Raises:
        ValueError: if it is not one of our entries.
    """
    try:
        number, clip, settings, photo = (entry[name] for name in ("job", "clip", "settings", "photo"))
        back_photo = entry.get("back_photo")  # older entries do not have it
    except (TypeError, KeyError) as error:
        raise ValueError(words("history.damaged")) from error
    photos = [photo] if back_photo is None else [photo, back_photo]
    kinds = ((number, str), (clip, int), (settings, dict), *((value, str) for value in photos))
    if not all(isinstance(value, kind) for value, kind in kinds) or not all(uri.startswith("data:") for uri in photos):
        raise ValueError(words("history.damaged"))
    return Entry(number, clip, settings, {"url": photo}, back_photo and {"url": back_photo})


def data_uri(picture: Image.Image, most_bytes: int) -> str:
    """A picture as a JPEG in a data URI, at the best of `QUALITIES` that fits into `most_bytes`."""
    for quality in QUALITIES:
        jpeg = BytesIO()
        picture.save(jpeg, "JPEG", quality=quality, optimize=True)
        if jpeg.tell() <= most_bytes:
            break
    return "data:image/jpeg;base64," + base64.b64encode(jpeg.getvalue()).decode()
