"""Fréchet distances between two sets of clips: FVD (Unterthiner et al., 2018) and FID (Heusel et al., 2017).

Both describe a set by the mean and covariance of a network's features. They need many samples: with few, the distance between two sets
from one source is far above zero, so two numbers can be compared only at the same count, which every table states.
"""

import contextlib
import hashlib
import os
from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F

from .extras import optional
from .i3d import FRAME_SIZE, InflatedInception
from .weights import SOURCES, cache_folder, find_weights


FVD_FRAMES = 16
"""The frames that the first of the two FVDs uses, the usual clip length in the literature. The second FVD uses all frames."""

FID_FRAMES = 8
"""How many evenly spaced frames of each clip FID uses. Neighbouring frames would add time and almost no information."""

FEW = {"fvd": 400, "fid": 2048}
"""With fewer samples than features, the covariance is singular and the distance far too large."""

INCEPTION_SIZE = 299


def frechet_distance(features: np.ndarray, others: np.ndarray) -> float:
    """The Fréchet distance between the Gaussians of two sets, [N, D] and [M, D]: |m1 - m2|² + tr(C1 + C2 - 2 (C1 C2)^½).

    Raises:
        ValueError: if a set has fewer than two samples, which have no covariance.
    """
    if min(len(features), len(others)) < 2:
        raise ValueError(
            f"A Fréchet distance needs at least 2 samples on either side, got {len(features)} and {len(others)}."
        )
    features, others = (np.asarray(samples, dtype=np.float64) for samples in (features, others))
    # Each covariance is X' X. The triangular factor of a QR decomposition has the same X' X, and no more rows than there are features.
    centred = [(samples - samples.mean(0)) / np.sqrt(len(samples) - 1) for samples in (features, others)]
    centred = [np.linalg.qr(samples, mode="r") if len(samples) > samples.shape[1] else samples for samples in centred]
    mean_distance = np.square(features.mean(0) - others.mean(0)).sum()
    # The trace of (C1 C2)^½ is the sum of the singular values of X1 X2', because C1 C2 and (X1 X2')(X1 X2')' have the same eigenvalues
    # except for zeros. This needs no root of a singular matrix, on which the usual formula fails.
    root = optional("scipy.linalg").svdvals(centred[0] @ centred[1].T).sum()
    spread = sum(np.square(samples).sum() for samples in centred)
    return float(mean_distance + spread - 2 * root)


def clip_features(network: InflatedInception, frames: np.ndarray) -> np.ndarray:
    """I3D's logits of one clip, uint8 [F, height, width, 3] with at least 9 frames: float32 [1, 400]."""
    pixels = torch.from_numpy(np.ascontiguousarray(frames)).permute(0, 3, 1, 2).float() / 127.5 - 1
    pixels = F.interpolate(pixels, (FRAME_SIZE, FRAME_SIZE), mode="bilinear", antialias=True)  # [F, 3, 224, 224]
    clip = pixels.transpose(0, 1)[None].contiguous(memory_format=torch.channels_last_3d)
    with torch.inference_mode():
        return network(clip).numpy()


def frame_features(network: torch.jit.ScriptModule, frames: np.ndarray) -> np.ndarray:
    """Inception's features of frames evenly spaced in a clip, uint8 [F, height, width, 3]: float32 [up to 8, 2048].

    The picture of a clip that stands still is computed once, but counts as often as the frames of any other clip.
    """
    chosen = np.linspace(0, len(frames) - 1, min(FID_FRAMES, len(frames))).round().astype(int)
    features = []
    for before, index in zip([None, *chosen[:-1]], chosen, strict=True):
        if before is not None and np.array_equal(frames[before], frames[index]):
            features.append(features[-1])
            continue
        pixels = torch.from_numpy(frames[index].copy()).permute(2, 0, 1)[None].float()
        pixels = F.interpolate(pixels, (INCEPTION_SIZE, INCEPTION_SIZE), mode="bilinear", antialias=True)
        with torch.inference_mode():
            features.append(network((pixels - 128) / 128)[0].flatten().numpy())
    return np.stack(features)


def load_inception() -> torch.jit.ScriptModule:
    """The Inception-v3 of 2015-12-05 that FID is defined with, [B, 3, 299, 299] to [B, 2048].

    Raises:
        WeightsError: if its weights are not in the cache folder.
    """
    return torch.jit.load(find_weights("fid-inception"), map_location="cpu").eval()


def load_i3d() -> InflatedInception:
    """I3D in the memory format that makes its convolutions fastest.

    Raises:
        WeightsError: if its weights are not in the cache folder.
    """
    return InflatedInception().to(memory_format=torch.channels_last_3d)


def remembered(weights: str, key: str, frames: np.ndarray, compute: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """`compute(frames)`, from the cache folder if the metric `key` has already seen the same pixels with the same weights."""
    name = hashlib.sha256(f"{SOURCES[weights].sha256} {key} {frames.shape}".encode())
    name.update(np.ascontiguousarray(frames))
    path = cache_folder() / "features" / f"{key}-{name.hexdigest()[:32]}.npy"
    try:
        return np.load(path)
    except (OSError, ValueError, EOFError):  # missing or incomplete
        features = compute(frames)
    unfinished = path.with_suffix(f".{os.getpid()}.npy")
    # If the folder cannot be written or the disk is full, only the next evaluation takes longer; this one keeps its scores.
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(unfinished, features)
        unfinished.replace(path)
    with contextlib.suppress(OSError):
        unfinished.unlink(missing_ok=True)
    return features
