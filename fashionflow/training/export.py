"""Writes a trained pipeline as files small enough to ship: half precision, in parts under 10 MB.

python -m fashionflow.training.export runs/denoiser/pipeline assets/models/fashionflow-mini --vae runs/decoder/vae
"""

import argparse
import sys
from pathlib import Path

import torch
from safetensors import SafetensorError
from transformers import CLIPVisionConfig, CLIPVisionModel

from ..models import GarmentAutoencoder
from ..pipelines import FashionFlowPipeline
from .modules import guided, load_autoencoder, load_start, same_code


LARGEST_PART = "9MB"  # a Hugging Face Space refuses files of 10 MB and more outside its large-file storage


def export(
    pipeline: Path | str,
    out: Path | str,
    vae: Path | str | None = None,
    num_frames: int | None = None,
    image_layers: int | None = None,
) -> None:
    """Writes the pipeline folder `pipeline` to `out` in float16.

    Args:
        pipeline: folder that `fashionflow.training.denoiser` wrote.
        out: folder to write; files that are there already are overwritten.
        vae: folder of an autoencoder to use instead. Its encoder must be the same (trained with `decoder_only`).
        num_frames: the default number of frames of a clip. The frame rate changes with it, so that the duration stays the same. Unchanged
            if `None`.
        image_layers: how many layers of the image encoder to keep, from the first on; all if `None`.

    Raises:
        ValueError: if one cannot be loaded, the other autoencoder's encoder differs, or that number of frames or layers is not possible.
        OSError: if `out` cannot be written.
    """
    pipe = load_start(pipeline, "pipeline")
    components = dict(pipe.components)
    if vae is not None:
        components["vae"] = load_autoencoder(str(vae))
        ours = all(isinstance(autoencoder, GarmentAutoencoder) for autoencoder in (pipe.vae, components["vae"]))
        if not ours or not same_code(pipe.vae, components["vae"], pipe.code_size):
            raise ValueError(
                f"`vae` must have the code that the denoiser was trained on, which {str(vae)!r} does not have."
            )
        if pipe.has_geometry:
            components["vae"] = guided(components["vae"])
    multiple, layers = pipe.unet.frame_multiple, pipe.image_encoder.config.num_hidden_layers
    if num_frames is not None and (num_frames < 2 or num_frames % multiple):
        raise ValueError(f"`num_frames` must be a multiple of {multiple} and at least 2, got {num_frames}.")
    if image_layers is not None and not 0 <= image_layers <= layers:
        raise ValueError(f"`image_layers` must be from 0 to {layers}, got {image_layers}.")
    if image_layers is not None:
        config = CLIPVisionConfig(**components["image_encoder"].config.to_dict() | {"num_hidden_layers": image_layers})
        shorter = CLIPVisionModel(config).eval()
        kept = shorter.state_dict().keys()
        shorter.load_state_dict({k: v for k, v in components["image_encoder"].state_dict().items() if k in kept})
        components["image_encoder"] = shorter
    names = ("frame_rate", "default_num_frames", "signed_pixels", "photo_fit", "noise_scale", "first_frame_given")
    names += ("clip_scale", "deep_interval")
    settings = {name: pipe.config[name] for name in names if name in pipe.config}
    if num_frames is not None:
        settings["frame_rate"] = settings["frame_rate"] * num_frames / settings["default_num_frames"]
        settings["default_num_frames"] = num_frames
    pipe = FashionFlowPipeline(**components, **settings).to(torch.float16)
    try:
        pipe.save_pretrained(out, max_shard_size=LARGEST_PART)
    except SafetensorError as error:
        raise OSError(f"{str(out)!r} cannot be written ({error}); free some space and run again.") from error


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pipeline", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--vae", type=Path, help="an autoencoder whose decoder was trained on")
    parser.add_argument("--frames", type=int, help="frames of a clip by default, over the same time")
    parser.add_argument("--image-layers", type=int, help="layers of the image encoder to keep")
    args = parser.parse_args(argv)
    try:
        if args.out.is_file():
            raise ValueError(f"`out` must be a folder, got the file {str(args.out)!r}.")
        export(args.pipeline, args.out, args.vae, args.frames, args.image_layers)
    except (ValueError, OSError) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
