"""From the button to the clip: one run of the studio as a visitor sees it, and how a run is found again."""

import logging
from collections.abc import Iterator
from pathlib import Path

import gradio as gr

from ..generation.job import Job, spoken_number
from ..generation.queue import AVAILABLE_SECONDS
from ..generation.request import Event, Finished, Segment, Step, SteppedDown, Waiting
from ..runtime.memory import OutOfMemory
from . import wording
from .context import HELPER, PageContext, Visit
from .languages import LABELS, Words, words_for, words_of
from .photo_box import PhotoBox
from .settings import Settings


# The components that a run changes, in the order in which Gradio is told of them.
OUTPUTS = ("preview", "player", "clip", "status", "number", "animate", "stop", "shown", "last_job")

NOBODYS_CLIP = {"number": "", "clip": 0}
"""What `Run.shown` holds while there is no finished clip to look at."""

logger = logging.getLogger(__name__)


class Run:
    """The buttons, and the place where a clip appears.

    Attributes:
        shown: a state, `{"number": job's number, "clip": which of its clips}`, for other pieces to listen to: the clip that
            is to be looked at, or `NOBODYS_CLIP`.
        last_job: the number of this browser's last job, kept in the browser so that it outlives a reload.
    """

    def __init__(self, context: PageContext, photo_box: PhotoBox, settings: Settings):
        self.context, self.photo_box, self.settings = context, photo_box, settings
        self.components: dict[str, gr.components.Component] = {}
        self.visit = gr.State(Visit())
        self.shown = self.components["shown"] = gr.State(NOBODYS_CLIP)
        self.last_job = self.components["last_job"] = gr.BrowserState(
            "", storage_key="fashionflow-last-job", secret="fashionflow"
        )

    @property
    def outputs(self) -> list[gr.components.Component]:
        return [self.components[name] for name in OUTPUTS]

    def build_buttons(self) -> None:
        self.guessed = gr.HTML(visible=False, elem_id="guessed", padding=False)
        self.time_estimate = gr.HTML(elem_id="time-estimate", padding=False)
        with gr.Row(elem_id="buttons"):
            self.components["animate"] = gr.Button(
                LABELS("run.animate"), variant="primary", scale=3, min_width=120, elem_id="animate"
            )
            self.components["stop"] = gr.Button(
                LABELS("run.stop"), variant="stop", interactive=False, scale=1, min_width=80, elem_id="stop"
            )

    def build_stage(self) -> None:
        """Where the clip appears. The picture has its place to itself; everything that is said stands below it."""
        looks = {"label": LABELS("stage.label"), "show_label": False, "interactive": False, "buttons": []}
        with gr.Column(elem_id="stage"):
            self.components["preview"] = gr.Image(format="jpeg", elem_id="preview", **looks)
            # A streaming player can feed no other event and saves no settings, so the finished file has a place of its own.
            playing = {"autoplay": True, "loop": True, "visible": False} | looks
            self.components["player"] = gr.Video(streaming=True, elem_id="player", **playing)
            self.components["clip"] = gr.Video(elem_id="clip", **playing)
        before = LABELS("status.before") if self.context.live else LABELS("status.no_live_playback")
        self.components["status"] = gr.HTML(before, padding=False, elem_id="status")
        self.components["number"] = gr.HTML(visible=False, padding=False, elem_id="job-number")

    def connect(self, page: gr.Blocks) -> None:
        back = self.photo_box.back.photo
        inputs = [self.visit, *self.photo_box.inputs, back, *self.settings.inputs]
        following = {
            "preprocess": False,
            "show_progress": "hidden",
            "concurrency_limit": None,  # nobody waits unseen in Gradio's queue; see desk.MOST_AT_ONCE
            "api_visibility": "private",
        }
        animate, stop = self.components["animate"], self.components["stop"]
        animate.click(
            self.animate,
            inputs,
            self.outputs,
            trigger_mode="once",
            api_name="watch",  # private names count too, and "animate" is the endpoint's
            **following,
        )
        # On a phone the clip is below the buttons; the page moves just as far as is needed to see it.
        animate.click(None, js="() => window.fashionflow.scrollToTheClip()", api_visibility="private")
        stop.click(self.stop, self.visit, stop, **HELPER)
        page.load(
            self.resume,
            [self.visit, self.last_job],
            self.outputs,
            api_name="resume",
            **following,
        )
        changing = [
            self.settings.components[name] for name in ("steps", "frames", "guidance", "interpolation", "memory")
        ]
        gr.on(
            [page.load, gr.Timer(5).tick, *(component.change for component in changing)],
            self.say_time_estimate,
            self.settings.inputs,
            self.time_estimate,
            preprocess=False,
            **HELPER,
        )
        if self.context.job_queue.pipe.has_geometry:
            turning = [self.settings.components[name] for name in ("motion", "turn_angle", "seed")]
            gr.on(
                [component.change for component in (back, *turning)],
                self.say_guessed,
                [back, *self.settings.inputs],
                self.guessed,
                preprocess=False,
                trigger_mode="always_last",
                **HELPER,
            )

    def animate(self, request: gr.Request, visit: Visit, upload, zoom, across, down, back, *values) -> Iterator[list]:
        """One run, as changes of `OUTPUTS`. Whatever goes wrong is a sentence under the picture, and the page works on."""
        words = words_for(request)
        try:
            self.context.check_line(words)
            photo = self.photo_box.fitted(upload, zoom, across, down)
            asked = self.settings.request(photo, list(values), self.photo_box.back.fitted(back, words))
            job = self.context.job_queue.submit(asked, segments=self.context.live)
        except ValueError as error:
            yield self.changes(status=wording.status(words_of(error, words), problem=True))
            return
        yield from self.show(visit, job, words)

    def resume(self, visit: Visit, last_job: str | None, request: gr.Request) -> Iterator[list]:
        """The job that the address names (`?job=`), or else this browser's last one, from where it is now."""
        named = request.query_params.get("job", "")
        number = named or last_job or ""
        job = self.context.job_queue.find(number)
        words = words_for(request)
        if job is not None:
            yield from self.show(visit, job, words)
        elif named:
            said = words("history.no_clip", number=named, minutes=AVAILABLE_SECONDS // 60)
            yield self.changes(status=wording.status(said, problem=True), **self.idle())
        else:
            yield self.changes(**self.idle())

    def show(self, visit: Visit, job: Job, words: Words) -> Iterator[list]:
        """Follows a job to its end, as changes of `OUTPUTS`."""
        visit.number, visit.ending = job.number, {}
        minutes = AVAILABLE_SECONDS // 60
        number = words("job.number", number=spoken_number(job.number), minutes=minutes)
        yield self.changes(
            preview=gr.update(value=job.photo(job.next_clip or 0), visible=True),
            player=gr.update(value=None, visible=False),
            # Hidden and shown again at once it would flash, or be lost.
            clip=gr.skip() if any(job.results) else gr.update(value=None, visible=False),
            number=gr.update(value=f'<p class="job-number">{number}</p>', visible=True),
            animate=gr.update(interactive=job.has_ended),
            stop=gr.update(interactive=not job.has_ended),
            shown=NOBODYS_CLIP,
            last_job=job.number,
        )
        ending, kept, note = wording.status(words("status.stopped")), {}, ""
        try:
            for event in job.follow():
                if isinstance(event, (SteppedDown, Finished)):  # said for as long as that clip is made
                    note = wording.memory_ran_out(words, event)
                if isinstance(event, Finished):
                    ending = wording.finished(words, event)
                    # Said again at the end: of changes in quick succession a browser may get only the last.
                    kept = {"clip": gr.update(value=str(event.path), visible=True)}
                if visit.number == job.number:
                    yield from self.told(event, job, words, note)
                if visit.number != job.number:  # the visitor went on to another job, perhaps while this was on its way
                    if visit.ending:
                        yield self.changes(**visit.ending)
                    return
        except Exception as error:
            logger.exception("A clip could not be made.")
            key = "status.out_of_memory" if isinstance(error, OutOfMemory) else "status.failed"
            ending = wording.status(words(key), problem=True)
        if visit.number == job.number:  # another tab's events do not end here, nor those of an earlier run in this one
            visit.ending = {"status": ending, **kept}
            yield self.changes(**visit.ending, **self.idle())

    def told(self, event: Event, job: Job, words: Words, note: str = "") -> Iterator[list]:
        """One event of the studio, as changes of the page; `note` is said as well while the clip is made."""
        if isinstance(event, Waiting):
            yield self.changes(status=wording.waiting(words, event))
        elif isinstance(event, Step):
            yield self.changes(status=wording.step(words, event, note), preview=event.preview)
        elif isinstance(event, Segment):
            if event.index == 0:  # a player takes either a piece or a change of its looks, not both at once
                # The preview stays, covered as soon as the player has a frame to show (viewer.css). A clip that the visitor has
                # picked from a lookbook meanwhile goes.
                seen, hidden = gr.update(visible=True), gr.update(visible=False)
                yield self.changes(preview=seen, clip=hidden, player=seen)
            yield self.changes(status=wording.segment(words, event, note), player=str(event.path))
        elif isinstance(event, SteppedDown):
            yield self.changes(status=wording.stepped_down(words, event))
        else:
            yield self.changes(
                clip=gr.update(value=str(event.path), visible=True),
                shown={"number": job.number, "clip": event.clip},
            )

    def changes_for_result(self, job: Job, clip: int, said: str) -> list:
        """A finished clip of any job in the place of clips, and what is said of it. A run at work goes on behind it, and shows
        its own clip as soon as there is one."""
        return self.changes(
            preview=gr.update(visible=False),
            player=gr.update(visible=False),
            clip=gr.update(value=str(job.results[clip].path), visible=True),
            status=said,
            number=gr.update(visible=False),
            shown={"number": job.number, "clip": clip},
        )

    def stop(self, visit: Visit) -> dict:
        """Asks this visitor's run to end; it says itself when it has."""
        if job := self.context.job_queue.find(visit.number):
            self.context.job_queue.stop(job)
        return gr.update(interactive=False)

    def say_time_estimate(self, request: gr.Request, *values) -> str:
        try:
            asked = self.settings.request(None, list(values))
            asked.check(self.context.job_queue.pipe)
        except ValueError:
            return ""
        job_queue = self.context.job_queue
        return (
            wording.time_estimate(words_for(request), job_queue.estimate([asked]))
            if job_queue.time_estimator.is_known
            else ""
        )

    def say_guessed(self, request: gr.Request, back: dict | None, *values) -> dict:
        """That the clip shows a back that is in no photo, where it does."""
        try:
            asked = self.settings.request(None, list(values))
            asked.check(self.context.job_queue.pipe)
        except ValueError:
            return gr.update(visible=False)
        said = wording.advice([words_for(request)("photo.back_guessed")])
        return gr.update(value=said, visible=not back and asked.guesses_the_back)

    def idle(self) -> dict:
        return {"animate": gr.update(interactive=True), "stop": gr.update(interactive=False)}

    @staticmethod
    def changes(**changed) -> list:
        """A value for each of `OUTPUTS`; what is not named stays as it is."""
        return [changed.get(name, gr.skip()) for name in OUTPUTS]


def file_of(context: PageContext, shown: dict) -> Path | None:
    """The finished file that `Run.shown` names, or `None` if there is none, or it has been deleted."""
    job = context.job_queue.find(shown.get("number"))
    results = job.results if job else []
    clip = shown.get("clip", 0)
    result = results[clip] if 0 <= clip < len(results) else None
    return result.path if result and result.path.is_file() else None
