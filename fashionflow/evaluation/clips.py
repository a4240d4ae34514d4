"""Folders of clips to compare: finds the files that belong together, and checks that they can be compared before any metric is
computed."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from ..video.io import read_frames


TRUTH = "truth"
BASELINES = ("still", "autoencoder")


@dataclass(frozen=True)
class Comparison:
    """The clips to judge, and the clips that they are compared with.

    Args:
        names: the names of the clips, in order.
        columns: the folder of each column of the table, the judged clips first; None for the repeated photo, which needs no folder.
        reference: the folder of the true clips, if there are any.
        yaw: the requested angles by clip name, degrees [F]; empty without labels.
        settings: how the judged clips were made, if their folder contains this.
    """

    names: tuple[str, ...]
    columns: dict[str, Path | None]
    reference: Path | None
    yaw: dict[str, np.ndarray]
    settings: dict

    def truth(self, name: str) -> np.ndarray | None:
        """The true clip, uint8 [F, height, width, 3], if there is one."""
        return read_frames(self.reference / f"{name}.mp4") if self.reference else None

    def frames(self, column: str, name: str) -> np.ndarray:
        """The clip of a column, uint8 [F, height, width, 3]."""
        folder = self.columns[column]
        if folder is not None:
            return read_frames(folder / f"{name}.mp4")
        truth = self.truth(name)
        return np.repeat(truth[:1], len(truth), axis=0)


def compare(clips: Path, reference: Path | None = None, limit: int = 0) -> Comparison:
    """Finds the clips that belong to a folder's clips, and reads every file once.

    Args:
        clips: the clips to judge, written by `fashionflow.evaluation.sample` or any other program.
        reference: the true clips, with the same names, sizes and lengths; by default the folder `truth` in `clips`, if it exists.
        limit: how many clips to judge; 0 for all.

    Raises:
        ValueError: if there are no clips, or if a clip has no partner of the same name, size and length, does not have one angle per
            frame, or cannot be read.
    """
    if limit < 0:
        raise ValueError(f"`limit` must be 0, for all clips, or above, got {limit}.")
    names = _names(clips, "clips")[: limit or None]
    if reference is None and (clips / TRUTH).is_dir():
        reference = clips / TRUTH
    columns: dict[str, Path | None] = {"model": clips}
    for baseline in BASELINES:
        if (clips / baseline).is_dir() and any((clips / baseline).glob("*.mp4")):
            columns[baseline] = clips / baseline
        elif baseline == "still" and reference is not None:
            columns[baseline] = None
    folders = [folder for folder in columns.values() if folder is not None]
    if reference is not None:
        columns[TRUTH] = reference
        folders.append(reference)
        _names(reference, "reference")
    for folder in folders[1:]:
        if missing := [name for name in names if not (folder / f"{name}.mp4").is_file()]:
            raise ValueError(
                f"Every clip needs a clip of the same name in {str(folder)!r}, and {_some(missing)} {_have(missing)} none; finish "
                "sampling, or name the folder of the true clips."
            )
    lengths = _check_shapes(names, folders)
    return Comparison(
        names=tuple(names),
        columns=columns,
        reference=reference,
        yaw=_read_yaw(lengths, [clips, *([reference] if reference else [])]),
        settings=read_settings(clips / "settings.json"),
    )


def _names(folder: Path, argument: str) -> list[str]:
    if not folder.is_dir():
        raise ValueError(f"`{argument}` must be a folder of .mp4 clips, and there is none at {str(folder)!r}.")
    names = sorted(path.stem for path in folder.glob("*.mp4"))
    if not names:
        raise ValueError(f"`{argument}` must be a folder that holds .mp4 clips, and {str(folder)!r} holds none.")
    return names


def _check_shapes(names: Sequence[str], folders: Sequence[Path]) -> dict[str, int]:
    """The number of frames of each clip, after a check that its shape is the same in all folders."""
    lengths = {}
    for name in tqdm(names, desc="looking at the clips", leave=False):
        shapes = {folder: read_frames(folder / f"{name}.mp4").shape for folder in folders}
        judged = shapes[folders[0]]
        lengths[name] = judged[0]
        if judged[0] < 2:
            raise ValueError(f"A clip must have at least 2 frames, and {name}.mp4 in {str(folders[0])!r} has one.")
        for folder, shape in shapes.items():
            if shape != judged:
                raise ValueError(
                    f"{name}.mp4 has {_shape(judged)} in {str(folders[0])!r} and {_shape(shape)} in {str(folder)!r}; clips "
                    "are compared frame by frame, and fashionflow.evaluation.sample writes true clips that fit."
                )
    return lengths


def read_settings(path: Path) -> dict:
    """The settings that a folder's clips were made with; empty if there is no such file."""
    if not path.is_file():
        return {}
    try:
        settings = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        settings = None
    if not isinstance(settings, dict):
        raise ValueError(
            f"{str(path)!r} must hold one JSON object that says how the clips were made; repair or remove it."
        )
    return settings


def _read_yaw(lengths: dict[str, int], folders: Sequence[Path]) -> dict[str, np.ndarray]:
    """The angles from the first folder with labels, which may also be in its parent folder, as in the runway set.

    Args:
        lengths: the number of frames of each clip, by name.
        folders: the folders to search.
    """
    for path in (place / "labels.jsonl" for folder in folders for place in (folder, folder.parent)):
        if not path.is_file():
            continue
        try:
            labels = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
            yaw = {label["name"]: np.array(label["yaw"], dtype=np.float64) for label in labels}
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(
                f"{str(path)!r} must hold one JSON object with `name` and `yaw` on each line ({error})."
            ) from error
        if not all(name in yaw for name in lengths):
            continue
        for name, length in lengths.items():
            if yaw[name].shape != (length,):
                raise ValueError(
                    f"{str(path)!r} must give {name}.mp4 one angle per frame, and it gives {yaw[name].size} for {length} frames."
                )
        return {name: yaw[name] for name in lengths}
    return {}


def _shape(shape: Sequence[int]) -> str:
    return f"{shape[0]} frames of {shape[2]} x {shape[1]}"


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _have(names: Sequence[str]) -> str:
    return "has" if len(names) == 1 else "have"
