"""A clip from the command line.

python -m fashionflow dress.jpg dress.mp4
"""

import argparse
import random
import signal
import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import torch
from PIL import Image
from tqdm import tqdm

from .generation.renderer import ClipRenderer
from .generation.request import ClipRequest
from .generation.settings import DEFAULT_QUALITY, DEFAULT_STEPS, LIMITS, ClipSettings
from .photo.checks import advise
from .photo.reading import PhotoError, read_photo
from .pipelines.motions import MOTIONS
from .pipelines.schedulers import SAMPLERS
from .runtime.acceleration import DEFAULTS
from .runtime.loading import MODEL_VARIABLE, device_report, load_pipeline
from .runtime.memory_modes import AUTOMATIC, MEMORY_CHOICES, OutOfMemory
from .video.metadata import check_signing


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> None:
        """Prints one sentence, as for every other error; `--help` says more."""
        self.exit(2, f"{message[0].upper()}{message[1:]}; see --help.\n")


def make_parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="python -m fashionflow", description="Turns the photo of a garment into a short clip of it in motion."
    )
    parser.add_argument("photo", nargs="?", help="a picture of one person or garment: JPEG, PNG, WebP ...")
    parser.add_argument("clip", nargs="?", help="the file of the clip: a name ending in .mp4, in a folder that exists")
    parser.add_argument(
        "--back", metavar="PHOTO", help="a picture of the back, for turns that show it; by default the back is guessed"
    )
    parser.add_argument(
        "--frames",
        type=int,
        help=f"frames that the model makes, {LIMITS['frames'].range}; by default the model's own number",
    )
    parser.add_argument(
        "--steps",
        type=int,
        default=DEFAULT_STEPS,
        help=f"denoising steps, {LIMITS['steps'].range}; by default {DEFAULT_STEPS}",
    )
    parser.add_argument(
        "--seed",
        type=int,
        help=f"{LIMITS['seed'].range}; the same seed gives the same clip; by default it is drawn at random and printed",
    )
    parser.add_argument(
        "--motion",
        choices=MOTIONS,
        help=f"what the person does, for a model with a motion input; by default {MOTIONS[0]}",
    )
    parser.add_argument(
        "--turn-angle",
        type=float,
        help=f"degrees of the turn, {LIMITS['turn_angle'].range}; by default the motion's own angle",
    )
    parser.add_argument(
        "--sampler", choices=SAMPLERS, default=next(iter(SAMPLERS)), help=f"by default {next(iter(SAMPLERS))}"
    )
    parser.add_argument(
        "--guidance",
        type=float,
        default=1.0,
        help=f"push towards the motion, {LIMITS['guidance'].range}; by default 1, which is no push",
    )
    parser.add_argument(
        "--frame-rate",
        type=float,
        help=f"frames of the model shown per second, {LIMITS['frame_rate'].range}; by default the model's own rate",
    )
    parser.add_argument(
        "--interpolation",
        type=int,
        help=f"frames shown for each frame of the model, {LIMITS['interpolation'].range}; by default a number that looks smooth",
    )
    parser.add_argument(
        "--memory",
        choices=MEMORY_CHOICES,
        default=AUTOMATIC,
        help="lean takes the least memory and the most time; every mode makes the same clip; by default auto, by the free memory",
    )
    parser.add_argument(
        "--model", help=f"a model folder or a Hub id; by default ${MODEL_VARIABLE}, or else the shipped model"
    )
    parser.add_argument("--tiny-decoder", help="folder or Hub id of a small decoder for the previews; by default none")
    parser.add_argument(
        "--tiny-clips", action="store_true", help="decode the clip with the tiny decoder, too: softer but sooner"
    )
    parser.add_argument("--compile", action="store_true", help="compile the model first, for many clips on a GPU")
    parser.add_argument("--device", default="auto", help="cuda, mps or cpu; by default the best available")
    parser.add_argument(
        "--quality",
        type=int,
        default=DEFAULT_QUALITY,
        help=f"1 (best, largest) to 51 (smallest); by default {DEFAULT_QUALITY}",
    )
    parser.add_argument(
        "--device-report", action="store_true", help="report the device that the model would run on, and end"
    )
    return parser


def animate(arguments: argparse.Namespace) -> Path:
    """Makes the clip and returns its path; a progress bar goes to the terminal.

    Raises:
        ValueError, OSError: with one sentence about the error in an argument, the photo or the model.
    """
    clip = Path(arguments.clip)
    # Checks that cost nothing come before the model is loaded, and all checks come before anybody waits for a clip.
    if clip.suffix != ".mp4" or clip.is_dir():
        raise ValueError(f"The clip's name must end in .mp4, got {arguments.clip!r}.")
    if not clip.parent.is_dir():
        raise ValueError(f"The clip's folder must exist, got {str(clip.parent)!r}.")
    for name, limit in LIMITS.items():
        value = getattr(arguments, name)
        if value is not None and not limit.allows(value):
            raise ValueError(f"`{name}` must be {limit}, got {value!r}.")
    check_signing()
    photo, back_photo = read_photo(arguments.photo), _read_back(arguments.back)
    switches = replace(DEFAULTS, compile=arguments.compile)
    pipe = load_pipeline(arguments.model, arguments.device, switches, arguments.tiny_decoder, arguments.tiny_clips)
    settings = ClipSettings(
        frames=pipe.config.default_num_frames if arguments.frames is None else arguments.frames,
        steps=arguments.steps,
        seed=random.SystemRandom().randint(0, LIMITS["seed"].largest) if arguments.seed is None else arguments.seed,
        motion=MOTIONS[0] if arguments.motion is None and pipe.has_motion else arguments.motion,
        turn_angle=arguments.turn_angle,
        sampler=arguments.sampler,
        guidance=arguments.guidance,
        frame_rate=arguments.frame_rate,
        interpolation=arguments.interpolation,
        quality=arguments.quality,
        memory=arguments.memory,
    )
    coverage = pipe.coverage_of(photo)
    crop = pipe.crop_of(photo, coverage)
    request = ClipRequest(pipe.fit_photo(photo, crop), settings, back_photo and pipe.fit_photo(back_photo))
    request.check(pipe)
    if pipe.has_geometry:
        for advice in advise(photo, pipe.width, pipe.height, crop, coverage):
            print(advice.sentence(), file=sys.stderr)
    if arguments.seed is None:
        print(f"Seed {settings.seed}", file=sys.stderr)

    pipe.set_progress_bar_config(desc="Denoising", unit="step")
    with (
        ClipRenderer(pipe, request, _say_step_down) as renderer,
        closing(renderer.frames(renderer.denoise())) as frames,
    ):
        return renderer.write(clip, tqdm(frames, total=renderer.num_frames, desc="Writing", unit="frame"))


def _read_back(path: str | None) -> Image.Image | None:
    try:
        return None if path is None else read_photo(path)
    except PhotoError as error:  # not all of these sentences say which photo it was
        raise ValueError(f"Argument --back: {error}") from error


def _say_step_down(mode: str) -> None:
    tqdm.write(f"Memory ran out; the clip is made in the mode {mode}.", file=sys.stderr)


def _end(*_) -> None:
    """Ends the command as Ctrl+C does, so that no half-written file is left. A second signal does not interrupt this."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise KeyboardInterrupt


def main(argv: list[str] | None = None) -> int:
    parser = make_parser()
    arguments = parser.parse_args(argv)
    before = signal.signal(signal.SIGTERM, _end)
    try:
        if arguments.device_report:
            print(device_report(arguments.device))
            return 0
        if arguments.photo is None or arguments.clip is None:
            parser.error("a photo and a name for the clip are needed")
        print(animate(arguments))
    except torch.OutOfMemoryError:  # while the model was loaded
        print("The model does not fit into the device's memory; choose --device cpu.", file=sys.stderr)
        return 2
    except (ValueError, OSError, OutOfMemory) as error:
        print(error, file=sys.stderr)
        return 2
    except RuntimeError as error:  # such as CUDA's: its first line says what happened, and its other lines are advice
        reason = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
        print(f"The clip could not be made: {reason}.", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("Stopped; no clip was written.", file=sys.stderr)
        return 130
    finally:
        signal.signal(signal.SIGTERM, before)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
