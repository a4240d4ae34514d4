"""The decoder's training data: clips as the denoiser makes them, the true clips, and their guides.

Shape letters used in this file:
    F frames   C latent channels   h, w latent cells   H, W pixels of the autoencoder's pictures
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors import SafetensorError
from safetensors.torch import load_file
from tqdm import tqdm

from ..evaluation.clip_labels import is_held_out, read_labels, walked_distance
from ..photo.cropping import fit
from ..pipelines import FashionFlowPipeline
from ..pipelines.guide import ClipGuide
from ..pipelines.motions import rows
from ..video.io import read_frames
from .autoencoder import to_pixels
from .latents import write_clip_latents


SCORED_FRAMES = slice(3, None, 4)
"""The frames of a held-out clip that are scored."""
FEWEST_FRAMES = 4  # smallest number of frames of a clip, so that at least one is scored
CHUNK_FRAMES = 4  # frames that are warped or encoded at a time


@torch.no_grad()
def sample_clip(
    pipe: FashionFlowPipeline, frames: np.ndarray, motion: torch.Tensor, steps: int, seed: int
) -> dict[str, torch.Tensor]:
    """Samples a clip from a true clip's first frame and motion, and encodes the true clip.

    Args:
        frames: uint8 [F, H, W, 3], of the autoencoder's size and the pipeline's frame rate.
        motion: rows, [F, 3].
        steps: denoising steps.
        seed: the seed of the starting noise.

    Returns:
        `sampled` and `true` latents, bfloat16 [F, C, h, w]; for a pipeline with geometry also the guide, `guide_pixels`, uint8
        [F, 3, H, W], and `guide_known`, uint8 [F, 4, H, W], as `shrunk_guide` returns them.
    """
    # A photo of the clip's size is not cropped.
    photo = fit(Image.fromarray(frames[0]), pipe.width, pipe.height, "crop")
    guide = pipe.guide(photo, motion, len(frames))
    with torch.autocast(pipe.device.type, torch.bfloat16, enabled=pipe.device.type == "cuda"):
        sampled = pipe(
            photo,
            num_frames=len(frames),
            num_inference_steps=steps,
            motion=motion,
            generator=torch.Generator().manual_seed(seed),
            output_type="latent",
            guide=guide,
        ).frames  # [1, C, F, h, w]
    parts = [part.to(pipe.device, pipe.vae.dtype) for part in to_pixels(frames).split(CHUNK_FRAMES)]
    true = torch.cat([pipe.vae.encode(part).latents for part in parts])
    return {
        "sampled": sampled[0].transpose(0, 1).bfloat16().cpu().contiguous(),
        "true": (true * pipe.vae.config.scaling_factor).bfloat16().cpu().contiguous(),
        **(shrunk_guide(guide, pipe.code_size) if guide is not None else {}),
    }


def shrunk_guide(guide: ClipGuide, size: tuple[int, int]) -> dict[str, torch.Tensor]:
    """A guide as the pipeline gives it to the decoder: warped at the clip's size and shrunk to the size of the autoencoder's pictures.

    Args:
        size: height and width of those pictures, pixels.

    Returns:
        `guide_pixels`, sRGB, uint8 [F, 3, H, W], and `guide_known`, how each pixel is known (`KNOWN_CHANNELS`), 255 for fully known,
        uint8 [F, 4, H, W].
    """
    parts = {"guide_pixels": [], "guide_known": []}
    for moments in torch.arange(len(guide.motion)).split(CHUNK_FRAMES):
        warped = guide.frames(moments)
        for name, maps in (("guide_pixels", warped.pixels), ("guide_known", warped.known)):
            maps = F.interpolate(maps, size, mode="area")
            parts[name].append((maps.clamp(0, 1) * 255).round().byte().cpu())
    return {name: torch.cat(chunks).contiguous() for name, chunks in parts.items()}


@dataclass
class PairedClip:
    """A true clip, the clip that the denoiser made from it, and its guide.

    Args:
        frames: uint8 [F, H, W, 3].
        sampled, true: latents, [F, C, h, w].
        guide_pixels, guide_known: the guide as `shrunk_guide` returns it, uint8 [F, 3 and 4, H, W]; `None` for a pipeline without guides.
    """

    frames: np.ndarray
    sampled: torch.Tensor
    true: torch.Tensor
    guide_pixels: torch.Tensor | None = None
    guide_known: torch.Tensor | None = None

    def guide(self, frames: int | slice, lines: slice = slice(None)) -> dict[str, torch.Tensor]:
        """Some rows of pixels of the guide of one or several frames, as `GuideFrames` takes them: `guide_pixels` in [-1, 1],
        [..., 3, lines, W], and `guide_known` in [0, 1], [..., 4, lines, W]. Empty for a clip without a guide."""
        if self.guide_pixels is None:
            return {}
        return {
            "guide_pixels": self.guide_pixels[frames][..., lines, :].float() / 127.5 - 1,
            "guide_known": self.guide_known[frames][..., lines, :].float() / 255,
        }


class PairedCrops:
    """Crops of sampled or true latents, as wide as the clip, with their guide and the true pixels that the decoder should draw.

    They are drawn by number, so that a resumed run continues with crops that it has not seen.

    Args:
        clips: the clips, all of one size.
        block_size: pixels along one side of a latent cell.
        crop_lines: height of a crop in latent cells.
        seed: determines the draws, together with the crop's number.

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
        """`latents`, [B, C, crop_lines, w]; `pixels` in [-1, 1], [B, 3, height, W]; and, for clips with a guide, `guide_pixels` and
        `guide_known` as `GuideFrames` takes them, [B, 3 and 4, height, W]."""
        crops = [self._draw(number, sampled_fraction) for number in numbers]
        return {name: torch.stack([crop[name] for crop in crops]) for name in crops[0]}

    def _draw(self, number: int, sampled_fraction: float) -> dict[str, torch.Tensor]:
        random = np.random.default_rng([self.seed, number])
        sampled = random.random() < sampled_fraction
        clip = self.clips[random.integers(len(self.clips))]
        frame = int(random.integers(len(clip.frames)))
        latents = clip.sampled if sampled else clip.true
        top = int(random.integers(latents.shape[2] - self.crop_lines + 1))
        cells = slice(top, top + self.crop_lines)
        lines = slice(self.block_size * cells.start, self.block_size * cells.stop)
        return {
            "latents": latents[frame, :, cells].float(),
            "pixels": to_pixels(clip.frames[[frame], lines])[0],
            **clip.guide(frame, lines),
        }


def sample_clips(
    pipe: FashionFlowPipeline, clips: Path, cache: Path, num_clips: int, num_held_out: int, steps: int, seed: int
) -> tuple[list[PairedClip], list[PairedClip]]:
    """Samples clips to train on, drawn by `seed`, and held-out clips. Clips that are already in the folder `cache` are read from there.

    Clips that cannot be read, are too short or have wrong labels are reported and skipped.

    Raises:
        ValueError: if there are no clips to train on or no held-out clips, if a clip does not have the size of the autoencoder's
            pictures, or if a file in `cache` is damaged.
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
            frames, label = read_frames(path), labels[path.stem]
            if len(frames) < FEWEST_FRAMES:
                raise ValueError(f"it has {len(frames)} frames, {FEWEST_FRAMES} are needed")
            if len(label["yaw"]) != len(frames):
                raise ValueError(f"there are {len(frames)} frames and {len(label['yaw'])} labels of `yaw`")
            motion = rows(np.array(label["yaw"]), walked_distance(label, len(frames)))
        except (ValueError, KeyError, TypeError) as error:
            tqdm.write(f"skipped {path.name}: {error}")
            continue
        if frames.shape[1:3] != pipe.code_size:
            raise ValueError(
                f"`clips` must be {pipe.code_size[0]} x {pipe.code_size[1]} pixels (height x width) like the autoencoder's "
                f"pictures, got {frames.shape[1]} x {frames.shape[2]} in {path.name}."
            )
        cached = cache / f"{path.stem}.safetensors"
        if not cached.exists():
            try:
                latents = sample_clip(pipe, frames, motion, steps, seed)
            except ValueError as error:  # too few or too many frames for this pipeline
                tqdm.write(f"skipped {path.name}: {error}")
                continue
            write_clip_latents(cached, latents)
        try:
            latents = load_file(cached)
        except (SafetensorError, OSError) as error:
            raise ValueError(f"{str(cached)!r} is damaged ({error}); delete it and run again.") from error
        wanted = ("sampled", "true", *(("guide_pixels", "guide_known") if pipe.has_geometry else ()))
        if set(latents) != set(wanted) or any(len(latents[name]) != len(frames) for name in wanted):
            raise ValueError(f"{str(cached)!r} is of another pipeline or of another clip; delete it and run again.")
        pairs[path] = PairedClip(frames, **latents)
    kinds = [[pairs[path] for path in paths if path in pairs] for paths in (to_train, to_test)]
    if not all(kinds):
        raise ValueError(
            f"`clips` must hold clips that can be used, to train on and to test with, got {len(kinds[0])} and "
            f"{len(kinds[1])} in {str(clips)!r}."
        )
    return kinds[0], kinds[1]
