"""Lays a photo over its clip, to be wiped away, with one time bar, and judges how closely the clip's garment matches the photo's."""

import logging
from html import escape

import gradio as gr
import numpy as np

from ..evaluation.fidelity import COLOUR_LIMITS, SIMILARITY_LIMITS, VERDICTS, Fidelity, fidelity
from ..video.io import read_frames
from .context import HELPER, PageContext
from .languages import LABELS, Words, words_for
from .run import Run, file_of
from .wording import status


# The upper end of the chart's colour difference axis is at least this, so that an invisible difference does not look large.
HIGHEST_DIFFERENCE = 10.0
EARLY = 0.15  # fraction of a clip; a flaw that begins earlier counts for the whole clip

SIGNS = dict(zip(VERDICTS, "✓≈✗", strict=True))

logger = logging.getLogger(__name__)


class Compare:
    def __init__(self, context: PageContext, run: Run):
        self.context, self.run = context, run

    def build(self) -> None:
        with gr.Accordion(LABELS("viewer.compare"), open=False, elem_id="compare") as self.accordion:
            with gr.Column(elem_id="wiped"):
                looks = {"interactive": False, "buttons": [], "min_width": 120}
                self.photo = gr.Image(label=LABELS("viewer.photo"), format="png", elem_id="compared-photo", **looks)
                # The player's own controls are hidden (viewer.css), because only the bar below controls it.
                self.clip = gr.Video(label=LABELS("viewer.clip"), loop=True, elem_id="compared-clip", **looks)
            self.wipe = gr.Slider(0, 100, 50, step=1, label=LABELS("viewer.wipe"), buttons=[], elem_id="wipe")
            with gr.Row(elem_id="bar-row"):
                self.play = gr.Button(LABELS("viewer.play_pause"), min_width=130, scale=0, elem_id="play-compared")
                self.bar = gr.Slider(
                    0, 1, 0, label=LABELS("viewer.time"), min_width=160, buttons=[], elem_id="time-bar"
                )
            with gr.Row(elem_id="verdict-row"):
                self.badge = gr.Button(visible=False, size="sm", min_width=0, scale=0, elem_id="badge")
                self.verdict = gr.HTML(padding=False, elem_id="verdict")
            with gr.Accordion(LABELS("viewer.charts"), open=False, elem_id="charts"):
                self.charts = [
                    gr.LinePlot(
                        x="seconds",
                        y=name,
                        x_title=" ",
                        y_title=" ",
                        label=LABELS(f"viewer.{name}"),
                        height=190,
                        min_width=200,
                        buttons=[],
                        elem_id=name.replace("_", "-"),
                    )
                    for name in ("colour_difference", "similarity")
                ]
            with gr.Accordion(LABELS("viewer.meaning"), open=False, elem_id="meaning"):
                gr.Markdown(LABELS("viewer.meaning_text"))

    def connect(self, page: gr.Blocks) -> None:
        is_open, opened = opened_state(self.accordion)
        inputs = [self.run.shown, is_open]
        said = [self.verdict, self.badge]
        for when in (opened.then, self.run.shown.change):
            when(self.show, inputs, [self.photo, self.clip, self.bar, *said], **HELPER).then(
                self.judge, inputs, [*said, *self.charts], trigger_mode="always_last", **HELPER
            )
        # The row of actions has a button that opens it, and styles/viewer.css hides what is closed.
        back = "() => document.querySelector('#open-comparison').focus()"
        self.accordion.collapse(None, js=back, api_visibility="private")
        self.badge.click(None, js="() => window.fashionflow.unfold('charts')", api_visibility="private")
        # Runs only in the browser, so that the picture follows the finger.
        self.bar.input(None, self.bar, js="(time) => window.fashionflow.moveTo(time)", api_visibility="private")
        self.wipe.input(None, self.wipe, js="(share) => window.fashionflow.wipeTo(share)", api_visibility="private")
        self.play.click(None, js="() => window.fashionflow.playCompared()", api_visibility="private")

    def show(self, request: gr.Request, shown: dict, is_open: bool) -> tuple:
        """The photo, the clip, the bar, a message that the comparison is being made, and no verdict yet. All are empty while the panel is closed."""
        path = file_of(self.context, shown) if is_open else None
        hidden = gr.update(visible=False)
        if path is None:
            return None, None, gr.skip(), "", hidden
        job = self.context.job_queue.find(shown["number"])
        result = job.results[shown["clip"]]
        step = max(1, int(100 / result.fps)) / 100  # a round number, small enough to reach every frame
        end = round((result.frames - 1) / result.fps, 2)
        # At the start, both halves are alike, so scripts/viewer.js shows the middle of the clip first.
        bar = gr.update(value=end / 2, step=step, maximum=end)
        return job.photo(shown["clip"]), str(path), bar, status(words_for(request)("viewer.judging")), hidden

    def judge(self, request: gr.Request, shown: dict, is_open: bool) -> tuple:
        """The verdict as a sentence and as a badge, and the two charts. This takes ten seconds of a processor."""
        path = file_of(self.context, shown) if is_open else None
        nothing = [gr.update(visible=False)] * 3
        if path is None:
            return "", *nothing
        import pandas  # slow to import, and only needed here

        words = words_for(request)
        job = self.context.job_queue.find(shown["number"])
        try:
            photo = np.asarray(job.photo(shown["clip"]))
            coverage_of = self.context.job_queue.pipe.coverage_of
            judged = fidelity(read_frames(path), photo, job.results[shown["clip"]].fps, coverage_of)
        except (OSError, ValueError):
            logger.exception("A clip could not be compared with its photo.")
            return status(words("viewer.not_judged"), problem=True), *nothing
        table = pandas.DataFrame(
            {
                "seconds": judged.seconds,
                "colour_difference": judged.colour_difference,
                "similarity": judged.similarity,
            }
        )
        end = [0, float(judged.seconds[-1])]
        highest = max(HIGHEST_DIFFERENCE, float(np.ceil(judged.colour_difference.max())))
        return (
            verdict(words, judged),
            gr.update(value=badge(words, judged), visible=True),
            gr.update(value=table, x_lim=end, y_lim=[0, highest], visible=True),
            gr.update(value=table, x_lim=end, y_lim=[0, 1], visible=True),
        )


def badge(words: Words, judged: Fidelity) -> str:
    """The verdict in a few words, with a sign that can be told apart without colours."""
    key = judged.verdict.replace(" ", "_")
    return SIGNS[judged.verdict] + " " + words(f"viewer.badge_{key}")


def verdict(words: Words, judged: Fidelity) -> str:
    """The result of the charts as a sentence, with the time at which a flaw begins if it is not there from the start."""
    sentence = words(f"viewer.{judged.sentence_key.replace(' ', '_')}")
    if judged.verdict != VERDICTS[0]:
        off = (judged.colour_difference > COLOUR_LIMITS[0]) | (judged.similarity < SIMILARITY_LIMITS[0])
        begins = int(off.argmax())
        if begins > EARLY * len(off):
            sentence += " " + words("viewer.begins", seconds=f"{judged.seconds[begins]:.1f}")
    numbers = words(
        "viewer.on_average",
        difference=f"{judged.colour_difference.mean():.1f}",
        similarity=f"{judged.similarity.mean():.2f}",
    )
    return (
        f'<p class="verdict {judged.verdict.replace(" ", "-")}">{escape(sentence)} <span>{escape(numbers)}</span></p>'
    )


def opened_state(accordion: gr.Accordion) -> tuple[gr.State, gr.events.Dependency]:
    """A state that says whether an accordion is open, which Gradio does not tell its server by itself, and the event of its opening."""
    is_open = gr.State(False)
    accordion.collapse(lambda: False, None, is_open, **HELPER)
    return is_open, accordion.expand(lambda: True, None, is_open, **HELPER)
