"""Measures how fast FashionFlow is here: one table, as text, JSON and a plot. benchmarks/README.md describes the table.

python -m benchmarks
"""

import argparse
import sys
from pathlib import Path

from fashionflow.runtime.loading import choose_device

from .columns import choose_columns
from .plot import write_plot
from .report import check_readme, summary, table, write_readme, write_results
from .rows import choose_rows
from .run import ROOT, Settings, run


QUICK_REPEATS, QUICK_BUDGET = 3, 6.0


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="the shipped size only, three columns, few repeats")
    parser.add_argument("--rows", nargs="+", metavar="ROW", help="names of rows or groups; all by default")
    parser.add_argument("--columns", nargs="+", metavar="COLUMN", help="names of columns; all by default")
    parser.add_argument("--repeats", type=int, help="the most runs of a row that count; 5, or 3 with --quick")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results", help="folder for the results")
    parser.add_argument("--device", help="cuda, mps or cpu; the best there is by default")
    parser.add_argument("--model", help="a model folder or a Hub id; the model that ships by default")
    parser.add_argument(
        "--readme",
        nargs="?",
        type=Path,
        const=ROOT / "README.md",
        metavar="FILE",
        help="also put the table between the two markers of this file; the repository's README without a name",
    )
    return parser


def main(argv: list[str] | None = None) -> int:
    args = make_parser().parse_args(argv)
    try:
        rows, columns = choose_rows(args.rows, args.quick), choose_columns(args.columns, args.quick, args.device)
        if args.repeats is not None and args.repeats < 1:
            raise ValueError(f"`--repeats` must be at least 1, got {args.repeats}.")
        if args.readme is not None:
            check_readme(args.readme)  # before any measurement
        settings = Settings(
            device=str(choose_device(args.device)),
            model=args.model,
            repeats=args.repeats or (QUICK_REPEATS if args.quick else Settings.repeats),
            budget=QUICK_BUDGET if args.quick else Settings.budget,
            quick=args.quick,
        )
        results = run(settings, rows, columns, say=lambda line: print(line, file=sys.stderr, flush=True))
        write_results(args.out, results)
        print(f"{summary(results)}\n\n{table(results)}")
        write_plot(args.out / "plot.png", results)
        if args.readme is not None:
            write_readme(args.readme, results, args.out)
    except (ValueError, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("Stopped; no table was written.", file=sys.stderr)
        return 130
    print(args.out / "plot.png")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
