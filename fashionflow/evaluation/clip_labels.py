"""The labels of a folder of clips: which clips are held out for testing, and how the body moves in each clip.

Shape letters used in this file:
    F frames
"""

import json
from pathlib import Path

import numpy as np

from ..pipelines.motions import LONGEST_WALK


WALK = "walk"


def is_held_out(clip: Path | str) -> bool:
    """Whether a clip belongs to the held-out test set, which is never used for training.

    If the clip's folder is called `test` or `train`, that name decides (the layout of the paper's videos). Otherwise the test set
    consists of the clips whose seed, which is their file name, ends in 7.
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

    Older labels without `distance` contain only the motion. A walk with such a label has constant speed.

    Raises:
        ValueError: if `distance` does not have one number per frame.
    """
    if "distance" not in label:
        return np.linspace(0, LONGEST_WALK, num_frames) * (label["motion"] == WALK)
    if len(label["distance"]) != num_frames:
        raise ValueError(f"there are {num_frames} frames and {len(label['distance'])} labels of `distance`")
    return np.asarray(label["distance"], dtype=np.float64)
