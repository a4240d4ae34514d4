"""Reads photos from the uploads of browsers and programs.

Gradio passes uploads on unchanged (`preprocess=False`). Otherwise Gradio would open pictures itself, without our limits and with a
traceback for every damaged one.
"""

import base64
import binascii
import tempfile
from pathlib import Path

from gradio.utils import get_upload_folder, is_in_or_equal
from PIL import Image

from ..photo.reading import PhotoError, read_photo


EXAMPLES = Path(__file__).parents[2] / "assets" / "examples"

RECORDED = EXAMPLES.with_name("recorded")
"""Clips that were made earlier. The first screen shows one as an example, and the stage all between visitors, labelled as recorded."""

BROWSER_FORMATS = ("JPEG", "MPO", "PNG", "WEBP", "AVIF", "GIF", "BMP")


def read_upload(upload: dict | None) -> Image.Image:
    """The photo in the upload of a browser or a program.

    Raises:
        PhotoError: if it is not a usable photo.
    """
    if not upload:
        return read_photo("")
    url = upload.get("url") or ""
    if url.startswith("data:"):
        try:
            return read_photo(base64.b64decode(url.partition(",")[2], validate=True))
        except binascii.Error as error:
            raise PhotoError("damaged-on-its-way") from error
    return read_photo(uploaded_path(upload))


def uploaded_path(upload: dict) -> Path:
    """The path of an uploaded file. The path comes from the browser, so only uploads and our own examples may be opened, and no other
    file on this machine.

    Raises:
        PhotoError: if it is neither, or has been deleted.
    """
    path = upload.get("path")
    if not path or not any(is_in_or_equal(path, folder) for folder in (get_upload_folder(), EXAMPLES)):
        raise PhotoError("gone")
    if not Path(path).is_file():
        raise PhotoError("gone")
    return Path(path)


def shown_by_browsers(upload: dict) -> bool:
    """Whether browsers can show an upload that `read_upload` has read. Most cannot show the photos of an iPhone (HEIC) or a scanner
    (TIFF)."""
    if (upload.get("url") or "").startswith("data:"):
        return True
    with Image.open(uploaded_path(upload)) as picture:
        return picture.format in BROWSER_FORMATS


def save_photo(photo: Image.Image) -> str:
    """Saves a photo among the uploads, which are deleted in time, and returns its path."""
    folder = Path(tempfile.mkdtemp(dir=get_upload_folder()))
    photo.save(folder / "photo.jpg", quality=95, subsampling=0)
    return str(folder / "photo.jpg")
