"""Scores as a table for the terminal and as JSON."""

import json
import math
from pathlib import Path

import numpy as np

from .clips import TRUTH, Comparison
from .files import write_whole
from .metrics import Row
from .scoring import Scores


HEADINGS = {"still": "still photo", "autoencoder": "autoencoder", TRUTH: "true clip"}


def headings(scores: Scores, comparison: Comparison) -> list[str]:
    """The headings of the columns: the model's name, the baselines, the true clips."""
    return [HEADINGS.get(column, str(comparison.settings.get("model", "clips"))) for column in scores.columns]


def cell(value: float | None, row: Row) -> str:
    """Formats a number for the table."""
    return "" if value is None or not math.isfinite(value) else f"{value:.{row.decimals}f}"


def text_table(scores: Scores, comparison: Comparison) -> str:
    """The table: one row per score, one column each for the model, the baselines and the true clips, and the number of samples."""
    names = headings(scores, comparison)
    widths = [max(len(name), 9) + 2 for name in names]
    made = {name: value for name, value in comparison.settings.items() if name in ("steps", "sampler", "seed")}
    lines = [
        f"{len(comparison.names)} clips"
        + "".join(f", {name} {value}" for name, value in made.items() if value is not None),
        f"{'':42}"
        + "".join(f"{name:>{width}}" for name, width in zip(names, widths, strict=True))
        + f"{'n':>6}  better",
    ]
    for row in scores.rows:
        cells = [cell(scores.summary(column, row), row) for column in scores.columns]
        lines.append(
            f"{row.title:42}"
            + "".join(f"{text:>{width}}" for text, width in zip(cells, widths, strict=True))
            + f"{scores.counts[row.key]:>6}  {'near truth' if row.better == 'truth' else row.better}"
        )
    return "\n".join([*lines, *scores.remarks])


def as_json(scores: Scores, comparison: Comparison) -> dict:
    """All results in a form that JSON allows: NaN becomes null."""
    return {
        "settings": comparison.settings,
        "clips": len(comparison.names),
        "rows": {
            row.key: {
                "title": row.title,
                "better": row.better,
                "summary": row.summary,
                "n": scores.counts[row.key],
                **{column: _number(scores.summary(column, row)) for column in scores.columns},
            }
            for row in scores.rows
        },
        "remarks": scores.remarks,
        "scores": {
            column: {
                clip: {key: _number(value) for key, value in values.items()}
                for clip, values in scores.clips[column].items()
            }
            for column in scores.columns
        },
        "curves": {
            column: {
                clip: {key: [_number(value) for value in curve] for key, curve in curves.items()}
                for clip, curves in scores.curves[column].items()
            }
            for column in scores.columns
        },
    }


def write_json(path: Path, scores: Scores, comparison: Comparison) -> None:
    """Writes `as_json` to a file."""
    write_whole(path, json.dumps(as_json(scores, comparison), indent=1) + "\n")


def _number(value: float | None) -> float | None:
    return None if value is None or not np.isfinite(value) else round(float(value), 5)
