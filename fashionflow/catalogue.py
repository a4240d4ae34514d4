"""A catalogue from the command line: clips of a shop's photos on several workers, with a manifest and a page to review them.

python -m fashionflow.catalogue photos catalogue
python -m fashionflow.catalogue products.csv s3://shop/catalogue --workers 8
"""

from __future__ import annotations

import signal
import sys
from argparse import Namespace
from typing import TYPE_CHECKING

from tqdm import tqdm

from .__main__ import Parser, add_clip_settings
from .generation.settings import LIMITS, settings_of
from .runtime.ending import requests_to_end


if TYPE_CHECKING:
    from .evaluation.catalogue.run import Progress


DEFAULT_SEED = 0


def make_parser() -> Parser:
    parser = Parser(
        prog="python -m fashionflow.catalogue",
        description="Makes clips of thousands of photos with Ray, and goes on where it was interrupted.",
    )
    parser.add_argument("photos", help="a folder of photos with its subfolders, or a table of them: .csv or .parquet")
    parser.add_argument(
        "out", help="the folder of the catalogue; like PHOTOS, it may be an address such as s3://shop/clips"
    )
    parser.add_argument(
        "--ray", metavar="ADDRESS", help="a Ray cluster, or auto on one of its machines; by default none"
    )
    parser.add_argument("--workers", type=int, help="clips at a time; by default one for each GPU, or one")
    parser.add_argument("--retry-failed", action="store_true", help="try again what failed though nothing has changed")
    parser.add_argument(
        "--seed", type=int, default=DEFAULT_SEED, help=f"{LIMITS['seed'].range}; by default {DEFAULT_SEED}"
    )
    add_clip_settings(parser)
    return parser


def run(arguments: Namespace) -> Progress:
    """Makes the catalogue, with a progress bar on the terminal.

    Raises:
        ValueError, OSError: with one sentence about what is wrong.
    """
    from .evaluation.catalogue.workers import WorkerOptions, check_ray, make_with_ray

    if arguments.workers is not None and arguments.workers < 1:
        raise ValueError(f"`--workers` must be at least 1, got {arguments.workers}.")
    check_ray()
    from .evaluation.catalogue.run import make_catalogue

    options = WorkerOptions(arguments.model, arguments.device, arguments.compile, arguments.workers, arguments.ray)
    with Bar() as bar:
        return make_catalogue(
            arguments.photos,
            arguments.out,
            lambda model: settings_of(arguments, model, arguments.seed),
            lambda tasks, store: make_with_ray(tasks, store, options),
            arguments.model,
            arguments.retry_failed,
            bar.show,
        )


class Bar:
    """The progress bar: clips done and failed, and the time left. What people should know of a clip goes above it."""

    def __enter__(self) -> Bar:
        self._bar = None
        return self

    def __exit__(self, *_) -> None:
        if self._bar is not None:
            self._bar.close()

    def show(self, progress: Progress, row: dict | None) -> None:
        if row is None:
            if progress.kept:
                tqdm.write(f"{progress.kept} clips are there already, or would fail again.", file=sys.stderr)
            if progress.todo:
                self._bar = tqdm(total=progress.todo, desc="Clips", unit="clip", smoothing=0.05)
            return
        if row.get("error"):
            tqdm.write(f"{row['name']} failed: {row['error']}", file=sys.stderr)
        elif (row.get("attempts") or 1) > 1:
            tqdm.write(f"{row['name']} was begun {row['attempts']} times, because its worker died.", file=sys.stderr)
        self._bar.set_postfix(failed=progress.failed, refresh=False)
        self._bar.update()


def main(argv: list[str] | None = None) -> int:
    arguments = make_parser().parse_args(argv)
    before = {each: signal.getsignal(each) for each in requests_to_end()}
    try:
        progress = run(arguments)
    except (ValueError, OSError) as error:  # CatalogueError, ModelError
        print(error, file=sys.stderr)
        return 2
    except (KeyboardInterrupt, SystemExit):  # Ray makes the second one of a request to end
        print("Stopped; the same command goes on where this one ended.", file=sys.stderr)
        return 130
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
    if progress.failed:
        print(f"{progress.failed} of {progress.todo} clips could not be made; the manifest says why.", file=sys.stderr)
    print(f"{arguments.out.rstrip('/')}/index.html")
    return min(progress.failed, 1)


if __name__ == "__main__":
    raise SystemExit(main())
