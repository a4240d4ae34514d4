"""Clips as the denoiser makes them beside the true ones: what the decoder learns from.

Shape letters used in this file:
    F frames   C latent channels   h, w latent cells
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch.nn import functional as F
from tqdm import tqdm

from ..flow import follow_back, pixel_grid
from ..motion import rows
from ..pipelines import FashionFlowPipeline
from ..video import read_frames
from .autoencoder import to_pixels
from .latents import write_clip_latents
from .loop import is_held_out
from .prepare import read_labels, walked_distance


FEWEST_FRAMES = 9  # of a clip; scores are taken of every eighth frame after the first


@torch.no_grad()
def sample_clip(pipe: FashionFlowPipeline, frames: np.ndarray, label: dict, steps: int, seed: int) -> dict:
    """What the denoiser makes of a clip's first frame and true motion, beside the true clip.

    Args:
        frames: uint8 [F, height, width, 3], of the pipeline's size and frame rate.

    Returns:
        `sampled` and `true` latents, bfloat16 [F, C, h, w].

    Raises:
        ValueError: if the label has not one `yaw`, or `distance`, a frame.
    """
    if len(label["yaw"]) != len(frames):
        raise ValueError(f"there are {len(frames)} frames and {len(label['yaw'])} labels of `yaw`")
    motion = rows(np.array(label["yaw"]), walked_distance(label, len(frames)))
    with torch.autocast(pipe.device.type, torch.bfloat16):
        sampled = pipe(
            Image.fromarray(frames[0]),
            num_frames=len(frames),
            num_inference_steps=steps,
            motion=motion,
            generator=torch.Generator().manual_seed(seed),
            output_type="latent",
        ).frames  # [1, C, F, h, w]
    parts = [part.to(pipe.device, pipe.vae.dtype) for part in to_pixels(frames).split(4)]
    true = torch.cat([pipe.vae.encode(part).latents for part in parts])
    return {
        "sampled": sampled[0].transpose(0, 1).bfloat16().contiguous(),
        "true": (true * pipe.vae.config.scaling_factor).bfloat16().contiguous(),
    }


@dataclass
class PairedClip:
    """A true clip, what the denoiser made of it, and where its pixels come from.

    Args:
        frames: uint8 [F, height, width, 3].
        sampled, true: latents, [F, C, h, w].
        flow: from each pixel to its place in frame 0, (x, y) in pixels, float16 [F, 2, height/4, width/4].
        belief: in that flow, in [0, 1], float16 [F, 1, height/4, width/4].
    """

    frames: np.ndarray
    sampled: torch.Tensor
    true: torch.Tensor
    flow: torch.Tensor
    belief: torch.Tensor

    @classmethod
    def load(cls, frames: np.ndarray, latents: dict[str, torch.Tensor]) -> "PairedClip":
        trails = list(follow_back(frames))
        flow = np.stack([origin for _, origin, _ in trails]) - pixel_grid(*frames.shape[1:3])  # [F, height, width, 2]
        belief = np.stack([belief for _, _, belief in trails])  # [F, height, width]
        return cls(
            frames=frames,
            sampled=latents["sampled"],
            true=latents["true"],
            flow=F.avg_pool2d(torch.from_numpy(flow).permute(0, 3, 1, 2), 4).half(),
            belief=F.avg_pool2d(torch.from_numpy(belief)[:, None], 4).half(),
        )


class PairedCrops:
    """Crops as wide as the clip of latents, sampled or true, beside the photo and the true pixels that they should become.

    They are drawn by number, so that a resumed run goes on with those that it has not seen.

    Args:
        clips: the clips, all of one size.
        block_size: pixels along one side of a latent cell.
        crop_lines: height of a crop in latent cells.
        seed: what the draws depend on beside the crop's number.

    Raises:
        ValueError: if a crop is higher than the clips.
    """

    def __init__(self, clips: list[PairedClip], block_size: int, crop_lines: int, seed: int):
        if crop_lines > clips[0].true.shape[2]:
            raise ValueError(f"`crop_lines` must be at most {clips[0].true.shape[2]}, got {crop_lines}.")
        self.clips = clips
        self.block_size = block_size
        self.crop_lines = crop_lines
        self.seed = seed

    def draw(self, numbers: range, sampled_fraction: float) -> dict[str, torch.Tensor]:
        """`latents` and `first_latents`, [B, C, crop_lines, w]; `pixels` and `photo`, [B, 3, height, width] in [-1, 1]; `flow`
        and `belief`, [B, 2 and 1, height/4, width/4]."""
        crops = [self._draw(number, sampled_fraction) for number in numbers]
        return {name: torch.stack([crop[name] for crop in crops]) for name in crops[0]}

    def _draw(self, number: int, sampled_fraction: float) -> dict[str, torch.Tensor]:
        random = np.random.default_rng([self.seed, number])
        sampled = random.random() < sampled_fraction
        clip = self.clips[random.integers(len(self.clips))]
        frame = random.integers(len(clip.frames))
        latents = clip.sampled if sampled else clip.true
        top = random.integers(latents.shape[2] - self.crop_lines + 1)
        cells = slice(top, top + self.crop_lines)
        pixels = slice(self.block_size * top, self.block_size * (top + self.crop_lines))
        quarters = slice(pixels.start // 4, pixels.stop // 4)
        photo, true = to_pixels(clip.frames[[0, frame], pixels])  # [3, height, width] each
        return {
            "latents": latents[frame, :, cells].float(),
            "first_latents": clip.true[0, :, cells].float(),
            "photo": photo,
            "pixels": true,
            "flow": clip.flow[frame, :, quarters].float(),
            "belief": clip.belief[frame, :, quarters].float(),
        }


def sample_clips(
    pipe: FashionFlowPipeline, clips: Path, cache: Path, num_clips: int, num_held_out: int, steps: int, seed: int
) -> tuple[list[PairedClip], list[PairedClip]]:
    """Clips to learn from, drawn by `seed`, and held-out ones; what is in the folder `cache` already is read there.

    What cannot be read, is too short or is labelled wrongly is reported and passed over.

    Raises:
        ValueError: if a kind of clip is missing, a clip's size is not the model's, or a file in `cache` is damaged.
        OSError: if the disk is full.
    """
    labels = read_labels(clips)
    paths = [path for path in sorted(clips.glob("*.mp4")) if path.stem in labels]
    order = np.random.default_rng(seed).permutation(len(paths))
    to_train = [paths[i] for i in order if not is_held_out(paths[i])][:num_clips]
    to_test = [path for path in paths if is_held_out(path)][:num_held_out]
    if not to_train or not to_test:
        raise ValueError(
            f"`clips` must hold labelled clips to train on and some whose name ends in 7, got {len(to_train)} and "
            f"{len(to_test)} in {str(clips)!r}."
        )
    cache.mkdir(parents=True, exist_ok=True)
    pairs = {}
    for path in tqdm([*to_test, *to_train], desc="sampling"):
        try:
            frames = read_frames(path)
            if len(frames) < FEWEST_FRAMES:
                raise ValueError(f"it has {len(frames)} frames, {FEWEST_FRAMES} are needed")
        except ValueError as error:
            tqdm.write(f"skipped {path.name}: {error}")
            continue
        if frames.shape[1:3] != (pipe.height, pipe.width):
            raise ValueError(
                f"`clips` must be {pipe.height} x {pipe.width} pixels (height x width) like the model, "
                f"got {frames.shape[1]} x {frames.shape[2]} in {path.name}."
            )
        cached = cache / f"{path.stem}.safetensors"
        if not cached.exists():
            try:
                latents = sample_clip(pipe, frames, labels[path.stem], steps, seed)
            except (ValueError, KeyError, TypeError) as error:
                tqdm.write(f"skipped {path.name}: {error}")
                continue
            write_clip_latents(cached, latents)
        try:
            pairs[path] = PairedClip.load(frames, load_file(cached))
        except (SafetensorError, KeyError) as error:
            raise ValueError(f"{str(cached)!r} is damaged ({error}); delete it and run again.") from error
    kinds = [[pairs[path] for path in paths if path in pairs] for paths in (to_train, to_test)]
    if not all(kinds):
        raise ValueError(
            f"`clips` must hold clips that can be used, to train on and to test with, got {len(kinds[0])} and "
            f"{len(kinds[1])} in {str(clips)!r}."
        )
    return kinds[0], kinds[1]
