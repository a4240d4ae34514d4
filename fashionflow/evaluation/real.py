"""Makes clips of a folder of real photos and judges them without true clips, because a model trained on rendered clips scores too well on
them.

    python -m fashionflow.evaluation.real photos runs/real --model models/mine
    python -m fashionflow.evaluation.real photos runs/real --model models/mine --clips before=runs/before/clips/model

Every photo gets a clip for each preset motion. The model is compared with `still`, the repeated photo; with `warp`, the photo's own
pixels, moved by its predicted shape and the motion without a further network; and with `geometry`, the model with the guide's latents in
place of the denoiser's, which shows the decoder alone. `--clips NAME=FOLDER` adds the clips of another system: mp4 files called
PHOTO-MOTION.mp4. Their frames count as evenly spaced over the motion and are scaled to the model's size. The other system should use the
photos in OUT/photos, because models may frame one photo in different ways.

OUT receives the photos as the model frames them (`photos/PHOTO.png`), near-lossless clips (`clips/ROW/PHOTO-MOTION.mp4`), contact sheets
(`sheets/ROW-PHOTO-MOTION.jpg`), `scores.json`, and `index.html`, which shows all of it. Existing clips are not made again.
`fashionflow/evaluation/real_measures.py` describes the measures; some measures need weights, 7 MB:
`python -m fashionflow.evaluation.weights pose face figure`.
"""

import argparse
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from ..generation.settings import DEFAULT_STEPS
from ..photo.reading import PHOTO_SUFFIXES
from ..pipelines import FashionFlowPipeline
from ..pipelines.motions import LARGEST_TURN, MOTIONS
from ..runtime.loading import load_pipeline
from ..runtime.model_folder import model_name
from ..video.io import read_frames, write_clip
from .clips import read_settings
from .files import write_whole
from .real_clips import OWN_ROWS, Task, asked_of, framed_photos, make_frames, other_frames, tasks_of
from .real_judge import MEASURES, Judge, summarise
from .real_measures import Asked
from .real_page import CLIPS, SHEETS, Scores, text_table, write_page, write_sheet
from .sample import QUALITY, SETTINGS


PHOTOS = "photos"
OTHER_PHOTO = 12.0  # grey levels; a decoded photo differs from the photo by less
REAL_MOTIONS = ("turn-left", "turn-right", "turn-and-back", "spin", "sway", "walk")


@dataclass
class Run:
    """One run: the model that makes the clips, the output folder, and the results.

    Args:
        pipe: the model.
        out: the output folder.
        settings: how the clips are made, with `steps`, `seed` and `frame_step`.
        rows: the names of rows from `OWN_ROWS`.
        others: folders of other systems' clips by the name of their row.
        judge: measures the clips; `None` to write only sheets.
        remarks: sentences about what was left out.
    """

    pipe: FashionFlowPipeline
    out: Path
    settings: dict
    rows: list[str]
    others: dict[str, Path]
    judge: Judge | None
    remarks: list[str]

    def __post_init__(self):
        names = [*self.rows, *self.others]
        self.scores: Scores = {name: {} for name in names}
        self.curves = {name: {} for name in names}

    def frames(self, row: str, task: Task, asked: Asked) -> np.ndarray | None:
        """The clip of a row. It is made if it does not exist yet. `None`, with a remark, if another system's clip is missing."""
        if row in self.others:
            try:
                frames = other_frames(self.others[row] / f"{task.name}.mp4", task)
            except ValueError as error:
                self.remarks.append(f"{task.name} was left out of {row}: {error}")
                return None
            difference = np.abs(frames[0].astype(np.int16) - asked.photo).mean()
            if difference > OTHER_PHOTO:
                self.remarks.append(
                    f"{task.name} of {row} begins {difference:.0f} grey levels away from the photo as the model frames it, so its "
                    f"measures may mean nothing; make it from {str(self.out / PHOTOS / f'{task.stem}.png')!r}."
                )
            return frames
        path = self.out / CLIPS / row / f"{task.name}.mp4"
        if not path.is_file():
            frames = make_frames(self.pipe, row, task, asked, self.settings["steps"], self.settings["seed"])
            path.parent.mkdir(parents=True, exist_ok=True)
            duration = (len(task.rows) - 1) / self.pipe.config.frame_rate  # seconds from the first frame to the last
            write_clip(path, frames, (len(frames) - 1) / duration, quality=QUALITY)
        return read_frames(path)

    def do(self, task: Task) -> None:
        """Makes the missing clips of a task, measures all its clips, and writes their sheets."""
        asked = asked_of(task)
        for row in self.scores:
            frames = self.frames(row, task, asked)
            if frames is None:
                continue
            write_sheet(self.out / SHEETS / f"{row}-{task.name}.jpg", frames, asked.turn)
            values, curves = self.judge(frames, asked) if self.judge else ({}, {})
            self.scores[row].setdefault(task.stem, {})[task.motion] = values
            self.curves[row].setdefault(task.stem, {})[task.motion] = curves

    def write(self) -> None:
        """Writes the results so far; without a judge, writes only the page."""
        write_page(self.out / "index.html", self.scores, self.settings, self.remarks)
        if self.judge is None:
            return
        found = {
            "settings": self.settings,
            "rows": {
                row: {measure.key: summarise(clips, measure) for measure in MEASURES}
                for row, clips in self.scores.items()
            },
            "remarks": self.remarks,
            "scores": self.scores,
            "curves": self.curves,
        }
        write_whole(self.out / "scores.json", json.dumps(as_json(found), indent=1) + "\n")


def as_json(value):
    """Converts a value for JSON: arrays become lists, and NaN becomes null."""
    if isinstance(value, dict):
        return {key: as_json(part) for key, part in value.items()}
    if isinstance(value, (list, np.ndarray)):
        return [as_json(part) for part in value]
    if isinstance(value, (float, np.floating)):
        return round(float(value), 5) if np.isfinite(value) else None
    return value


def start_folder(out: Path, settings: dict) -> None:
    """Creates the folder with its settings, or checks that a run with the same settings created it.

    Raises:
        ValueError: if it holds clips made with other settings.
    """
    path = out / SETTINGS
    if any((out / CLIPS).glob("*/*.mp4")):
        before = read_settings(path)
        for name, value in settings.items():
            if before.get(name) != value:
                raise ValueError(
                    f"{str(out)!r} holds clips made with {name} {before.get(name)!r} and not {value!r}; choose another folder, or "
                    "the same settings to continue."
                )
    out.mkdir(parents=True, exist_ok=True)
    write_whole(path, json.dumps(settings, indent=1) + "\n")


def named_folders(texts: list[str]) -> dict[str, Path]:
    """Folders by name, from texts like "before=runs/before".

    Raises:
        ValueError: if a text has another form, a name is already taken, or there is no such folder.
    """
    folders: dict[str, Path] = {}
    for text in texts:
        name, _, folder = text.partition("=")
        if not name or not folder or "/" in name:
            raise ValueError(f"`--clips` must be NAME=FOLDER, got {text!r}.")
        if name in OWN_ROWS or name in folders:
            raise ValueError(f"`--clips` must give every row a name of its own, and {name!r} is taken.")
        if not Path(folder).is_dir():
            raise ValueError(f"`--clips` must name a folder of .mp4 clips, and there is none at {folder!r}.")
        folders[name] = Path(folder)
    return folders


def find_photos(folder: Path) -> list[Path]:
    """The photos of a folder, in order.

    Raises:
        ValueError: if there is no such folder, or it holds none.
    """
    photos = [path for path in sorted(folder.glob("*")) if path.suffix.lower() in PHOTO_SUFFIXES]
    if not photos:
        raise ValueError(
            f"`photos` must be a folder that holds photos ({', '.join(PHOTO_SUFFIXES)}), got {str(folder)!r}."
        )
    return photos


def choose_guide(pipe: FashionFlowPipeline, model: str | None, device: str | None) -> FashionFlowPipeline:
    """The model that tells where the figure is: the judged model if it has geometry, otherwise `model`, or the shipped model.

    Raises:
        ValueError: if that model has no geometry, or makes clips of another aspect ratio than the judged model.
    """
    if pipe.has_geometry:
        return pipe
    guide_pipe = load_pipeline(model, device)
    if not guide_pipe.has_geometry:
        raise ValueError(
            f"`--guide` must be a model with geometry, which says where the figure is, got {model_name(model)!r}."
        )
    if pipe.width * guide_pipe.height != guide_pipe.width * pipe.height:
        raise ValueError(
            f"`--guide` must have clips of the aspect of {pipe.width} x {pipe.height}, as the judged model has, and "
            f"{model_name(model)!r} makes {guide_pipe.width} x {guide_pipe.height}."
        )
    return guide_pipe


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="fashionflow.evaluation.real", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("photos", type=Path, help="folder of photos, any sizes")
    parser.add_argument("out", type=Path, help="folder for clips, sheets, scores.json and index.html")
    parser.add_argument("--model", help="a pipeline folder or Hub id; the shipped weights by default")
    parser.add_argument("--guide", help="for a model without geometry: one with it, which says where the figure is")
    parser.add_argument("--clips", nargs="+", default=[], metavar="NAME=FOLDER", help="other systems' clips")
    parser.add_argument(
        "--motions", nargs="+", default=REAL_MOTIONS, choices=MOTIONS, metavar="NAME", help=f"of {', '.join(MOTIONS)}"
    )
    parser.add_argument("--rows", nargs="+", default=OWN_ROWS, choices=OWN_ROWS, help="what to make; all by default")
    parser.add_argument("--turn-angle", type=float, help="degrees of turn-left and turn-right; their own by default")
    parser.add_argument("--steps", type=int, default=DEFAULT_STEPS)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--frame-step", type=int, default=1, help="keep every n-th of the denoiser's frames, for speed"
    )
    parser.add_argument("--limit", type=int, default=0, help="photos to take; 0 for all")
    parser.add_argument("--sheets-only", action="store_true", help="clips and contact sheets without measuring")
    parser.add_argument("--device", help="cuda, mps or cpu; the best there is by default")
    args = parser.parse_args(argv)
    try:
        photos, others = find_photos(args.photos), named_folders(args.clips)
        if args.frame_step < 1:
            raise ValueError(f"`--frame-step` must be at least 1, got {args.frame_step}.")
        if args.turn_angle is not None and not 0 < args.turn_angle <= LARGEST_TURN:
            raise ValueError(f"`--turn-angle` must be above 0 and at most {LARGEST_TURN:.0f}, got {args.turn_angle}.")
        if args.limit < 0:
            raise ValueError(f"`--limit` must be 0, for all, or above, got {args.limit}.")
        pipe = load_pipeline(args.model, args.device)
        guide_pipe = choose_guide(pipe, args.guide, args.device)
        settings = {
            "model": model_name(args.model),
            "model_hash": pipe.model_hash,
            "guide_hash": guide_pipe.model_hash,
        }
        settings |= {"steps": args.steps, "seed": args.seed, "frame_step": args.frame_step}
        settings |= {"turn_angle": args.turn_angle} if args.turn_angle is not None else {}
        start_folder(args.out, settings)
    except ValueError as error:
        parser.error(str(error))
    except OSError as error:
        parser.error(f"{str(args.out)!r} cannot be written ({error.strerror or error}); choose another folder.")
    pipe.set_progress_bar_config(disable=True)
    judge = None if args.sheets_only else Judge()
    rows = [row for row in OWN_ROWS if row in args.rows and (row != "geometry" or pipe.has_geometry)]
    run = Run(pipe, args.out, settings, rows, others, judge, list(judge.remarks) if judge else [])
    photos, motions = photos[: args.limit or None], list(dict.fromkeys(args.motions))
    try:
        (args.out / PHOTOS).mkdir(exist_ok=True)
        with tqdm(total=len(photos) * len(motions), desc="clips") as bar:
            for stem, photo in framed_photos(pipe, photos, run.remarks):
                photo.save(args.out / PHOTOS / f"{stem}.png")
                for task in tasks_of(
                    guide_pipe, stem, photo, motions, pipe.config.default_num_frames, args.frame_step, args.turn_angle
                ):
                    run.do(task)
                    bar.update()
                run.write()
        run.write()
    except (ValueError, OSError) as error:  # such as a full disk; finished clips are kept
        parser.exit(1, f"{error}\n")
    table = [text_table(run.scores)] if judge else []
    print("\n".join([*table, *run.remarks, str(args.out / "index.html")]))


if __name__ == "__main__":
    main()
