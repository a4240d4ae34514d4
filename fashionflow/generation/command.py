"""What `python -m fashionflow` does once its arguments are read: one clip, or one for every photo of a folder, with a progress bar, and one
sentence for every error."""

import os
import random
import signal
import sys
from argparse import Namespace
from collections import Counter
from dataclasses import replace
from pathlib import Path

from PIL import Image
from tqdm import tqdm

from ..photo.reading import PHOTO_SUFFIXES, PhotoError, read_photo
from ..pipelines import FashionFlowPipeline
from ..runtime.acceleration import DEFAULTS
from ..runtime.ending import requests_to_end
from ..runtime.loading import device_report, load_pipeline
from ..runtime.memory_modes import OutOfMemory
from ..runtime.model_folder import ModelDescription, describe_model
from ..video.files import check_can_be_written
from ..video.metadata import check_signing
from .one_clip import clip_request, make_clip
from .request import ClipRequest
from .settings import LIMITS, RANDOM_SEED, ClipSettings, settings_of


def run(arguments: Namespace) -> int:
    """Carries out the command and returns its exit status. `fashionflow.__main__.make_parser` describes the arguments."""
    before = {each: signal.signal(each, _end) for each in requests_to_end()}
    try:
        if arguments.device_report:
            print(device_report(arguments.device))
        elif os.path.isdir(arguments.photo):
            return _animate_folder(arguments)
        else:
            print(_animate(arguments))
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
    """Makes the clip of a photo and returns its path; a progress bar goes to the terminal.

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
    _check_options(arguments)
    photo, back_photo = read_photo(arguments.photo), _read_back(arguments.back)
    pipe = _load(arguments)
    request = _request(pipe, _settings(arguments, ModelDescription.of(pipe)), photo, back_photo)
    if _draws_seed(arguments):
        print(f"Seed {request.settings.seed}", file=sys.stderr)
    return _make_clip(pipe, request, clip)


def _animate_folder(arguments: Namespace) -> int:
    """Makes a clip of every photo of a folder, with one model and one seed, in a folder that is made if there is none. Returns 0, or 1 if
    there is a photo of which none could be made; a sentence about it goes to the terminal, and the other photos are animated.

    A clip that is there already is kept, so the same command goes on where it was interrupted.

    Raises:
        ValueError, OSError: with one sentence about the error in an argument or the model.
    """
    out = Path(arguments.clip)
    if out.suffix == ".mp4" or out.is_file():
        raise ValueError(f"A folder of photos needs a folder for its clips, got {arguments.clip!r}.")
    if arguments.back is not None:
        raise ValueError("`--back` belongs to one photo, and a folder was given; animate that photo by itself.")
    _check_options(arguments)
    clips = clips_of(Path(arguments.photo), out)
    if not clips:
        raise ValueError(f"There is no photo in {arguments.photo!r} (looked for {', '.join(PHOTO_SUFFIXES)}).")
    out.mkdir(parents=True, exist_ok=True)
    check_can_be_written(out / "clip.mp4")
    todo = {path: clip for path, clip in clips.items() if not clip.exists()}
    if len(todo) < len(clips):
        there = len(clips) - len(todo)
        print(f"{there} of {len(clips)} clips are there already; delete them to make them again.", file=sys.stderr)
    if not todo:
        return 0
    model = describe_model(arguments.model)
    settings = _settings(arguments, model)
    settings.check(model)
    pipe = _load(arguments)
    if _draws_seed(arguments):
        print(f"Seed {settings.seed}", file=sys.stderr)
    failed = 0
    for number, (path, clip) in enumerate(todo.items(), 1):
        print(f"Photo {number} of {len(todo)}: {path.name}", file=sys.stderr)
        try:
            print(_make_clip(pipe, _request(pipe, settings, read_photo(path)), clip))
        except PhotoError as error:  # this photo cannot be used; others can
            print(f"{path.name} was left out: {error}", file=sys.stderr)
            failed += 1
    if failed:
        print(f"{failed} of {len(todo)} photos were left out.", file=sys.stderr)
    return min(failed, 1)


def clips_of(photos: Path, out: Path) -> dict[Path, Path]:
    """The photos of a folder in the order of their names, and the clip of each: `dress.jpg` becomes `dress.mp4`, and of several photos
    of that name each becomes `dress.jpg.mp4` and so on. Hidden files are left out."""
    paths = [path for path in sorted(photos.iterdir()) if path.suffix.lower() in PHOTO_SUFFIXES]
    paths = [path for path in paths if path.is_file() and not path.name.startswith(".")]
    stems = Counter(path.stem for path in paths)
    return {path: out / f"{path.stem if stems[path.stem] == 1 else path.name}.mp4" for path in paths}


def _check_options(arguments: Namespace) -> None:
    """Checks what needs neither a photo nor a model.

    Raises:
        ValueError: with one sentence about a number that is out of its range, or about the certificate for signing.
    """
    for name, limit in LIMITS.items():
        if name == "seed" and _draws_seed(arguments):
            continue
        value = getattr(arguments, name)
        if value is not None and not limit.allows(value):
            raise ValueError(f"`{name}` must be {limit}, got {value!r}.")
    check_signing()


def _draws_seed(arguments: Namespace) -> bool:
    return arguments.seed in (None, RANDOM_SEED)


def _load(arguments: Namespace) -> FashionFlowPipeline:
    switches = replace(DEFAULTS, compile=arguments.compile)
    pipe = load_pipeline(arguments.model, arguments.device, switches, arguments.tiny_decoder, arguments.tiny_clips)
    pipe.set_progress_bar_config(desc="Denoising", unit="step")
    return pipe


def _settings(arguments: Namespace, model: ModelDescription) -> ClipSettings:
    """The settings that were asked for. A seed that nobody chose is drawn."""
    seed = random.SystemRandom().randint(0, LIMITS["seed"].largest) if _draws_seed(arguments) else arguments.seed
    return settings_of(arguments, model, seed)


def _request(
    pipe: FashionFlowPipeline, settings: ClipSettings, photo: Image.Image, back_photo: Image.Image | None = None
) -> ClipRequest:
    """The request for a clip; advice about the photo goes to the terminal.

    Raises:
        ValueError: with one sentence about settings that this model does not have, or a photo that it cannot use.
    """
    request, advice = clip_request(pipe, settings, photo, back_photo)
    for each in advice:
        print(each.sentence(), file=sys.stderr)
    return request


def _make_clip(pipe: FashionFlowPipeline, request: ClipRequest, clip: Path) -> Path:
    return make_clip(
        pipe, request, clip, _say_step_down, lambda frames, total: tqdm(frames, "Writing", total, unit="frame")
    )


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
