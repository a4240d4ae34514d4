"""A folder of clips with their labels, made by several processes, that goes on where it stopped.

OUT/200000.mp4 ...      H.264, by default 24 frames at 8 a second, 256 x 320 pixels (width x height)
OUT/labels.jsonl        a line a clip: name, motion, yaw, distance, pattern, framing, kind
OUT/contact_sheet.jpg   some of the clips, a row each
"""

import contextlib
import json
import multiprocessing
import os
import shutil
import signal
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from ..photo import read_photo
from ..video import read_frames, write_clip
from .errors import SynthesisError
from .sheet import write_contact_sheet


PHOTO_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")
QUALITY = 17  # x264's CRF
LABELS = "labels.jsonl"
MOST_PHOTOS_TRIED = 8
LEAST_ROOM = 2 * 2**20  # bytes free on the disk, below which a failed write is put down to a full disk


@dataclass(frozen=True)
class Recipe:
    """What clips are made of.

    Args:
        num_frames, frame_rate: of each clip.
        size: height and width, pixels, both even.
        makehuman: folder of MakeHuman hair and shoes, or `None`.
        fabrics: folder of garment photos that prints are cropped from, or `None`.
        photos: folder of garment photos to set in motion themselves ("hanging" clips), or `None`.
        hanging_share: share of the clips that are hanging ones, 0 to 1, if there are photos.
    """

    num_frames: int = 24
    frame_rate: float = 8.0
    size: tuple[int, int] = (320, 256)
    makehuman: Path | None = None
    fabrics: Path | None = None
    photos: Path | None = None
    hanging_share: float = 0.3

    def __post_init__(self):
        if self.num_frames < 2:
            raise SynthesisError(f"`--frames` must be at least 2, got {self.num_frames}.")
        if not 0 < self.frame_rate < float("inf"):
            raise SynthesisError(f"`--frame-rate` must be above 0, got {self.frame_rate:g}.")
        if min(self.size) < 32 or self.size[0] % 2 or self.size[1] % 2:
            raise SynthesisError(
                f"`--size` must be an even width and height of at least 32, got {self.size[1]} {self.size[0]}."
            )
        if not 0 <= self.hanging_share <= 1:
            raise SynthesisError(f"`--hanging-share` must be between 0 and 1, got {self.hanging_share:g}.")
        for option in ("makehuman", "fabrics", "photos"):
            folder = getattr(self, option)
            if folder is not None and not folder.is_dir():
                raise SynthesisError(f"`--{option}` must be a folder, but there is none at {str(folder)!r}.")
        for option in ("fabrics", "photos"):
            folder = getattr(self, option)
            if folder is not None and not find_photos(folder):
                raise SynthesisError(
                    f"`--{option}` must hold .jpg, .png or .webp photos, but {str(folder)!r} holds none."
                )

    def is_hanging(self, seed: int) -> bool:
        """Whether the clip of `seed` shows a hanging garment photo."""
        return self.photos is not None and np.random.default_rng([seed, 1]).random() < self.hanging_share


def find_photos(folder: Path) -> list[Path]:
    """The photos of a folder, by name."""
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in PHOTO_SUFFIXES)


class ClipMaker:
    """Makes clips of a recipe in one process; what is slow to load is loaded when it is first needed, and kept."""

    def __init__(self, recipe: Recipe):
        self.recipe = recipe
        self._studio = None

    @property
    def studio(self):
        if self._studio is None:
            from .runway import RunwayStudio

            recipe = self.recipe
            photos = find_photos(recipe.fabrics) if recipe.fabrics else []
            self._studio = RunwayStudio(recipe.size, recipe.makehuman, photos)
        return self._studio

    def make(self, seed: int) -> tuple[np.ndarray, dict]:
        """Frames, uint8 [F, height, width, 3], and label of the clip of `seed`."""
        recipe = self.recipe
        if recipe.is_hanging(seed):
            frames, label = self._hang(seed)
        else:
            frames, label = self.studio.clip(seed, recipe.num_frames, recipe.frame_rate)
        return frames, {"name": clip_name(seed), **label}

    def _hang(self, seed: int) -> tuple[np.ndarray, dict]:
        """A clip of a garment photo; a photo that cannot be cut out gives way to another one."""
        from .hanging import hanging_clip

        recipe = self.recipe
        photos = np.random.default_rng([seed, 2]).permutation(find_photos(recipe.photos))[:MOST_PHOTOS_TRIED]
        for photo in photos:
            try:
                frames, label = hanging_clip(
                    read_photo(photo), seed, recipe.num_frames, recipe.frame_rate, recipe.size
                )
            except ValueError as error:
                reason = error
                continue
            return frames, {"pattern": "photo", "framing": "full", **label}
        raise ValueError(f"none of {len(photos)} photos can be used; of the last one: {reason}")


def clip_name(seed: int) -> str:
    return f"{seed:06d}"


_maker: ClipMaker | None = None


def _start_worker(recipe: Recipe) -> None:
    """One core a process: otherwise torch, ffmpeg's and Mesa's threads of all workers fight for the cores."""
    global _maker
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes; the parent ends the line of clips
    os.environ.setdefault("LP_NUM_THREADS", "1")
    import torch

    torch.set_num_threads(1)
    _maker = ClipMaker(recipe)


def _load(needs_studio: bool) -> None:
    if needs_studio:
        _ = _maker.studio


def _make_and_write(seed: int, out: Path) -> dict:
    """Makes and writes one clip; `SynthesisError` and `OSError` end the run, anything else costs only this clip."""
    frames, label = _maker.make(seed)
    write_clip(out / f"{label['name']}.mp4", frames, _maker.recipe.frame_rate, quality=QUALITY)
    return label


def render(out: Path, seeds: range, recipe: Recipe, workers: int = 1) -> Iterator[dict]:
    """Makes the clips of `seeds` that `out` does not hold yet, and their labels.

    Yields:
        As each clip ends: its label, or {"name", "error"} for one that failed, which is skipped.

    Raises:
        SynthesisError: if the folder cannot be written, the disk is full, or something that is needed is missing. The clips
            made so far stay; the same call goes on with the rest.
    """
    done = tidy(out)
    missing = [seed for seed in seeds if clip_name(seed) not in done]
    if not missing:
        return
    context = multiprocessing.get_context("spawn")  # a drawing context does not survive a fork
    pool = ProcessPoolExecutor(min(workers, len(missing)), context, initializer=_start_worker, initargs=(recipe,))
    try:
        pool.submit(_load, any(not recipe.is_hanging(seed) for seed in missing)).result()
        pending: dict[Future, int] = {}
        queue = iter(missing)
        with (out / LABELS).open("a") as labels:
            while True:
                # A few in line for each worker: a stopped run need not wait for a long line.
                while len(pending) < 2 * workers and (seed := next(queue, None)) is not None:
                    pending[pool.submit(_make_and_write, seed, out)] = seed
                if not pending:
                    return
                for future in wait(pending, return_when=FIRST_COMPLETED).done:
                    label = _outcome(future, pending.pop(future), out)
                    if "error" not in label:
                        labels.write(json.dumps(label) + "\n")
                        labels.flush()
                    yield label
    except BrokenProcessPool as error:
        raise SynthesisError(
            "A worker process died, perhaps for want of memory (each takes about 2 GB): run the same command again with fewer "
            "`--workers`; it goes on where it stopped."
        ) from error
    except OSError as error:
        raise _disk_error(out, error) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _outcome(future: Future, seed: int, out: Path) -> dict:
    """A clip's label, or what went wrong with it."""
    try:
        return future.result()
    except (SynthesisError, BrokenProcessPool):
        raise
    except OSError as error:
        raise _disk_error(out, error) from error
    except Exception as error:
        return {"name": clip_name(seed), "error": f"{type(error).__name__}: {error}"}


def _disk_error(out: Path, error: OSError) -> SynthesisError:
    if out.is_dir() and shutil.disk_usage(out).free < LEAST_ROOM:
        return SynthesisError(
            f"The disk of {str(out)!r} is full: make room and run the same command again; it goes on."
        )
    return SynthesisError(f"{str(out)!r} cannot be written ({error}): choose another folder or check its permissions.")


def tidy(out: Path) -> set[str]:
    """Makes the folder if need be, and removes what an interrupted run left: unfinished files, labels without a clip.

    Returns:
        Names of the clips that are there with their labels. A clip without a label is made again.

    Raises:
        SynthesisError: if the folder cannot be made or written.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        for unfinished in out.glob(".*.mp4"):
            unfinished.unlink()
        path, kept = out / LABELS, {}
        for line in path.read_text().splitlines() if path.exists() else ():
            with contextlib.suppress(ValueError, KeyError, TypeError):  # a line that was not finished
                label = json.loads(line)
                if (out / f"{label['name']}.mp4").is_file():
                    kept[label["name"]] = json.dumps(label)
        rewritten = out / f".{LABELS}"
        rewritten.write_text("".join(line + "\n" for line in kept.values()))
        os.replace(rewritten, path)
    except OSError as error:
        raise _disk_error(out, error) from error
    return set(kept)


def make_dataset(out: Path, seeds: range, recipe: Recipe, workers: int = 1) -> tuple[int, list[dict]]:
    """`render` with a progress bar, and a contact sheet at the end.

    Returns:
        How many clips were made, and {"name", "error"} of those that failed.

    Raises:
        SynthesisError: as `render`, or if the folder's clips of these seeds have another length or size.
    """
    made, failed = 0, []
    before = tidy(out) & {clip_name(seed) for seed in seeds}
    if before:
        _check_settings(out / f"{min(before)}.mp4", recipe)
    with tqdm(total=len(seeds), initial=len(before), unit="clip", smoothing=0.05) as progress:
        for label in render(out, seeds, recipe, workers):
            if "error" in label:
                failed.append(label)
                progress.write(f"Clip {label['name']} failed and is skipped: {label['error']}")
            else:
                made += 1
            progress.update()
    try:
        write_contact_sheet(out)
    except OSError as error:
        raise _disk_error(out, error) from error
    return made, failed


def _check_settings(clip: Path, recipe: Recipe) -> None:
    """Raises SynthesisError if `clip`, of an earlier run, has another length or size than the recipe's clips."""
    try:
        found = read_frames(clip).shape[:3]
    except ValueError as error:
        raise SynthesisError(f"{str(clip)!r} is damaged: remove it and run the same command again.") from error
    wanted = (recipe.num_frames, *recipe.size)
    if found != wanted:
        found, wanted = (f"{frames} frames of {width} x {height}" for frames, height, width in (found, wanted))
        raise SynthesisError(
            f"{str(clip)!r} has {found} and not {wanted}: choose another folder, or the same settings to go on."
        )
