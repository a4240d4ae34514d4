"""The types of the endpoints, as hidden components: they give programs the names, types, choices and defaults of the values."""

import inspect
from collections.abc import Callable

import gradio as gr

from ...pipelines.motions import MOTIONS
from ...pipelines.schedulers import SAMPLERS
from ...runtime.memory_modes import MEMORY_CHOICES
from ...video.export import FORMATS, PLAYS, SHAPES
from ..downloads import EXPORTS_AT_ONCE
from ..settings import Settings
from .parameters import OF_ANIMATE, OF_ESTIMATE, OF_SUBMIT, with_parameters


JUDGED_AT_ONCE = 2
"""How many clips are compared with their photos at the same time, for all programs together. Further calls wait."""

READ_AT_ONCE = 4
"""How many uploads are read at the same time, because a large photo takes 200 MB."""


def declare(clips, jobs, files, settings: Settings) -> None:
    """Creates the endpoints of the page that is being built.

    Args:
        clips, jobs, files: an `Endpoints`, a `JobEndpoints` and a `FileEndpoints`.
        settings: the page's settings; the endpoints have the same defaults.
    """
    page = gr.context.Context.root_block
    for event in page.fns.values():  # the page's own events; no program calls them by name
        event.api_name = f"page_{event.api_name}"
    with gr.Column(visible=False):
        # Programs wait in Gradio's queue even with `queue=False`, and there one after another unless this says otherwise.
        at_once = {"queue": False, "concurrency_limit": None}
        reading = {"concurrency_limit": READ_AT_ONCE, "concurrency_id": "reading"}
        slowly = {"concurrency_limit": JUDGED_AT_ONCE, "concurrency_id": "judging"}
        exporting = {"concurrency_limit": EXPORTS_AT_ONCE, "concurrency_id": "exports"}
        wanted = _wanted(settings)
        short = [wanted[name] for name in ("steps", "frames", "guidance", "interpolation", "memory")]
        back = _photo("back_photo")
        photo, crop = wanted["photo"], [wanted[name] for name in ("zoom", "across", "down")]
        number, clip = gr.Textbox(label="number"), _whole("clip", 0)
        state = gr.Textbox(label="state")
        # These calls wait in the job queue, not in Gradio's queue, which would not show them their place.
        made = [gr.File(label="clip"), _whole("seed")]
        _offer(with_parameters(clips.animate, OF_ANIMATE), [*wanted.values(), back], made, concurrency_limit=None)
        several = [
            gr.Dropdown(list(MOTIONS), value=[], multiselect=True, label="more_motions"),
            _whole("seeds", 1),
        ]
        job = [gr.Textbox(label="number"), _whole("clips"), _whole("seed")]
        _offer(with_parameters(clips.submit, OF_SUBMIT), [*wanted.values(), *several, back], job, **reading)
        times = [gr.Number(label="seconds"), _whole("clips_ahead"), gr.Number(label="seconds_ahead")]
        _offer(with_parameters(clips.estimate, OF_ESTIMATE), short, times, **at_once)
        counts = [_whole("clips_finished"), _whole("clips")]
        left = [gr.Number(label="seconds_left"), gr.Number(label="seconds_kept")]
        _offer(jobs.job, [number], [state, *counts, *left], **at_once)
        _offer(jobs.result, [number, clip], [gr.File(label="clip"), _whole("seed")], **at_once)
        _offer(jobs.stop, [number], [state], **at_once)
        form = [
            _choice("format", FORMATS),
            _choice("shape", SHAPES),
            _choice("play", PLAYS),
            gr.Checkbox(label="mark"),
        ]
        _offer(jobs.export, [number, clip, *form], [gr.File(label="file")], **exporting)
        verdict = [gr.Textbox(label="verdict"), gr.Textbox(label="sentence"), gr.JSON(label="frames")]
        _offer(jobs.fidelity, [number, clip], verdict, **slowly)
        seen = [gr.JSON(label="advice"), gr.Image(label="first_frame", format="jpeg")]
        _offer(files.check_photo, [photo, *crop], seen, **reading)
        came = _described(gr.File(label="clip"), "An uploaded mp4, GIF, WebP or zip file; no address is fetched.")
        _offer(files.settings_of, [came], [gr.JSON(label="settings")], **reading)


def _wanted(settings: Settings) -> dict[str, gr.components.Component]:
    """The first parameters of `animate` and `submit`, in their order, with the page's own defaults."""
    page = {name: component.value for name, component in settings.components.items()}
    return {
        "photo": _photo("photo"),
        "motion": _choice("motion", MOTIONS, page["motion"]),
        "turn_angle": gr.Number(label="turn_angle"),
        "steps": _whole("steps", page["steps"]),
        "frames": _whole("frames", page["frames"]),
        "seed": _whole("seed"),
        "sampler": _choice("sampler", SAMPLERS),
        "guidance": gr.Number(page["guidance"], label="guidance"),
        "frame_rate": gr.Number(page["frame_rate"], label="frame_rate"),
        "interpolation": _whole("interpolation", page["interpolation"]),
        "quality": _whole("quality", page["quality"]),
        "memory": _choice("memory", MEMORY_CHOICES, page["memory"]),
        "zoom": gr.Number(1, label="zoom"),
        "across": gr.Number(0, label="across"),
        "down": gr.Number(0, label="down"),
    }


def _photo(name: str) -> gr.Image:
    return _described(gr.Image(label=name), "An uploaded image file; no address is fetched.")


def _whole(name: str, value: int | None = None) -> gr.Number:
    return gr.Number(value, precision=0, label=name)


def _choice(name: str, choices, value: str | None = "first") -> gr.Dropdown:
    choices = list(choices)
    return gr.Dropdown(choices, value=choices[0] if value == "first" else value, label=name)


def _described(component: gr.components.Component, description: str) -> gr.components.Component:
    """Replaces Gradio's description of a component. Gradio would tell programs that they may name a file by its address, or explain its
    own class. (For a subclass of ours, Gradio would write a stub file beside this one.)"""
    information = component.api_info() | {"additional_description": description}
    component.api_info = lambda: information
    return component


def _offer(function: Callable, inputs: list, outputs: list, **how) -> None:
    gr.Button().click(
        function,
        inputs,
        outputs,
        api_name=function.__name__,
        api_description=inspect.getdoc(function),
        preprocess=False,
        **how,
    )
