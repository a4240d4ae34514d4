"""Scores clips, and compares them with the still photo, the autoencoder's best and the true clips.

    python -m fashionflow.evaluation.sample runway/clips runs/samples --model models/mine
    python -m fashionflow.evaluation runs/samples --out runs/scores

Prints one table, and writes it into the folder as `scores.json` and as `index.html` with plots and strips of frames. Clips without true
clips (`sample --photos`) get only the metrics that need none. The learned metrics need weights:
`python -m fashionflow.evaluation.weights` downloads them once, 290 MB.
"""

import argparse
from pathlib import Path

from .clips import compare
from .metrics import METRICS
from .page import write_page
from .report import text_table, write_json
from .scoring import check_names, score


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="fashionflow.evaluation", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("clips", type=Path, help="folder of clips, as fashionflow.evaluation.sample writes it")
    parser.add_argument(
        "--reference", type=Path, help="folder of the true clips of the same names; CLIPS/truth by default"
    )
    parser.add_argument("--metrics", nargs="+", default=list(METRICS), metavar="NAME", help=f"of {', '.join(METRICS)}")
    parser.add_argument("--limit", type=int, default=0, help="clips to score; 0 for all")
    parser.add_argument("--out", type=Path, help="folder for scores.json and index.html; CLIPS/scores by default")
    args = parser.parse_args(argv)
    out = args.out or args.clips / "scores"
    try:
        names = check_names(args.metrics)
        comparison = compare(args.clips, args.reference, args.limit)
        out.mkdir(parents=True, exist_ok=True)
        scores = score(comparison, names)
        print(text_table(scores, comparison))  # printed first, so that a full disk does not lose the scores
        write_json(out / "scores.json", scores, comparison)
        write_page(out / "index.html", scores, comparison)
    except ValueError as error:
        parser.error(str(error))
    except OSError as error:
        parser.error(f"{str(out)!r} cannot be written ({error.strerror or error}); choose another folder with --out.")
    print(out / "index.html")


if __name__ == "__main__":
    main()
