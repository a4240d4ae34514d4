"""The metrics: what each metric needs, what it computes for a clip, and the titles of its rows in the table."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
import torch

from . import frechet
from .colour import colour_difference, colour_drift, pixel_colour_difference
from .extras import optional
from .i3d import SHORTEST_CLIP
from .lpips import LearnedPerceptualDistance
from .movement import first_step, movement
from .turn import BodyAngle, is_turning, turn_error


BEST_PSNR = 99.0
"""The PSNR in decibels that equal frames get, because the true value, infinity, cannot be averaged."""


@dataclass(frozen=True)
class Row:
    """A row of the table.

    Args:
        key: the name of the score in JSON.
        title: the title for people, with the unit.
        better: "lower", "higher", or "truth" if the value nearest to the true clip's is best.
        summary: "median" or "mean" over clips; "set" if one number judges all clips together.
        decimals: the number of decimals in the table.
    """

    key: str
    title: str
    better: str
    summary: str = "median"
    decimals: int = 2


@dataclass(frozen=True, eq=False)
class View:
    """One clip of one column.

    Args:
        frames: uint8 [F, height, width, 3].
        truth: the true clip, in the same form; None if there is none, or if this clip is the true one.
        yaw: the requested angles, degrees [F], if known.
    """

    frames: np.ndarray
    truth: np.ndarray | None
    yaw: np.ndarray | None


@dataclass(frozen=True)
class Metric:
    """A metric of single clips.

    Args:
        rows: the rows that it adds to the table.
        prepare: loads what the metric needs and returns the function that scores a view. That function returns numbers by row, and curves
            over the frames, [F], by their own names.
        needs: what the metric requires, "truth", "yaw" or "".
    """

    rows: tuple[Row, ...]
    prepare: Callable[[], Callable[[View], dict[str, float | np.ndarray]]]
    needs: str = ""


@dataclass(frozen=True)
class SetMetric:
    """A metric of sets of clips, the Fréchet distance between features.

    Args:
        rows: the rows that it adds to the table.
        weights: the name of the network's weights.
        prepare: loads the network and returns, by row, the function from a clip's frames to features, [N, D].
        shortest: the smallest number of frames that a clip must have, by row.
    """

    rows: tuple[Row, ...]
    weights: str
    prepare: Callable[[], dict[str, Callable[[np.ndarray], np.ndarray]]]
    shortest: dict[str, int] = field(default_factory=dict)


def psnr_of(frames: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """The peak signal to noise ratio of each frame in dB, [F], at most 99; uint8 [F, height, width, 3]."""
    compute = optional("skimage.metrics").peak_signal_noise_ratio
    pairs = zip(frames, truth, strict=True)
    return np.array(
        [BEST_PSNR if np.array_equal(*pair) else compute(pair[1], pair[0], data_range=255) for pair in pairs]
    )


def _psnr() -> Callable:
    optional("skimage.metrics")
    return lambda view: {"psnr": psnr_of(view.frames[1:], view.truth[1:]).mean()}


def _ssim() -> Callable:
    compute = optional("skimage.metrics").structural_similarity

    def score(view: View) -> dict[str, float]:
        pairs = zip(view.frames[1:], view.truth[1:], strict=True)
        return {"ssim": np.mean([compute(*pair, channel_axis=-1, data_range=255) for pair in pairs])}

    return score


def _lpips() -> Callable:
    distance = LearnedPerceptualDistance("alexnet")

    def pixels(frames: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(np.ascontiguousarray(frames)).permute(0, 3, 1, 2).float() / 127.5 - 1

    @torch.inference_mode()
    def score(view: View) -> dict[str, float | np.ndarray]:
        curve = distance(pixels(view.frames), pixels(view.truth)).numpy()  # [F]
        mean = curve[1:].mean()
        turns = view.yaw is not None and is_turning(view.yaw)
        return {"lpips": mean, "lpips_turning": mean if turns else np.nan, "lpips_curve": curve}

    return score


def _first_frame() -> Callable:
    optional("skimage.color")
    return lambda view: {
        "first_frame_psnr": psnr_of(view.frames[:1], view.truth[:1])[0],
        "first_frame_delta_e": pixel_colour_difference(view.frames[0], view.truth[0]),
    }


def _colour() -> Callable:
    optional("skimage.color")

    def score(view: View) -> dict[str, float | np.ndarray]:
        scores = colour_drift(view.frames)
        if view.truth is not None:
            true = colour_drift(view.truth)
            scores["drift_excess"] = scores["drift"] - true["drift"]
            pairs = list(zip(view.frames, view.truth, strict=True))
            errors = np.array([colour_difference(*pair) for pair in pairs[1:]])  # [F - 1]
            scores["colour_error"] = np.nanmedian(errors) if np.isfinite(errors).any() else np.nan
            scores["colour_error_last"] = errors[-1]
        return scores

    return score


@lru_cache(maxsize=1)  # optical flow is the slowest part, and two metrics need it, one after the other
def _movement(view: View) -> dict[str, float]:
    return movement(view.frames)


def _turn() -> Callable:
    body_angle = BodyAngle()

    def score(view: View) -> dict[str, float | np.ndarray]:
        angles = body_angle.of_clip(view.frames)
        error = turn_error(view.yaw, angles)
        return {
            "turn_error": error,
            "turn_error_turning": error if is_turning(view.yaw) else np.nan,
            "turn_asked_curve": view.yaw - view.yaw[0],
            "turn_measured_curve": angles - angles[0],
        }

    return score


def _fvd() -> dict[str, Callable]:
    network = frechet.load_i3d()
    return dict.fromkeys(("fvd_16", "fvd_all"), lambda frames: frechet.clip_features(network, frames))


def _fid() -> dict[str, Callable]:
    network = frechet.load_inception()
    return {"fid": lambda frames: frechet.frame_features(network, frames)}


METRICS: dict[str, Metric | SetMetric] = {
    "fvd": SetMetric(
        (
            Row("fvd_16", "FVD, first 16 frames", "lower", "set", 1),
            Row("fvd_all", "FVD, all frames", "lower", "set", 1),
        ),
        "fvd-i3d",
        _fvd,
        {"fvd_16": frechet.FVD_FRAMES, "fvd_all": SHORTEST_CLIP},
    ),
    "fid": SetMetric((Row("fid", "FID, 8 frames a clip", "lower", "set", 1),), "fid-inception", _fid),
    "lpips": Metric(
        (
            Row("lpips", "LPIPS (AlexNet) to the true clip", "lower", "mean", 4),
            Row("lpips_turning", "LPIPS, turning clips only", "lower", "mean", 4),
        ),
        _lpips,
        "truth",
    ),
    "psnr": Metric((Row("psnr", "PSNR to the true clip, dB", "higher", "mean"),), _psnr, "truth"),
    "ssim": Metric((Row("ssim", "SSIM to the true clip", "higher", "mean", 3),), _ssim, "truth"),
    "first_frame": Metric(
        (
            Row("first_frame_psnr", "frame 0 to the photo, PSNR, dB", "higher"),
            Row("first_frame_delta_e", "frame 0 to the photo, garment, ΔE", "lower"),
        ),
        _first_frame,
        "truth",
    ),
    "colour": Metric(
        (
            Row("drift", "garment colour drift, median frame, ΔE", "truth"),
            Row("drift_last", "garment colour drift, last frame, ΔE", "truth"),
            Row("drift_excess", "drift beyond the true clip's, ΔE", "lower"),
            Row("saturation", "garment saturation, last / first", "truth"),
            Row("colour_error", "garment colour to the true clip, ΔE", "lower"),
            Row("colour_error_last", "garment colour, last frame, ΔE", "lower"),
        ),
        _colour,
    ),
    "step": Metric(
        (Row("first_step", "step 0 to 1 / median later step", "truth"),),
        lambda: lambda view: {"first_step": first_step(view.frames)},
    ),
    "flicker": Metric(
        (Row("flicker", "flicker after flow, grey levels", "truth"),),
        lambda: lambda view: {"flicker": _movement(view)["flicker"]},
    ),
    "motion": Metric(
        (Row("motion", "motion, pixels a frame", "truth"),),
        lambda: lambda view: {"motion": _movement(view)["motion"]},
    ),
    "turn": Metric(
        (
            Row("turn_error", "turn, asked to measured, degrees", "lower", "median", 1),
            Row("turn_error_turning", "turn, turning clips only, degrees", "lower", "median", 1),
        ),
        _turn,
        "yaw",
    ),
}
