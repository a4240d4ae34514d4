"""Samples clips of a model for the evaluation, together with their true clips and the two baselines.

    python -m fashionflow.evaluation.sample runway/clips runs/samples --model models/mine
    python -m fashionflow.evaluation.sample garments runs/photo_samples --photos

The first frame of each held-out clip is the photo, and the model gets the clip's true motion, so that the sampled frames can be compared
with the true ones. The folder receives near-lossless clips of the frames that a visitor sees, `labels.jsonl` and `settings.json`. Its
folder `truth` receives the true clips at the model's size and rate, `still` the repeated photo, and `autoencoder` the true clips passed
through the autoencoder, which is the best that any denoiser could reach. With `--photos` there are no true clips: every photo of the
folder gets clips of preset motions. A stopped run continues where it stopped.
"""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image
from tqdm import tqdm

from ..generation.settings import DEFAULT_STEPS
from ..photo.reading import PHOTO_SUFFIXES, PhotoError, read_photo
from ..pipelines import FashionFlowPipeline
from ..pipelines.motions import MOTIONS, motion_rows, rows
from ..runtime.loading import load_pipeline
from ..runtime.model_folder import model_name
from ..video.decoding import ClipDecoder, decode_frames
from ..video.io import read_frames, write_clip
from .clip_labels import is_held_out, read_labels, walked_distance
from .clips import BASELINES, TRUTH, read_settings
from .files import write_whole


SETTINGS = "settings.json"
QUALITY = 4  # x264's CRF; its loss is far below every difference that is measured
PHOTO_MOTIONS = ("turn-right", "turn-and-back", "sway", "walk")


@torch.no_grad()
def autoencode(pipe: FashionFlowPipeline, frames: np.ndarray) -> np.ndarray:
    """Frames, uint8 [F, height, width, 3], through the autoencoder and back, as playback would show them."""
    latents = [pipe.encode_image(Image.fromarray(frame))[1] for frame in frames]  # [1, C, 1, H, W] each
    decoded = decode_frames(pipe, torch.cat(latents, dim=2))
    # A clip may be larger than the autoencoder's pictures.
    return np.stack([cv2.resize(frame, frames.shape[2:0:-1], interpolation=cv2.INTER_CUBIC) for frame in decoded])


def truth_for(
    pipe: FashionFlowPipeline, frames: np.ndarray, label: dict, clip_rate: float
) -> tuple[np.ndarray, torch.Tensor, np.ndarray]:
    """A true clip in the form that the model would make, and the motion that the model is asked for.

    Args:
        pipe: the model.
        frames: the clip, uint8 [F, height, width, 3].
        label: its line of `labels.jsonl`, with `motion` and `yaw`, degrees per frame.
        clip_rate: frames a second of the clip.

    Returns:
        The frames at the model's size and rate, uint8 [f, height, width, 3]; the motion's rows, [f, 3]; the angles in
        degrees, [f].

    Raises:
        ValueError: if the label does not have one angle per frame, or the clip is too short for the model.
    """
    if len(label["yaw"]) != len(frames):
        raise ValueError(f"there are {len(frames)} frames and {len(label['yaw'])} angles in its label")
    stride = max(1, round(clip_rate / pipe.config.frame_rate))
    num_frames = min(pipe.config.default_num_frames, (len(frames) - 1) // stride + 1)
    num_frames -= num_frames % pipe.unet.frame_multiple
    if num_frames < 2:
        raise ValueError(f"its {len(frames)} frames are too few for this model")
    kept = slice(0, (num_frames - 1) * stride + 1, stride)
    truth = np.stack([np.asarray(pipe.fit_photo(Image.fromarray(frame))) for frame in frames[kept]])
    yaw = np.array(label["yaw"], dtype=np.float64)[kept]
    return truth, rows(yaw, walked_distance(label, len(frames))[kept]), yaw


@torch.no_grad()
def sample_frames(
    pipe: FashionFlowPipeline, photo: Image.Image, motion: torch.Tensor, steps: int, sampler: str | None, seed: int
) -> np.ndarray:
    """Samples the model's clip of a photo for motion rows, [F, 3], as a visitor sees it at the keyframes, uint8 [F, height, width, 3].

    A model without a motion input chooses the motion itself.
    """
    num_frames = len(motion)
    motion = motion if pipe.has_motion else None
    guide = pipe.guide(photo, motion, num_frames)
    latents = pipe(
        photo,
        num_frames=num_frames,
        num_inference_steps=steps,
        motion=motion,
        sampler=sampler,
        generator=torch.Generator().manual_seed(seed),
        output_type="latent",
        guide=guide,
    ).frames
    return np.stack(list(ClipDecoder(pipe, latents, photo=photo, guide=guide).frames()))


def held_out_clips(reference: Path) -> list[tuple[Path, dict]]:
    """The clips of a folder whose name ends in 7, with their labels.

    Raises:
        ValueError: if there are none, or one has no label with `motion` and `yaw`.
    """
    clips = [clip for clip in sorted(reference.glob("*.mp4")) if is_held_out(clip)]
    if not clips:
        raise ValueError(f"`reference` must hold .mp4 files whose name ends in 7, got {str(reference)!r}.")
    labels = read_labels(reference)
    if unlabelled := [clip.name for clip in clips if not {"motion", "yaw"} <= labels.get(clip.stem, {}).keys()]:
        raise ValueError(
            "labels.jsonl must have a line with `motion` and `yaw` for each clip, and has none for "
            f"{', '.join(unlabelled[:3])}."
        )
    return [(clip, labels[clip.stem]) for clip in clips]


def sample_clips(
    pipe: FashionFlowPipeline,
    clips: list[tuple[Path, dict]],
    out: Path,
    steps: int,
    sampler: str | None,
    seed: int,
    clip_rate: float,
) -> Iterator[str]:
    """Writes the missing files of the given clips. Yields for each clip an empty string, or a sentence if the clip could not be used."""
    for clip, label in clips:
        files = {name: out / name / clip.name for name in (TRUTH, *BASELINES)}
        if all(path.is_file() for path in (out / clip.name, *files.values())):
            yield ""
            continue
        try:
            truth, motion, yaw = truth_for(pipe, read_frames(clip), label, clip_rate)
        except ValueError as error:
            yield f"{clip.name} was left out, because {str(error).rstrip('.')}."
            continue
        clips_of = {
            TRUTH: truth,
            "still": np.broadcast_to(truth[:1], truth.shape),
            "autoencoder": autoencode(pipe, truth),
        }
        for name, frames in clips_of.items():
            write_clip(files[name], frames, pipe.config.frame_rate, quality=QUALITY)
        _add_label(
            out, {"name": clip.stem, "motion": label["motion"], "yaw": [round(float(angle), 2) for angle in yaw]}
        )
        sampled = sample_frames(pipe, Image.fromarray(truth[0]), motion, steps, sampler, seed)
        write_clip(out / clip.name, sampled, pipe.config.frame_rate, quality=QUALITY)
        yield ""


def sample_photos(
    pipe: FashionFlowPipeline,
    photos: list[Path],
    out: Path,
    steps: int,
    sampler: str | None,
    seed: int,
    motions: list[str],
) -> Iterator[str]:
    """Like `sample_clips`, for photos and preset motions. There are no true clips to write, only the repeated photo."""
    first_of: dict[str, Path] = {}  # clips are named after the photo's name without its extension
    for path in photos:
        if first_of.setdefault(path.stem, path) != path:
            sentence = f"{path.name} was left out, because {first_of[path.stem].name} has the same name; rename one."
            yield from [sentence, *[""] * (len(motions) - 1)]
            continue
        for name in motions:
            clip = out / f"{path.stem}-{name}.mp4"
            if clip.is_file():
                yield ""
                continue
            try:
                photo = read_photo(path)
            except PhotoError as error:
                yield f"{path.name} was left out: {error}"
                continue
            motion = motion_rows(name, pipe.config.default_num_frames, seed=seed)
            frames = sample_frames(pipe, photo, motion, steps, sampler, seed)
            yaw = np.degrees(np.unwrap(np.arctan2(*motion[:, :2].numpy().T)))
            still = np.broadcast_to(np.asarray(pipe.fit_photo(photo))[None], frames.shape)
            write_clip(out / "still" / clip.name, still, pipe.config.frame_rate, quality=QUALITY)
            _add_label(out, {"name": clip.stem, "motion": name, "yaw": [round(float(angle), 2) for angle in yaw]})
            write_clip(clip, frames, pipe.config.frame_rate, quality=QUALITY)
            yield ""


def start_folder(out: Path, settings: dict) -> None:
    """Creates the folder with its settings, or checks that a run with the same settings created it.

    Raises:
        ValueError: if it holds clips made with other settings.
    """
    path = out / SETTINGS
    # Without clips, there is nothing to continue: a run with a wrong model or sampler may have left the folder.
    if any(out.glob("*.mp4")):
        before = read_settings(path)
        if not before:
            raise ValueError(f"{str(out)!r} holds clips that were not made here; choose another folder.")
        # A folder from a time before a setting was recorded does not contain that setting.
        if different := [name for name in settings if before.get(name, settings[name]) != settings[name]]:
            name = different[0]
            raise ValueError(
                f"{str(out)!r} holds clips made with {name} {before[name]!r} and not {settings[name]!r}; choose another "
                "folder, or the same settings to continue."
            )
    for folder in (out, *(out / name for name in (TRUTH, *BASELINES) if name == "still" or not settings["photos"])):
        folder.mkdir(parents=True, exist_ok=True)
    write_whole(path, json.dumps(settings, indent=1) + "\n")


def _add_label(out: Path, label: dict) -> None:
    path = out / "labels.jsonl"
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    lines = [line for line in lines if json.loads(line)["name"] != label["name"]]
    write_whole(path, "\n".join([*lines, json.dumps(label)]) + "\n")


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("reference", type=Path, help="folder of labelled clips, or of photos with --photos")
    parser.add_argument("out", type=Path, help="folder for the sampled clips")
    parser.add_argument("--model", help="a pipeline folder or Hub id; the shipped weights by default")
    parser.add_argument("--steps", type=int, default=DEFAULT_STEPS)
    parser.add_argument("--sampler", help="the model's own by default")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--limit", type=int, default=0, help="clips or photos to sample; 0 for all")
    parser.add_argument("--clip-rate", type=float, default=8.0, help="frames a second of the clips")
    parser.add_argument("--photos", action="store_true", help="set photos in motion by presets; there is no truth")
    parser.add_argument("--motions", nargs="+", default=PHOTO_MOTIONS, choices=MOTIONS, help="presets for --photos")
    parser.add_argument("--device", help="cuda, mps or cpu; the best there is by default")
    args = parser.parse_args(argv)
    settings = {"model": model_name(args.model), "steps": args.steps, "sampler": args.sampler, "seed": args.seed}
    settings |= {"photos": args.photos, "reference": str(args.reference.resolve())}
    if not args.photos:
        settings["clip_rate"] = args.clip_rate
    try:
        if not args.reference.is_dir():
            raise ValueError(f"`reference` must be a folder, and there is none at {str(args.reference)!r}.")
        if args.limit < 0:
            raise ValueError(f"`--limit` must be 0, for all, or above, got {args.limit}.")
        if not args.clip_rate > 0:
            raise ValueError(f"`--clip-rate` must be above 0, got {args.clip_rate:g}.")
        if args.photos:
            todo = [path for path in sorted(args.reference.glob("*")) if path.suffix.lower() in PHOTO_SUFFIXES]
            if not todo:
                raise ValueError(
                    f"`reference` must hold photos ({', '.join(PHOTO_SUFFIXES)}), got {str(args.reference)!r}."
                )
        else:
            todo = held_out_clips(args.reference)
        start_folder(args.out, settings)
        pipe = load_pipeline(args.model, args.device)
    except ValueError as error:
        parser.error(str(error))
    except OSError as error:
        parser.error(f"{str(args.out)!r} cannot be written ({error.strerror or error}); choose another folder.")
    pipe.set_progress_bar_config(disable=True)
    todo = todo[: args.limit or None]
    work = (args.steps, args.sampler, args.seed)
    if args.photos:
        progress = sample_photos(pipe, todo, args.out, *work, list(args.motions))
    else:
        progress = sample_clips(pipe, todo, args.out, *work, args.clip_rate)
    try:
        left_out = [
            line for line in tqdm(progress, total=len(todo) * (len(args.motions) if args.photos else 1)) if line
        ]
    except (ValueError, OSError) as error:  # such as an unknown sampler or a full disk; finished clips are kept
        parser.exit(1, f"{error}\n")
    print(
        "\n".join(
            [
                *dict.fromkeys(left_out),
                f"{len(list(args.out.glob('*.mp4')))} clips of {settings['model']} are in {args.out}",
            ]
        )
    )


if __name__ == "__main__":
    main()
