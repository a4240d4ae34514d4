"""Reads the settings and the first frame of a finished clip from a file, which anybody may have sent."""

import json
import re
import zipfile
from collections.abc import Callable
from dataclasses import fields
from io import BytesIO
from pathlib import Path

from PIL import ExifTags, Image

from ..errors import SENTENCES, UploadError
from ..video.ffmpeg import decode, source
from ..video.io import LONGEST_READING, read_settings
from ..video.metadata import FIRST_FRAME_FILE, GENERATOR, SETTINGS_FILE, USER_COMMENT_ENCODING
from ..video.shapes import PLACES
from .request import WITH_BACK_PHOTO
from .settings import LIMITS, ClipSettings


# The limits for a stranger's file. Our own files stay far below them.
LONGEST_SETTINGS = 2**16  # bytes
LARGEST_FILE = 2**28  # bytes, for the file kinds that are read as a whole
LARGEST_FRAME = 2**24  # pixels

NOT_OURS = SENTENCES["not-ours"]


def read_provenance(path: Path | str) -> dict:
    """The settings of a clip made by FashionFlow, from an mp4, GIF, WebP or zip file that anybody may have sent.

    Returns:
        The settings that `ClipSettings` takes, and "model", "model_hash", "version" and "date"; also
        "with_back_photo" if a photo of the back was used. Settings that an older version did not write are absent; unknown
        settings are left out.

    Raises:
        UploadError: with one sentence, if it is not such a file or a value is out of its range.
    """
    settings = _read(path)
    if settings.get("generator", GENERATOR) != GENERATOR or any(name not in settings for name in _REQUIRED):
        raise UploadError("not-ours")
    known = {name: settings[name] for name in _ALLOWED if name in settings}
    for name, value in known.items():
        if not _ALLOWED[name](value):
            raise UploadError("changed", name=name, value=repr(str(value)[:40]))
    return known


def first_frame(path: Path | str) -> Image.Image:
    """The first frame of a file that `read_provenance` reads, RGB, without the background that an export added around it.

    Raises:
        UploadError: with one sentence, if there is no such frame.
    """
    try:
        settings = _read(path)
        frame = _FIRST_FRAMES[_kind(Path(path))](Path(path))
        size = settings.get("size")  # of the clip before an export changed its shape
        if isinstance(size, list) and len(size) == 2 and all(_whole(1, 2**14)(side) for side in size):
            scale = min(frame.width / size[0], frame.height / size[1])
            width, height = round(size[0] * scale), round(size[1] * scale)
            share = PLACES.get(settings.get("place"), PLACES["middle"])  # older exports are all in the middle
            left, top = int((frame.width - width) * share), int((frame.height - height) * share)
            frame = frame.crop((left, top, left + width, top + height))
    except Exception as error:  # Pillow and zipfile raise many kinds of errors for a damaged file
        raise UploadError("not-ours") from error
    return frame


def _whole(smallest: int, largest: int) -> Callable[[object], bool]:
    return lambda value: type(value) is int and smallest <= value <= largest


def _text(pattern: str) -> Callable[[object], bool]:
    return lambda value: isinstance(value, str) and re.fullmatch(pattern, value) is not None


def _or_none(check: Callable[[object], bool]) -> Callable[[object], bool]:
    return lambda value: value is None or check(value)


# The metadata that `ClipRequest.metadata` writes, with the values that `ClipSettings.check` allows for some model.
_ALLOWED: dict[str, Callable[[object], bool]] = {
    **{
        field.name: _or_none(LIMITS[field.name].allows) if field.default is None else LIMITS[field.name].allows
        for field in fields(ClipSettings)
    },
    WITH_BACK_PHOTO: lambda value: value is True,
    "model": _or_none(_text(r"[\w./@ -]{1,200}")),
    "model_hash": _or_none(_text(r"[0-9a-f]{16}")),
    "version": _text(r"[\w.+-]{1,40}"),
    "date": _text(r"[0-9T:+-]{1,40}"),
}
_REQUIRED = ("motion", "turn_angle", "frames", "steps", "seed", "sampler")


def _kind(path: Path) -> str:
    """The kind of a file, recognised by its content, because a stranger's file can have any name."""
    with path.open("rb") as file:
        start = file.read(12)
    if start[4:8] == b"ftyp":
        return "mp4"
    if start[:4] == b"GIF8":
        return "gif"
    if start[:4] == b"RIFF" and start[8:] == b"WEBP":
        return "webp"
    return "zip" if start[:4] == b"PK\x03\x04" else ""


def _read(path: Path | str) -> dict:
    """The settings in a file, unchecked."""
    path = Path(path)
    try:
        settings = _SETTINGS[_kind(path)](path)
    except Exception as error:  # no file, or one of the many errors of Pillow, zipfile and json for a damaged file
        raise UploadError("not-ours") from error
    if not isinstance(settings, dict):
        raise UploadError("not-ours")
    return settings


def _open_picture(path: Path) -> Image.Image:
    """Opens a GIF or WebP picture. Pillow reads the whole file and allocates memory for its canvas, so both sizes are limited."""
    if path.stat().st_size > LARGEST_FILE:
        raise ValueError("The file is too large.")
    picture = Image.open(path, formats=("GIF", "WEBP"))
    if picture.width * picture.height > LARGEST_FRAME:
        raise ValueError("The picture is too large.")
    return picture


def _read_gif(path: Path) -> dict:
    with _open_picture(path) as picture:
        return json.loads(picture.info["comment"][:LONGEST_SETTINGS])


def _read_webp(path: Path) -> dict:
    with _open_picture(path) as picture:
        comment = picture.getexif().get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.UserComment]
    return json.loads(comment.removeprefix(USER_COMMENT_ENCODING)[:LONGEST_SETTINGS])


def _read_member(path: Path, name: str, most: int) -> bytes:
    """Reads a file in a zip file. At most `most` bytes of it are unpacked, whatever size the zip file claims."""
    with zipfile.ZipFile(path) as archive, archive.open(name) as member:
        content = member.read(most + 1)
    if len(content) > most:
        raise ValueError("The file in the zip file is too large.")
    return content


def _first_of_picture(path: Path) -> Image.Image:
    with _open_picture(path) as picture:
        return picture.convert("RGB")


def _first_of_png(content: bytes) -> Image.Image:
    with Image.open(BytesIO(content), formats=("PNG",)) as picture:
        if picture.width * picture.height > LARGEST_FRAME:
            raise ValueError("The picture is too large.")
        return picture.convert("RGB")


def _first_of_mp4(path: Path) -> Image.Image:
    of_our_size = ["-max_pixels", str(LARGEST_FRAME), *source(path)]
    (frame,) = decode(of_our_size, ["-frames:v", "1"], seconds=LONGEST_READING)
    return Image.fromarray(frame)


_SETTINGS: dict[str, Callable[[Path], dict | None]] = {
    "mp4": read_settings,
    "gif": _read_gif,
    "webp": _read_webp,
    "zip": lambda path: json.loads(_read_member(path, SETTINGS_FILE, LONGEST_SETTINGS)),
}
_FIRST_FRAMES: dict[str, Callable[[Path], Image.Image]] = {
    "mp4": _first_of_mp4,
    "gif": _first_of_picture,
    "webp": _first_of_picture,
    "zip": lambda path: _first_of_png(_read_member(path, FIRST_FRAME_FILE, LARGEST_FILE)),
}
