"""The page on a stage (`?stage=1`): one large clip, controlled with a clicker, and a QR code for the audience's phones.

It is the ordinary page. styles/stage.css shows only the area of the clip, from edge to edge, and scripts/stage.js presses the page's
buttons when a key is pressed. This module adds the texts on top of that, and ends a visit.
"""

import json
import time
import weakref
from html import escape

import gradio as gr

from ..pipelines.motions import PRESETS
from . import wording
from .address import ADDRESS_VARIABLE, from_stage, on_stage, public_address, qr_code
from .context import HELPER, PageContext, Visit
from .languages import Words, words_for
from .photo_box import PhotoBox
from .run import Run
from .settings import Settings
from .uploads import RECORDED


DIGITS = 7  # motions that are chosen by a digit

KEYS = (
    ("Space, Enter, Page Down", "animate"),
    ("→, ← (Page Up)", "choose"),
    (f"1 - {DIGITS}", "motion"),
    ("B, .", "black"),
    ("R, Esc, F5", "reset"),
    ("Q", "qr"),
    ("H, ?", "help"),
)


class Stage:
    def __init__(self, context: PageContext, photo_box: PhotoBox, settings: Settings, run: Run):
        self.context, self.photo_box, self.settings, self.run = context, photo_box, settings, run
        self.sessions: set[str] = set()  # Gradio's sessions of stage visits that it may still keep

    def build(self) -> None:
        looks = {"visible": False, "padding": False}
        self.greeting = gr.HTML(elem_id="stage-greeting", **looks)
        self.screen = gr.HTML(elem_id="stage-screen", **looks)
        self.line = gr.HTML(elem_id="stage-line", **looks)
        self.made = gr.HTML(elem_id="stage-made", **looks)
        # Pressed by scripts/stage.js.
        self.count_button = gr.Button("count", visible="hidden", elem_id="stage-count")
        self.reset_button = gr.Button("reset", visible="hidden", elem_id="stage-reset")

    def connect(self, page: gr.Blocks) -> None:
        self.page = weakref.ref(page)
        page.load(self.open, None, [self.greeting, self.screen, self.line, self.made], **HELPER)
        self.count_button.click(self.count, None, self.line, **HELPER)
        self.run.shown.change(self.say_made, self.run.shown, self.made, **HELPER)
        # `then` and not `success`, because the next visit must start even if the last one failed.
        self.reset_button.click(self.discard, self.run.visit, None, **HELPER).then(
            None, js="() => window.fashionflow.stageIsFree?.()", api_visibility="private"
        )

    def open(self, request: gr.Request) -> tuple:
        """The greeting for a phone that used the QR code, or the stage's screen, queue length and label; nothing for other visitors."""
        words = words_for(request)
        nothing = gr.skip()
        if on_stage(request):
            self.forget_earlier(request.session_hash)
            shown = gr.update(visible=True)
            return nothing, gr.update(value=self.draw(request, words), visible=True), shown, shown
        if from_stage(request):
            return gr.update(value=draw_greeting(words), visible=True), nothing, nothing, nothing
        return nothing, nothing, nothing, nothing

    def forget_earlier(self, session: str) -> None:
        """Removes Gradio's data on stage visits whose page is closed. Gradio keeps half a megabyte for each of the last 10,000 visits."""
        self.sessions.add(session)
        page = self.page()
        holder, queue = page.state_holder, page._queue
        for earlier in list(self.sessions - {session}):
            state = holder.session_data.get(earlier)
            if state is None or state.is_closed:
                with holder.lock:
                    holder.session_data.pop(earlier, None)
                    holder.time_last_used.pop(earlier, None)
                queue.pending_messages_per_session.pop(earlier, None)
                queue.pending_event_ids_session.pop(earlier, None)
                self.sessions.discard(earlier)

    def draw(self, request: gr.Request, words: Words) -> str:
        """All texts on the stage that do not change. scripts/stage.js decides which of them is visible."""
        page = self.page()
        bar = request.headers.get("referer") or f"http://{request.headers.get('host', '')}/"
        code, reason = draw_phones(public_address(bar, page.server_name if page else ""), words)
        clips = [f"gradio_api/file={path}" for path in sorted(RECORDED.glob("*.mp4"))]
        keys = "".join(f"<dt>{key}</dt><dd>{escape(words(f'stage.key_{name}'))}</dd>" for key, name in KEYS)
        presets = list(PRESETS)[:DIGITS] if self.context.job_queue.model.has_motion else []
        motions = "".join(
            f"<li>{digit}  {escape(words(f'motion.{name}'))}</li>" for digit, name in enumerate(presets, start=1)
        )
        names = ("title", "tagline", "working", "space", "keys", "unreachable")
        said = {name: escape(words(f"stage.{name}")) for name in names}
        return (
            f'<div class="screen" data-clips="{escape(json.dumps(clips))}"'
            f' data-recorded="{escape(words("stage.recorded"))}">'
            f'<div class="title"><h2>{said["title"]}</h2><p>{said["tagline"]}</p></div>'
            f'<p class="working">{said["working"]}</p>'
            f'<div class="choice"><p>{said["space"]}</p><ol>{motions}</ol></div>{code}'
            f'<section class="help"><h2>{said["keys"]}</h2><dl>{keys}</dl>'
            f"<p>{escape(words('stage.key_photo'))}</p>{reason}"
            f'<p class="unreachable">{said["unreachable"]}</p></section>'
            "</div>"
        )

    def count(self, request: gr.Request) -> str:
        """How many jobs are in the queue. A job's own number is never shown here, because anybody who reads it could fetch the clip."""
        count = self.context.job_queue.in_line
        key = {0: "stage.line_none", 1: "stage.line_one"}.get(count, "stage.line_many")
        return f"<p>{escape(words_for(request)(key, count=count))}</p>"

    def say_made(self, request: gr.Request, shown: dict):
        """The label of a clip that was made live on the stage."""
        job = self.context.job_queue.find(shown["number"]) if on_stage(request) and shown["number"] else None
        result = job.results[shown["clip"]] if job else None
        if result is None:
            return gr.skip()
        words = words_for(request)
        sentence = words("stage.made", time=wording.duration(words, result.seconds))
        return f'<p data-clip="{time.time()}">{escape(sentence)}</p>'  # the time marks a new clip for the script

    def discard(self, request: gr.Request, visit: Visit) -> None:
        """Deletes the job of the stage's visitor, and stops it if it is still running."""
        job = self.context.job_queue.find(visit.number)
        if on_stage(request) and job is not None:
            visit.number = ""
            self.context.job_queue.discard(job)


def draw_phones(address: str | None, words: Words) -> tuple[str, str]:
    """The QR code of an address for the audience, and for the presenter's help the reason why there is none; one of them is empty."""
    if address is None:
        return "", f"<p>{escape(words('stage.no_phones', variable=ADDRESS_VARIABLE))}</p>"
    try:
        code = qr_code(f"{address}?from=stage")
    except RuntimeError:
        return "", f"<p>{escape(words('stage.no_qr'))}</p>"
    shown = escape(address.removeprefix("http://").removeprefix("https://").rstrip("/"))
    invited = escape(words("stage.phones"))
    return (
        f'<aside class="phones"><p>{invited}</p><div class="qr">{code}</div><p class="address">{shown}</p></aside>',
        "",
    )


def draw_greeting(words: Words) -> str:
    """The greeting for the audience's phones: what to do, and a field for a clip's number. The form opens the page with `?job=`."""
    number = escape(words("stage.number"))
    return (
        f'<div class="greeting"><p>{escape(words("stage.greeting"))}</p><form method="get">'
        '<input type="hidden" name="from" value="stage">'
        f'<input name="job" aria-label="{number}" placeholder="{number}" autocomplete="off" required>'
        f"<button>{escape(words('stage.fetch'))}</button></form></div>"
    )
