"""Folders of clips to compare: what belongs together, and whether it can be compared at all, before anything is computed."""

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
    """Clips to judge, and what stands beside them.

    Args:
        names: of the clips, in order.
        columns: the folder of each column of the table, the judged clips first; None for a photo repeated, which needs none.
        reference: the folder of the true clips, if there is truth.
        yaw: the angles that were asked for by clip name, degrees [F]; empty without labels.
        settings: how the judged clips were made, if their folder says so.
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
    """Finds the partners of a folder's clips and reads every file once.

    Args:
        clips: the clips to judge, as `fashionflow.evaluation.sample` or anything else wrote them.
        reference: the true clips, of the same names, sizes and lengths; by default `truth` in the folder, if that is there.
        limit: clips to judge; 0 for all.

    Raises:
        ValueError: if there are no clips, or one has no partner, another size or length, not one angle a frame, or cannot
            be read.
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
                f"Every clip needs a partner of its name in {str(folder)!r}, and {_some(missing)} {_have(missing)} none; finish "
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
    """How many frames each clip has, if they are the same in all folders."""
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
                    "compare only frame by frame, and fashionflow.evaluation.sample writes true clips that fit."
                )
    return lengths


def read_settings(path: Path) -> dict:
    """What the folder says of its clips; nothing if it says nothing."""
    if not path.is_file():
        return {}
    try:
        settings = json.loads(path.read_text())
    except ValueError:
        settings = None
    if not isinstance(settings, dict):
        raise ValueError(f"{str(path)!r} must hold one JSON object, how the clips were made; repair or remove it.")
    return settings


def _read_yaw(lengths: dict[str, int], folders: Sequence[Path]) -> dict[str, np.ndarray]:
    """The angles of the first folder that has labels, or of the folder it lies in, as the runway set has them.

    Args:
        lengths: how many frames each clip has, by name.
        folders: where to look.
    """
    for path in (place / "labels.jsonl" for folder in folders for place in (folder, folder.parent)):
        if not path.is_file():
            continue
        try:
            labels = [json.loads(line) for line in path.read_text().splitlines() if line.strip()]
            yaw = {label["name"]: np.array(label["yaw"], dtype=np.float64) for label in labels}
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(
                f"{str(path)!r} must hold one JSON object with `name` and `yaw` a line ({error})."
            ) from error
        if not all(name in yaw for name in lengths):
            continue
        for name, length in lengths.items():
            if yaw[name].shape != (length,):
                raise ValueError(
                    f"{str(path)!r} must give {name}.mp4 an angle a frame, and it gives {yaw[name].size} for {length} frames."
                )
        return {name: yaw[name] for name in lengths}
    return {}


def _shape(shape: Sequence[int]) -> str:
    return f"{shape[0]} frames of {shape[2]} x {shape[1]}"


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _have(names: Sequence[str]) -> str:
    return "has" if len(names) == 1 else "have"
