"""A trained pipeline as files small enough to ship: half precision, in parts under 10 MB.

python -m fashionflow.training.export runs/denoiser/pipeline assets/models/fashionflow-mini --vae runs/decoder/vae
"""

import argparse
from pathlib import Path

import torch
from transformers import CLIPVisionConfig, CLIPVisionModel

from ..models import GarmentAutoencoder
from ..pipelines import FashionFlowPipeline


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
        vae: folder of an autoencoder to take instead, whose code must be the same (one trained with `decoder_only`).
        num_frames: the clip's length by default, and with it the frame rate over the same time; unchanged if `None`.
        image_layers: how many of the image encoder's layers to keep, first ones first; all if `None`.

    Raises:
        ValueError: if the other autoencoder's code differs.
    """
    pipe = FashionFlowPipeline.from_pretrained(pipeline)
    components = dict(pipe.components)
    if vae is not None:
        components["vae"] = GarmentAutoencoder.from_pretrained(vae)
        example = torch.linspace(-1, 1, 3 * pipe.height * pipe.width).view(1, 3, pipe.height, pipe.width)
        with torch.no_grad():
            codes = [autoencoder.encode(example).latents for autoencoder in (pipe.vae, components["vae"])]
        if not torch.allclose(*codes, atol=1e-3):
            raise ValueError(f"`vae` must have the code that the denoiser was trained on, which {str(vae)!r} has not.")
    if image_layers is not None:
        config = CLIPVisionConfig(**components["image_encoder"].config.to_dict() | {"num_hidden_layers": image_layers})
        shorter = CLIPVisionModel(config).eval()
        kept = shorter.state_dict().keys()
        shorter.load_state_dict({k: v for k, v in components["image_encoder"].state_dict().items() if k in kept})
        components["image_encoder"] = shorter
    names = ("frame_rate", "default_num_frames", "signed_pixels", "photo_fit", "noise_scale", "first_frame_given")
    settings = {name: pipe.config[name] for name in names if name in pipe.config}
    if num_frames is not None:
        settings["frame_rate"] = settings["frame_rate"] * num_frames / settings["default_num_frames"]
        settings["default_num_frames"] = num_frames
    pipe = FashionFlowPipeline(**components, **settings).to(torch.float16)
    pipe.save_pretrained(out, max_shard_size=LARGEST_PART)


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pipeline", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--vae", type=Path, help="an autoencoder whose decoder was trained on")
    parser.add_argument("--frames", type=int, help="frames of a clip by default, over the same time")
    parser.add_argument("--image-layers", type=int, help="layers of the image encoder to keep")
    args = parser.parse_args(argv)
    export(args.pipeline, args.out, args.vae, args.frames, args.image_layers)


if __name__ == "__main__":
    main()
