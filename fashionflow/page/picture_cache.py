"""Pictures on their way to the browser are written whole.

Gradio names such a file after its content, and writes it again in place whenever the same picture is shown again
(`save_pil_to_cache` in `gradio/processing_utils.py`). A browser that is reading it at this moment gets a part of it, and shows a broken
picture. Importing this module replaces that function; the file is otherwise the same, at the same path.
"""

import os
from pathlib import Path

from gradio import processing_utils
from PIL import Image

from ..video.files import written_whole


def save_pil_to_cache(img: Image.Image, cache_dir: str, name: str = "image", format: str = "webp") -> str:
    """Writes a picture below `cache_dir`, unless it is there. Returns its path.

    Raises:
        KeyError, ValueError: if PIL cannot write this format.
        OSError: if the file cannot be written.
    """
    content = processing_utils.encode_pil_to_bytes(img, format)
    path = Path(cache_dir).resolve() / processing_utils.hash_bytes(content) / f"{name}.{format}"
    try:
        os.utime(path)  # Gradio deletes the files that have not been touched for longest
    except FileNotFoundError:
        path.parent.mkdir(exist_ok=True, parents=True)
        with written_whole(path) as unfinished:
            unfinished.write_bytes(content)
    return str(path)


processing_utils.save_pil_to_cache = save_pil_to_cache
