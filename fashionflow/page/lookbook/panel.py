"""The lookbook panel: one job makes clips for several seeds and motions, or several photos, and shows them on a contact sheet."""

import logging
from collections.abc import Iterator, Sequence

import gradio as gr

from ...generation.events import Finished
from ...generation.job import Job
from ...generation.request import ClipRequest
from ...photo.reading import Crop
from ...pipelines.motions import MOTIONS
from ...video.files import CLOSED
from .. import wording
from ..context import HELPER, RUN_EVENT, PageContext
from ..languages import LABELS, Words, words_for, words_of
from ..photo_box import PhotoBox
from ..run import Run
from ..settings import Settings
from ..uploads import read_upload
from . import contact_sheet, plan
from .pick import Opened, Picking


# The components that a lookbook updates while it is made, in the order of the outputs given to Gradio.
OUTPUTS = ("sheet", "note", "status", "picked", "make", "stop", "longer", "full", "download", "result", "last")

START_MOTIONS = ("turn-left", "turn-right", "walk")
COLUMNS = {1: 4, 2: 4, 3: 3, 4: 4}
"""The columns of the contact sheet by the number of seeds, chosen so that each row holds whole motions."""

logger = logging.getLogger(__name__)


class Lookbook:
    def __init__(self, context: PageContext, photo_box: PhotoBox, settings: Settings, run: Run):
        self.context, self.photo_box, self.settings, self.run = context, photo_box, settings, run
        self.components: dict[str, gr.components.Component] = {}
        self.opened, self.picking = gr.State(Opened()), Picking(context, settings, run)
        self.components["last"] = gr.BrowserState("", storage_key="fashionflow-lookbook", secret="fashionflow")

    @property
    def outputs(self) -> list[gr.components.Component]:
        return [self.components[name] for name in OUTPUTS]

    def build(self) -> None:
        self.fold = gr.Accordion(LABELS("lookbook.title"), open=False, elem_id="lookbook")
        with self.fold:
            gr.HTML(LABELS("lookbook.about"), padding=False, elem_id="lookbook-about")
            with gr.Row():
                self.motions = gr.CheckboxGroup(
                    [(LABELS(f"motion.{name}"), name) for name in MOTIONS],
                    value=list(START_MOTIONS) if self.context.job_queue.model.has_motion else [],
                    label=LABELS("lookbook.motions"),
                    visible=self.context.job_queue.model.has_motion,
                    min_width=280,
                    elem_id="lookbook-motions",
                )
                self.seeds = gr.Slider(
                    1,
                    plan.MOST_SEEDS,
                    plan.MOST_SEEDS,
                    step=1,
                    label=LABELS("lookbook.seeds"),
                    info=LABELS("lookbook.seeds_info"),
                    min_width=200,
                    elem_id="lookbook-seeds",
                )
            with gr.Accordion(LABELS("lookbook.photos_title"), open=False, elem_id="lookbook-photos-fold"):
                self.photos = gr.File(
                    file_count="multiple",
                    file_types=["image"],
                    label=LABELS("lookbook.photos"),
                    height=160,
                    elem_id="lookbook-photos",
                )
            self.time_estimate = gr.HTML(padding=False, elem_id="lookbook-time-estimate")
            with gr.Row():
                self._button("make", variant="primary", scale=3, min_width=120)
                self._button("stop", variant="stop", interactive=False, scale=1, min_width=80)
            self.components["note"] = gr.HTML(visible=False, padding=False, elem_id="lookbook-note")
            self.components["status"] = gr.HTML(padding=False, elem_id="lookbook-status")
            self._build_result()
        self.timer = gr.Timer(5, active=False)

    def _build_result(self) -> None:
        with gr.Row(visible=False, elem_id="lookbook-result") as self.components["result"]:
            with gr.Column(scale=4, min_width=300):
                self.components["sheet"] = gr.Gallery(
                    label=LABELS("lookbook.sheet"),
                    show_label=False,
                    allow_preview=False,
                    interactive=False,
                    object_fit="contain",
                    height="none",
                    buttons=[],
                    elem_id="lookbook-sheet",
                )
            with gr.Column(scale=1, min_width=240, elem_id="lookbook-side"):
                self.components["picked"] = gr.HTML(padding=False, elem_id="lookbook-picked")
                with gr.Row():
                    self._button("longer", interactive=False, min_width=130)
                    self._button("full", interactive=False, min_width=130)
                self.components["download"] = gr.DownloadButton(
                    LABELS("lookbook.download"), interactive=False, elem_id="lookbook-download"
                )
                self.moving = gr.Checkbox(
                    True, label=LABELS("lookbook.moving"), container=False, elem_id="lookbook-moving"
                )

    def _button(self, name: str, **looks) -> None:
        self.components[name] = gr.Button(LABELS(f"lookbook.{name}"), elem_id=f"lookbook-{name}", **looks)

    def connect(self, page: gr.Blocks) -> None:
        chosen = [self.photos, self.motions, self.seeds, *self.settings.inputs]
        make, stop = self.components["make"], self.components["stop"]
        make.click(
            self.make,
            [self.opened, *self.photo_box.inputs, self.photo_box.back.photo, *chosen],
            self.outputs,
            trigger_mode="once",
            api_name="lookbook",
            **RUN_EVENT,
        )
        stop.click(self.stop, self.opened, stop, **HELPER)
        last = self.components["last"]
        page.load(
            self.resume,
            [self.opened, last],
            [self.fold, *self.outputs],
            api_name="resume_lookbook",
            **RUN_EVENT,
        )
        # A visitor who prefers reduced motion gets still thumbnails from the beginning.
        calm = "() => !window.matchMedia('(prefers-reduced-motion: reduce)').matches"
        page.load(None, None, self.moving, js=calm, api_visibility="private")
        self.moving.change(self.redraw, [self.opened, self.moving], self.components["sheet"], **HELPER)
        self.components["sheet"].change(None, js="() => window.fashionflow.nameThumbnails()", api_visibility="private")
        self.picking.connect(self.components, self.opened)
        # The time estimate is shown only while the panel is unfolded.
        self.fold.expand(lambda: gr.Timer(active=True), None, self.timer, **HELPER)
        self.fold.collapse(lambda: gr.Timer(active=False), None, self.timer, **HELPER)
        gr.on(
            [
                self.fold.expand,
                self.timer.tick,
                *(component.change for component in (*chosen[:3], self.photo_box.back.photo)),
            ],
            self.say_time_estimate,
            [self.photo_box.back.photo, *chosen],
            self.time_estimate,
            preprocess=False,
            **HELPER,
        )

    def say_time_estimate(self, request: gr.Request, back, uploads, motions, seeds, *values) -> str:
        words, num_photos = words_for(request), len(uploads or []) or 1
        try:
            planned = plan.takes(words, self.settings, motions, seeds, num_photos, list(values))
        except ValueError as error:
            return wording.status(str(error), problem=True)
        planned = num_photos * planned
        note = words("lookbook.back_not_used") if back and uploads else ""
        return plan.time_estimate(words, planned, self.context.job_queue.estimate(planned), note)

    def make(
        self, request: gr.Request, opened: Opened, upload, zoom, across, down, back, uploads, motions, seeds, *values
    ) -> Iterator[list]:
        """Makes one lookbook, as updates of `OUTPUTS`."""
        words, problems = words_for(request), []
        try:
            self.context.check_line(words)
            planned = plan.takes(words, self.settings, motions, seeds, len(uploads or []) or 1, list(values))
            if uploads:
                photos, problems = plan.read_photos(words, self.photo_box, uploads)
                given = [{"photo": photo} for photo in photos]
            else:
                photo = self.photo_box.fitted(read_upload(upload), Crop(zoom, across, down))
                given = [{"photo": photo, "back_photo": self.photo_box.back.fitted(back, words)}]
            if not given:
                raise ValueError(" ".join(problems))
            # No segments, because they are for the live player, which shows one clip at a time.
            requests = [ClipRequest(settings=clip, **photos) for photos in given for clip in planned]
            job = self.context.submit(requests, words)
        except ValueError as error:
            yield self.changes(note=self.problem(words_of(error, words)))
            return
        yield from self.follow(opened, job, words, self.problem(" ".join(problems)))

    def resume(self, opened: Opened, last: str | None, request: gr.Request) -> Iterator[list]:
        """Shows this browser's last lookbook in its current state, and follows it."""
        words = words_for(request)
        try:
            job, lost = self.context.numbers.find(opened.number or last, words), words("lookbook.lost")
        except ValueError as error:
            job, lost = None, str(error)
        if job is None:
            # A visitor who comes back on another day does not need this message.
            lost = lost if opened.number else ""
            yield [gr.skip(), *self.nothing(self.problem(lost))]
            return
        for index, changes in enumerate(self.follow(opened, job, words)):
            yield [gr.skip() if index else gr.update(open=True), *changes]

    def follow(self, opened: Opened, job: Job, words: Words, note: object = gr.skip()) -> Iterator[list]:
        """Follows a job to its end, as updates of `OUTPUTS`."""
        if opened.number != job.number:
            opened.number, opened.clip = job.number, None
        columns = COLUMNS.get(len({request.settings.seed for request in job.requests}), 4)
        try:
            drawn = list(job.results)
            yield self.changes(
                note=note,
                picked=gr.skip() if opened.clip is not None else self.picking.nothing_picked(words),
                make=gr.update(interactive=job.has_ended),
                stop=gr.update(interactive=not job.has_ended),
                result=gr.update(visible=True),
                last=job.number,
                **self._drawn(job, words, opened, columns),
            )
            for event in job.follow():
                if opened.number != job.number:  # the visitor has started another lookbook
                    return
                if not isinstance(event, Finished):
                    yield self.changes(status=contact_sheet.progress(words, job, event, self._seconds_of))
                elif drawn != job.results:
                    drawn = list(job.results)
                    yield self.changes(**self._drawn(job, words, opened, columns))
        except Exception as error:
            if error is not job.error and self.context.job_queue.find(job.number):
                raise
            logger.exception("A lookbook came to an early end.")
        try:
            status, drawn = contact_sheet.ending(words, job), self._drawn(job, words, opened, columns)
            yield self.changes(status=status, **drawn, **self.idle())
        except OSError:  # the job has been deleted
            yield self.nothing(self.problem(words("lookbook.lost")))

    def stop(self, opened: Opened) -> dict:
        """Asks the lookbook to stop. It reports its own end, and whatever was made is kept."""
        if job := self.context.job_queue.find(opened.number):
            self.context.job_queue.stop(job)
        return gr.update(interactive=False)

    def redraw(self, opened: Opened, moving: bool, request: gr.Request) -> object:
        """The contact sheet with animated or still thumbnails."""
        opened.moving = moving
        job = self.context.job_queue.find(opened.number)
        try:
            return contact_sheet.cells(job, words_for(request), moving) if job else gr.skip()
        except OSError:  # deleted meanwhile
            return gr.skip()

    def _drawn(self, job: Job, words: Words, opened: Opened, columns: int) -> dict:
        """Updates of the contact sheet and of the zip with all clips; none if the disk is full, because the job itself tells its end."""
        try:
            cells, packed = contact_sheet.cells(job, words, opened.moving), contact_sheet.pack(job)
        except OSError as error:
            if error.errno in CLOSED:  # the job has been deleted
                raise
            logger.error("A contact sheet could not be stored: %s.", error.strerror or error)
            return {}
        return {
            "sheet": gr.update(value=cells, columns=columns),
            "download": gr.update(value=packed and str(packed), interactive=packed is not None),
        }

    def _seconds_of(self, requests: Sequence[ClipRequest]) -> float:
        return self.context.job_queue.estimate([request.settings for request in requests]).seconds

    def nothing(self, note: object) -> list:
        return self.changes(note=note, status="", result=gr.update(visible=False), **self.idle())

    @staticmethod
    def idle() -> dict:
        return {"make": gr.update(interactive=True), "stop": gr.update(interactive=False)}

    @staticmethod
    def problem(sentence: str) -> dict:
        """An update of the note: it shows the sentence, or is hidden if the sentence is empty."""
        return gr.update(value=wording.status(sentence, problem=True), visible=bool(sentence))

    @staticmethod
    def changes(**changed) -> list:
        """A value for each of `OUTPUTS`. Components that are not named stay as they are."""
        return [changed.get(name, gr.skip()) for name in OUTPUTS]
