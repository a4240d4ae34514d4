"""Stand-ins for the released checkpoint and for the Stable Diffusion and CLIP folders that go with it."""

import functools
import json
from pathlib import Path

import torch
from diffusers import AutoencoderKL
from transformers import CLIPVisionConfig, CLIPVisionModel

from .data.parity.fill import draw, official_state_dict


PARITY = Path(__file__).parent / "data" / "parity"

__all__ = ["PARITY", "checkpoint", "draw", "image_encoder", "vae"]


@functools.cache
def _state_dicts() -> dict[str, dict[str, torch.Tensor]]:
    manifest = json.loads((PARITY / "manifest.json").read_text())
    return {part: official_state_dict(manifest[part]) for part in ("net", "adapter")}


def checkpoint() -> dict[str, dict[str, torch.Tensor]]:
    """Every tensor of the released checkpoint, at full size; the dictionaries are the caller's to change."""
    return {part: dict(tensors) for part, tensors in _state_dicts().items()}


def vae(**overrides) -> AutoencoderKL:
    """Stable Diffusion 1.4's autoencoder in all that the conversion asks of it, but thin."""
    torch.manual_seed(0)
    config = {
        "block_out_channels": (8, 8, 8, 8),
        "down_block_types": ["DownEncoderBlock2D"] * 4,
        "up_block_types": ["UpDecoderBlock2D"] * 4,
        "norm_num_groups": 4,
    }
    return AutoencoderKL(**config | overrides).eval()


def vision_config(**overrides) -> CLIPVisionConfig:
    """CLIP ViT-B/32's vision tower with one layer."""
    config = {
        "hidden_size": 768,
        "intermediate_size": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 12,
        "image_size": 224,
        "patch_size": 32,
    }
    return CLIPVisionConfig(**config | overrides)


def image_encoder(**overrides) -> CLIPVisionModel:
    torch.manual_seed(0)
    return CLIPVisionModel(vision_config(**overrides)).eval()
