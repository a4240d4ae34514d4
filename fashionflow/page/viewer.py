"""A finished clip: the row of actions on it, its downloads, its comparison with the photo, and its settings."""

import json
import shlex
from collections.abc import Callable, Iterator
from dataclasses import replace
from html import escape

import gradio as gr

from ..generation.request import WITH_BACK_PHOTO
from ..generation.settings import LIMITS, ClipSettings
from ..video.io import read_settings
from . import wording
from .again import longer, submit_again
from .compare import Compare
from .context import HELPER, RUN_EVENT, PageContext, Visit, draw_seed, whole
from .downloads import Downloads
from .languages import LABELS, Words, words_for
from .photo_box import PhotoBox
from .run import Run, file_of
from .settings import Settings


WITHOUT_CLIP = ["without-clip"]
"""The class of the row of actions and of the panel while no clip is shown. styles/viewer.css hides them without giving up their place,
as Gradio's own `visible` would."""


class Viewer:
    """The row of actions and the panel under the status. Both keep their place while the next clip is made."""

    def __init__(self, context: PageContext, photo_box: PhotoBox, settings: Settings, run: Run):
        self.context, self.settings, self.run = context, settings, run
        self.downloads, self.compare = Downloads(context, run), Compare(context, run)

    def build_actions(self) -> None:
        """Builds the row of actions on the finished clip."""
        with gr.Row(elem_id="actions", elem_classes=WITHOUT_CLIP) as self.actions:
            self.downloads.build_button()
            self.again, self.longer, self.open_comparison, self.copy = (
                gr.Button(LABELS(f"viewer.{name}"), min_width=0, elem_id=name.replace("_", "-"))
                for name in ("again", "longer", "open_comparison", "copy")
            )
        self.copied = gr.HTML(LABELS("viewer.copied"), padding=False, visible="hidden", elem_id="copied")

    def build(self) -> None:
        with gr.Column(elem_id="viewer", elem_classes=WITHOUT_CLIP) as self.place:
            self.compare.build()
            self.downloads.build_other()
            with gr.Accordion(LABELS("viewer.settings"), open=False, elem_id="clip-settings"):
                self.table = gr.HTML(padding=False)
                self.command = gr.Textbox(
                    label=LABELS("viewer.command"),
                    info=LABELS("viewer.command_info"),
                    interactive=False,
                    lines=3,
                    max_lines=8,
                    elem_id="command",
                )

    def connect(self, page: gr.Blocks) -> None:
        self.run.shown.change(
            self.show,
            self.run.shown,
            [self.actions, self.place, self.downloads.button, self.longer, self.table, self.command],
            **HELPER,
        )
        outputs = [*self.run.outputs, self.settings.components["seed"], self.settings.components["frames"]]
        for button, make in ((self.again, self.make_again), (self.longer, self.make_longer)):
            button.click(None, js="() => window.fashionflow.scrollToTheClip()", api_visibility="private")
            button.click(make, [self.run.shown, self.run.visit], outputs, trigger_mode="once", **RUN_EVENT)
        unfold = "() => window.fashionflow.unfold('compare')"
        self.open_comparison.click(None, js=unfold, api_visibility="private")
        self.copy.click(None, self.command, js="window.fashionflow.copy", api_visibility="private")
        self.downloads.connect(page)
        self.compare.connect(page)

    def show(self, request: gr.Request, shown: dict) -> tuple:
        """Updates of the actions, the panel, the buttons for the file and for a longer clip, and the settings as a table and as a
        command, for the clip that is shown."""
        path = file_of(self.context, shown)
        if path is None:
            hidden = gr.update(elem_classes=WITHOUT_CLIP)
            return hidden, hidden, *[gr.skip()] * 4
        settings = read_settings(path) or {}
        made = self.context.job_queue.find(shown["number"]).requests[shown["clip"]].settings
        words = words_for(request)
        can_be_longer = gr.update(interactive=True, value=words("viewer.longer"))
        if longer(self.settings, made) is None:
            can_be_longer = gr.update(interactive=False, value=words("viewer.longest"))
        seen = gr.update(elem_classes=[])
        return seen, seen, str(path), can_be_longer, table(words, settings), command(settings, path.name)

    def make_again(self, request: gr.Request, shown: dict, visit: Visit) -> Iterator[list]:
        """Makes the clip that is shown with a new seed."""
        yield from self.make(words_for(request), shown, visit, lambda made: replace(made, seed=draw_seed()))

    def make_longer(self, request: gr.Request, shown: dict, visit: Visit) -> Iterator[list]:
        """Makes the clip that is shown with more frames."""
        yield from self.make(words_for(request), shown, visit, lambda made: longer(self.settings, made) or made)

    def make(
        self, words: Words, shown: dict, visit: Visit, change: Callable[[ClipSettings], ClipSettings]
    ) -> Iterator[list]:
        """Makes the clip that is shown again, with a change, as an ordinary run: updates of `Run.outputs`, the seed and the frames."""
        lost = words("status.lost")
        try:
            if file_of(self.context, shown) is None:
                raise ValueError(lost)
            job, clip = self.context.job_queue.find(shown["number"]), shown["clip"]
            changed = change(job.requests[clip].settings)
            new = submit_again(self.context, visit, words, job, clip, changed, lost)
        except ValueError as error:
            yield [*self.run.changes(status=wording.status(str(error), problem=True)), gr.skip(), gr.skip()]
            return
        for index, changes in enumerate(self.run.show(visit, new, words)):
            # Told once, because the visitor may choose other settings meanwhile.
            told = (gr.skip(), gr.skip()) if index else (changed.seed, changed.frames)
            yield [*changes, *told]


def table(words: Words, settings: dict) -> str:
    """A clip's settings as a table for people: the settings that have a value, and the model, version and date."""
    names = {name: f"advanced.{name}" for name in LIMITS} | {
        "motion": "motion.label",
        "model": "advanced.model",
        "version": "viewer.version",
        "date": "viewer.date",
    }
    rows = ""
    for name, key in names.items():
        value = settings.get(name)
        if value is None:
            continue
        if name == "motion":
            value = words(f"motion.{value}")
        elif name == "memory":
            value = words(f"advanced.memory_{value}")
        elif name == "date":
            value = str(value).replace("T", " ").replace("+00:00", " UTC")
        rows += f"<dt>{escape(words(key))}</dt><dd>{escape(str(whole(value)))}</dd>"
    return f'<dl class="settings">{rows}</dl>'


def command(settings: dict, name: str) -> str:
    """A clip's settings for a terminal: the command that makes the clip again from its photos, and all settings as JSON in a shell
    comment."""
    words = ["python", "-m", "fashionflow", "photo.jpg", name]
    for setting in LIMITS:
        value = settings.get(setting)
        if value is not None:
            words += [f"--{setting.replace('_', '-')}", str(whole(value))]
    if settings.get(WITH_BACK_PHOTO):
        words += ["--back", "back.jpg"]
    return f"{shlex.join(words)}\n# {json.dumps(settings)}"
