"""Chooses the windows of clips that a training step sees, and their noise.

Everything is drawn from the seed and the number of the example, never from a generator that keeps its state between calls. Therefore a
resumed run sees the same examples as an uninterrupted run, and two processes together see the same examples as one process with twice the
batch size.
"""

from collections.abc import Iterator
from functools import lru_cache

import numpy as np
import torch
from torch.utils.data import Dataset, Sampler

from ..pipelines.motions import MOTION_CHANNELS, rows
from .latents import LatentClip


class LatentWindows(Dataset):
    """Windows of latent clips by example number, without end. Each epoch goes through the clips in another order.

    Args:
        clips: the clips.
        num_frames: frames of a window.
        strides: frame steps, one of which is drawn.
        seed: determines the draws, together with the example's number.
        mirror: mirror half of the windows, where there are mirror images.
        fixed: always the window at the start of the clip.

    Raises:
        ValueError: if a window does not fit into some clip.
    """

    def __init__(
        self,
        clips: list[LatentClip],
        num_frames: int,
        strides: list[int],
        seed: int = 0,
        mirror: bool = True,
        fixed: bool = False,
    ):
        shortest = min(clips, key=len)
        if (num_frames - 1) * min(strides) >= len(shortest):
            raise ValueError(
                f"`num_frames` must fit into the shortest clip, {shortest.name!r}, which has {len(shortest)} frames, got "
                f"{num_frames} frames at a stride of {min(strides)}."
            )
        self.clips = clips
        self.num_frames = num_frames
        self.strides = strides
        self.seed = seed
        self.mirror = mirror
        self.fixed = fixed
        self._order = lru_cache(2)(lambda epoch: np.random.default_rng([seed, 1, epoch]).permutation(len(clips)))

    def __getitem__(self, example: int) -> dict[str, torch.Tensor]:
        """A window as `window` returns it, and its draws: `level` in [0, 1), `keep_motion` and `keep_context` in [0, 1), to be compared
        with the dropouts, and `noise_seed`."""
        epoch, position = divmod(example, len(self.clips))
        clip = self.clips[self._order(epoch)[position]]
        random = np.random.default_rng([self.seed, 2, example])
        fitting = [stride for stride in self.strides if (self.num_frames - 1) * stride < len(clip)]
        stride = int(random.choice(fitting))
        starts = [start for start in clip.starts if start + (self.num_frames - 1) * stride < len(clip)]
        start = starts[0] if self.fixed else int(random.choice(starts))
        mirrored = bool(random.random() < 0.5) and self.mirror and clip.has_mirrored
        level, keep_motion, keep_context = random.random(3, dtype=np.float32)
        return {
            **window(clip, start, self.num_frames, stride, mirrored, random),
            "level": torch.tensor(level),
            "keep_motion": torch.tensor(keep_motion),
            "keep_context": torch.tensor(keep_context),
            "noise_seed": torch.tensor(int(random.integers(2**63))),
        }


def window(
    clip: LatentClip,
    start: int,
    num_frames: int,
    stride: int,
    mirrored: bool,
    random: np.random.Generator | None = None,
) -> dict[str, torch.Tensor]:
    """Frames `start`, `start + stride` ... of a clip. A mirrored body turns the other way.

    Args:
        random: draws from the posterior of clips that have one; without `random`, their means are used.

    Returns:
        `latents` [C, F, H, W]; `photo`, frame 0 as the conditioner sees it, [C, H, W]; `picture`, the same as the image encoder sees it,
        uint8 [3, S, S]; `motion` rows [F, 3], zeros where the motion is not known; and `guide`, [C + 4, F, H, W], for clips that have
        one.
    """
    frames = slice(start, start + (num_frames - 1) * stride + 1, stride)
    latents = clip.latents(frames, mirrored).float()  # [F, C, H, W]
    photo = latents[0]
    if clip.has_deviation and random is not None and not mirrored:
        deviation = clip.deviation(frames).float()
        generator = torch.Generator().manual_seed(int(random.integers(2**63)))
        # The released weights were trained on independent draws for frame 0 and for the conditioner.
        photo = photo + deviation[0] * torch.randn(photo.shape, generator=generator)
        latents = latents + deviation * torch.randn(latents.shape, generator=generator)
    picture = clip.picture(start)
    motion = torch.zeros(num_frames, MOTION_CHANNELS)
    if clip.yaw is not None:
        yaw = clip.yaw[frames].numpy()
        motion = rows(-yaw if mirrored else yaw, clip.distance[frames].numpy())
    guide = {"guide": clip.guide(frames, mirrored).float().transpose(0, 1)} if clip.has_guide else {}
    return {
        "latents": latents.transpose(0, 1),
        **guide,
        "photo": photo,
        "picture": picture.flip(-1) if mirrored else picture,
        "motion": motion,
    }


class StepBatches(Sampler[list[int]]):
    """The example numbers of each pass of one process, from a step on, without end.

    Args:
        batch_size: examples per process per pass.
        accumulation: passes per step.
        process, num_processes: the index of this process, and the number of processes.
        first_step: step to begin with, counting from 1.
    """

    def __init__(self, batch_size: int, accumulation: int, process: int, num_processes: int, first_step: int):
        self.batch_size = batch_size
        self.process = process
        self.num_processes = num_processes
        self.first_pass = (first_step - 1) * accumulation

    def __iter__(self) -> Iterator[list[int]]:
        index = self.first_pass
        while True:
            start = (index * self.num_processes + self.process) * self.batch_size
            yield list(range(start, start + self.batch_size))
            index += 1


def noise_like(latents: torch.Tensor, seeds: torch.Tensor, offset: float = 0.0) -> torch.Tensor:
    """Standard noise in the shape of `latents`, [B, C, ...], each entry from its own seed, [B].

    Args:
        offset: deviation of the noise that is added to all cells of a channel at once (Guttenberg 2023, "Diffusion with offset noise").
    """
    generator = torch.Generator(latents.device)
    noise = torch.empty_like(latents)
    for entry, seed in zip(noise, seeds.tolist(), strict=True):
        entry.normal_(generator=generator.manual_seed(seed))
        if offset:
            shared = torch.randn(len(entry), generator=generator, device=latents.device)  # [C]
            entry += offset * shared.view(-1, *[1] * (entry.dim() - 1))
    return noise
