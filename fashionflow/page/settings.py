"""The settings that a visitor can change besides the photo: motion, angle, steps, frames and seed, and everything else under Advanced."""

import gradio as gr

from ..generation.settings import DEFAULT_QUALITY, DEFAULT_STEPS, LIMITS, RANDOM_SEED, ClipSettings
from ..pipelines.motions import LARGEST_TURN, MOTIONS, PRESETS, SURPRISE
from ..pipelines.schedulers import SAMPLERS
from ..runtime.memory_modes import AUTOMATIC, DECODED_AT_ONCE, MEMORY_CHOICES
from ..video.playing_rate import frames_shown_for_each
from .context import HELPER, PageContext, draw_seed, whole
from .languages import LABELS, words_for


DIAL = """
<svg class="dial" viewBox="-50 -50 100 100" aria-hidden="true">
  <circle class="rim" r="46"/><path class="turned"/>
  <g class="person"><ellipse rx="22" ry="11"/><circle r="10"/><path d="M0 44 -7 32H7z"/></g>
</svg>
"""
"""The turn angle as a dial: a person from above, whose arrow points to where the front of the garment looks at last. Down is the camera.
scripts/dial.js draws it and sets the slider beside it, which is there for the keyboard and for screen readers."""


class Settings:
    """The components of the settings, each built at its place in the page.

    Attributes:
        inputs: the components, in the order of `NAMES`.
    """

    NAMES = (
        "motion",
        "turn_angle",
        "steps",
        "frames",
        "seed",
        "sampler",
        "guidance",
        "frame_rate",
        "interpolation",
        "quality",
        "memory",
    )

    def __init__(self, context: PageContext):
        self.context = context
        self.components: dict[str, gr.components.Component] = {}

    @property
    def inputs(self) -> list[gr.components.Component]:
        return [self.components[name] for name in self.NAMES]

    def build_motion(self) -> None:
        """Builds the motion and its angle."""
        has_motion = self.context.job_queue.model.has_motion
        self.components["motion"] = gr.Radio(
            [(LABELS(f"motion.{name}"), name) for name in MOTIONS],
            value=default_motion(self.context),
            label=LABELS("motion.label"),
            visible=has_motion,
            elem_id="motion",
        )
        angle = next(iter(PRESETS.values())).angle
        with gr.Row(visible=has_motion, elem_id="turn"):
            gr.HTML(DIAL, elem_id="turn-dial")
            self._slider("turn_angle", -LARGEST_TURN, LARGEST_TURN, angle, step=5, visible=has_motion)

    def build_main(self) -> None:
        """Builds the settings that are always visible: steps, frames, and the seed with its die."""
        model = self.context.job_queue.model
        multiple = model.frame_multiple
        most = min(LIMITS["frames"].largest, 2 * model.default_num_frames)
        with gr.Row(elem_id="main-settings"):
            self._slider("steps", 1, 50, DEFAULT_STEPS)
            self._slider("frames", max(2, multiple), most - most % multiple, model.default_num_frames, step=multiple)
            with gr.Row(elem_id="seed-row"):
                self.components["seed"] = gr.Number(
                    0,
                    label=LABELS("advanced.seed"),
                    precision=0,
                    minimum=RANDOM_SEED,
                    maximum=LIMITS["seed"].largest,
                    min_width=90,
                    elem_id="seed",
                )
                self.die = gr.Button(LABELS("advanced.new_seed"), min_width=120, scale=0, elem_id="die")

    def build_advanced(self) -> None:
        model = self.context.job_queue.model
        guidance, interpolation = LIMITS["guidance"], LIMITS["interpolation"]
        with gr.Accordion(LABELS("advanced.title"), open=False, elem_id="advanced"):
            with gr.Row():
                self._slider("guidance", guidance.smallest, guidance.largest, 1, step=0.5, visible=model.has_motion)
                self.components["sampler"] = gr.Dropdown(
                    list(SAMPLERS), label=LABELS("advanced.sampler"), min_width=100
                )
            with gr.Row():
                self._slider("frame_rate", 4, 30, model.frame_rate)
                factor = frames_shown_for_each(model.frame_rate)
                self._slider("interpolation", interpolation.smallest, interpolation.largest, factor)
            with gr.Row():
                self._slider("quality", LIMITS["quality"].smallest, LIMITS["quality"].largest, DEFAULT_QUALITY)
                self.components["memory"] = gr.Radio(
                    [(LABELS(f"advanced.memory_{name}"), name) for name in MEMORY_CHOICES],
                    value=AUTOMATIC,
                    label=LABELS("advanced.memory"),
                    info=LABELS("advanced.memory_info"),
                    min_width=140,
                    elem_id="memory",
                )
            self.report = gr.Textbox(label=LABELS("advanced.model"), interactive=False, elem_id="model")

    def _slider(self, name: str, smallest: float, largest: float, value: float, step: float = 1, **looks) -> None:
        self.components[name] = gr.Slider(
            smallest,
            largest,
            value,
            step=step,
            label=LABELS(f"advanced.{name}"),
            info=LABELS(f"advanced.{name}_info"),
            min_width=120,
            elem_id=name.replace("_", "-"),
            **looks,
        )

    def connect(self, page: gr.Blocks) -> None:
        seed, motion = self.components["seed"], self.components["motion"]
        gr.on([self.die.click, page.load], draw_seed, None, seed, **HELPER)
        # A click on a preset sets the preset's own angle; restored settings keep their angle.
        angle = self.components["turn_angle"]
        motion.input(self.own_angle, motion, angle, **HELPER)
        gr.on([angle.change, page.load], None, angle, None, js="window.fashionflow.drawDial", api_visibility="private")
        frames, memory = self.components["frames"], self.components["memory"]
        gr.on([page.load, frames.change], self.memory_costs, frames, memory, preprocess=False, **HELPER)
        page.load(self.running, None, self.report, **HELPER)

    def own_angle(self, motion: str) -> dict:
        """An update of the turn angle's slider for a motion: it shows the motion's own angle, or is disabled if the seed chooses the
        motion."""
        if motion == SURPRISE:
            return gr.update(interactive=False)
        return gr.update(value=PRESETS[motion].angle, interactive=True)

    def memory_costs(self, request: gr.Request, frames: float | None) -> dict:
        """The memory modes, each with the memory that a clip of `frames` frames needs in it."""
        from ..runtime.memory import in_gigabytes, peak_bytes  # with PyTorch

        words, pipe = words_for(request), self.context.job_queue.pipe
        choices = [(words(f"advanced.memory_{AUTOMATIC}"), AUTOMATIC)]
        for mode in DECODED_AT_ONCE:
            costs = in_gigabytes(peak_bytes(pipe, int(frames or pipe.config.default_num_frames), mode))
            name = words(f"advanced.memory_{mode}")
            choices.append((words("advanced.memory_costs", mode=name, costs=costs), mode))
        return gr.update(choices=choices)

    def running(self) -> str:
        """The devices and the setup of the pipeline."""
        return self.context.job_queue.report()

    def read(self, values: list) -> ClipSettings:
        """Builds a request for the job queue from the browser's values, in the order of `NAMES`. A value such as 12 may arrive as
        12.0."""
        chosen = {name: whole(value) for name, value in zip(self.NAMES, values, strict=True)}
        if chosen["motion"] in (None, SURPRISE):
            chosen["turn_angle"] = None
        if chosen["seed"] == RANDOM_SEED:
            chosen["seed"] = draw_seed()
        return ClipSettings(**chosen)

    def restored(self, settings: dict) -> list[dict]:
        """Updates of `inputs` that restore settings as `ClipRequest.metadata` wrote them, also settings of older clips."""
        model = self.context.job_queue.model
        own = {
            "turn_angle": PRESETS[settings["motion"]].angle if settings.get("motion") in PRESETS else 0,
            "frame_rate": model.frame_rate,
            "interpolation": frames_shown_for_each(model.frame_rate),
        }
        updates = []
        for name in self.NAMES:
            value = settings.get(name)
            value = own.get(name) if value is None else value
            update = gr.skip() if value is None else gr.update(value=value)
            if name == "turn_angle":
                update = gr.update(value=value, interactive=settings.get("motion") != SURPRISE)
            updates.append(update)
        return updates


def default_motion(context: PageContext) -> str | None:
    """The motion that the page starts with."""
    return next(iter(PRESETS)) if context.job_queue.model.has_motion else None
