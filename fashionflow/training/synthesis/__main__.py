"""Renders a data set of garment clips: figures in random outfits that turn, sway and walk in a studio.

    python -m fashionflow.training.synthesis clips --clips 2000 --seed 1 --workers 2

A clip's name is its seed, and the same seed gives the same clip. Existing clips are skipped, so the same command continues where it was
stopped.

    python -m fashionflow.training.synthesis layers --layers --clips 2000 --seed 1 --workers 2
    python -m fashionflow.training.synthesis flat --layers --photos garments --hanging-share 1 --clips 500 --seed 1

With --layers, the program writes .npz files of the clips' first frames with their shape instead, to train fashionflow.training.geometry.
They show figures or, with --hanging-share 1, garments laid flat.
"""

import argparse
import signal
import sys
from pathlib import Path

from .dataset import Recipe, make_dataset
from .errors import SynthesisError
from .sheet import SHEET


LARGEST_SEED = 999_999  # names have six digits


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m fashionflow.training.synthesis",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("out", type=Path, metavar="OUT", help="folder for the clips and their labels.jsonl")
    parser.add_argument(
        "--layers", action="store_true", help="make first frames with their shape, .npz files, instead of clips"
    )
    parser.add_argument("--clips", type=int, default=100, help="how many clips (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="seed and name of the first clip (default: %(default)s)")
    parser.add_argument("--workers", type=int, default=1, help="processes, best one a core (default: %(default)s)")
    parser.add_argument(
        "--makehuman", type=Path, metavar="FOLDER", help="MakeHuman assets (CC0) to take hair and shoes from"
    )
    parser.add_argument("--fabrics", type=Path, metavar="FOLDER", help="garment photos to crop prints from")
    parser.add_argument(
        "--photos", type=Path, metavar="FOLDER", help="garment photos to set in motion themselves, in 2.5D"
    )
    parser.add_argument(
        "--hanging-share",
        type=float,
        default=0.3,
        help="share of the clips made from --photos, 0 to 1 (default: %(default)s)",
    )
    parser.add_argument("--frames", type=int, default=24, help="frames a clip (default: %(default)s)")
    parser.add_argument("--frame-rate", type=float, default=8.0, help="frames a second (default: %(default)s)")
    parser.add_argument("--size", type=int, nargs=2, default=(256, 320), metavar=("WIDTH", "HEIGHT"), help="pixels")
    return parser.parse_args(argv)


def _stop(*_) -> None:
    raise KeyboardInterrupt


def main(argv: list[str] | None = None) -> int:
    args = parse_args(argv)
    previous = signal.signal(signal.SIGTERM, _stop)
    try:
        if args.clips < 1:
            raise SynthesisError(f"`--clips` must be at least 1, got {args.clips}.")
        if args.workers < 1:
            raise SynthesisError(f"`--workers` must be at least 1, got {args.workers}.")
        if args.seed < 0 or args.seed + args.clips - 1 > LARGEST_SEED:
            raise SynthesisError(
                f"Seeds must lie between 0 and {LARGEST_SEED}, got {args.seed} to {args.seed + args.clips - 1}."
            )
        width, height = args.size
        recipe = Recipe(
            num_frames=args.frames,
            frame_rate=args.frame_rate,
            size=(height, width),
            makehuman=args.makehuman,
            fabrics=args.fabrics,
            photos=args.photos,
            hanging_share=args.hanging_share,
            layers=args.layers,
        )
        made, failed = make_dataset(args.out, range(args.seed, args.seed + args.clips), recipe, args.workers)
    except SynthesisError as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("Stopped. The same command continues where it stopped.", file=sys.stderr)
        return 130
    finally:
        signal.signal(signal.SIGTERM, previous)
    skipped = args.clips - made - len(failed)
    kind = "photos with their shape" if args.layers else "clips"
    print(f"{made} {kind} made, {skipped} were there, {len(failed)} failed; a sample is in {args.out / SHEET}.")
    return 0 if made or skipped else 1


if __name__ == "__main__":
    sys.exit(main())
