"""The released FashionFlow checkpoint as a diffusers pipeline folder.

python -m fashionflow.pipelines.convert_checkpoint FashionFlow_checkpoint.pth OUT [--vae FOLDER_OR_ID] [--image-encoder FOLDER_OR_ID]
"""

import argparse
import os
import pickle
import re
import sys
import tempfile
import warnings
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL
from transformers import CLIPImageProcessorPil, CLIPVisionModel

from ..models import GarmentConditioner, SpaceTimeUNet
from ..pipelines import FashionFlowPipeline
from .schedulers import training_scheduler


RELEASED_VAE = "CompVis/stable-diffusion-v1-4"
RELEASED_IMAGE_ENCODER = "openai/clip-vit-base-patch32"

# The released code handed CLIP pixels divided by 255 twice, and rounded to float32 after the first time. Rounding the first
# factor instead gives the same float32 pixels for each of the 256 levels; 1 / 255**2 is off by the last bit for five of them.
RELEASED_RESCALE_FACTOR = float(np.float32(1 / 255)) / 255

# The explicit table of keys: released name to ours, block by block. A released tensor that holds two of ours, one after the
# other along its first axis, has both names, separated by a space.

PSEUDO_CONV = {
    "spatial_conv.weight": "spatial.weight",
    "spatial_conv.bias": "spatial.bias",
    "temporal_conv.weight": "temporal.weight",
    "temporal_conv.bias": "temporal.bias",
}
RESNET = {
    **{f"block{n}.project.{old}": f"conv{n}.{new}" for n in (1, 2) for old, new in PSEUDO_CONV.items()},
    **{f"block{n}.norm.{kind}": f"norm{n}.{kind}" for n in (1, 2) for kind in ("weight", "bias")},
    **{f"res_conv.spatial_conv.{kind}": f"shortcut.{kind}" for kind in ("weight", "bias")},
    **{f"timestep_mlp.1.{kind}": f"time_proj.{kind}" for kind in ("weight", "bias")},
}
TRANSFORMER = {
    **{
        f"{axis}_attn.{old}": new.format(axis=axis)
        for axis in ("spatial", "temporal")
        for old, new in {
            "norm.weight": "{axis}_norm.weight",
            "norm.bias": "{axis}_norm.bias",
            "to_q.weight": "{axis}_attn.to_q.weight",
            "to_kv.weight": "{axis}_attn.to_k.weight {axis}_attn.to_v.weight",  # keys, then values, in one tensor
            "to_out.weight": "{axis}_attn.to_out.weight",
        }.items()
    },
    **{
        f"{axis}_rel_pos_bias.net.{old}.{kind}": f"{axis}_bias.linear_{new}.{kind}"
        for axis in ("spatial", "temporal")
        for old, new in (("0.0", 1), ("1.0", 2), ("2", 3))
        for kind in ("weight", "bias")
    },
    "ff.proj_in.0.weight": "feed_forward.proj_in.weight",
    "ff.proj_out.0.g": "feed_forward.norm.gain",
    "ff.proj_out.1.weight": "feed_forward.proj_out.weight",
}
CROSS_ATTENTION = {
    "layernorm_2.weight": "cross_norm.weight",
    "layernorm_2.bias": "cross_norm.bias",
    "attention_2.q_proj.weight": "cross_attn.to_q.weight",
    "attention_2.k_proj.weight": "cross_attn.to_k.weight",
    "attention_2.v_proj.weight": "cross_attn.to_v.weight",
    "attention_2.out_proj.weight": "cross_attn.to_out.weight",
    "attention_2.out_proj.bias": "cross_attn.to_out.bias",
    "layernorm_3.weight": "feed_forward_norm.weight",
    "layernorm_3.bias": "feed_forward_norm.bias",
    "linear_geglu_1.weight": "feed_forward_in.weight",
    "linear_geglu_1.bias": "feed_forward_in.bias",
    "linear_geglu_2.weight": "feed_forward_out.weight",
    "linear_geglu_2.bias": "feed_forward_out.bias",
    "conv_output.spatial_conv.weight": "proj_out.weight",
    "conv_output.spatial_conv.bias": "proj_out.bias",
}
LEVELS = 4


def under(old: str, new: str, table: dict[str, str]) -> dict[str, str]:
    """`table` with `old` before each released key and `new` before each of our keys."""
    return {f"{old}.{key}": " ".join(f"{new}.{name}" for name in ours.split()) for key, ours in table.items()}


def unet_keys() -> dict[str, str]:
    """Released key to ours, for every key that a released U-Net of four levels may have."""
    keys = {
        "to_timestep_cond.1.weight": "time_embed.weight",
        "to_timestep_cond.1.bias": "time_embed.bias",
        **under("conv_in", "conv_in", PSEUDO_CONV),
        **under("conv_out", "conv_out", PSEUDO_CONV),
        **under("mid_block1", "mid_block.resnet_1", RESNET),
        **under("mid_attn", "mid_block.transformer", TRANSFORMER),
        **under("mid_block2", "mid_block.resnet_2", RESNET),
    }
    resampling = {
        "down": {"down_space.1.weight": "space.weight", "down_time.1.weight": "time.weight"},
        "up": {
            "up_space.0.weight": "space.weight",
            "up_space.0.bias": "space.bias",
            "up_time.0.weight": "time.weight",
            "up_time.0.bias": "time.bias",
        },
    }
    for level in range(LEVELS):
        for way, position in (("down", level), ("up", LEVELS - 1 - level)):
            old, new = f"{way}s.{level}", f"{way}_blocks.{position}"
            keys |= under(f"{old}.0", f"{new}.resnet_1", RESNET)
            keys |= under(f"{old}.1.0", f"{new}.resnet_2", RESNET)
            keys |= under(f"{old}.1.1", f"{new}.resnet_3", RESNET)
            keys |= under(f"{old}.2", f"{new}.transformer", TRANSFORMER)
            keys |= under(f"{old}.3", f"{new}.{way}sample", resampling[way])
            keys |= under(f"{old}.4", f"{new}.cross_attention", CROSS_ATTENTION)
    return keys


CONDITIONER_KEYS = {
    "vae2clip.weight": "latent_proj.weight",
    "vae2clip.bias": "latent_proj.bias",
    "linear1.weight": "token_mix.weight",
    "linear1.bias": "token_mix.bias",
}


def released_shape(name: str, shapes: list[torch.Size]) -> tuple[int, ...]:
    """The shape in the released checkpoint of the tensor that becomes our `name`, whose parts have `shapes`."""
    shape = (sum(part[0] for part in shapes), *shapes[0][1:])
    if ".temporal.weight" in name:  # a 1D convolution there, a (k, 1) one here
        return shape[:-1]
    if name.endswith((".shortcut.weight", ".proj_out.weight")) and ".feed_forward." not in name:
        return (*shape, 1, 1)  # 2D convolutions of kernel 1 there, linear layers here
    if name.endswith("sample.space.weight"):
        return (*shape, 1, 1)
    if name.endswith("sample.time.weight") or ".feed_forward.proj" in name:
        return (*shape, 1, 1, 1)  # likewise in 3D
    if name.endswith(".gain"):
        return (*shape, 1, 1, 1)
    return shape


def load_strictly(model: torch.nn.Module, tensors: dict[str, torch.Tensor], keys: dict[str, str], part: str) -> None:
    """Copies the released `tensors` into `model` by the table `keys`.

    Args:
        model: one of our models, on the device "meta"; all its numbers are in its state dict.
        tensors: the released state dict.
        keys: released key to ours; entries for parts that `model` does not have are passed over.
        part: what the checkpoint calls this state dict, for the messages.

    Raises:
        ValueError: if a tensor is missing, unknown or of the wrong shape; the message names it.
    """
    ours = model.state_dict()
    wanted = {old: new.split() for old, new in keys.items() if new.split()[0] in ours}
    missing = sorted(wanted.keys() - tensors.keys())
    if missing:
        raise ValueError(f"The checkpoint's {part!r} lacks {_listed(missing)}.")
    surplus = sorted(tensors.keys() - wanted.keys(), key=str)
    if surplus:
        raise ValueError(
            f"The checkpoint's {part!r} must hold the released tensors only, got also {_listed(surplus)}."
        )
    converted = {}
    for old, names in wanted.items():
        shapes = [ours[name].shape for name in names]
        expected = released_shape(names[0], shapes)
        if not isinstance(tensors[old], torch.Tensor):
            raise ValueError(
                f"The checkpoint's {part!r} entry {old!r} must be a tensor, got {type(tensors[old]).__name__}."
            )
        if tuple(tensors[old].shape) != expected:
            raise ValueError(
                f"The checkpoint's {part!r} tensor {old!r} must have shape {expected}, got {tuple(tensors[old].shape)}."
            )
        parts = tensors[old].split([shape[0] for shape in shapes])
        for name, shape, tensor in zip(names, shapes, parts, strict=True):
            converted[name] = tensor.reshape(shape).float()
    model.to_empty(device="cpu").load_state_dict(converted, strict=True)


def _listed(names: list) -> str:
    """The first few names, and how many more there are."""
    shown = ", ".join(repr(name) for name in names[:3])
    return shown if len(names) <= 3 else f"{shown} and {len(names) - 3} more"


def unet_and_conditioner(checkpoint: dict[str, dict]) -> tuple[SpaceTimeUNet, GarmentConditioner]:
    """The models of a released checkpoint `{"net": {...}, "adapter": {...}}`, in float32; an `opt` entry is ignored.

    Raises:
        ValueError: if an entry or a tensor is missing, unknown or of the wrong shape; the message names it.
    """
    if not isinstance(checkpoint, dict):
        raise ValueError(
            f"A released checkpoint must be a dictionary with 'net' and 'adapter', got {type(checkpoint).__name__}."
        )
    for part in ("net", "adapter"):
        if not isinstance(checkpoint.get(part), dict):
            raise ValueError(
                f"A released checkpoint must have a state dict {part!r}, got {_listed(list(checkpoint))}."
            )
    unknown = [name for name in checkpoint if name not in ("net", "adapter", "opt")]
    if unknown:
        raise ValueError(
            f"A released checkpoint must hold 'net', 'adapter' and 'opt' only, got also {_listed(unknown)}."
        )
    with torch.device("meta"):  # without numbers, because drawing those that the checkpoint's replace takes seconds
        unet, conditioner = SpaceTimeUNet(), GarmentConditioner()
    load_strictly(unet, checkpoint["net"], unet_keys(), "net")
    load_strictly(conditioner, checkpoint["adapter"], CONDITIONER_KEYS, "adapter")
    return unet.eval(), conditioner.eval()


def convert(
    checkpoint: str | Path,
    folder: str | Path,
    vae: str = RELEASED_VAE,
    image_encoder: str = RELEASED_IMAGE_ENCODER,
) -> FashionFlowPipeline:
    """Writes the released weights as a pipeline folder and returns the pipeline.

    Everything that the released weights assume and ours do not (pixels in [0, 1] for the autoencoder, a stretched photo,
    CLIP's pixels divided by 255 twice) goes into the folder's config.

    Args:
        checkpoint: the released file. It is opened as tensors only: code inside it is refused, never run.
        folder: where the pipeline goes; new or empty.
        vae: Stable Diffusion 1.4's autoencoder: a folder or Hub id with it, or with a folder `vae` that has it.
        image_encoder: CLIP ViT-B/32: a folder or Hub id with the whole of CLIP or its vision tower.

    Raises:
        ValueError: one sentence that says what is wrong with the checkpoint, the autoencoder or the image encoder.
        OSError: if the folder cannot be written.
    """
    folder = Path(folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ValueError(f"`OUT` must be a new or empty folder, got {str(folder)!r}.")
    unet, conditioner = unet_and_conditioner(_read_checkpoint(Path(checkpoint)))
    pipe = FashionFlowPipeline(
        image_encoder=_load_image_encoder(image_encoder, conditioner),
        image_processor=CLIPImageProcessorPil(rescale_factor=RELEASED_RESCALE_FACTOR),
        conditioner=conditioner,
        unet=unet,
        vae=_load_vae(vae, conditioner),
        scheduler=training_scheduler("epsilon"),
        frame_rate=25.0,
        default_num_frames=70,
        signed_pixels=False,
        photo_fit="stretch",
    )
    # Written beside its place and moved there whole, so that nobody takes half a folder for a model.
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as unfinished:
        pipe.save_pretrained(Path(unfinished) / "model")
        if folder.exists():
            folder.rmdir()
        (Path(unfinished) / "model").rename(folder)
    return pipe


def _read_checkpoint(path: Path) -> dict:
    if not path.is_file():
        raise ValueError(f"There is no checkpoint at {str(path)!r}.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore"
            )  # about how the file was written; all that counts is whether it can be read
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        code = re.search(r"GLOBAL (\S+)", str(error))
        what = f"code ({code[1]}) besides tensors" if code else "something other than tensors, perhaps code,"
        raise ValueError(
            f"{str(path)!r} holds {what} and was not opened; get the file from its authors again."
        ) from error
    except Exception as error:  # a damaged file makes the unpickler raise nearly anything
        raise ValueError(f"{str(path)!r} is not a PyTorch checkpoint, or was cut off; download it again.") from error


def _load_vae(source: str, conditioner: GarmentConditioner) -> AutoencoderKL:
    error = None
    for subfolder in ("vae", None):
        if Path(source).is_dir() and subfolder and not (Path(source) / subfolder).is_dir():
            continue
        try:
            vae, loading = AutoencoderKL.from_pretrained(source, subfolder=subfolder, output_loading_info=True)
            break
        except Exception as first_error:  # whatever is wrong with the files, or the network
            error = error or first_error
    else:
        raise ValueError(_cannot_be_loaded("autoencoder", source, error)) from error
    if loading["missing_keys"]:  # diffusers fills them with random numbers
        missing = min(loading["missing_keys"])
        raise ValueError(
            f"The autoencoder in {source!r} lacks {len(loading['missing_keys'])} tensors, first {missing!r}; download it again."
        )
    channels, levels = vae.config.latent_channels, len(vae.config.block_out_channels)
    if channels != conditioner.config.latent_channels or levels != 4 or vae.config.scaling_factor != 0.18215:
        raise ValueError(
            "`--vae` must have 4 latent channels, compress 8 times and have the scaling factor 0.18215, as Stable "
            f"Diffusion 1.4's, got {channels} channels, {2 ** (levels - 1)} times and {vae.config.scaling_factor}."
        )
    return vae.eval()


def _load_image_encoder(source: str, conditioner: GarmentConditioner) -> CLIPVisionModel:
    try:
        encoder, report = CLIPVisionModel.from_pretrained(source, dtype=torch.float32, output_loading_info=True)
    except Exception as error:  # whatever is wrong with the files, or the network
        raise ValueError(_cannot_be_loaded("image encoder", source, error)) from error
    absent = sorted(report["missing_keys"])
    if absent:  # transformers would leave these at random
        raise ValueError(f"The image encoder at {source!r} lacks {_listed(absent)}.")
    config = encoder.config
    tokens = (config.image_size // config.patch_size) ** 2 + 1
    if (tokens, config.hidden_size) != (conditioner.config.num_clip_tokens, conditioner.config.clip_channels):
        raise ValueError(
            f"`--image-encoder` must give 50 tokens of 768 channels, as CLIP ViT-B/32 does, got {tokens} of "
            f"{config.hidden_size}."
        )
    return encoder.eval()


def _cannot_be_loaded(what: str, source: str, error: Exception) -> str:
    reason = str(error).strip().splitlines()[0].rstrip(".") if str(error).strip() else type(error).__name__
    return f"The {what} cannot be loaded from {source!r}: {reason}."


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m fashionflow.pipelines.convert_checkpoint",
        description="Writes the released FashionFlow checkpoint as a pipeline folder, for `--model`.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("checkpoint", metavar="CHECKPOINT", help="the released file, FashionFlow_checkpoint.pth")
    parser.add_argument("folder", metavar="OUT", help="the folder to write; new or empty")
    parser.add_argument(
        "--vae", default=RELEASED_VAE, help="a folder or Hub id with Stable Diffusion 1.4's autoencoder"
    )
    parser.add_argument(
        "--image-encoder", default=RELEASED_IMAGE_ENCODER, help="a folder or Hub id with CLIP ViT-B/32"
    )
    arguments = parser.parse_args(argv)
    try:
        convert(arguments.checkpoint, arguments.folder, arguments.vae, arguments.image_encoder)
    except (ValueError, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    print(os.path.join(arguments.folder, ""))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
