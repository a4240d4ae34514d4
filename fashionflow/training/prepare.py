"""Encodes clips to latents once, so that training the denoiser never decodes a video.

    python -m fashionflow.training.prepare CLIPS LATENTS --vae runs/autoencoder/vae
    python -m fashionflow.training.prepare CLIPS LATENTS --vae runs/autoencoder/vae --geometry runs/geometry/geometry
    python -m fashionflow.training.prepare VIDEOS LATENTS --model assets/models/fashionflow-mini

With a geometry network, every clip also gets its guide: frame 0, moved by its predicted shape and the clip's motion. The denoiser then
learns to correct the mistakes of the guides that it will receive. Windows of such clips begin at frame 0.

CLIPS contains .mp4 files and `labels.jsonl`, with one line per clip: `name`, `motion`, `yaw` (degrees, one per frame) and, if it is
known, `distance` (metres walked, one per frame). VIDEOS contains videos of any size and frame rate without labels, either in folders
`train` and `test` or directly; their motion is unknown. Each becomes one file in LATENTS, and training draws its windows anywhere in it.
Existing files are skipped, so an interrupted run continues where it stopped. Files that cannot be used are reported and skipped.
"""

import argparse
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL
from PIL import Image
from torch.nn.functional import avg_pool2d
from tqdm import tqdm
from transformers import CLIPImageProcessorPil

from ..evaluation.clip_labels import read_labels, walked_distance
from ..models import GarmentAutoencoder, GarmentGeometry
from ..photo.reading import fit
from ..pipelines.motions import rows
from ..pipelines.photo_layers import take_apart
from ..pipelines.photo_preparation import FIGURE
from ..pipelines.warp import warp
from .latents import LatentFormat, write_clip_latents
from .modules import load_autoencoder, load_geometry, load_start
from .recipes import RELEASED_FORMAT


CHUNK_FRAMES = 24  # frames that are encoded at a time


@torch.inference_mode()
def encode_clip(
    frames: np.ndarray,
    vae: GarmentAutoencoder | AutoencoderKL,
    processor: CLIPImageProcessorPil,
    signed_pixels: bool = True,
    mirror: bool = True,
    posterior: bool = False,
) -> dict[str, torch.Tensor]:
    """The latents of a clip, uint8 [F, height, width, 3], and of its mirror image, and the pictures that the image encoder sees.

    Args:
        frames: uint8 RGB, with a size that the autoencoder takes.
        vae: the autoencoder.
        processor: prepares the image encoder's pixels.
        signed_pixels: give the autoencoder pixels in [-1, 1] rather than [0, 1].
        mirror: encode the mirror image too.
        posterior: also keep the standard deviation of the posterior, for an autoencoder that has one.

    Returns:
        `latents` and, if requested, `mirrored` and `deviation`, bfloat16 [F, C, H, W]; `pictures`, uint8 [F, 3, size, size].
    """
    parts: dict[str, list[torch.Tensor]] = {"latents": []}
    device, scale = vae.device, vae.config.scaling_factor
    for start in range(0, len(frames), CHUNK_FRAMES):
        pixels = torch.from_numpy(frames[start : start + CHUNK_FRAMES]).permute(0, 3, 1, 2).to(device).float() / 255
        pixels = pixels * 2 - 1 if signed_pixels else pixels  # [f, 3, height, width]
        for name, picture in {"latents": pixels, **({"mirrored": pixels.flip(-1)} if mirror else {})}.items():
            with torch.autocast(device.type, torch.bfloat16):
                encoded = vae.encode(picture.contiguous(memory_format=torch.channels_last))
            latents = encoded.latents if isinstance(vae, GarmentAutoencoder) else encoded.latent_dist.mode()
            parts.setdefault(name, []).append(latents * scale)
            if posterior and name == "latents":
                parts.setdefault("deviation", []).append(encoded.latent_dist.std * scale)
    images = [Image.fromarray(frame) for frame in frames]
    pictures = processor(images=images, do_rescale=False, do_normalize=False, return_tensors="pt").pixel_values
    return {
        **{name: torch.cat(chunks).bfloat16().cpu().contiguous() for name, chunks in parts.items()},
        "pictures": pictures.to(torch.uint8).contiguous(),
    }


@torch.inference_mode()
def encode_guide(
    frames: np.ndarray, motion: torch.Tensor, vae: GarmentAutoencoder, geometry: GarmentGeometry, mirror: bool = True
) -> dict[str, torch.Tensor]:
    """The guide of a clip as the pipeline would make it from frame 0.

    Args:
        frames: uint8 RGB, [F, height, width, 3].
        motion: rows, [F, 3].
        vae: the autoencoder, for pixels in [-1, 1].
        geometry: predicts the shape of frame 0.
        mirror: also make the guide of the mirror image.

    Returns:
        `guide` and, if requested, `mirrored_guide`, bfloat16 [F, C + 4, H, W]: latents, and how they are known.
    """
    photo = torch.from_numpy(frames[0]).permute(2, 0, 1)[None].float() / 127.5 - 1
    layers = take_apart(frames[0], geometry.predict(photo.to(vae.device))).to(vae.device)
    warped = warp(layers, motion)
    guides = {}
    for name in ("guide", "mirrored_guide") if mirror else ("guide",):
        pixels, known = warped.pixels * 2 - 1, warped.known
        if name == "mirrored_guide":
            pixels, known = pixels.flip(-1), known.flip(-1)
        latents = torch.cat([vae.encode(part).latents for part in pixels.split(CHUNK_FRAMES)])
        known = avg_pool2d(known, vae.config.block_size)
        guide = torch.cat([latents * vae.config.scaling_factor, known], dim=1)
        guides[name] = guide.bfloat16().cpu().contiguous()
    return guides


def fitted(frame: np.ndarray, form: LatentFormat) -> np.ndarray:
    """A frame, uint8 [height, width, 3], fitted to the format's size in the same way as photos."""
    if frame.shape[:2] == (form.height, form.width):
        return frame
    mode = "crop" if form.photo_fit == FIGURE else form.photo_fit
    return np.asarray(fit(Image.fromarray(frame), form.width, form.height, mode))


def prepare(
    clips: Path,
    latents: Path,
    vae: GarmentAutoencoder | AutoencoderKL,
    form: LatentFormat,
    window: int = 2,
    seconds: float = 60.0,
    mirror: bool = True,
    posterior: bool = False,
    geometry: GarmentGeometry | None = None,
) -> None:
    """Writes the latents of every clip that can be used, and reports which clips cannot be used and why.

    Args:
        clips: folder of labelled clips, whose frames are used unchanged, or of videos, which are converted to the format's frame rate.
        latents: folder to write to.
        vae: the autoencoder.
        form: the format of the latents.
        window: the smallest number of frames that a usable clip has.
        seconds: how many seconds of a video are used, from its start.
        mirror, posterior: as in `encode_clip`.
        geometry: also write guides, which only labelled clips can have.

    Raises:
        ValueError: if there are no clips to train on or to test with, before or after the files are read.
        OSError: if the disk is full.
    """
    # moviepy is needed only for videos. To train on existing latents, it does not have to be installed.
    from ..video.io import read_frames
    from .videos import find_videos, read_frames_at, split

    labelled = any((p / "labels.jsonl").is_file() for p in (clips, clips.parent, *split(clips)))
    if labelled:
        labels = {name: label for part in split(clips) for name, label in read_labels(part).items()}
    elif geometry is not None:
        raise ValueError("`geometry` needs clips whose motion is known, and there is no labels.jsonl beside them.")

    def is_usable(video: Path) -> bool:
        if labelled or (latents / "test" / f"{video.stem}.safetensors").exists():
            return True
        try:
            return sum(1 for _ in read_frames_at(video, form.frame_rate, seconds)) >= window
        except ValueError:
            return False

    videos = find_videos(clips, is_usable)
    latents.mkdir(parents=True, exist_ok=True)
    form.write(latents)
    processor = form.image_processor()
    skipped = []
    for target, video in tqdm(videos.items(), desc="encoding clips"):
        target = latents / f"{target}.safetensors"
        if target.exists():
            continue
        try:
            if labelled and video.stem not in labels:
                raise ValueError("labels.jsonl does not name it")
            read = read_frames(video) if labelled else read_frames_at(video, form.frame_rate, seconds)
            frames = [fitted(frame, form) for frame in read]
            if len(frames) < window:
                raise ValueError(
                    f"it has {len(frames)} frames at {form.frame_rate:g} a second, a window needs {window}"
                )
            frames = np.stack(frames)
            tensors = {}
            if labelled:
                label = labels[video.stem]
                if len(label["yaw"]) != len(frames):
                    raise ValueError(f"there are {len(frames)} frames and {len(label['yaw'])} labels of `yaw`")
                tensors["yaw"] = torch.tensor(label["yaw"], dtype=torch.float32)
                tensors["distance"] = torch.from_numpy(walked_distance(label, len(frames))).float()
            tensors |= encode_clip(frames, vae, processor, form.signed_pixels, mirror, posterior)
            if geometry is not None:
                motion = rows(np.array(label["yaw"]), walked_distance(label, len(frames)))
                tensors |= encode_guide(frames, motion, vae, geometry, mirror)
        except (ValueError, KeyError, TypeError) as error:
            skipped.append(f"skipped {video.name}: {error}")
            continue
        target.parent.mkdir(exist_ok=True)
        write_clip_latents(target, tensors)
    print("\n".join(skipped), end="\n" if skipped else "")
    if len(skipped) == len(videos):
        raise ValueError(
            f"`clips` must hold videos that can be used, none of the {len(videos)} in {str(clips)!r} can."
        )


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips", type=Path)
    parser.add_argument("latents", type=Path)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument(
        "--model", help="pipeline folder to continue from: its autoencoder, size, rate and settings are used"
    )
    source.add_argument("--vae", help="folder (or Hub id) of an autoencoder: ours, or any AutoencoderKL")
    parser.add_argument("--recipe", choices=["ours", "paper"], default="ours", help="paper: its size, rate and quirks")
    parser.add_argument("--size", type=int, nargs=2, metavar=("HEIGHT", "WIDTH"), help="pixels; 320 256 by default")
    parser.add_argument("--rate", type=float, help="frames a second; 8 by default")
    parser.add_argument("--fit", choices=["crop", "pad", "stretch"], help="how frames get that size; crop by default")
    parser.add_argument("--image-size", type=int, help="side of the image encoder's picture; 96 by default")
    parser.add_argument("--window", type=int, default=2, help="fewest frames of a clip that is of use")
    parser.add_argument("--seconds", type=float, default=60.0, help="how much of a video is taken, from its start")
    parser.add_argument(
        "--geometry", help="folder of a geometry network, or of a pipeline with one: also write guides"
    )
    parser.add_argument("--no-mirror", dest="mirror", action="store_false", help="leave mirror images out")
    args = parser.parse_args(argv)
    try:
        paper = args.recipe == "paper"
        if args.model:
            pipe = load_start(args.model, "model")
            vae, form = pipe.vae, LatentFormat.of_pipeline(pipe)
        else:
            vae, form = load_autoencoder(args.vae), RELEASED_FORMAT if paper else LatentFormat()
        given = {"frame_rate": args.rate, "photo_fit": args.fit, "image_size": args.image_size}
        given |= dict(zip(("height", "width"), args.size or (None, None), strict=True))
        form = replace(form, **{name: value for name, value in given.items() if value is not None})
        if any(not value > 0 for value in (form.height, form.width, form.frame_rate, form.image_size, args.seconds)):
            raise ValueError("`--size`, `--rate`, `--image-size` and `--seconds` must be above 0.")
        block = (
            vae.config.block_size
            if isinstance(vae, GarmentAutoencoder)
            else 2 ** (len(vae.config.block_out_channels) - 1)
        )
        if form.height % block or form.width % block:
            raise ValueError(
                f"`--size` must be multiples of {block} for this autoencoder, got {form.height} {form.width}."
            )
        device = "cuda" if torch.cuda.is_available() else "cpu"
        vae = vae.eval().to(device, memory_format=torch.channels_last)
        posterior = paper and isinstance(vae, AutoencoderKL)
        mirror = args.mirror and not paper
        geometry = None
        if args.geometry:
            if not isinstance(vae, GarmentAutoencoder) or not form.signed_pixels:
                raise ValueError("`--geometry` needs an autoencoder of ours with pixels in [-1, 1].")
            geometry = load_geometry(args.geometry).to(device)
        prepare(args.clips, args.latents, vae, form, args.window, args.seconds, mirror, posterior, geometry)
    except (ValueError, OSError) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
