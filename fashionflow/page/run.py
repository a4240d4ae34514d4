"""One run as a visitor sees it, from the button to the clip, and how a visitor finds a job again."""

import logging
from collections.abc import Iterator
from pathlib import Path

import gradio as gr
from PIL import Image

from ..errors import NoGPU, NotWritten, NoWorker
from ..generation.events import Event, Finished, Segment, Step, SteppedDown, Waiting
from ..generation.job import Job, spoken_number
from ..generation.queue import AVAILABLE_SECONDS
from ..generation.request import ClipRequest
from ..photo.reading import Crop
from ..runtime.memory_modes import OutOfMemory
from . import wording
from .context import HELPER, RUN_EVENT, PageContext, Visit
from .languages import LABELS, Words, words_for, words_of
from .photo_box import PhotoBox
from .picture_cache import save_pil_to_cache
from .settings import Settings
from .uploads import RECORDED, read_upload


# The components that a run updates, in the order of the outputs given to Gradio.
OUTPUTS = ("preview", "player", "clip", "status", "number", "animate", "stop", "shown", "last_job")

EXAMPLE_CLIP = RECORDED / "violet-checks-sway.mp4"

NOBODYS_CLIP = {"number": "", "clip": 0}
"""The value of `Run.shown` while there is no finished clip to show."""

logger = logging.getLogger(__name__)


class Run:
    """The buttons, and the place where a clip appears.

    Attributes:
        shown: a state, `{"number": the job's number, "clip": the index of the clip in it}`, that other parts of the page listen to: the
            clip on screen, or `NOBODYS_CLIP`.
        last_job: the number of this browser's last job, kept in the browser so that it survives a reload.
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
        """Builds the area where the clip appears. The picture has its own place; all text is below it."""
        looks = {"label": LABELS("stage.label"), "show_label": False, "interactive": False, "buttons": []}
        with gr.Column(elem_id="stage"):
            self._build_example()
            self.components["preview"] = gr.Image(format="jpeg", elem_id="preview", **looks)
            # A streaming player cannot be the input of other events and saves no settings, so the finished file has its own player.
            playing = {"autoplay": True, "loop": True, "visible": False} | looks
            self.components["player"] = gr.Video(streaming=True, elem_id="player", **playing)
            self.components["clip"] = gr.Video(elem_id="clip", **playing)
        before = LABELS("status.before") if self.context.live else LABELS("status.no_live_playback")
        self.components["status"] = gr.HTML(before, padding=False, elem_id="status")

    def build_number(self) -> None:
        self.components["number"] = gr.HTML(visible=False, padding=False, elem_id="job-number")

    def _build_example(self) -> None:
        """Builds a clip that was made earlier, labelled as an example; viewer.css shows it until there is something of the visitor's."""
        if not EXAMPLE_CLIP.is_file():
            return
        source = f"gradio_api/file={EXAMPLE_CLIP}"
        gr.HTML(
            f'<video src="{source}" muted loop playsinline preload="auto" aria-hidden="true"></video>',
            padding=False,
            elem_id="example-clip",
        )
        gr.HTML(LABELS("stage.example"), padding=False, elem_id="example-label")

    def connect(self, page: gr.Blocks) -> None:
        back = self.photo_box.back.photo
        inputs = [self.visit, *self.photo_box.inputs, back, *self.settings.inputs]
        animate, stop = self.components["animate"], self.components["stop"]
        # On a phone the clip is below the buttons; the page scrolls only as far as needed to show it. This comes first, because Gradio
        # runs the events of one click one after the other, and the next one ends with the clip.
        animate.click(None, js="() => window.fashionflow.scrollToTheClip()", api_visibility="private")
        animate.click(
            self.animate,
            inputs,
            self.outputs,
            trigger_mode="once",
            api_name="watch",  # private names must be unique too, and the endpoint has "animate"
            **RUN_EVENT,
        )
        stop.click(self.stop, self.visit, stop, **HELPER)
        page.load(
            self.resume,
            [self.visit, self.last_job],
            self.outputs,
            api_name="resume",
            **RUN_EVENT,
        )
        changing = [
            self.settings.components[name] for name in ("steps", "frames", "guidance", "interpolation", "memory")
        ]
        gr.on(
            [page.load, gr.Timer(5).tick, *(component.change for component in changing)],
            self.say_time_estimate,
            [self.visit, *self.settings.inputs],
            self.time_estimate,
            preprocess=False,
            **HELPER,
        )
        if self.context.job_queue.model.has_geometry:
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
        """Makes one clip, as updates of `OUTPUTS`. Every error becomes a sentence under the picture, and the page stays usable."""
        words = words_for(request)
        try:
            self.context.check_line(words)
            if not self.context.job_queue.is_loaded:  # the photo is prepared by the model
                yield self.changes(status=wording.loading(words))
            photo = self.photo_box.fitted(read_upload(upload), Crop(zoom, across, down))
            asked = ClipRequest(photo, self.settings.read(list(values)), self.photo_box.back.fitted(back, words))
            job = self.context.submit(asked, words, segments=self.context.live)
        except ValueError as error:
            yield self.changes(status=wording.status(words_of(error, words), problem=True))
            return
        yield from self.show(visit, job, words)

    def resume(self, visit: Visit, last_job: str | None, request: gr.Request) -> Iterator[list]:
        """Shows the job that the address names (`?job=`), or else this browser's last job, in its current state, and follows it."""
        named = request.query_params.get("job", "")
        number = named or last_job or ""
        words = words_for(request)
        try:
            job = self.context.numbers.find(number, words)
        except ValueError as error:
            yield self.changes(status=wording.status(str(error), problem=True), **self.idle())
            return
        if job is not None:
            yield from self.show(visit, job, words)
        elif named:
            said = words("history.no_clip", number=named, minutes=AVAILABLE_SECONDS // 60)
            yield self.changes(status=wording.status(said, problem=True), **self.idle())
        else:
            yield self.changes(**self.idle())

    def show(self, visit: Visit, job: Job, words: Words) -> Iterator[list]:
        """Follows a job to its end, as updates of `OUTPUTS`."""
        visit.number, visit.ending = job.number, {}
        minutes = AVAILABLE_SECONDS // 60
        number = words("job.number", number=spoken_number(job.number), minutes=minutes)
        yield self.changes(
            preview=gr.update(visible=True, **self.pictured(job.photo(job.next_clip or 0))),
            player=gr.update(value=None, visible=False),
            # A clip that is hidden and shown again at once would flash, or would stay hidden.
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
                if isinstance(event, (SteppedDown, Finished)):  # shown for as long as that clip is being made
                    note = wording.memory_ran_out(words, event)
                if isinstance(event, Finished):
                    ending = wording.finished(words, event)
                    # Sent again at the end, because a browser may receive only the last of several quick updates.
                    kept = {"clip": gr.update(value=str(event.path), visible=True)}
                if visit.number == job.number:
                    yield from self.told(event, job, words, note)
                if visit.number != job.number:  # the visitor went on to another job, maybe during this update
                    if visit.ending:
                        yield self.changes(**visit.ending)
                    return
        except Exception as error:
            known = isinstance(error, (NotWritten, NoGPU, NoWorker, OutOfMemory))
            logger.error("A clip could not be made: %s", error, exc_info=not known)
            ending = wording.status(wording.failure(words, error), problem=True)
        if visit.number == job.number:  # not the end of another tab's job, or of an earlier run in this tab
            visit.ending = {"status": ending, **kept}
            yield self.changes(**visit.ending, **self.idle())

    def told(self, event: Event, job: Job, words: Words, note: str = "") -> Iterator[list]:
        """One event of the job queue, as updates of the page. `note` is shown as well while the clip is made."""
        if isinstance(event, Waiting):
            yield self.changes(status=wording.waiting(words, event))
        elif isinstance(event, Step):
            said, seen = wording.step(words, event, note), gr.update(**self.pictured(event.preview))
            yield self.changes(status=said, preview=seen)
        elif isinstance(event, Segment):
            if event.index == 0:  # an update of a player is either a segment or a change of its look
                # The preview stays until the player has a frame to show, which covers it (viewer.css). A clip that the visitor meanwhile
                # picked from a lookbook is hidden.
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

    def pictured(self, picture: Image.Image) -> dict:
        """What an update of the preview says to show a picture: nothing if the disk is full, because the job itself tells its end."""
        try:
            return {"value": save_pil_to_cache(picture, str(self.context.job_queue.folder), format="jpeg")}
        except gr.Error:
            return {}

    def changes_for_result(self, job: Job, clip: int, said: str) -> list:
        """Shows a finished clip of any job, and the message `said` about it. A running job continues behind it, and shows its own clip as
        soon as there is one."""
        return self.changes(
            preview=gr.update(visible=False),
            player=gr.update(visible=False),
            clip=gr.update(value=str(job.results[clip].path), visible=True),
            status=said,
            number=gr.update(visible=False),
            shown={"number": job.number, "clip": clip},
        )

    def stop(self, visit: Visit) -> dict:
        """Asks this visitor's job to stop. The job reports its own end."""
        if job := self.context.job_queue.find(visit.number):
            self.context.job_queue.stop(job)
        return gr.update(interactive=False)

    def say_time_estimate(self, request: gr.Request, visit: Visit, *values) -> str:
        """The time that the next clip would take; nothing during a run of the visitor's own, whose time is said beside the clip."""
        own = self.context.job_queue.find(visit.number)
        if own is not None and not own.has_ended:
            return ""
        try:
            settings = self.settings.read(list(values))
            settings.check(self.context.job_queue.model)
        except ValueError:
            return ""
        job_queue = self.context.job_queue
        if not job_queue.is_loaded:
            return wording.beside_the_button(words_for(request)("status.loading"))
        if not job_queue.time_estimator.is_known:
            return ""
        return wording.time_estimate(words_for(request), job_queue.estimate([settings]))

    def say_guessed(self, request: gr.Request, back: dict | None, *values) -> dict:
        """A warning that the clip shows a back that is in no photo; hidden if it does not."""
        try:
            settings = self.settings.read(list(values))
            settings.check(self.context.job_queue.model)
        except ValueError:
            return gr.update(visible=False)
        said = wording.advice([words_for(request)("photo.back_guessed")])
        return gr.update(value=said, visible=not back and settings.turns_past_the_side)

    def idle(self) -> dict:
        return {"animate": gr.update(interactive=True), "stop": gr.update(interactive=False)}

    @staticmethod
    def changes(**changed) -> list:
        """A value for each of `OUTPUTS`. Components that are not named stay as they are."""
        return [changed.get(name, gr.skip()) for name in OUTPUTS]


def file_of(context: PageContext, shown: dict) -> Path | None:
    """The finished file of the clip in `Run.shown`, or `None` if there is no such file or it has been deleted."""
    job = context.job_queue.find(shown.get("number"))
    results = job.results if job else []
    clip = shown.get("clip", 0)
    result = results[clip] if 0 <= clip < len(results) else None
    return result.path if result and result.path.is_file() else None
