"""Clips to latents, once, so that training the denoiser never decodes a video.

    python -m fashionflow.training.prepare CLIPS LATENTS --vae runs/autoencoder/vae

CLIPS holds .mp4 files and `labels.jsonl`, one line a clip: `name`, `motion` and `yaw` (degrees, one a frame). Each clip becomes
`LATENTS/NAME.safetensors`; clips that are there already are skipped, so an interrupted run goes on where it stopped.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file
from tqdm import tqdm
from transformers import CLIPImageProcessorPil

from ..models import GarmentAutoencoder
from ..motion import LONGEST_WALK
from ..video import read_frames
from .autoencoder import to_pixels


IMAGE_SIZE = 96  # pixels that the small image encoder sees
WALK = "walk"


def image_processor(size: int = IMAGE_SIZE) -> CLIPImageProcessorPil:
    """CLIP's own preprocessing (shortest edge, centre crop, CLIP's mean and deviation) at a smaller size."""
    return CLIPImageProcessorPil(size={"shortest_edge": size}, crop_size={"height": size, "width": size})


def read_labels(folder: Path) -> dict[str, dict]:
    """The labels of a folder of clips by clip name.

    Raises:
        ValueError: if there is no readable `labels.jsonl`.
    """
    path = folder / "labels.jsonl"
    if not path.is_file():
        path = folder.parent / "labels.jsonl"
    if not path.is_file():
        raise ValueError(f"`clips` must hold a labels.jsonl beside its .mp4 files, got {str(folder)!r}.")
    labels = [json.loads(line) for line in path.read_text().splitlines() if line.strip()]
    return {label["name"]: label for label in labels}


def walked_distance(label: dict, num_frames: int) -> np.ndarray:
    """Metres walked towards the camera at each frame, [F]."""
    return np.linspace(0, LONGEST_WALK, num_frames) * (label["motion"] == WALK)


@torch.inference_mode()
@torch.autocast("cpu", torch.bfloat16)
def encode_clip(
    frames: np.ndarray, vae: GarmentAutoencoder, processor: CLIPImageProcessorPil
) -> dict[str, torch.Tensor]:
    """The latents of a clip, uint8 [F, height, width, 3], and of its mirror image, and what the image encoder sees.

    Returns:
        `latents` and `mirrored`, bfloat16 [F, C, H, W]; `pictures`, uint8 [F, 3, size, size].
    """
    pixels = to_pixels(frames)  # [F, 3, height, width]
    scale = vae.config.scaling_factor
    latents, mirrored = (
        vae.encode(p.contiguous(memory_format=torch.channels_last)).latents * scale for p in (pixels, pixels.flip(-1))
    )
    pictures = processor(
        images=[Image.fromarray(frame) for frame in frames], do_rescale=False, do_normalize=False, return_tensors="pt"
    ).pixel_values
    return {
        "latents": latents.bfloat16().contiguous(),
        "mirrored": mirrored.bfloat16().contiguous(),
        "pictures": pictures.to(torch.uint8).contiguous(),
    }


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips", type=Path)
    parser.add_argument("latents", type=Path)
    parser.add_argument("--vae", required=True, help="folder of the trained autoencoder")
    args = parser.parse_args(argv)
    labels = read_labels(args.clips)
    vae = GarmentAutoencoder.from_pretrained(args.vae).eval().to(memory_format=torch.channels_last)
    processor = image_processor()
    args.latents.mkdir(parents=True, exist_ok=True)
    skipped = []
    for clip in tqdm(sorted(args.clips.glob("*.mp4"))):
        target = args.latents / f"{clip.stem}.safetensors"
        if target.exists():
            continue
        try:
            frames = read_frames(clip)
            label = labels[clip.stem]
            if len(label["yaw"]) != len(frames):
                raise ValueError(f"{clip.name} has {len(frames)} frames and {len(label['yaw'])} labels.")
        except (ValueError, KeyError) as error:
            skipped.append(f"{clip.name}: {error}")
            continue
        tensors = encode_clip(frames, vae, processor)
        tensors["yaw"] = torch.tensor(label["yaw"])
        tensors["distance"] = torch.from_numpy(walked_distance(label, len(frames))).float()
        partial = target.with_suffix(".partial")
        save_file(tensors, partial)
        partial.rename(target)
    for line in skipped:
        print("skipped", line)


if __name__ == "__main__":
    main()
