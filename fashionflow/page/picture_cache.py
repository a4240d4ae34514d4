"""Pictures on their way to the browser are written whole.

Gradio names such a file after its content, and writes it again in place whenever the same picture is shown again
(`save_pil_to_cache` in `gradio/processing_utils.py`). A browser that is reading it at this moment gets a part of it, and shows a broken
picture. Importing this module replaces that function; the file is otherwise the same, at the same path.
"""

import logging
import os
from pathlib import Path

import gradio as gr
from gradio import processing_utils
from gradio.context import LocalContext
from PIL import Image

from ..errors import UploadError
from ..video.files import written_whole
from .languages import words_for, words_of


logger = logging.getLogger(__name__)


def save_pil_to_cache(img: Image.Image, cache_dir: str, name: str = "image", format: str = "webp") -> str:
    """Writes a picture below `cache_dir`, unless it is there. Returns its path.

    Raises:
        KeyError, ValueError: if PIL cannot write this format.
        gr.Error: with one sentence, if the disk is full or cannot be written to.
    """
    content = processing_utils.encode_pil_to_bytes(img, format)
    path = Path(cache_dir).resolve() / processing_utils.hash_bytes(content) / f"{name}.{format}"
    try:
        os.utime(path)  # Gradio deletes the files that have not been touched for longest
    except FileNotFoundError:
        try:
            path.parent.mkdir(exist_ok=True, parents=True)
            with written_whole(path) as unfinished:
                unfinished.write_bytes(content)
        except OSError as error:
            logger.error("A picture could not be stored: %s.", error.strerror or error)
            words = words_for(LocalContext.request.get(None))
            raise gr.Error(words_of(UploadError("no-room"), words), print_exception=False) from error
    return str(path)


processing_utils.save_pil_to_cache = save_pil_to_cache
