"""The details of a finished clip: its downloads, its comparison with the photo, and its settings."""

import json
import shlex
from html import escape

import gradio as gr

from ..generation.request import WITH_BACK_PHOTO
from ..generation.settings import LIMITS
from ..video.io import read_settings
from .compare import Compare
from .context import HELPER, PageContext, whole
from .downloads import Downloads
from .languages import LABELS, Words, words_for
from .photo_box import PhotoBox
from .run import Run, file_of
from .settings import Settings


class Viewer:
    """The panel under the status while there is a finished clip."""

    def __init__(self, context: PageContext, photo_box: PhotoBox, settings: Settings, run: Run):
        self.context, self.run = context, run
        self.downloads, self.compare = Downloads(context, run), Compare(context, run)

    def build(self) -> None:
        with gr.Column(visible=False, elem_id="viewer") as self.place:
            self.downloads.build()
            self.compare.build()
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
                self.copy = gr.Button(LABELS("viewer.copy"), elem_id="copy")
                self.copied = gr.HTML(LABELS("viewer.copied"), padding=False, visible="hidden", elem_id="copied")

    def connect(self, page: gr.Blocks) -> None:
        self.run.shown.change(
            self.show, self.run.shown, [self.place, self.downloads.button, self.table, self.command], **HELPER
        )
        self.copy.click(None, self.command, js="window.fashionflow.copy", api_visibility="private")
        self.downloads.connect(page)
        self.compare.connect(page)

    def show(self, request: gr.Request, shown: dict) -> tuple:
        """Updates of the panel, the download button, and the settings as a table and as a command, for the clip that is shown."""
        path = file_of(self.context, shown)
        if path is None:
            return gr.update(visible=False), gr.skip(), gr.skip(), gr.skip()
        settings = read_settings(path) or {}
        return gr.update(visible=True), str(path), table(words_for(request), settings), command(settings, path.name)


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
