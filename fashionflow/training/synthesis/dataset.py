"""Makes a folder of clips with their labels in several processes. A stopped run continues where it stopped.

OUT/200000.mp4 ...      H.264, by default 24 frames at 8 a second, 256 x 320 pixels (width x height)
OUT/labels.jsonl        one line per clip: name, motion, yaw, distance, pattern, framing, kind
OUT/contact_sheet.jpg   some of the clips, one row each

Or a folder of layers, which are first frames with their shape (`layers.py`):

OUT/200000.npz ...      photo, coverage, front, back, axis
OUT/labels.jsonl        one line per file: name, pattern, framing, kind
OUT/contact_sheet.jpg   some of them, one row each
"""

import contextlib
import json
import multiprocessing
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from tqdm import tqdm

from ...evaluation.files import write_whole
from ...photo.reading import PHOTO_SUFFIXES, read_photo
from ...video.io import read_frames, write_clip
from .errors import SynthesisError
from .layers import Layers, flat_layers
from .sheet import write_contact_sheet


QUALITY = 17  # x264's CRF
LABELS = "labels.jsonl"
CLIP_SUFFIX, LAYERS_SUFFIX = ".mp4", ".npz"
MOST_PHOTOS_TRIED = 8
LEAST_ROOM = 2 * 2**20  # bytes; with less free space, a failed write is explained by a full disk


@dataclass(frozen=True)
class Recipe:
    """The settings of a data set.

    Args:
        num_frames, frame_rate: of each clip; not used for layers.
        size: height and width, pixels, both even.
        makehuman: folder of MakeHuman hair and shoes, or `None`.
        fabrics: folder of garment photos that prints are cropped from, or `None`.
        photos: folder of garment photos that are moved themselves ("hanging" clips), or `None`.
        hanging_share: share of the clips that are hanging clips, 0 to 1, if there are photos.
        layers: whether the layers of the first frames are made instead of clips.
    """

    num_frames: int = 24
    frame_rate: float = 8.0
    size: tuple[int, int] = (320, 256)
    makehuman: Path | None = None
    fabrics: Path | None = None
    photos: Path | None = None
    hanging_share: float = 0.3
    layers: bool = False

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

    @property
    def suffix(self) -> str:
        """The suffix of the files' names."""
        return LAYERS_SUFFIX if self.layers else CLIP_SUFFIX

    def is_hanging(self, seed: int) -> bool:
        """Whether the clip of `seed` shows a hanging garment photo."""
        return self.photos is not None and np.random.default_rng([seed, 1]).random() < self.hanging_share


def find_photos(folder: Path) -> list[Path]:
    """The photos of a folder, sorted by name."""
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in PHOTO_SUFFIXES)


class ClipMaker:
    """Makes clips of a recipe in one process. Parts that load slowly are loaded when they are first needed, and kept."""

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
        """Makes the clip of `seed`: its frames, uint8 [F, height, width, 3], and its label."""
        recipe = self.recipe
        if recipe.is_hanging(seed):
            frames, label = self._hang(seed, self._hanging_clip)
        else:
            frames, label = self.studio.clip(seed, recipe.num_frames, recipe.frame_rate)
        return frames, {"name": clip_name(seed), **label}

    def make_layers(self, seed: int) -> tuple[Layers, dict]:
        """Makes layers and label of the first frame of a runway clip, or of a garment photo. The label contains no motion."""
        if self.recipe.is_hanging(seed):
            layers, label = self._hang(seed, self._flat_layers)
        else:
            layers, label = self.studio.layers(seed)
        return layers, {"name": clip_name(seed), **label}

    def _hang(self, seed: int, make: Callable[[Image.Image, int], tuple[Any, dict]]) -> tuple[Any, dict]:
        """The result of `make` for a garment photo and the seed. A photo that cannot be cut out is replaced by another one."""
        photos = np.random.default_rng([seed, 2]).permutation(find_photos(self.recipe.photos))[:MOST_PHOTOS_TRIED]
        for photo in photos:
            try:
                made, label = make(read_photo(photo), seed)
            except ValueError as error:
                reason = error
                continue
            return made, {"pattern": "photo", "framing": "full", **label}
        raise ValueError(f"none of {len(photos)} photos can be used; of the last one: {reason}")

    def _hanging_clip(self, photo: Image.Image, seed: int) -> tuple[np.ndarray, dict]:
        from .hanging import hanging_clip

        recipe = self.recipe
        return hanging_clip(photo, seed, recipe.num_frames, recipe.frame_rate, recipe.size)

    def _flat_layers(self, photo: Image.Image, seed: int) -> tuple[Layers, dict]:
        return flat_layers(photo, seed, self.recipe.size), {"kind": "hanging"}


def clip_name(seed: int) -> str:
    return f"{seed:06d}"


_maker: ClipMaker | None = None


def _start_worker(recipe: Recipe) -> None:
    """Limits a worker to one core, because otherwise the threads of torch, ffmpeg and Mesa in all workers would compete for the cores."""
    global _maker
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes; the parent ends the work
    os.environ.setdefault("LP_NUM_THREADS", "1")
    import torch

    torch.set_num_threads(1)
    _maker = ClipMaker(recipe)


def _load(needs_studio: bool) -> None:
    if needs_studio:
        _ = _maker.studio


def _make_and_write(seed: int, out: Path) -> dict:
    """Makes and writes one file; `SynthesisError` and `OSError` end the run; any other error loses only this file."""
    recipe = _maker.recipe
    path = out / f"{clip_name(seed)}{recipe.suffix}"
    if recipe.layers:
        layers, label = _maker.make_layers(seed)
        layers.write(path)
    else:
        frames, label = _maker.make(seed)
        write_clip(path, frames, recipe.frame_rate, quality=QUALITY)
    return label


def render(out: Path, seeds: range, recipe: Recipe, workers: int = 1) -> Iterator[dict]:
    """Makes the clips, or layers, of `seeds` that `out` does not hold yet, and their labels.

    Yields:
        The label of each clip when it is done, or {"name", "error"} for a clip that failed and is skipped.

    Raises:
        SynthesisError: if the folder cannot be written, the disk is full, or something that is needed is missing. The clips made so far
            are kept, and the same call continues with the rest.
    """
    done = tidy(out, recipe.suffix)
    missing = [seed for seed in seeds if clip_name(seed) not in done]
    if not missing:
        return
    context = multiprocessing.get_context("spawn")  # a drawing context does not survive a fork
    pool = ProcessPoolExecutor(min(workers, len(missing)), context, initializer=_start_worker, initargs=(recipe,))
    try:
        pool.submit(_load, any(not recipe.is_hanging(seed) for seed in missing)).result()
        pending: dict[Future, int] = {}
        queue = iter(missing)
        with (out / LABELS).open("a", encoding="utf-8") as labels:
            while True:
                # Only a few clips wait for each worker, so that a stopped run does not have to wait for a long queue.
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
            "A worker process died, perhaps because memory ran out (each takes about 2 GB): run the same command again with "
            "fewer `--workers`; it continues where it stopped."
        ) from error
    except OSError as error:
        raise _disk_error(out, error) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _outcome(future: Future, seed: int, out: Path) -> dict:
    """A clip's label, or the error that it failed with."""
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
            f"The disk of {str(out)!r} is full: make room and run the same command again; it continues."
        )
    return SynthesisError(f"{str(out)!r} cannot be written ({error}): choose another folder or check its permissions.")


def tidy(out: Path, suffix: str = CLIP_SUFFIX) -> set[str]:
    """Creates the folder if it is missing, and removes what an interrupted run left: unfinished files, and labels without a file.

    Args:
        out: the folder.
        suffix: the suffix of its files' names.

    Returns:
        The names, without suffix, of the existing files that have a label. A file without a label is made again.

    Raises:
        SynthesisError: if the folder cannot be created or written, or holds files of the other kind.
    """
    other = CLIP_SUFFIX if suffix == LAYERS_SUFFIX else LAYERS_SUFFIX
    if any(out.glob(f"[!.]*{other}")):  # both kinds would have their labels in one file
        raise SynthesisError(
            f"{str(out)!r} holds {other} files and cannot take {suffix} files: choose another folder."
        )
    try:
        out.mkdir(parents=True, exist_ok=True)
        for unfinished in out.glob(f".*{suffix}"):
            unfinished.unlink()
        path, kept = out / LABELS, {}
        for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
            with contextlib.suppress(ValueError, KeyError, TypeError):  # an unfinished line
                label = json.loads(line)
                if (out / f"{label['name']}{suffix}").is_file():
                    kept[label["name"]] = json.dumps(label)
        write_whole(path, "".join(line + "\n" for line in kept.values()))
    except OSError as error:
        raise _disk_error(out, error) from error
    return set(kept)


def make_dataset(out: Path, seeds: range, recipe: Recipe, workers: int = 1) -> tuple[int, list[dict]]:
    """Runs `render` with a progress bar, and writes a contact sheet at the end.

    Returns:
        How many clips, or layers, were made, and {"name", "error"} of those that failed.

    Raises:
        SynthesisError: as for `render`, or if the folder's files of these seeds have another length or size.
    """
    made, failed = 0, []
    before = tidy(out, recipe.suffix) & {clip_name(seed) for seed in seeds}
    if before:
        _check_settings(out / f"{min(before)}{recipe.suffix}", recipe)
    unit = "photo" if recipe.layers else "clip"
    with tqdm(total=len(seeds), initial=len(before), unit=unit, smoothing=0.05) as progress:
        for label in render(out, seeds, recipe, workers):
            if "error" in label:
                failed.append(label)
                progress.write(f"{unit.capitalize()} {label['name']} failed and is skipped: {label['error']}")
            else:
                made += 1
            progress.update()
    try:
        write_contact_sheet(out, recipe.suffix)
    except OSError as error:
        raise _disk_error(out, error) from error
    return made, failed


def _check_settings(path: Path, recipe: Recipe) -> None:
    """Raises SynthesisError if a file of an earlier run has another length or size than the recipe's."""
    try:
        found = (1, *Layers.read(path).coverage.shape) if recipe.layers else read_frames(path).shape[:3]
    except ValueError as error:
        raise SynthesisError(f"{str(path)!r} is damaged: remove it and run the same command again.") from error
    wanted = (1 if recipe.layers else recipe.num_frames, *recipe.size)
    if found != wanted:
        form = "{1} x {2}" if recipe.layers else "{0} frames of {1} x {2}"
        found, wanted = (form.format(frames, width, height) for frames, height, width in (found, wanted))
        raise SynthesisError(
            f"{str(path)!r} has {found} and not {wanted}: choose another folder, or the same settings to continue."
        )
