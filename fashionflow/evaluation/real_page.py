"""The output of `fashionflow.evaluation.real`: a table, a contact sheet of every clip, and a page that contains both."""

from collections.abc import Sequence
from html import escape
from pathlib import Path
from urllib.parse import quote

import numpy as np
from PIL import Image

from .files import write_whole
from .page import STYLE
from .real_judge import MEASURES, Measure, summarise


SHEET_ANGLES = (0, 20, 40, 60, 90, 180)
"""The turns, in degrees, at which a sheet shows a clip."""

SHEET_FRAMES = 6
"""The number of frames on the sheet of a clip that hardly turns."""

SHEET_FRAME_WIDTH = 256  # pixels
SHEETS, CLIPS = "sheets", "clips"

Scores = dict[str, dict[str, dict[str, dict[str, float]]]]
"""Measures by row, photo, motion and key."""


def sheet_frames(turn: np.ndarray) -> list[int]:
    """The frames that a sheet shows: the frames nearest to `SHEET_ANGLES` when the clip first turns that far, and the last frame. A clip
    that does not turn by 40 degrees is shown in evenly spaced frames.

    Args:
        turn: degrees since frame 0, [F].
    """
    away = np.abs(turn)
    rising = away[: int(away.argmax()) + 1]  # on the way out, not on the way back
    reached = [angle for angle in SHEET_ANGLES if angle <= away.max() + 1]
    if reached[-1] < 40:
        return np.unique(np.linspace(0, len(turn) - 1, SHEET_FRAMES).round().astype(int)).tolist()
    chosen = [int(np.abs(rising - angle).argmin()) for angle in reached]
    return list(dict.fromkeys([*chosen, len(turn) - 1]))


def write_sheet(path: Path, frames: np.ndarray, turn: np.ndarray) -> None:
    """Writes frames of a clip, uint8 RGB [F, H, W, 3], side by side into one JPEG file; `turn` says how far each is turned."""
    height, width = frames.shape[1:3]
    size = (SHEET_FRAME_WIDTH, round(height * SHEET_FRAME_WIDTH / width))
    pictures = [Image.fromarray(frames[index]).resize(size, Image.Resampling.LANCZOS) for index in sheet_frames(turn)]
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.concatenate([np.asarray(picture) for picture in pictures], axis=1)).save(path, quality=90)


def cell(value: float | None, measure: Measure) -> str:
    """Formats a number for the table."""
    return "–" if value is None or not np.isfinite(value) else f"{value:.{measure.decimals}f}"


def cells(scores: Scores, row: str) -> list[str]:
    """A row of the table: the median over clips and the worst photo, for each measure."""
    found = [(summarise(scores[row], measure), measure) for measure in MEASURES]
    return [
        f"{cell(summary['median'], measure)} / {cell(summary['worst'], measure)}" if summary else "–"
        for summary, measure in found
    ]


def text_table(scores: Scores) -> str:
    """The table: one line per row and one column per measure, each with the median over clips and the worst photo."""
    width = max(len(row) for row in (*scores, "median / worst photo"))
    lines = [f"{'median / worst photo':{width}}" + "".join(f"{measure.short:>14}" for measure in MEASURES)]
    lines += [f"{row:{width}}" + "".join(f"{text:>14}" for text in cells(scores, row)) for row in scores]
    best = {"lower": "lower", "higher": "higher", "one": "near 1"}
    return "\n".join([*lines, f"{'better':{width}}" + "".join(f"{best[measure.best]:>14}" for measure in MEASURES)])


def write_page(path: Path, scores: Scores, settings: dict, remarks: Sequence[str]) -> None:
    """Writes `index.html`: the table, and for every photo and motion the sheet of each row with its measures below.

    Args:
        path: the file to write; the folders of its sheets and clips are beside it.
        scores: the measures; the page shows the sheets of these clips.
        settings: how the clips were made.
        remarks: sentences about what was left out.
    """
    said = ", ".join(f"{name} {value}" for name, value in settings.items() if value is not None)
    head = "".join(f'<th title="{escape(measure.title)}">{escape(measure.short)}</th>' for measure in MEASURES)
    lines = [
        f"<tr><td>{escape(row)}</td>{''.join(f'<td>{escape(text)}</td>' for text in cells(scores, row))}</tr>"
        for row in scores
    ]
    body = [
        f"<h1>Clips of real photos</h1><p>{escape(said)}</p>",
        f"<table><tr><th>median / worst photo</th>{head}</tr>{''.join(lines)}</table>",
        *(f'<p class="remark">{escape(remark)}</p>' for remark in remarks),
        f"<dl>{''.join(f'<dt>{escape(m.short)}</dt><dd>{escape(m.title)}</dd>' for m in MEASURES)}</dl>",
        *_clips(scores, path.parent),
    ]
    write_whole(
        path,
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Clips of real photos</title>'
        f'<meta name="viewport" content="width=device-width"><style>{STYLE} body {{ max-width: 1820px }}</style></head>'
        f"<body>{''.join(body)}</body></html>\n",
    )


def _clips(scores: Scores, folder: Path) -> list[str]:
    """The sheets of every photo and motion, one row below the other."""
    parts = []
    wanted = dict.fromkeys((photo, motion) for row in scores.values() for photo in row for motion in row[photo])
    for photo, motion in wanted:
        parts.append(f"<h2>{escape(photo)}, {escape(motion)}</h2>")
        for row in scores:
            values = scores[row].get(photo, {}).get(motion)
            if values is None:
                continue
            sheet = f"{SHEETS}/{row}-{photo}-{motion}.jpg"
            clip = f"{CLIPS}/{row}/{photo}-{motion}.mp4"
            numbers = ", ".join(
                f"{measure.short} {cell(values[measure.key], measure)}"
                for measure in MEASURES
                if np.isfinite(values.get(measure.key, np.nan))
            )
            name = f'<a href="{quote(clip)}">{escape(row)}</a>' if (folder / clip).is_file() else escape(row)
            parts.append(f'<img class="strip" loading="lazy" alt="{escape(row)}" src="{quote(sheet)}">')
            parts.append(f"<p><b>{name}</b> {escape(numbers)}</p>")
    return parts
