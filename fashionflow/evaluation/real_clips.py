"""Clips of real photos: makes them, computes where their figure should be, and reads other systems' clips for comparison."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from ..photo.reading import PhotoError, fit, read_photo
from ..pipelines import ClipGuide, FashionFlowPipeline
from ..pipelines.motions import PRESETS, motion_rows
from ..pipelines.warp import turn_and_size
from ..video.decoding import ClipDecoder
from ..video.io import read_frames
from .real_measures import Asked


OWN_ROWS = ("model", "still", "warp", "geometry")
TURNS = ("turn-left", "turn-right")


@dataclass
class Task:
    """One photo and one motion.

    Args:
        stem: the photo's file name without its extension.
        motion: the name of the motion.
        photo: the photo as the model frames it, at the clip's size.
        rows: the rows of the motion, one for each of the denoiser's frames, [F, 3].
        moments: the indices of the denoiser's frames that the clip contains, whole numbers, [N].
        guide: the guide of the N frames.
    """

    stem: str
    motion: str
    photo: Image.Image
    rows: torch.Tensor
    moments: torch.Tensor
    guide: ClipGuide

    @property
    def name(self) -> str:
        """The name of the clip's file, without its extension."""
        return f"{self.stem}-{self.motion}"


def kept_moments(num_frames: int, frame_step: int) -> torch.Tensor:
    """The indices of about every `frame_step`-th frame of a clip, evenly spaced, with the first and the last; whole numbers [N], N >=
    2."""
    count = max(2, (num_frames - 1) // frame_step + 1)
    return torch.linspace(0, num_frames - 1, count).round().long()


@torch.no_grad()
def make_frames(pipe: FashionFlowPipeline, row: str, task: Task, asked: Asked, steps: int, seed: int) -> np.ndarray:
    """The clip of one of `OWN_ROWS`, uint8 RGB [N, height, width, 3]."""
    if row == "still":
        return np.repeat(asked.photo[None], len(task.moments), axis=0)
    if row == "warp":
        return asked.warped
    guide = task.guide if pipe.has_geometry else None
    if row == "geometry":
        latents = pipe.encode_guide(guide)[:, : pipe.unet.config.in_channels].float()
    else:
        num_frames = len(task.rows)
        latents = pipe(
            task.photo,
            num_frames=num_frames,
            num_inference_steps=steps,
            motion=task.rows if pipe.has_motion else None,
            generator=torch.Generator().manual_seed(seed),
            output_type="latent",
            guide=ClipGuide(guide.layers, task.rows) if guide else None,
        ).frames[:, :, task.moments]
    return np.stack(list(ClipDecoder(pipe, latents, photo=task.photo, guide=guide).frames()))


def framed_photos(
    pipe: FashionFlowPipeline, photos: list[Path], remarks: list[str]
) -> Iterator[tuple[str, Image.Image]]:
    """Yields the name without its extension and the photo as the model frames it, for every readable photo. `remarks` gets a sentence for
    each photo that cannot be read."""
    first_of: dict[str, Path] = {}
    for path in photos:
        if first_of.setdefault(path.stem, path) != path:
            remarks.append(
                f"{path.name} was left out, because {first_of[path.stem].name} has the same name; rename one."
            )
            continue
        try:
            yield path.stem, pipe.fit_photo(read_photo(path))
        except PhotoError as error:
            remarks.append(f"{path.name} was left out: {error}")


def tasks_of(
    guide_pipe: FashionFlowPipeline,
    stem: str,
    photo: Image.Image,
    motions: list[str],
    num_frames: int,
    frame_step: int,
    turn_angle: float | None = None,
) -> Iterator[Task]:
    """Yields a task for every motion of a framed photo. `guide_pipe` tells where the figure is. `turn_angle`, in degrees, applies to
    turn-left and turn-right; by default they use their own angles."""
    layers = guide_pipe.take_apart(photo.resize((guide_pipe.width, guide_pipe.height)))
    moments = kept_moments(num_frames, frame_step)
    for motion in motions:
        turned = turn_angle is not None and motion in TURNS
        rows = motion_rows(motion, num_frames, math.copysign(turn_angle, PRESETS[motion].angle) if turned else None)
        yield Task(stem, motion, photo, rows, moments, ClipGuide(layers, rows[moments]))


def asked_of(task: Task) -> Asked:
    """The request that a task stands for: the photo, and where its pixels and its figure should be."""
    size = task.photo.size[::-1]
    warped = task.guide.frames(
        torch.arange(len(task.moments)), None if task.guide.layers.coverage.shape == size else size
    )
    _, sizes = turn_and_size(task.guide.motion)
    turn = np.degrees(np.unwrap(np.arctan2(*task.rows[:, :2].T.double().numpy())))[task.moments]
    return Asked(
        photo=np.asarray(task.photo),
        warped=(warped.pixels.permute(0, 2, 3, 1) * 255).round().to(torch.uint8).cpu().numpy(),
        outline=(warped.outline[:, 0] > 0.5).cpu().numpy(),
        front=(warped.known[:, 0] > 0.5).cpu().numpy(),
        turn=turn - turn[0],
        size=sizes.double().numpy(),
    )


def other_frames(path: Path, task: Task) -> np.ndarray:
    """Another system's clip at the model's size and moments, uint8 RGB [N, height, width, 3].

    Raises:
        ValueError: if the clip cannot be read, or is a single frame.
    """
    frames = read_frames(path)
    if len(frames) < 2:
        raise ValueError(f"{str(path)!r} must have at least 2 frames, and has one.")
    progress = task.moments.numpy() / (len(task.rows) - 1)
    chosen = (progress * (len(frames) - 1)).round().astype(int)
    return np.stack([np.asarray(fit(Image.fromarray(frame), *task.photo.size, "crop")) for frame in frames[chosen]])
