"""The whole benchmark: one process for every column and group of rows, one after another."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import torch

from .columns import BASELINE, Column
from .rows import Row


ROOT = Path(__file__).parents[1]
ROOFLINE = "roofline"
LONGEST_SECONDS = 25 * 60
LONGEST_PROCESS_SECONDS = 5 * 60


@dataclass(frozen=True)
class Settings:
    """
    Args:
        device: a device name for `choose_device`.
        model: a pipeline folder or Hub id; the shipped one for `None`.
        repeats: the most runs of a row that count.
        budget: seconds for the runs of one row in one column.
        quick: whether it is a quick run.
    """

    device: str
    model: str | None = None
    repeats: int = 5
    budget: float = 15.0
    quick: bool = False


def run(settings: Settings, rows: list[Row], columns: list[Column], say: Callable[[str], None] = print) -> dict:
    """Measures every row in every column that has it.

    Args:
        say: called with a line about the current measurement.

    Returns:
        the content of `results.json`; `benchmarks/README.md` describes it.
    """
    begun_at = time.monotonic()
    on_gpu = torch.device(settings.device).type == "cuda"
    results = {
        "settings": asdict(settings) | {"date": datetime.now(UTC).isoformat(timespec="minutes")},
        "columns": {column.name: {"title": column.title, "switches": asdict(column.switches)} for column in columns},
        "rows": {row.name: {"title": row.title, "unit": row.unit, "curve": row.curve, "cells": {}} for row in rows},
    }
    rows = [row for row in rows if on_gpu or not row.needs_gpu]
    if not on_gpu:
        for row in results["rows"].keys() - {row.name for row in rows}:
            results["rows"][row]["skipped"] = "needs a CUDA GPU"
    with tempfile.TemporaryDirectory(prefix="fashionflow-benchmark-") as references:

        def measure(column: str, names: list[str]) -> dict:
            say(f"{time.monotonic() - begun_at:5.0f} s  {column}: {', '.join(names)}")
            left = LONGEST_SECONDS - (time.monotonic() - begun_at)
            return _measure(settings, column, names, references, min(left, LONGEST_PROCESS_SECONDS))

        machine = measure(ROOFLINE, [row.name for row in rows]) if rows else {}
        if "failed" in machine:
            raise ValueError(f"The machine could not be measured: {machine['failed']}")
        for name, roofline in machine.pop("rooflines", {}).items():
            results["rows"][name]["roofline"] = roofline
        results |= machine
        for column in columns:
            for group in dict.fromkeys(row.group for row in rows if column.has(row)):
                names = [row.name for row in rows if row.group == group and column.has(row)]
                cells = measure(column.name, names)
                for name in names:
                    results["rows"][name]["cells"][column.name] = cells.get(name, {"failed": cells.get("failed")})
    results["settings"]["seconds"] = round(time.monotonic() - begun_at)
    add_ratios(results)
    return results


def add_ratios(results: dict) -> None:
    """Adds two ratios to every timed cell: its speed relative to the baseline, and its time relative to the roofline of its number
    format."""
    for row in results["rows"].values():
        cells = {name: cell for name, cell in row["cells"].items() if "value" in cell}
        for name, cell in cells.items():
            if BASELINE in cells:
                cell["times_baseline"] = cells[BASELINE]["value"] / cell["value"]
            number_format = results["columns"][name]["switches"]["number_format"]
            if "roofline" in row and row["roofline"]["seconds"].get(number_format):
                cell["times_roofline"] = cell["value"] / row["roofline"]["seconds"][number_format]


def _measure(settings: Settings, column: str, rows: list[str], references: str, longest: float) -> dict:
    """The results of one process, or {"failed": reason}."""
    if longest <= 0:
        return {"failed": f"not measured, because {LONGEST_SECONDS / 60:.0f} minutes were over"}
    command = [sys.executable, "-m", "benchmarks.measure", "--column", column, "--rows", *rows]
    command += ["--device", settings.device, "--repeats", str(settings.repeats), "--budget", str(settings.budget)]
    command += ["--references", references, *(["--model", settings.model] if settings.model else [])]
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        errors="replace",
        start_new_session=True,
    )
    try:
        output, errors = process.communicate(timeout=longest)
    except subprocess.TimeoutExpired:
        return {"failed": f"took longer than {longest:.0f} s"}
    finally:
        if process.poll() is None:  # together with the programs that it started
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
    if process.returncode != 0:
        reason = (errors.strip().splitlines() or [f"ended with status {process.returncode}"])[-1]
        return {"failed": reason[:300]}
    return json.loads(output.splitlines()[-1])
