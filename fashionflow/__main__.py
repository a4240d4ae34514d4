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

from .generation.request import (
    DEFAULT_QUALITY,
    DEFAULT_STEPS,
    LARGEST_GUIDANCE,
    LARGEST_SEED,
    MOST_FRAMES,
    MOST_INTERPOLATION,
    MOST_STEPS,
    AnimationRequest,
)
from .photo.checks import advise
from .photo.reading import PhotoError, read_photo
from .pipelines.motions import MOTIONS
from .pipelines.schedulers import SAMPLERS
from .runtime.acceleration import DEFAULTS
from .runtime.loading import MODEL_VARIABLE, device_report, load_pipeline
from .runtime.memory import AUTOMATIC, MEMORY_CHOICES, MemoryFallback, OutOfMemory
from .video.io import write_clip
from .video.metadata import check_signing, describe, sign


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> None:
        """One sentence, as for every other mistake; `--help` has the rest."""
        self.exit(2, f"{message[0].upper()}{message[1:]}; see --help.\n")


def make_parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="python -m fashionflow", description="Turns the photo of a garment into a short clip of it in motion."
    )
    parser.add_argument("photo", nargs="?", help="a picture of one person or garment: JPEG, PNG, WebP ...")
    parser.add_argument("clip", nargs="?", help="where the clip goes; a name ending in .mp4 in a folder that exists")
    parser.add_argument("--back", metavar="PHOTO", help="a picture of the back, for turns that show it; guessed")
    parser.add_argument(
        "--frames", type=int, help=f"frames that the model makes, 2 to {MOST_FRAMES}; the model's own number"
    )
    parser.add_argument(
        "--steps", type=int, default=DEFAULT_STEPS, help=f"denoising steps, 1 to {MOST_STEPS}; {DEFAULT_STEPS}"
    )
    parser.add_argument(
        "--seed", type=int, help=f"0 to {LARGEST_SEED}; the same seed gives the same clip; drawn, and printed"
    )
    parser.add_argument(
        "--motion", choices=MOTIONS, help=f"what the person does, for a model that can be told; {MOTIONS[0]}"
    )
    parser.add_argument("--turn-angle", type=float, help="degrees of the turn, -360 to 360; the motion's own")
    parser.add_argument("--sampler", choices=SAMPLERS, default=next(iter(SAMPLERS)), help=next(iter(SAMPLERS)))
    parser.add_argument(
        "--guidance",
        type=float,
        default=1.0,
        help=f"push towards the motion, 1 to {LARGEST_GUIDANCE:g}; 1, which is none",
    )
    parser.add_argument("--frame-rate", type=float, help="the model's frames shown a second, 1 to 60; the model's own")
    parser.add_argument(
        "--interpolation",
        type=int,
        help=f"frames shown for each of the model's, 1 to {MOST_INTERPOLATION}; what looks smooth",
    )
    parser.add_argument(
        "--memory",
        choices=MEMORY_CHOICES,
        default=AUTOMATIC,
        help="lean takes the least memory and the most time; the same clip; auto, by what is free",
    )
    parser.add_argument("--model", help=f"a model folder or a Hub id; ${MODEL_VARIABLE}, or else the model that ships")
    parser.add_argument("--tiny-decoder", help="folder or Hub id of a small decoder that draws the previews; none")
    parser.add_argument("--tiny-clips", action="store_true", help="have it draw the clip too, softer but sooner")
    parser.add_argument("--compile", action="store_true", help="compile the model first, for many clips on a GPU")
    parser.add_argument("--device", default="auto", help="cuda, mps or cpu; the best there is")
    parser.add_argument(
        "--quality", type=int, default=DEFAULT_QUALITY, help=f"1 (best, largest) to 51 (smallest); {DEFAULT_QUALITY}"
    )
    parser.add_argument("--device-report", action="store_true", help="say what the model would run on, and end")
    parser.epilog = "What follows each semicolon is the default."
    return parser


def animate(arguments: argparse.Namespace) -> Path:
    """Makes the clip and returns its path; a progress bar goes to the terminal.

    Raises:
        ValueError, OSError: one sentence that says what is wrong with an argument, the photo or the model.
    """
    clip = Path(arguments.clip)
    # What costs nothing to find out comes before the model is loaded, and all of it before anybody waits for a clip.
    if clip.suffix != ".mp4" or clip.is_dir():
        raise ValueError(f"The clip's name must end in .mp4, got {arguments.clip!r}.")
    if not clip.parent.is_dir():
        raise ValueError(f"The clip's folder must exist, got {str(clip.parent)!r}.")
    if not 1 <= arguments.quality <= 51:
        raise ValueError(f"`quality` must be from 1 to 51, got {arguments.quality}.")
    check_signing()
    photo, back_photo = read_photo(arguments.photo), _read_back(arguments.back)
    switches = replace(DEFAULTS, compile=arguments.compile)
    pipe = load_pipeline(arguments.model, arguments.device, switches, arguments.tiny_decoder, arguments.tiny_clips)
    request = AnimationRequest(
        photo=pipe.fit_photo(photo),
        frames=pipe.config.default_num_frames if arguments.frames is None else arguments.frames,
        steps=arguments.steps,
        seed=random.SystemRandom().randint(0, LARGEST_SEED) if arguments.seed is None else arguments.seed,
        motion=MOTIONS[0] if arguments.motion is None and pipe.has_motion else arguments.motion,
        turn_angle=arguments.turn_angle,
        sampler=arguments.sampler,
        guidance=arguments.guidance,
        frame_rate=arguments.frame_rate,
        interpolation=arguments.interpolation,
        quality=arguments.quality,
        memory=arguments.memory,
        back_photo=back_photo and pipe.fit_photo(back_photo),
    )
    request.check(pipe)
    if pipe.has_geometry:
        coverage = pipe.coverage_of(photo)
        for advice in advise(photo, pipe.width, pipe.height, pipe.crop_of(photo, coverage), coverage):
            print(advice.sentence(), file=sys.stderr)
    if arguments.seed is None:
        print(f"Seed {request.seed}", file=sys.stderr)

    pipe.set_progress_bar_config(desc="Denoising", unit="step")
    with MemoryFallback(pipe, request.frames, request.memory, _say_step_down) as fallback:
        guide = request.guide(pipe)
        latents = fallback.make(lambda: request.denoise(pipe, guide=guide))
        factor, fps = request.playing_rate(pipe)
        settings = describe(request.settings(pipe))
        with closing(
            fallback.frames(lambda start, chunk: request.playing_frames(pipe, latents, start, chunk, guide))
        ) as frames:
            bar = tqdm(frames, total=factor * (request.frames - 1) + 1, desc="Writing", unit="frame")
            return sign(write_clip(clip, bar, fps, settings=settings, quality=arguments.quality))


def _read_back(path: str | None) -> Image.Image | None:
    try:
        return None if path is None else read_photo(path)
    except PhotoError as error:  # which photo it was is not said in all of them
        raise ValueError(f"Argument --back: {error}") from error


def _say_step_down(mode: str) -> None:
    tqdm.write(f"Memory ran out; the clip is made in the mode {mode}.", file=sys.stderr)


def _end(*_) -> None:
    """Ends the command as Ctrl+C does, so that no half-written file is left. Asking twice does not cut that short."""
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
    except RuntimeError as error:  # such as CUDA's, whose first line says what happened and whose others are advice
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
