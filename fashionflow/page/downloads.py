"""Downloads of a finished clip: its mp4 file at once, and other formats on demand."""

import logging
from functools import partial

import gradio as gr

from ..video.export import FORMATS, PLAYS, SHAPES, Export, export
from ..video.files import FULL
from .compare import opened_state
from .context import HELPER, PageContext
from .languages import LABELS, words_for
from .run import Run, file_of
from .wording import status


EXPORTS_AT_ONCE = 2
"""How many exports run at the same time, for all visitors together. Further exports wait, because clips are made on the same
processor."""

logger = logging.getLogger(__name__)


class Downloads:
    """
    Attributes:
        button: downloads the clip's own file.
        other: downloads the file that was chosen under "Other formats", once it is ready.
    """

    def __init__(self, context: PageContext, run: Run):
        self.context, self.run = context, run

    def build_button(self) -> None:
        self.button = gr.DownloadButton(LABELS("viewer.download"), variant="primary", min_width=0, elem_id="download")

    def build_other(self) -> None:
        with gr.Accordion(LABELS("viewer.formats"), open=False, elem_id="formats") as self.accordion:
            self.format = gr.Radio(
                [(LABELS(f"viewer.format_{name}"), name) for name in FORMATS],
                value=FORMATS[0],
                label=LABELS("viewer.format"),
                elem_id="format",
            )
            with gr.Row():
                self.shape = gr.Radio(
                    [
                        (LABELS("viewer.shape_as-made") if size is None else name, name)
                        for name, size in SHAPES.items()
                    ],
                    value=next(iter(SHAPES)),
                    label=LABELS("viewer.shape"),
                    min_width=200,
                    elem_id="shape",
                )
                self.play = gr.Radio(
                    [(LABELS(f"viewer.play_{name}"), name) for name in PLAYS],
                    value=PLAYS[0],
                    label=LABELS("viewer.play"),
                    info=LABELS("viewer.play_info"),
                    min_width=200,
                    elem_id="play",
                )
            self.mark = gr.Checkbox(label=LABELS("viewer.mark"), info=LABELS("viewer.mark_info"), elem_id="mark")
            self.other = gr.DownloadButton(LABELS("viewer.preparing"), interactive=False, elem_id="download-other")
            self.problem = gr.HTML(visible=False, padding=False, elem_id="export-problem")

    def connect(self, page: gr.Blocks) -> None:
        choices = [self.format, self.shape, self.play, self.mark]
        is_open, opened = opened_state(self.accordion)
        for when in (opened.then, self.run.shown.change, partial(gr.on, [choice.input for choice in choices])):
            # This runs first and without waiting, so that the file of the previous choice is not mistaken for the file of this one.
            when(self.announce, is_open, [self.other, self.problem], trigger_mode="multiple", **HELPER).then(
                self.prepare,
                [self.run.shown, is_open, *choices],
                [self.other, self.problem],
                trigger_mode="always_last",  # one export at a time per visitor, then the last choice
                concurrency_limit=EXPORTS_AT_ONCE,
                concurrency_id="exports",
                show_progress="hidden",
                api_visibility="private",
            )

    def announce(self, is_open: bool) -> tuple:
        if not is_open:
            return gr.skip(), gr.skip()
        waiting = gr.update(label=LABELS("viewer.preparing"), value=None, interactive=False, visible=True)
        return waiting, gr.update(visible=False)

    def prepare(self, request: gr.Request, shown: dict, is_open: bool, *choices) -> tuple:
        """The download button for the chosen file, or an error message."""
        if not is_open:
            return gr.skip(), gr.skip()
        words = words_for(request)
        original = file_of(self.context, shown)
        if original is None:
            return gr.update(visible=False), said(words("status.lost"))
        wanted = Export(*choices)
        try:
            job = self.context.job_queue.find(shown["number"])
            path = original if wanted == Export(FORMATS[0]) else export(original, wanted, original.parent)
            size = path.stat().st_size
        except ValueError as error:
            return gr.update(visible=False), said(str(error))
        except OSError as error:
            logger.exception("A file could not be prepared.")
            key = "refused.no-room" if error.errno in FULL else "viewer.not_prepared"
            return gr.update(visible=False), said(words(key))
        if job.discarded.is_set():  # its folder may have been deleted meanwhile
            job.delete()
        label = words("viewer.download_other", format=words(f"viewer.format_{wanted.format}"), size=file_size(size))
        return gr.update(label=label, value=str(path), interactive=True, visible=True), gr.skip()


def said(problem: str) -> dict:
    return gr.update(value=status(problem, problem=True), visible=True)


def file_size(size: int) -> str:
    """A number of bytes as text, in MB or kB."""
    return f"{size / 1e6:.1f} MB" if size >= 1e5 else f"{max(1, round(size / 1e3))} kB"
