"""A picture of what a folder of clips holds, to be looked at before anything is trained on it."""

import contextlib
import os
from pathlib import Path

import numpy as np
from PIL import Image

from ..video import contact_sheet, read_frames


SHEET = "contact_sheet.jpg"
SHEET_ROWS, SHEET_COLUMNS = 12, 8


def write_contact_sheet(out: Path) -> Path | None:
    """Some of the folder's clips, evenly chosen, a row each; `None` if it holds no clip that can be read."""
    clips = sorted(out.glob("[!.]*.mp4"))
    chosen = sorted({round(place) for place in np.linspace(0, len(clips) - 1, SHEET_ROWS)}) if clips else []
    rows = []
    for number in chosen:
        with contextlib.suppress(ValueError):  # a damaged clip has no row
            rows.append(contact_sheet(read_frames(clips[number]), SHEET_COLUMNS))
    if not rows:
        return None
    sheet = Image.new("RGB", (max(row.width for row in rows), sum(row.height for row in rows)))
    top = 0
    for row in rows:
        sheet.paste(row, (0, top))
        top += row.height
    path, unfinished = out / SHEET, out / f".{SHEET}"
    sheet.save(unfinished, quality=85)
    os.replace(unfinished, path)
    return path
