"""The parameters of the endpoints that make clips: their names, their order, and what programs and assistants read about each of them."""

import inspect
from collections.abc import Callable

from ...generation.queue import MOST_CLIPS
from ...generation.settings import DEFAULT_QUALITY, DEFAULT_STEPS, LIMITS, RANDOM_SEED, Limit
from ...pipelines.motions import MOTIONS, SURPRISE
from ...pipelines.schedulers import SAMPLERS


_RANGES = {name: limit.range for name, limit in LIMITS.items() if isinstance(limit, Limit)}

PARAMETERS = {
    "photo": "an image file with one garment or one dressed person.",
    "motion": f"the motion of the clip, by default {next(iter(MOTIONS))}; with {SURPRISE}, the seed chooses it.",
    "turn_angle": f"degrees, {_RANGES['turn_angle']}, positive towards the right of the picture; by default the motion's own angle.",
    "steps": f"denoising steps, {_RANGES['steps']}, by default {DEFAULT_STEPS}.",
    "frames": f"frames that the model makes, {_RANGES['frames']}, by default the model's own number; playback adds frames between them.",
    "seed": f"{_RANGES['seed']}; the same photo, settings and seed give the same clip. By default, and for {RANDOM_SEED}, a random seed.",
    "sampler": f"the sampler of the denoising steps, by default {next(iter(SAMPLERS))}.",
    "guidance": f"how strongly the clip is guided towards the motion, {_RANGES['guidance']}, by default 1 (not at all); "
    "values above 1 take twice as long.",
    "frame_rate": f"denoised frames shown per second, {_RANGES['frame_rate']}, by default the model's own rate; "
    "other rates play slower or faster.",
    "interpolation": f"frames shown for each denoised frame, {_RANGES['interpolation']}, by default as many as look smooth.",
    "quality": f"x264's CRF, {_RANGES['quality']}; 1 is the best and the largest file. By default {DEFAULT_QUALITY}.",
    "memory": "auto (the default) chooses by the free memory; lean uses the least memory, normal more, and fast the most memory and the "
    "least time. The clip is the same in all modes.",
    "zoom": "1 (the default) shows as much of the photo as fits the clip; lower values, down to 0.5, show more, and higher ones, up to 4, "
    "show less.",
    "across": "which part of the photo is shown, -1 (its left) to 1 (its right), by default 0.",
    "down": "which part of the photo is shown, -1 (its top) to 1 (its bottom), by default 0.",
    "more_motions": "a list of further motions to make clips of, each at its own angle; by default none.",
    "seeds": f"how many clips of each motion, 1 to {MOST_CLIPS}, by default 1; their seeds are consecutive, beginning with `seed`. "
    f"A job has at most {MOST_CLIPS} clips.",
    "back_photo": "an image file with the back of the same garment or person, shown where the clip turns; by default the back is guessed.",
}

# The order stays as it is, and new parameters come after these, because programs may pass them by position.
OF_SUBMIT = tuple(PARAMETERS)
OF_ANIMATE = tuple(name for name in PARAMETERS if name not in ("more_motions", "seeds"))
OF_ESTIMATE = ("steps", "frames", "guidance", "interpolation", "memory")


def with_parameters(method: Callable, names: tuple[str, ...]) -> Callable:
    """An endpoint with one parameter for each name, from a method that takes the values of all of them in one dictionary.

    Every parameter but the photo may be left out; its value is `None` then. The docstring is that of the method, with `PARAMETERS`
    before its "Returns:".
    """
    if inspect.isgeneratorfunction(method):

        def endpoint(*values):
            yield from method(dict(zip(names, values, strict=True)))

    else:

        def endpoint(*values):
            return method(dict(zip(names, values, strict=True)))

    purpose, returns = inspect.getdoc(method).split("\n\nReturns:\n")
    lines = "\n".join(f"    {name}: {PARAMETERS[name]}" for name in names)
    endpoint.__name__ = method.__name__
    endpoint.__doc__ = f"{purpose}\n\nArgs:\n{lines}\n\nReturns:\n{returns}"
    empty, kind = inspect.Parameter.empty, inspect.Parameter.POSITIONAL_OR_KEYWORD
    endpoint.__signature__ = inspect.Signature(
        [inspect.Parameter(name, kind, default=empty if name == "photo" else None) for name in names]
    )
    return endpoint
