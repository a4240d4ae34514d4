"""What `python -m fashionflow` does once its arguments are read: one clip, with a progress bar, and one sentence for every error."""

import os
import random
import signal
import sys
from argparse import Namespace
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from PIL import Image
from tqdm import tqdm

from ..photo.checks import advise
from ..photo.reading import PhotoError, read_photo
from ..pipelines.motions import MOTIONS
from ..runtime.acceleration import DEFAULTS
from ..runtime.ending import requests_to_end
from ..runtime.loading import device_report, load_pipeline
from ..runtime.memory_modes import OutOfMemory
from ..runtime.model_folder import ModelDescription
from ..video.files import check_can_be_written
from ..video.metadata import check_signing
from .renderer import ClipRenderer
from .request import ClipRequest
from .settings import LIMITS, RANDOM_SEED, ClipSettings


def run(arguments: Namespace) -> int:
    """Carries out the command and returns its exit status. `fashionflow.__main__.make_parser` describes the arguments."""
    before = {each: signal.signal(each, _end) for each in requests_to_end()}
    try:
        print(device_report(arguments.device) if arguments.device_report else _animate(arguments))
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
        for each, handler in before.items():
            signal.signal(each, handler)
    return 0


def _animate(arguments: Namespace) -> Path:
    """Makes the clip and returns its path; a progress bar goes to the terminal.

    Raises:
        ValueError, OSError: with one sentence about the error in an argument, the photo or the model.
    """
    clip = Path(arguments.clip)
    # Checks that cost nothing come before the model is loaded, and all checks come before anybody waits for a clip.
    if clip.suffix != ".mp4" or os.path.isdir(clip):
        raise ValueError(f"The clip's name must end in .mp4, got {arguments.clip!r}.")
    if not os.path.isdir(clip.parent):
        raise ValueError(f"The clip's folder must exist, got {str(clip.parent)!r}.")
    check_can_be_written(clip)
    draws_seed = arguments.seed in (None, RANDOM_SEED)
    for name, limit in LIMITS.items():
        if name == "seed" and draws_seed:
            continue
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
        seed=random.SystemRandom().randint(0, LIMITS["seed"].largest) if draws_seed else arguments.seed,
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
    request.check(ModelDescription.of(pipe))
    if pipe.has_geometry:
        for advice in advise(photo, pipe.width, pipe.height, crop, coverage):
            print(advice.sentence(), file=sys.stderr)
    if draws_seed:
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
    for each in requests_to_end():
        signal.signal(each, signal.SIG_IGN)
    raise KeyboardInterrupt
