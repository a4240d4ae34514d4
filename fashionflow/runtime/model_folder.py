"""A model's folder: where it is, whether it is complete, and what its small JSON files say of the model before its weights are loaded."""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING


if TYPE_CHECKING:
    from ..pipelines import FashionFlowPipeline


SHIPPED_MODEL = Path(__file__).resolve().parents[2] / "assets" / "models" / "fashionflow-mini"
MODEL_VARIABLE = "FASHIONFLOW_MODEL"
HUB_ID = re.compile(r"(?P<name>[\w.-]+/[\w.-]+)(@(?P<revision>[\w./-]+))?")

# The parts of a pipeline, each in a folder of this name, and the file in it that describes the part.
CONFIG_FILES = {
    "unet": "config.json",
    "conditioner": "config.json",
    "vae": "config.json",
    "image_encoder": "config.json",
    "image_processor": "preprocessor_config.json",
    "scheduler": "scheduler_config.json",
}

PIPELINE_KIND = "FashionFlowPipeline"

DESCRIPTIONS, ALL_FILES = ["*.json"], ["*.json", "*.safetensors"]
"""Files of a model on the Hub that are downloaded: those that describe it, or also its tensors. Nothing else is, above all no code."""


class ModelError(ValueError):
    """The model cannot be loaded. The message says in one sentence which model, why, and what to do."""


@dataclass(frozen=True)
class ModelDescription:
    """What the page and the settings of clips need to know about a model; its folder says it before the weights are loaded.

    Args:
        name: the model's Hub id or the name of its folder; `None` for a pipeline that was not loaded by `load_pipeline`.
        width, height: the size of its clips, pixels.
        frame_rate: the model's own frame rate, frames per second.
        default_num_frames: the length of a clip that the model was made for.
        frame_multiple: the number of frames must be a multiple of this.
        prediction_type: what the denoiser predicts, in diffusers' word for it.
        has_motion: whether the denoiser can be told how to move.
        has_geometry: whether every frame is guided by the photo's own pixels, so that a back photo is of use, too.
    """

    name: str | None
    width: int
    height: int
    frame_rate: float
    default_num_frames: int
    frame_multiple: int
    prediction_type: str
    has_motion: bool
    has_geometry: bool

    @classmethod
    def of(cls, pipe: FashionFlowPipeline) -> ModelDescription:
        return cls(
            name=pipe.model_name,
            width=pipe.width,
            height=pipe.height,
            frame_rate=pipe.config.frame_rate,
            default_num_frames=pipe.config.default_num_frames,
            frame_multiple=pipe.unet.frame_multiple,
            prediction_type=pipe.scheduler.config.prediction_type,
            has_motion=pipe.has_motion,
            has_geometry=pipe.has_geometry,
        )


def describe_model(model: str | Path | None = None) -> ModelDescription:
    """The description of the model that `load_pipeline` loads for `model`, read from its small files. It does not check the weights.

    Raises:
        ModelError: if there is no such model, or one of these files is absent, damaged or of another kind.
    """
    given = named(model)
    folder = find_folder(given, DESCRIPTIONS)
    try:
        index, unet, conditioner, vae, scheduler = (
            _read_json(folder, name)
            for name in (
                "model_index.json",
                *(f"{part}/{CONFIG_FILES[part]}" for part in ("unet", "conditioner", "vae", "scheduler")),
            )
        )
        _check_kind(index)
        cell = vae["block_size"] if "block_size" in vae else 2 ** (len(vae["block_out_channels"]) - 1)
        height, width = (side * cell * index.get("clip_scale", 1) for side in conditioner["latent_size"])
        return ModelDescription(
            name=model_name(model),
            width=width,
            height=height,
            frame_rate=index["frame_rate"],
            default_num_frames=index["default_num_frames"],
            frame_multiple=2 ** len(unet["time_levels"]),
            prediction_type=scheduler["prediction_type"],
            has_motion=unet["motion_channels"] > 0,
            has_geometry=(index.get("geometry") or [None])[0] is not None,
        )
    except (ValueError, TypeError, KeyError) as error:
        reason = f"its settings lack {error}" if isinstance(error, KeyError) else str(error).rstrip(".")
        raise not_loadable(given, reason) from error


def model_name(model: str | Path | None = None) -> str:
    """The name of the model that `load_pipeline` loads for `model`: its Hub id, or the name of its folder."""
    given = named(model)
    folder = Path(given).expanduser()
    return folder.resolve().name if folder.is_dir() else str(given)


def named(model: str | Path | None) -> str | Path:
    return model or os.environ.get(MODEL_VARIABLE) or SHIPPED_MODEL


def find_folder(model: str | Path, files: list[str] = ALL_FILES) -> Path:
    """The folder of a model; if it is on the Hub and not here, `files` of it are downloaded first.

    Raises:
        ModelError: if there is no such model.
    """
    folder = Path(model).expanduser()
    if folder.is_dir():
        return folder
    if folder.exists():
        raise ModelError(
            f"The model must be a folder or a Hub id, but {str(model)!r} is a file; give the folder it is in."
        )
    hub_id = HUB_ID.fullmatch(model) if isinstance(model, str) else None
    if hub_id is None:
        raise ModelError(
            f"There is no model folder at {str(model)!r}; check the name, or leave the model out to use the one that ships."
            if folder != SHIPPED_MODEL
            else f"The model that ships is not at {str(model)!r}; clone the repository whole, or name another model."
        )
    from huggingface_hub import snapshot_download  # only a model of the Hub needs it

    try:
        return Path(snapshot_download(hub_id["name"], revision=hub_id["revision"], allow_patterns=files))
    except Exception as error:  # no network, no such repository or revision, not logged in, no space
        raise ModelError(
            f"There is no folder {model!r} here, and the Hugging Face Hub gave no model of that name "
            f"({type(error).__name__}); check the name and the network."
        ) from error


def check_files(folder: Path) -> None:
    """Raises a `ValueError` that names the first file that is absent, damaged or of another kind."""
    from safetensors import SafetensorError, safe_open  # not needed for a description

    index = _read_json(folder, "model_index.json")
    _check_kind(index)
    for part, config_file in CONFIG_FILES.items():
        if not isinstance(index.get(part), list):
            raise ValueError(f"'model_index.json' does not name its part {part!r}")
        _read_json(folder, f"{part}/{config_file}")
        if config_file != "config.json":  # a part without weights
            continue
        weights = sorted((folder / part).glob("*.safetensors"))
        if not weights:
            raise ValueError(f"its part {part!r} has no weights, a file ending in .safetensors")
        for file in weights:
            try:
                with safe_open(file, framework="pt"):
                    pass
            except (SafetensorError, OSError) as error:
                raise ValueError(f"'{part}/{file.name}' is damaged or was cut off") from error


def not_loadable(model: str | Path, reason: str) -> ModelError:
    return ModelError(
        f"The model {str(model)!r} cannot be loaded, because {reason}; copy or download its folder again, or leave the model out to "
        "use the one that ships."
    )


def _check_kind(index: dict) -> None:
    kind = index.get("_class_name")
    if kind != PIPELINE_KIND:
        raise ValueError(f"'model_index.json' says that it is of the kind {kind!r} and not {PIPELINE_KIND!r}")


def _read_json(folder: Path, name: str) -> dict:
    try:
        content = json.loads((folder / name).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ValueError(f"{name!r} is missing") from error
    except (OSError, ValueError) as error:
        raise ValueError(f"{name!r} cannot be read as JSON") from error
    if not isinstance(content, dict):
        raise ValueError(f"{name!r} cannot be read as settings")
    return content
