"""Clips as latents on disk: one safetensors file per clip, or packs of many clips (`fashionflow.training.pack`).

Shape letters used in this file:
    F frames of the clip   C latent channels   H, W latent cells   S side of the picture that the image encoder sees, pixels

A clip's file holds `latents` and, if it was requested, `mirrored`, bfloat16 [F, C, H, W]; `pictures`, uint8 [F, 3, S, S]; and, for clips
whose motion is known, `yaw` (degrees) and `distance` (metres walked), [F]. Latents of an autoencoder with a posterior may come with its
`deviation`, bfloat16 [F, C, H, W]. Clips with guides have `guide`, and `mirrored_guide` if they are mirrored, bfloat16 [F, C + 4, H, W].
The folder's `format.json` says how they were made.
"""

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from transformers import CLIPImageProcessorPil

from ..evaluation.clip_labels import is_held_out
from ..evaluation.files import write_whole


FORMAT = "format.json"


@dataclass(frozen=True)
class LatentFormat:
    """How latents were made. The defaults describe older folders that have no `format.json`.

    Args:
        height, width: pixels of a frame.
        frame_rate: frames a second.
        signed_pixels: whether the autoencoder received pixels in [-1, 1]; the released model's received [0, 1].
        photo_fit: how frames were fitted to that size: "crop", "pad" or "stretch"; "figure", which is possible only for photos, means
            "crop".
        image_size: pixels along a side of the picture that the image encoder sees.
        rescale_factor: the factor by which the image processor multiplies the values 0 to 255; the released model's is 1 / 255^2.
    """

    height: int = 320
    width: int = 256
    frame_rate: float = 8.0
    signed_pixels: bool = True
    photo_fit: str = "crop"
    image_size: int = 96
    rescale_factor: float = 1 / 255

    def image_processor(self) -> CLIPImageProcessorPil:
        """CLIP's own preprocessing (shortest edge, centre crop, CLIP's mean and deviation) at this format's size."""
        size = self.image_size
        return CLIPImageProcessorPil(
            size={"shortest_edge": size},
            crop_size={"height": size, "width": size},
            rescale_factor=self.rescale_factor,
        )

    @classmethod
    def of_pipeline(cls, pipe) -> "LatentFormat":
        """The format that latents need for further training of a pipeline."""
        return cls(
            height=pipe.code_size[0],
            width=pipe.code_size[1],
            frame_rate=pipe.config.frame_rate,
            signed_pixels=pipe.config.signed_pixels,
            photo_fit=pipe.config.photo_fit,
            image_size=pipe.image_processor.crop_size["height"],
            rescale_factor=pipe.image_processor.rescale_factor,
        )

    @classmethod
    def read(cls, folder: Path) -> "LatentFormat":
        """The format of a folder of latents. Unknown keys are ignored."""
        path = folder / FORMAT
        saved = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
        return cls(**{field.name: saved[field.name] for field in fields(cls) if field.name in saved})

    def write(self, folder: Path) -> None:
        """Records in `folder` how its latents are made.

        Raises:
            ValueError: if it holds latents that were made in another way.
        """
        if any(folder.rglob("*.safetensors")) and (found := self.read(folder)) != self:
            name = next(
                field.name for field in fields(self) if getattr(found, field.name) != getattr(self, field.name)
            )
            raise ValueError(
                f"{str(folder)!r} holds latents with `{name}` {getattr(found, name)!r}, got {getattr(self, name)!r}; "
                "give another folder."
            )
        write_whole(folder / FORMAT, json.dumps(asdict(self), indent=1))


class LatentClip:
    """One clip's latents, read from the file a few frames at a time, so that a training set does not have to fit into memory.

    Raises:
        ValueError: if the file cannot be read.
    """

    def __init__(self, path: Path):
        self.path = path
        self.name = path.stem
        self.held_out = is_held_out(path)
        try:
            with safe_open(path, "pt") as file:
                names = set(file.keys())
                self.shape = tuple(file.get_slice("latents").get_shape())  # F, C, H, W
                self.image_size = file.get_slice("pictures").get_shape()[-1]
                self.yaw = file.get_tensor("yaw").float() if "yaw" in names else None
                self.distance = file.get_tensor("distance").float() if "yaw" in names else None
        except (SafetensorError, OSError) as error:
            raise ValueError(
                f"{str(path)!r} holds no clip's latents ({error}); delete it and prepare it again."
            ) from error
        self.has_mirrored = "mirrored" in names
        self.has_deviation = "deviation" in names
        self.has_guide = "guide" in names
        # Frames that have a picture, so that a window can begin at them. A guide is made from frame 0 only.
        self.starts = range(1) if self.has_guide else range(len(self))

    def __len__(self) -> int:
        return self.shape[0]

    def latents(self, frames: slice, mirrored: bool = False) -> torch.Tensor:
        """Some of the frames, [f, C, H, W]."""
        return self._read("mirrored" if mirrored else "latents", frames)

    def deviation(self, frames: slice) -> torch.Tensor:
        """Standard deviation of the posterior of those frames' latents, [f, C, H, W]."""
        return self._read("deviation", frames)

    def guide(self, frames: slice, mirrored: bool = False) -> torch.Tensor:
        """The guide of those frames, [f, C + 4, H, W], for a clip that `has_guide`."""
        return self._read("mirrored_guide" if mirrored else "guide", frames)

    def picture(self, frame: int) -> torch.Tensor:
        """The picture of one frame that the image encoder sees, uint8 [3, S, S]."""
        return self._read("pictures", slice(frame, frame + 1, 1))[0]

    def _read(self, name: str, frames: slice) -> torch.Tensor:
        with safe_open(self.path, "pt") as file:
            return file.get_slice(name)[frames.start : frames.stop][:: frames.step or 1]


def read_clips(folder: Path) -> list[LatentClip]:
    """Every clip of a folder of latents, sorted by name: its own files, the files in `train` and `test`, and packs.

    Raises:
        ValueError: if there are no clips, one cannot be read, or they differ in size.
    """
    from .pack import PACK_SUFFIX, read_pack

    paths = sorted(path for part in (".", "train", "test") for path in (folder / part).glob("*.safetensors"))
    clips = []
    for path in paths:
        clips += read_pack(path) if path.name.endswith(PACK_SUFFIX) else [LatentClip(path)]
    if not clips:
        raise ValueError(
            f"`latents` must hold .safetensors files, {str(folder)!r} has none; write them with "
            "`python -m fashionflow.training.prepare`."
        )
    for clip in clips:
        if clip.has_guide != clips[0].has_guide:
            raise ValueError(
                f"`latents` must all have guides or none: clip {clips[0].name!r} and clip {clip.name!r} differ; prepare them "
                "alike."
            )
        if clip.shape[1:] != clips[0].shape[1:] or clip.image_size != clips[0].image_size:
            raise ValueError(
                f"`latents` must all have one size: clip {clips[0].name!r} has {list(clips[0].shape[1:])} and pictures of "
                f"{clips[0].image_size}, clip {clip.name!r} has {list(clip.shape[1:])} and {clip.image_size}."
            )
    return clips


def write_clip_latents(path: Path, tensors: dict[str, torch.Tensor], metadata: dict[str, str] | None = None) -> None:
    """Writes one clip's file, or a pack, so that nobody ever reads a half-written one.

    Raises:
        OSError: if it cannot be written, for instance because the disk is full.
    """
    partial = path.with_suffix(".partial")
    try:
        save_file(tensors, partial, metadata)
        partial.replace(path)
    except (SafetensorError, OSError) as error:
        raise OSError(f"{str(path)!r} cannot be written ({error}); free some space and run again.") from error
    finally:
        partial.unlink(missing_ok=True)
