"""Computes all measures of a clip of a real photo, and summarises many clips for a table."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .extras import MissingPackageError, optional
from .movement import first_step, movement
from .people import FACE_SEEN, FaceFinder, FigureFinder
from .real_measures import Asked, colour, ghosts, haze, mean_known, median_known, missed, sharpness
from .turn import BodyAngle, angle_between, is_turning, turn_error
from .weights import WeightsError


FACING = 60.0
"""Up to this turn, in degrees, a face should be visible."""

BEHIND = 120.0
"""From this turn on, in degrees, no face should be visible."""


@dataclass(frozen=True)
class Measure:
    """A measure of single clips.

    Args:
        key: the name of the measure in JSON.
        title: the title for people, with the unit.
        short: the heading of its column.
        best: "lower" or "higher", or "one" if 1 is best and the value farthest from 1 is worst.
        decimals: the number of decimals in the table.
    """

    key: str
    title: str
    short: str
    best: str
    decimals: int = 2

    def worst(self, values: np.ndarray) -> int:
        """The index of the worst of some values, [N], none of which is missing."""
        badness = {"lower": values, "higher": -values, "one": np.abs(values - 1)}[self.best]
        return int(np.argmax(badness))


MEASURES = (
    Measure("sharpness", "edges inside the figure, against the photo's own", "sharpness", "one"),
    Measure("haze", "unrest in a ring around the figure, against the photo's own", "haze", "lower"),
    Measure("ghosts", "change against frame 0 outside both outlines, grey levels", "ghosts", "lower"),
    Measure(
        "saturation", "chroma of the photo's side in the last third, against the photo's own", "saturation", "one"
    ),
    Measure(
        "colour", "mean colour of the photo's side in the last third to the photo's, ΔE2000", "colour ΔE", "lower"
    ),
    Measure("first_step", "step 0 to 1 / median later step", "first step", "lower"),
    Measure("turn_error", "turn, asked to measured, turning clips only, degrees", "turn °", "lower", 1),
    Measure("face", "share of frames turned less than 60° that show a face", "face", "higher"),
    Measure("face_behind", "share of frames turned more than 120° that show a face", "face behind", "lower"),
    Measure(
        "missed",
        "share of the figure outside the outline of frame 0, which is the model's geometry's",
        "missed",
        "lower",
    ),
    Measure("flicker", "flicker after flow, grey levels", "flicker", "lower"),
)


class Judge:
    """Measures clips. A measure whose package or weights are missing is left out, and `remarks` gets a sentence about it."""

    def __init__(self):
        self.remarks: list[str] = []
        self.body_angle = self._loaded("turn_error", BodyAngle)
        self.face_finder = self._loaded("face", FaceFinder)
        self.figure_finder = self._loaded("missed", FigureFinder)
        self.colour_library = self._loaded("saturation and colour", lambda: optional("skimage.color"))

    def _loaded(self, measure: str, load: Callable):
        """Loads the requirement of a measure; `None` if it is not available."""
        try:
            return load()
        except (WeightsError, MissingPackageError) as error:
            self.remarks.append(f"{measure} was left out: {error}")
            return None

    def __call__(self, frames: np.ndarray, asked: Asked) -> tuple[dict[str, float], dict[str, np.ndarray]]:
        """The measures of a clip, uint8 RGB [F, H, W, 3], at least 2 frames.

        Returns:
            One number per measure, NaN if the measure does not apply to this clip; and curves over the frames, [F], by name.
        """
        curves = {"sharpness": sharpness(frames, asked), "haze": haze(frames, asked), "ghosts": ghosts(frames, asked)}
        values = dict.fromkeys((measure.key for measure in MEASURES), np.nan)
        values |= {
            "sharpness": median_known(curves["sharpness"][1:]),
            "haze": mean_known(curves["haze"][1:]),
            "ghosts": mean_known(curves["ghosts"][1:]),
            "first_step": first_step(frames),
            "flicker": movement(frames)["flicker"],
        }
        if self.colour_library is not None:
            values |= colour(frames, asked)
        if self.figure_finder is not None:
            values["missed"] = missed(self.figure_finder(asked.photo), asked)
        if self.body_angle is not None and is_turning(asked.turn):
            angles = self.body_angle.of_clip(frames)
            curves |= {"turn_asked": asked.turn, "turn_measured": angles - angles[0]}
            values["turn_error"] = turn_error(asked.turn, angles)
        if self.face_finder is not None and self.face_finder(asked.photo) >= FACE_SEEN:
            away = angle_between(asked.turn, 0)
            later = np.arange(len(frames)) > 0
            wanted = {"face": later & (away < FACING), "face_behind": away > BEHIND}
            curves["face"] = np.array(
                [
                    self.face_finder(frame) if there else np.nan
                    for frame, there in zip(frames, np.logical_or(*wanted.values()), strict=True)
                ]
            )
            values |= {key: mean_known(curves["face"][there] >= FACE_SEEN) for key, there in wanted.items()}
        return values, curves


def summarise(clips: dict[str, dict[str, dict[str, float]]], measure: Measure) -> dict | None:
    """Summarises a measure for a row of the table.

    Args:
        clips: the measures by photo and motion.
        measure: the measure to summarise.

    Returns:
        `median`, over all clips; `worst`, the worst of the photos' medians over their clips; `worst_photo`; and `n`, the number of clips
        that have this measure. `None` if no clip has it.
    """
    of_photos = {
        photo: [values[measure.key] for values in motions.values() if np.isfinite(values.get(measure.key, np.nan))]
        for photo, motions in clips.items()
    }
    of_photos = {photo: values for photo, values in of_photos.items() if values}
    if not of_photos:
        return None
    medians = np.array([np.median(values) for values in of_photos.values()])
    worst = measure.worst(medians)
    every = np.concatenate(list(of_photos.values()))
    return {
        "median": float(np.median(every)),
        "worst": float(medians[worst]),
        "worst_photo": list(of_photos)[worst],
        "n": len(every),
    }
