"""What is known of a folder of clips besides its pictures: which clips are held out for testing, and how the body moves in each.

Shape letters used in this file:
    F frames
"""

import json
from pathlib import Path

import numpy as np

from ..pipelines.motions import LONGEST_WALK


WALK = "walk"


def is_held_out(clip: Path | str) -> bool:
    """Whether a clip is of the test set, which is never trained on.

    A folder called `test` or `train` that it lies in says so (the layout of the paper's videos). Elsewhere the test set are
    the clips whose seed, which is their file name, ends in 7.
    """
    path = Path(clip)
    return path.parent.name == "test" or (path.parent.name != "train" and path.stem.endswith("7"))


def read_labels(folder: Path) -> dict[str, dict]:
    """The labels of a folder of clips by clip name.

    Raises:
        ValueError: if there is no readable `labels.jsonl`.
    """
    path = next((p / "labels.jsonl" for p in (folder, folder.parent) if (p / "labels.jsonl").is_file()), None)
    if path is None:
        raise ValueError(f"`clips` must hold a labels.jsonl beside its .mp4 files, got {str(folder)!r}.")
    try:
        labels = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
        return {label["name"]: label for label in labels}
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise ValueError(f"{str(path)!r} must hold one JSON object with a `name` on each line ({error}).") from error


def walked_distance(label: dict, num_frames: int) -> np.ndarray:
    """Metres walked towards the camera at each frame, [F].

    Labels of before `distance` name the motion only, and a walk in them is an even one.

    Raises:
        ValueError: if `distance` has not one number a frame.
    """
    if "distance" not in label:
        return np.linspace(0, LONGEST_WALK, num_frames) * (label["motion"] == WALK)
    if len(label["distance"]) != num_frames:
        raise ValueError(f"there are {num_frames} frames and {len(label['distance'])} labels of `distance`")
    return np.asarray(label["distance"], dtype=np.float64)
