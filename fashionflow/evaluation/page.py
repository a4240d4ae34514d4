"""Writes the results as an HTML page: the table, the spread of the scores, their curves over time, and every clip beside the true one."""

import base64
import io
from html import escape
from pathlib import Path

import numpy as np
from PIL import Image

from ..video.io import contact_sheet
from . import plots
from .clips import TRUTH, Comparison
from .files import write_whole
from .report import cell, headings
from .scoring import Scores


STRIP_FRAMES = 8
STRIP_FRAME_WIDTH = 120  # pixels
STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 1020px; margin: 2rem auto; padding: 0 1rem; color: #222 }
table { border-collapse: collapse; font-variant-numeric: tabular-nums } td, th { padding: .25rem .8rem; text-align: right }
td:first-child, th:first-child { text-align: left } tr + tr { border-top: 1px solid #e4e4e4 }
figure { display: inline-block; margin: 0 1rem 1.5rem 0; vertical-align: top } figcaption { font-weight: 600 }
svg { font-size: 11px; fill: #444; max-width: 100% } .strip { width: 100%; display: block } .strip + p { margin-top: .3rem }
.remark { color: #9a5b00 }
"""

# The curves that are drawn over the frames of a clip: the curve's name, its title and its axis.
CURVES = (
    ("lpips_curve", "Distance to the true clip over time", "LPIPS"),
    ("drift_curve", "Garment colour drift over time", "ΔE2000 to frame 0"),
)
SPREADS = ("lpips", "drift", "colour_error", "first_step", "flicker", "motion", "turn_error_turning", "turn_error")
SHORT = {"lpips": "LPIPS", "colour_error": "garment ΔE", "drift": "drift ΔE", "turn_error": "turn error"}


def write_page(path: Path, scores: Scores, comparison: Comparison) -> None:
    """Writes one HTML file that needs no other file."""
    labels = dict(zip(scores.columns, headings(scores, comparison), strict=True))
    settings = ", ".join(
        f"{name} {value}" for name, value in comparison.settings.items() if value not in (None, False)
    )
    body = [
        f"<h1>{escape(labels['model'])}: {len(comparison.names)} clips</h1><p>{escape(settings)}</p>",
        _table(scores, labels),
        *(f'<p class="remark">{escape(remark)}</p>' for remark in scores.remarks),
        f"<h2>Over time and clip by clip</h2><p>{plots.legend(labels)}. Lines are medians over clips, bands hold the middle half.</p>",
        *_plots(scores, labels),
        "<h2>Clips</h2><p>"
        + ("The true clip above, the sampled one below; the worst first.</p>" if comparison.reference else "</p>"),
        *(_strip(scores, comparison, name) for name in _worst_first(scores, comparison)),
    ]
    title = escape(labels["model"])
    write_whole(
        path,
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}: evaluation</title>'
        f'<meta name="viewport" content="width=device-width"><style>{STYLE}</style></head><body>{"".join(body)}</body></html>\n',
    )


def _table(scores: Scores, labels: dict[str, str]) -> str:
    head = "".join(f"<th>{escape(text)}</th>" for text in ["", *labels.values(), "n", "better"])
    lines = []
    for row in scores.rows:
        cells = [cell(scores.summary(column, row), row) for column in scores.columns]
        cells += [str(scores.counts[row.key]), "near truth" if row.better == "truth" else row.better]
        lines.append(f"<tr><td>{escape(row.title)}</td>{''.join(f'<td>{escape(text)}</td>' for text in cells)}</tr>")
    return f"<table><tr>{head}</tr>{''.join(lines)}</table>"


def _plots(scores: Scores, labels: dict[str, str]) -> list[str]:
    figures = {}
    for key, title, axis in CURVES:
        series = {column: _stack(scores, column, key) for column in scores.columns}
        figures[title] = plots.curves({name: stack for name, stack in series.items() if stack.size}, "frame", axis)
    turns = {}
    for column in (name for name in ("truth", "model") if name in scores.columns):
        asked, measured = (_stack(scores, column, f"turn_{kind}_curve").ravel() for kind in ("asked", "measured"))
        # The same direction, within half a turn of the requested angle.
        measured = asked + (measured - asked + 180) % 360 - 180
        seen = np.isfinite(measured)
        turns[column] = (asked[seen], measured[seen])
    figures["Turn in every frame, degrees"] = plots.scatter(
        {name: points for name, points in turns.items() if len(points[0])}, "asked for", "measured"
    )
    for row in (row for key in SPREADS for row in scores.rows if row.key == key):
        series = {column: scores.values(column, row) for column in scores.columns}
        figures[row.title] = plots.dots(series, {column: name[:14] for column, name in labels.items()}, row.title)
    return [f"<figure><figcaption>{escape(title)}</figcaption>{svg}</figure>" for title, svg in figures.items() if svg]


def _stack(scores: Scores, column: str, key: str) -> np.ndarray:
    """One curve for all clips of a column, [clips, F]; shorter clips are filled with NaN."""
    found = [curves[key] for curves in scores.curves[column].values() if key in curves]
    stack = np.full((len(found), max(map(len, found), default=0)), np.nan)
    for line, curve in zip(stack, found, strict=True):
        line[: len(curve)] = curve
    return stack


def _worst_first(scores: Scores, comparison: Comparison) -> list[str]:
    of_model = scores.clips["model"]
    key = next((row.key for row in scores.rows if row.key in ("lpips", "colour_error", "drift")), "")
    badness = {name: of_model[name].get(key, np.nan) for name in comparison.names}
    return sorted(comparison.names, key=lambda name: -badness[name] if np.isfinite(badness[name]) else 0.0)


def _strip(scores: Scores, comparison: Comparison, name: str) -> str:
    columns = [column for column in (TRUTH, "model") if column in scores.columns]
    clips = [comparison.frames(column, name) for column in columns]
    picture = Image.fromarray(np.concatenate([np.asarray(contact_sheet(clip, STRIP_FRAMES)) for clip in clips]))
    frames = min(STRIP_FRAMES, len(clips[0]))
    picture.thumbnail((STRIP_FRAME_WIDTH * frames, picture.height), Image.Resampling.LANCZOS)
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=82)
    values = scores.clips["model"][name]
    said = [f"{SHORT[key]} {values[key]:.3g}" for key in SHORT if np.isfinite(values.get(key, np.nan))]
    if name in comparison.yaw:
        asked = comparison.yaw[name] - comparison.yaw[name][0]
        said.append(f"asked for {asked[np.abs(asked).argmax()]:+.0f}°")
    data = base64.b64encode(file.getvalue()).decode()
    caption = escape(f"{name}: {', '.join(said)}")
    return f'<img class="strip" alt="{escape(name)}" src="data:image/jpeg;base64,{data}"><p>{caption}</p>'
