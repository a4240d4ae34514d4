"""Measures some rows in one column, in its own process, and prints them as JSON on its last line.

python -m benchmarks.measure --column default --rows step encode

Threads, cached memory and peak memory belong to the whole process. Therefore `python -m benchmarks` starts this program once for every
column and group of rows. The column "roofline" contains the machine's own rates and the counts.
"""

import argparse
import contextlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import torch

from fashionflow.runtime.acceleration import usable_cores
from fashionflow.runtime.loading import choose_device

from . import clips, parts, starts
from .columns import BASELINE, columns_of, short_format
from .counts import count_rows
from .machine import describe_machine
from .roofline import measure_rates
from .rows import ROWS, Row
from .session import Session


ROOFLINE = "roofline"

GROUPS = {
    "full": parts.measure_full,
    "parts": parts.measure,
    "clip": clips.measure,
    "memory": clips.measure_memory,
    "start": starts.measure,
    "sd": parts.measure,
    "clip-full": clips.measure_full,
    "memory-lean": clips.measure_memory_full,
    "frames": parts.measure,
    "clip-frames": clips.measure_frames,
    "sizes": parts.measure,
    "batches": parts.measure,
    "visitors": clips.measure_visitors,
}
"""The functions that measure a group of rows; each yields the name and the cell of every row."""


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.measure", description=__doc__.splitlines()[0])
    parser.add_argument("--column", required=True)
    parser.add_argument("--rows", nargs="+", required=True, choices=ROWS, metavar="ROW")
    parser.add_argument("--model")
    parser.add_argument("--device")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--budget", type=float, default=20)
    parser.add_argument("--references", type=Path, default=Path())
    args = parser.parse_args(argv)
    device = choose_device(args.device)
    column = columns_of(device)[BASELINE if args.column == ROOFLINE else args.column]
    session = Session(column, device, args.model, args.repeats, args.budget, args.references)
    rows = [ROWS[name] for name in args.rows]
    with contextlib.redirect_stdout(sys.stderr):
        result = measure_roofline(session, rows) if args.column == ROOFLINE else measure_rows(session, rows)
    print(json.dumps(result))


def measure_rows(session: Session, rows: list[Row]) -> dict:
    """The rows' cells by name. The cell of a row that cannot be measured says why."""
    cells = {}
    for group in dict.fromkeys(row.group for row in rows):
        ours = [row for row in rows if row.group == group]
        cells |= _until_failure(GROUPS[group](session, ours), ours)
    return cells


def measure_roofline(session: Session, rows: list[Row]) -> dict:
    """The machine by name, its rates, and by row the counts and the roofline in each number format, in seconds."""
    torch.set_num_threads(usable_cores())
    rates = measure_rates(session.device, ["float32", short_format(session.device)])
    counts = count_rows(session, [row.name for row in rows])
    return {
        "machine": describe_machine(session.device),
        "rates": rates,
        "rooflines": {
            name: {
                "operations": counted.operations,
                "numbers": counted.numbers,
                "seconds": {
                    number_format: counted.seconds(rates, number_format) for number_format in rates["operations"]
                },
            }
            for name, counted in counts.items()
        },
    }


def _until_failure(measured: Iterator[tuple[str, dict]], rows: list[Row]) -> dict[str, dict]:
    cells = {}
    try:
        for name, cell in measured:
            cells[name] = cell
    except Exception as error:  # any library that a switch uses may fail here; the other columns continue
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        for row in rows:
            cells.setdefault(row.name, {"failed": f"{type(error).__name__}: {reason}"[:300]})
    return cells


if __name__ == "__main__":
    main()
