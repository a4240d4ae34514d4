"""Trains the network that predicts the shape in a photo: where the figure is, how deep its front and back are, and its turning axis.

    accelerate launch -m fashionflow.training.geometry --layers runway/layers --flat runway/flat --out runs/geometry

`python -m fashionflow.training.synthesis OUT --layers` makes the examples; they are changed at random as they are read
(`fashionflow.training.geometry_augmentation`). Run it again with the same `--out` to continue where it stopped. The weights are in
`OUT/geometry`.
"""

import signal
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from accelerate import Accelerator
from accelerate.utils import set_seed
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from ..evaluation.clip_labels import is_held_out
from ..models.geometry import AXIS_UNIT, DEPTH_UNIT, GarmentGeometry, GarmentGeometryOutput
from ..photo.reading import PHOTO_SUFFIXES, read_photo
from .autoencoder import check_counts
from .fit import fit, run_program
from .geometry_augmentation import GeometryExample, changed, unchanged
from .loop import TrainingLoop, check_settings, save_whole
from .modules import first_line
from .pack import evenly
from .synthesis.layers import Layers
from .windows import StepBatches


FIXED_SETTINGS = ("block_channels", "sample_size", "seed")
MOST_HELD_OUT = 32  # examples of each kind that are scored
MOST_TRIED = 8  # failed attempts to read an example before a draw fails
PICTURE_SIDE = 512  # pixels; the longer side of larger background pictures is scaled to this
OUTLINE_REACH = 3  # pixels on each side of an outline where a wrong coverage counts more


@dataclass
class GeometryConfig:
    layers: list[str] = field(
        metadata={"help": "folders of .npz layers of figures; those whose name ends in 7 are held out"}
    )
    flat: list[str] = field(
        default_factory=list, metadata={"help": "folders of .npz layers of garments laid flat; none by default"}
    )
    backgrounds: str = field(default="", metadata={"help": "folder of photos to put behind figures; none by default"})
    out: str = field(default="runs/geometry", metadata={"help": "where weights, checkpoint and samples go"})
    start: str = field(default="", metadata={"help": "folder of a network to continue from; from scratch by default"})
    flat_share: float = field(default=0.3, metadata={"help": "share of examples that are flat, 0 to 1"})
    background_share: float = field(default=0.55, metadata={"help": "share of figures that get another background"})
    block_channels: list[int] = field(default_factory=lambda: [56, 96, 160, 192], metadata={"help": "from scratch"})
    sample_size: list[int] = field(
        default_factory=lambda: [320, 256], metadata={"help": "height and width of the examples, pixels"}
    )
    steps: int = field(default=12000, metadata={"help": "optimiser steps"})
    time_limit: float = field(default=0, metadata={"help": "minutes after which the run ends cleanly; 0 for none"})
    batch_size: int = field(default=8, metadata={"help": "examples per process per step"})
    learning_rate: float = field(default=5e-4)
    weight_decay: float = field(default=0.01)
    warmup: int = field(default=100, metadata={"help": "steps"})
    decay_fraction: float = field(default=0.8, metadata={"help": "last share of the steps, over which the rate falls"})
    max_grad_norm: float = field(default=1.0)
    ema_decay: float = field(default=0.998)
    mixed_precision: str = field(default="no", metadata={"help": "no, bf16 or fp16"})
    workers: int = field(default=1, metadata={"help": "processes that read and change examples ahead"})
    sample_every: int = field(default=500, metadata={"help": "steps between sample strips and held-out scores"})
    save_every: int = field(default=250, metadata={"help": "steps between checkpoints"})
    seed: int = field(default=0)

    def __post_init__(self):
        check_counts(self, ("steps", "batch_size", "sample_every", "save_every"))
        for name in ("flat_share", "background_share"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"`{name}` must be between 0 and 1, got {getattr(self, name)}.")
        if len(self.sample_size) != 2:
            raise ValueError(f"`sample_size` must be a height and a width, got {self.sample_size}.")
        for name in ("layers", "flat"):
            for folder in getattr(self, name):
                if not any(Path(folder).glob("*.npz")):
                    raise ValueError(f"`{name}` must be folders of .npz files, got {folder!r}.")
        kinds = {name: {is_held_out(path) for path in self.files(name)} for name in ("layers", "flat")}
        if len(kinds["layers"]) < 2 or kinds["flat"] == {True}:
            name = "layers" if len(kinds["layers"]) < 2 else "flat"
            raise ValueError(
                f"`{name}` must hold files to train on and files whose name ends in 7, which are kept for testing; "
                f"{getattr(self, name)} has one kind only."
            )
        if self.backgrounds and not find_photos(Path(self.backgrounds)):
            raise ValueError(
                f"`backgrounds` must be a folder of .jpg, .png or .webp photos, got {self.backgrounds!r}."
            )

    def files(self, name: str) -> list[Path]:
        """The files of `layers` or of `flat`, sorted by folder and name."""
        return [path for folder in getattr(self, name) for path in sorted(Path(folder).glob("[!.]*.npz"))]


def find_photos(folder: Path) -> list[Path]:
    """The photos of a folder, sorted by name; none if the folder does not exist."""
    return sorted(path for path in folder.glob("*") if path.suffix.lower() in PHOTO_SUFFIXES)


def read_example(path: Path, size: tuple[int, int]) -> GeometryExample:
    """
    Raises:
        ValueError: if the file is damaged or its photo does not have that size, (height, width) in pixels.
    """
    layers = Layers.read(path)
    if layers.coverage.shape != size:
        found = " x ".join(map(str, layers.coverage.shape))
        raise ValueError(f"{str(path)!r} must be {size[0]} x {size[1]} pixels (height x width), got {found}.")
    return unchanged(layers)


def to_tensors(example: GeometryExample) -> dict[str, torch.Tensor]:
    """The parts of an example that the losses and scores need: `photo` in [-1, 1], [3, H, W], and `coverage`, `front`, `back`,
    `front_known`, `back_known` and `axis_offset` (pixels), [1, H, W] each."""
    height, width = example.coverage.shape
    offset = np.broadcast_to(np.arange(width, dtype=np.float32) + np.float32(0.5 - example.axis), (height, width))
    maps = {name: getattr(example, name) for name in ("coverage", "front", "back", "front_known", "back_known")}
    tensors = {name: torch.from_numpy(array.copy())[None] for name, array in (maps | {"axis_offset": offset}).items()}
    return {"photo": torch.from_numpy(example.photo).permute(2, 0, 1) * 2 - 1, **tensors}


class GeometryDraws(Dataset):
    """Changed examples by number, without end, so that a resumed run continues with examples that it has not seen.

    Files that cannot be read are reported and skipped.

    Args:
        figures, flat: files of layers; there may be no flat ones.
        size: height and width of all of them, pixels.
        flat_share: share of the examples that are flat.
        background_share: share of the figures that get another background.
        pictures: the pictures from which backgrounds are cut, uint8 [height, width, 3]; there may be none.
        seed: determines the draws, together with the example's number.
    """

    def __init__(
        self,
        figures: list[Path],
        flat: list[Path],
        size: tuple[int, int],
        flat_share: float,
        background_share: float,
        pictures: list[np.ndarray],
        seed: int,
    ):
        self.figures = figures
        self.flat = flat
        self.size = size
        self.flat_share = flat_share if flat else 0.0
        self.background_share = background_share
        self.pictures = pictures
        self.seed = seed

    def __getitem__(self, number: int) -> dict[str, torch.Tensor]:
        """
        Raises:
            ValueError: if none of several files can be read.
        """
        random = np.random.default_rng([self.seed, number])
        flat = random.random() < self.flat_share
        files = self.flat if flat else self.figures
        for attempt in range(MOST_TRIED):
            path = files[random.integers(len(files))]
            try:
                example = read_example(path, self.size)
                break
            except ValueError as error:
                tqdm.write(f"skipped {path.name}: {error}")
                if attempt == MOST_TRIED - 1:
                    raise
        return to_tensors(changed(example, random, 0.0 if flat else self.background_share, self.pictures))


def geometry_loss(maps: GarmentGeometryOutput, truth: dict[str, torch.Tensor]) -> torch.Tensor:
    """Cross-entropy of the coverage, with more weight along outlines, and absolute errors inside the figure: of the depths, of their
    differences between neighbours, and of the distance to the axis."""
    coverage = truth["coverage"]
    solid = (coverage > 0.5).float()
    width = 2 * OUTLINE_REACH + 1
    outline = F.max_pool2d(solid, width, 1, OUTLINE_REACH) + F.max_pool2d(-solid, width, 1, OUTLINE_REACH)
    weight = 1 + outline
    entropy = F.binary_cross_entropy_with_logits(maps.coverage_logits, coverage, weight, reduction="sum")
    loss = 2 * entropy / weight.sum()
    for name in ("front", "back"):
        known = truth[f"{name}_known"]
        count = known.sum() + 1
        error = (getattr(maps, name) - truth[name]) / DEPTH_UNIT * known
        loss = loss + error.abs().sum() / count
        for axis in (2, 3):
            pairs = known.narrow(axis, 1, known.shape[axis] - 1) * known.narrow(axis, 0, known.shape[axis] - 1)
            loss = loss + 2 * (error.diff(dim=axis).abs() * pairs).sum() / count
    known = truth["front_known"]
    error = (maps.axis_offset - truth["axis_offset"]).abs() / AXIS_UNIT * known
    return loss + 0.5 * error.sum() / (known.sum() + 1)


@torch.no_grad()
def predict(model: GarmentGeometry, photos: torch.Tensor, batch_size: int = 8) -> GarmentGeometryOutput:
    """The network's prediction for photos in [-1, 1], [B, 3, H, W], float32."""
    parts = [model(part, return_dict=False) for part in photos.split(batch_size)]
    return GarmentGeometryOutput(*(torch.cat(maps).float() for maps in zip(*parts, strict=True)))


def scores(maps: GarmentGeometryOutput, truth: dict[str, torch.Tensor]) -> dict[str, float]:
    """Intersection over union of the coverage, and mean absolute errors of the depths and of the axis, pixels, means over photos."""
    found, there = maps.coverage_logits > 0, truth["coverage"] > 0.5
    union = (found | there).sum((1, 2, 3)).clamp(min=1)
    result = {"iou": ((found & there).sum((1, 2, 3)) / union).mean()}
    for name in ("front", "back"):
        known = truth[f"{name}_known"]
        error = (getattr(maps, name) - truth[name]).abs() * known
        result[name] = (error.sum((1, 2, 3)) / known.sum((1, 2, 3)).clamp(min=1)).mean()
    errors = [
        difference[known > 0].median()
        for difference, known in zip(truth["axis_offset"] - maps.axis_offset, truth["front_known"], strict=True)
        if known.any()
    ]
    result["axis"] = torch.stack(errors).abs().mean() if errors else torch.tensor(torch.nan)
    return {name: round(value.item(), 4) for name, value in result.items()}


def strip(maps: GarmentGeometryOutput, truth: dict[str, torch.Tensor]) -> Image.Image:
    """One column per photo: the photo, and below it true and predicted coverage, front and back; lighter is nearer."""
    rows = [(truth["photo"] + 1) / 2]
    for true, predicted in (
        (truth["coverage"], maps.coverage_logits.sigmoid()),
        (truth["front"], maps.front),
        (truth["back"], maps.back),
    ):
        depths = true is not truth["coverage"]
        for number, part in enumerate((true, predicted)):
            covered = maps.coverage_logits > 0 if number else truth["coverage"] > 0.5
            shown = (part / 256 + 0.4).clamp(0, 1) * covered if depths else part
            rows.append(shown.expand(-1, 3, -1, -1))
    pixels = torch.cat(rows, dim=2).permute(2, 0, 3, 1).flatten(1, 2)  # [7*H, B*W, 3]
    return Image.fromarray((pixels.clamp(0, 1) * 255).round().byte().cpu().numpy())


def read_pictures(folder: Path) -> list[np.ndarray]:
    """The photos of a folder, uint8 [height, width, 3]. Files that cannot be read are reported and skipped."""
    pictures = []
    for path in find_photos(folder):
        try:
            photo = read_photo(path)
            photo.thumbnail((PICTURE_SIDE, PICTURE_SIDE))
            pictures.append(np.asarray(photo))
        except ValueError as error:
            tqdm.write(f"skipped {path.name}: {error}")
    return pictures


def load_geometry(folder: str) -> GarmentGeometry:
    """
    Raises:
        ValueError: if the folder holds no such network.
    """
    try:
        return GarmentGeometry.from_pretrained(folder, dtype=torch.float32).train()
    except Exception as error:  # any fault of the files
        raise ValueError(f"`start` cannot be loaded from {folder!r}: {first_line(error)}") from error


def _start_worker(_: int) -> None:
    """Limits OpenCV to one core per process, because its threads would compete with the training for the cores. Ignores signals, because
    the training ends its workers itself."""
    cv2.setNumThreads(1)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


def main(config: GeometryConfig) -> None:
    out = Path(config.out)
    check_settings(out, asdict(config), FIXED_SETTINGS)
    set_seed(config.seed)
    accelerator = Accelerator(mixed_precision=config.mixed_precision)
    size = tuple(config.sample_size)
    if config.start:
        geometry = load_geometry(config.start)
        if tuple(geometry.config.sample_size) != size:
            raise ValueError(
                f"`sample_size` must be that of the network to continue from, {list(geometry.config.sample_size)}, "
                f"got {list(size)}."
            )
    else:
        geometry = GarmentGeometry(tuple(config.block_channels), size)
    files = {name: config.files(name) for name in ("layers", "flat")}
    pictures = read_pictures(Path(config.backgrounds)) if config.backgrounds else []
    draws, drawn_held_out = (
        GeometryDraws(
            *([path for path in files[name] if is_held_out(path) == held_out] for name in ("layers", "flat")),
            size,
            config.flat_share,
            config.background_share,
            pictures,
            config.seed,
        )
        for held_out in (False, True)
    )
    accelerator.print(f"{len(draws.figures)} figures, {len(draws.flat)} flat garments, {len(pictures)} backgrounds")

    def stacked(examples: list[dict[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
        return {name: torch.stack([example[name] for example in examples]) for name in examples[0]}

    held_out = {
        name: stacked([to_tensors(read_example(path, size)) for path in evenly(paths, min(MOST_HELD_OUT, len(paths)))])
        for name, paths in (("people", drawn_held_out.figures), ("flat", drawn_held_out.flat))
        if paths
    }
    held_out["changed"] = stacked([drawn_held_out[number] for number in range(MOST_HELD_OUT)])

    geometry = geometry.to(memory_format=torch.channels_last)

    def batches_from(first_step: int) -> Iterator[dict[str, torch.Tensor]]:
        numbers = StepBatches(
            config.batch_size, 1, accelerator.process_index, accelerator.num_processes, first_step=first_step
        )
        return iter(
            DataLoader(
                draws,
                batch_sampler=numbers,
                num_workers=config.workers,
                worker_init_fn=_start_worker,
                # OpenCV's threads do not survive a fork.
                multiprocessing_context="spawn" if config.workers else None,
            )
        )

    def loss_of(model: nn.Module, truth: dict[str, torch.Tensor]) -> torch.Tensor:
        truth = {name: value.to(accelerator.device) for name, value in truth.items()}
        with accelerator.autocast():
            maps = model(truth["photo"].contiguous(memory_format=torch.channels_last))
        return geometry_loss(GarmentGeometryOutput(*(part.float() for part in maps.to_tuple())), truth)

    def evaluate(loop: TrainingLoop) -> None:
        columns, results = [], {}
        for name, truth in held_out.items():
            truth = {key: value.to(accelerator.device) for key, value in truth.items()}
            maps = predict(geometry, truth["photo"].contiguous(memory_format=torch.channels_last))
            results |= {f"held_out_{name}_{key}": value for key, value in scores(maps, truth).items()}
            first = GarmentGeometryOutput(*(part[:4] for part in maps.to_tuple()))
            columns.append(np.asarray(strip(first, {key: value[:4] for key, value in truth.items()})))
        loop.log(**results)
        save_whole(geometry, out / "geometry")
        Image.fromarray(np.concatenate(columns, axis=1)).save(out / "samples.png")

    fit(config, accelerator, geometry, batches_from, loss_of, evaluate)


def run(argv: list[str] | None = None) -> None:
    run_program(main, GeometryConfig, argv)


if __name__ == "__main__":
    run()
