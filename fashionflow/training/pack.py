"""Packs latents, so that they are small enough to copy to a borrowed GPU: many clips in one file of limited size.

    python -m fashionflow.training.pack runs/latents runs/packed --megabytes 30

Training reads the folder OUT like any other folder of latents. Values are rounded to steps of 0.2 (their deviation is about 1), stored as
changes from frame to frame, and compressed. Mirror images are left out, because a linear map of the channels restores them. Of the
pictures for the image encoder every sixth is kept, and windows begin at these frames. Guides are stored in the same way. Clips with
guides keep only the picture of frame 0, where their windows begin. If not all clips fit, they are chosen evenly.
"""

import argparse
import io
import json
import lzma
import sys
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors import SafetensorError, safe_open

from ..models.guide_fusion import KNOWN_CHANNELS
from .latents import LatentClip, LatentFormat, read_clips, write_clip_latents


PACK_SUFFIX = ".pack.safetensors"
STEP = 0.2  # distance between two neighbouring values
HELD_OUT_CLIPS = 32  # at most; training uses as many


def compress(latents: torch.Tensor, step: float) -> bytes:
    """Latents, [F, C, H, W], rounded to multiples of `step` from -127 to 127, as compressed bytes."""
    return compress_bytes((latents.float() / step).round().clamp(-127, 127).to(torch.int8).numpy().view(np.uint8))


def decompress(data: bytes, shape: tuple[int, int, int, int]) -> torch.Tensor:
    """Reverses `compress`: the rounded latents as int8 multiples of its step, [F, C, H, W]."""
    return torch.from_numpy(decompress_bytes(data, shape).view(np.int8))


def compress_bytes(values: np.ndarray) -> bytes:
    """uint8 [F, C, H, W] as compressed changes from frame to frame."""
    changes = np.diff(values, axis=0, prepend=np.zeros_like(values[:1]))  # modulo 256, which summing reverses
    return lzma.compress(np.ascontiguousarray(changes.transpose(1, 0, 2, 3)))  # [C, F, H, W]


def decompress_bytes(data: bytes, shape: tuple[int, int, int, int]) -> np.ndarray:
    """Reverses `compress_bytes`, to uint8 [F, C, H, W]."""
    frames, channels, height, width = shape
    changes = np.frombuffer(lzma.decompress(data), np.uint8).reshape(channels, frames, height, width)
    return np.ascontiguousarray(np.cumsum(changes, axis=1, dtype=np.uint8).transpose(1, 0, 2, 3))


def compress_guide(guide: torch.Tensor, channels: int, step: float) -> dict[str, bytes]:
    """Compresses a guide, [F, C + 4, H, W]: its C latent channels with `compress`, and its channels on how they are known in steps of 1 /
    255."""
    known = (guide[:, channels:].float() * 255).round().clamp(0, 255).byte()
    return {"guide": compress(guide[:, :channels], step), "known": compress_bytes(known.numpy())}


def mirror_map(clips: list[LatentClip]) -> torch.Tensor:
    """The linear map from a latent cell (and 1) to the mirrored cell in the mirrored place, [C, C + 1], by least squares.

    On the rendered clips its error is 0.3 % of the variance; the error of rounding is 0.2 %.
    """
    channels = clips[0].shape[1]
    products = torch.zeros(channels + 1, channels + 1, dtype=torch.float64)
    targets = torch.zeros(channels + 1, channels, dtype=torch.float64)
    for clip in clips:
        middle = slice(len(clip) // 2, len(clip) // 2 + 1, 1)
        cells, mirrored = (
            latents[0].flatten(1).T.double()  # [H*W, C]
            for latents in (clip.latents(middle).flip(-1), clip.latents(middle, mirrored=True))
        )
        cells = torch.cat([cells, torch.ones(len(cells), 1)], dim=1)
        products += cells.T @ cells
        targets += cells.T @ mirrored
    ridge = 1e-6 * products.diagonal().mean() * torch.eye(channels + 1, dtype=torch.float64)
    return torch.linalg.solve(products + ridge, targets).T.float()


@dataclass
class PackedClip:
    """A clip of a pack. It is read like a `LatentClip`, and F, C, H, W and S mean the same as there."""

    name: str
    held_out: bool
    values: torch.Tensor  # int8 [F, C, H, W]
    step: float
    pictures: torch.Tensor  # uint8 [n, 3, S, S], one for each of `starts`
    starts: list[int]
    yaw: torch.Tensor | None
    distance: torch.Tensor | None
    mirror: torch.Tensor | None = field(repr=False)  # [C, C + 1]
    guide_values: torch.Tensor | None = None  # int8 [F, C, H, W]
    guide_known: torch.Tensor | None = None  # uint8 [F, 4, H, W]
    has_deviation: bool = False

    def __len__(self) -> int:
        return len(self.values)

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.values.shape)

    @property
    def image_size(self) -> int:
        return self.pictures.shape[-1]

    @property
    def has_mirrored(self) -> bool:
        return self.mirror is not None

    @property
    def has_guide(self) -> bool:
        return self.guide_values is not None

    def latents(self, frames: slice, mirrored: bool = False) -> torch.Tensor:
        """Some of the frames, [f, C, H, W]."""
        return self._read(self.values, frames, mirrored)

    def guide(self, frames: slice, mirrored: bool = False) -> torch.Tensor:
        """The guide of those frames, [f, C + 4, H, W], for a clip that `has_guide`."""
        known = self.guide_known[frames].float() / 255
        known = known.flip(-1) if mirrored else known
        return torch.cat([self._read(self.guide_values, frames, mirrored), known], dim=1)

    def _read(self, values: torch.Tensor, frames: slice, mirrored: bool) -> torch.Tensor:
        latents = values[frames].float() * self.step
        if not mirrored:
            return latents
        weight, bias = self.mirror[:, :-1, None, None], self.mirror[:, -1]
        return torch.nn.functional.conv2d(latents.flip(-1), weight, bias)

    def picture(self, frame: int) -> torch.Tensor:
        """The picture of one frame that the image encoder sees, uint8 [3, S, S]. The frame must be one of `starts`."""
        return self.pictures[self.starts.index(frame)]


def write_pack(
    latents: Path, out: Path, megabytes: float = 30.0, step: float = STEP, picture_every: int = 6
) -> tuple[int, int]:
    """Packs a folder of latents into `out`.

    Args:
        latents: folder that fashionflow.training.prepare wrote.
        out: folder to write; afterwards it holds one pack and `format.json`.
        megabytes: largest size of the pack, in millions of bytes.
        step: distance between two neighbouring values.
        picture_every: frames from one kept picture to the next; clips with guides keep only the first picture.

    Returns:
        how many clips were packed, and how many there are.

    Raises:
        ValueError: if not even one clip to train on and one to test with fit.
        OSError: if the disk is full.
    """
    if step <= 0 or picture_every < 1:
        raise ValueError(f"`step` must be above 0 and `picture_every` at least 1, got {step} and {picture_every}.")
    if out.resolve() == latents.resolve():
        raise ValueError(f"`out` must be another folder than the latents', got {str(out)!r} for both.")
    clips = read_clips(latents)
    kinds = [[clip for clip in clips if clip.held_out == kind] for kind in (False, True)]
    training, held_out = kinds[0], evenly(kinds[1], min(HELD_OUT_CLIPS, max(1, len(kinds[1]))))
    if not training or not held_out:
        raise ValueError(
            f"`latents` must hold clips to train on and to test with, {str(latents)!r} has one kind only."
        )
    with_mirror = all(clip.has_mirrored for clip in clips)
    tensors: dict[str, torch.Tensor] = (
        {"mirror": mirror_map(evenly(clips, min(200, len(clips))))} if with_mirror else {}
    )
    packed, size = [], 0
    # Clips to train on and to test with are mixed evenly. The order of each kind stays even wherever it is cut off.
    order = sorted(
        (position / len(kind), clip.name, clip)
        for kind in (training, held_out)
        for position, clip in enumerate(spread(kind))
    )
    for _, _, clip in order:
        starts = [start for start in clip.starts if start % picture_every == 0]
        strip = torch.cat([clip.picture(start) for start in starts], dim=1).permute(1, 2, 0)  # [n*S, S, 3]
        picture = io.BytesIO()
        Image.fromarray(strip.numpy()).save(picture, "webp", quality=85, method=6)
        blobs = {"latents": compress(clip.latents(slice(0, len(clip), 1)), step), "pictures": picture.getvalue()}
        if clip.has_guide:
            blobs |= compress_guide(clip.guide(slice(0, len(clip), 1)), clip.shape[1], step)
        size += sum(map(len, blobs.values())) + 2000  # for yaw, distance and the header
        if size > megabytes * 1e6:
            break
        prefix = f"{len(packed)}/"
        tensors |= {
            prefix + name: torch.frombuffer(bytearray(blob), dtype=torch.uint8) for name, blob in blobs.items()
        }
        if clip.yaw is not None:
            tensors |= {prefix + "yaw": clip.yaw, prefix + "distance": clip.distance}
        packed.append({"name": clip.name, "held_out": clip.held_out, "shape": clip.shape, "starts": starts})
    if len({clip["held_out"] for clip in packed}) < 2:
        raise ValueError(f"`megabytes` must have room for two clips at least, got {megabytes}.")
    out.mkdir(parents=True, exist_ok=True)
    LatentFormat.read(latents).write(out)
    metadata = {"clips": json.dumps(packed), "step": str(step)}
    write_clip_latents(out / f"latents{PACK_SUFFIX}", tensors, metadata)
    return len(packed), len(clips)


def read_pack(path: Path) -> list[PackedClip]:
    """The clips of a pack.

    Raises:
        ValueError: if it is damaged.
    """
    try:
        with safe_open(path, "pt") as file:
            names, metadata = set(file.keys()), file.metadata()
            mirror = file.get_tensor("mirror") if "mirror" in names else None
            clips = []
            for index, clip in enumerate(json.loads(metadata["clips"])):
                data = {
                    name: file.get_tensor(f"{index}/{name}") if f"{index}/{name}" in names else None
                    for name in ("latents", "guide", "known", "pictures", "yaw", "distance")
                }
                frames, _, *size = shape = clip["shape"]
                values = decompress(data["latents"].numpy().tobytes(), shape)
                guide_values = guide_known = None
                if data["guide"] is not None:
                    guide_values = decompress(data["guide"].numpy().tobytes(), shape)
                    known = decompress_bytes(data["known"].numpy().tobytes(), (frames, KNOWN_CHANNELS, *size))
                    guide_known = torch.from_numpy(known)
                strip = np.array(
                    Image.open(io.BytesIO(data["pictures"].numpy().tobytes())).convert("RGB")
                )  # [n*S, S, 3]
                pictures = torch.from_numpy(strip).unflatten(0, (len(clip["starts"]), -1)).permute(0, 3, 1, 2)
                clips.append(
                    PackedClip(
                        name=clip["name"],
                        held_out=clip["held_out"],
                        values=values,
                        step=float(metadata["step"]),
                        pictures=pictures,
                        starts=clip["starts"],
                        yaw=data["yaw"],
                        distance=data["distance"],
                        mirror=mirror,
                        guide_values=guide_values,
                        guide_known=guide_known,
                    )
                )
            return clips
    except (SafetensorError, OSError, lzma.LZMAError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{str(path)!r} is no pack of latents, or was cut off ({error}); pack them again.") from error


def evenly(items: list, number: int) -> list:
    """`number` of the items, evenly spaced."""
    return [items[index] for index in np.linspace(0, len(items) - 1, number).round().astype(int)] if items else []


def spread(items: list) -> list:
    """The items in an order by multiples of the golden ratio. The first n items are nearly evenly spaced for every n."""
    return [item for _, item in sorted(enumerate(items), key=lambda pair: pair[0] * 0.6180339887498949 % 1)]


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("latents", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--megabytes", type=float, default=30.0, help="largest size of the pack; 30 by default")
    parser.add_argument("--step", type=float, default=STEP, help="distance of two neighbouring values")
    parser.add_argument("--picture-every", type=int, default=6, help="frames from one kept picture to the next")
    args = parser.parse_args(argv)
    try:
        packed, total = write_pack(args.latents, args.out, args.megabytes, args.step, args.picture_every)
    except (ValueError, OSError) as error:
        sys.exit(str(error))
    size = (args.out / f"latents{PACK_SUFFIX}").stat().st_size / 1e6
    print(f"{packed} of {total} clips in {size:.1f} MB, {args.out}")


if __name__ == "__main__":
    main()
