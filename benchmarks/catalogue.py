"""Measures a catalogue with 1 and with 2 workers on this machine: clips a minute, what the start costs, and the bytes that were moved.

python -m benchmarks.catalogue photos --frames 8
"""

import argparse
import sys
import tempfile
from pathlib import Path

from fashionflow import catalogue


HEADER = "| workers | start to the first clip | clips a minute after it | read | written |\n|---:|---:|---:|---:|---:|"


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.catalogue", description=__doc__.splitlines()[0])
    parser.add_argument(
        "photos", help="a folder or a table, as for python -m fashionflow.catalogue; six photos or more"
    )
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2], help="how many, for each line of the table")
    parser.add_argument("--frames", type=int, help="fewer frames make it shorter; by default the model's own number")
    parser.add_argument("--model", help="a model folder or a Hub id; the model that ships by default")
    return parser


def measure(arguments: argparse.Namespace, workers: int) -> str:
    """One line of the table."""
    given = [arguments.photos, "--workers", str(workers)]
    for option in ("frames", "model"):
        if getattr(arguments, option) is not None:
            given += [f"--{option}", str(getattr(arguments, option))]
    with tempfile.TemporaryDirectory(prefix="fashionflow-bench-") as out:
        told = catalogue.run(catalogue.make_parser().parse_args([given[0], str(Path(out) / "catalogue"), *given[1:]]))
    if told.made < 2:
        raise SystemExit("At least two photos are needed of which clips can be made.")
    rate = 60 * (told.made + told.failed - 1) / (told.seconds - told.first_after)
    sizes = " | ".join(f"{size / 1e6:.1f} MB" for size in (told.read_bytes, told.written_bytes))
    return f"| {workers} | {told.first_after:.0f} s | {rate:.1f} | {sizes} |"


def main(argv: list[str] | None = None) -> None:
    arguments = make_parser().parse_args(argv)
    lines = [measure(arguments, workers) for workers in arguments.workers]
    print("\n".join([HEADER, *lines]), file=sys.stdout)


if __name__ == "__main__":
    main()
