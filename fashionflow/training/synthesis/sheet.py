"""A contact sheet of a folder of clips or layers, to be checked before anything is trained on it."""

import contextlib
from pathlib import Path

import numpy as np
from PIL import Image

from ...video.files import written_whole
from ...video.io import contact_sheet, read_frames
from .layers import Layers


SHEET = "contact_sheet.jpg"
SHEET_ROWS, SHEET_COLUMNS = 12, 8


def write_contact_sheet(out: Path, suffix: str = ".mp4") -> Path | None:
    """Writes a sheet of some of the folder's files, evenly chosen, one row each. `None` if the folder has no readable file.

    Args:
        out: the folder.
        suffix: the suffix of its files' names: ".mp4" for clips, ".npz" for layers.
    """
    files = sorted(out.glob(f"[!.]*{suffix}"))
    chosen = sorted({round(place) for place in np.linspace(0, len(files) - 1, SHEET_ROWS)}) if files else []
    rows = []
    for number in chosen:
        with contextlib.suppress(ValueError):  # a damaged file has no row
            path = files[number]
            frames = _pictures(Layers.read(path)) if suffix == ".npz" else read_frames(path)
            rows.append(contact_sheet(frames, SHEET_COLUMNS))
    if not rows:
        return None
    sheet = Image.new("RGB", (max(row.width for row in rows), sum(row.height for row in rows)))
    top = 0
    for row in rows:
        sheet.paste(row, (0, top))
        top += row.height
    path = out / SHEET
    with written_whole(path) as unfinished:
        sheet.save(unfinished, quality=85)
    return path


def _pictures(layers: Layers) -> np.ndarray:
    """Photo, coverage, front and back as pictures, uint8 [4, height, width, 3]; nearer parts are lighter."""
    depths = [
        np.where(layers.coverage > 127, np.clip(depth.astype(np.float32) + 110, 0, 255), 0)
        for depth in (layers.front, layers.back)
    ]
    grey = np.stack([layers.coverage, *depths]).astype(np.uint8)  # [3, height, width]
    return np.concatenate([layers.photo[None], np.repeat(grey[..., None], 3, axis=-1)])
