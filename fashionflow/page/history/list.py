"""The history of this browser's clips, clips that come back by number or as a file, and the switch "Leave nothing"."""

import logging
from collections.abc import Iterator

import gradio as gr
from PIL import Image

from ...generation.job import spoken_number
from ...generation.queue import AVAILABLE_SECONDS
from ...generation.request import WITH_BACK_PHOTO
from ...generation.saved_settings import first_frame, read_provenance
from ...generation.settings import LIMITS, ClipSettings
from ...photo.reading import PhotoError
from .. import wording
from ..context import HELPER, RUN_EVENT, PageContext, Visit
from ..downloads import EXPORTS_AT_ONCE
from ..languages import LABELS, Words, words_for, words_of
from ..photo_box import PhotoBox
from ..privacy import Privacy
from ..run import Run, file_of
from ..settings import Settings
from ..uploads import read_upload, uploaded_path
from . import all_clips, entries


PICTURES = (".gif", ".webp")  # such a file may be a photo or a clip

logger = logging.getLogger(__name__)


class History:
    """The list of entries stays in the browser. The server makes one entry when a clip is finished, and receives one when the visitor
    picks it. scripts/history.js stores and draws the entries."""

    def __init__(self, context: PageContext, photo_box: PhotoBox, settings: Settings, run: Run):
        self.context, self.photo_box, self.settings, self.run = context, photo_box, settings, run
        self.privacy = Privacy(context.job_queue)
        self.entries = gr.BrowserState([], storage_key="fashionflow-history", secret="fashionflow")

    @property
    def restored(self) -> list[gr.components.Component]:
        """The components with the visitor's choices, from which a clip is made."""
        return [self.photo_box.photo, self.photo_box.back.photo, *self.settings.inputs]

    @property
    def outputs(self) -> list[gr.components.Component]:
        """The components that `restore` updates."""
        return [*self.restored, self.photo_box.back.belongs_to]

    def build_switches(self) -> None:
        """Builds the button in the header, and the switches that it shows (scripts/switches.js)."""
        gr.Button(LABELS("page.switches"), size="sm", scale=0, min_width=100, elem_id="show-switches")
        with gr.Column(elem_id="switches"):
            looks = {"container": False, "min_width": 240}
            self.leave_nothing = gr.Checkbox(
                label=LABELS("history.leave_nothing"),
                info=LABELS("history.leave_nothing_info"),
                scale=3,
                elem_id="leave-nothing",
                **looks,
            )
            self.chime = gr.Checkbox(label=LABELS("history.chime"), scale=1, elem_id="chime", **looks)

    def build(self) -> None:
        with gr.Accordion(LABELS("history.title"), open=False, elem_id="history"):
            self.about = gr.HTML(LABELS("history.about"), padding=False, elem_id="history-about")
            self.gallery = gr.Gallery(
                label=LABELS("history.label"),
                show_label=False,
                allow_preview=False,
                columns=6,
                fit_columns=False,
                height="auto",
                object_fit="contain",
                buttons=[],
                interactive=False,
                visible=False,
                elem_id="history-gallery",
            )
            with gr.Row(visible=False, elem_id="history-buttons") as self.buttons:
                self.use = gr.Button(LABELS("history.use"), interactive=False, min_width=140, elem_id="history-use")
                self.remove = gr.Button(
                    LABELS("history.remove"), interactive=False, min_width=100, elem_id="history-remove"
                )
                self.zip = gr.Button(LABELS("history.zip"), min_width=100, elem_id="history-zip")
                self.forget = gr.Button(LABELS("history.forget"), min_width=100, elem_id="history-forget")
            self.note = gr.HTML(padding=False, elem_id="history-note")
            with gr.Row(elem_id="history-fetch"):
                with gr.Column(min_width=260):
                    self.number = gr.Textbox(
                        label=LABELS("history.number"),
                        info=LABELS("history.number_info"),
                        max_lines=1,
                        max_length=40,
                        elem_id="history-number",
                    )
                    self.fetch_button = gr.Button(LABELS("history.fetch"), elem_id="history-fetch-button")
                with gr.Column(min_width=260):
                    self.file = gr.File(
                        label=LABELS("history.file"),
                        file_types=["video", ".zip", *PICTURES],
                        height=170,
                        elem_id="history-file",
                    )
        # Values that the scripts pass to the server.
        self.arriving, self.newest, self.picked = (gr.JSON(visible=False) for _ in range(3))
        self.index, self.zip_file = gr.Number(visible=False), gr.File(visible=False)

    def connect(self, page: gr.Blocks) -> None:
        self.privacy.watch(page)
        page.unload(self.leave)
        script = {"api_visibility": "private"}
        page.load(
            self.arrive,
            self.arriving,
            self.leave_nothing,
            js="() => window.fashionflow.tab()",
            preprocess=False,
            **HELPER,
        )
        self.leave_nothing.input(self.choose, self.leave_nothing, None, **HELPER)
        kept = [self.entries, self.picked]
        self.leave_nothing.input(
            None, self.leave_nothing, kept, js="(on) => window.fashionflow.leaveNothing(on)", **script
        )
        page.load(None, None, self.chime, js="() => window.fashionflow.chimes()", **script)
        page.load(None, js="() => window.fashionflow.attachSwitches()", **script)
        self.chime.input(None, self.chime, None, js="(on) => window.fashionflow.chime(on)", **script)
        self._connect_entries(page, script)
        self._connect_returns()
        self._connect_draft(script)

    def _connect_entries(self, page: gr.Blocks, script: dict) -> None:
        self.run.shown.change(self.remember, self.run.shown, self.newest, **HELPER).then(
            None,
            [self.newest, self.entries],
            self.entries,
            js="(entry, entries) => window.fashionflow.keep(entry, entries)",
            **script,
        )
        gr.on(
            [page.load, self.entries.change],
            None,
            self.entries,
            [self.gallery, self.buttons, self.about],
            js="(entries) => window.fashionflow.draw(entries)",
            **script,
        )
        pick = self.gallery.select(self.which, None, self.index, **HELPER).then(
            None,
            [self.index, self.entries],
            self.picked,
            js="(index, entries) => (entries || [])[index] ?? null",
            **script,
        )
        outputs = [*self.run.outputs, self.note, self.use, self.remove, *self.outputs]
        pick.then(self.reopen, self.picked, outputs, preprocess=False, **HELPER).then(
            None, js="() => window.fashionflow.showReopened()", **script
        )
        self.use.click(self.use_settings, self.picked, [self.note, *self.outputs], preprocess=False, **HELPER)
        after = [self.entries, self.picked, self.use, self.remove, self.note]
        self.remove.click(
            None,
            [self.picked, self.entries],
            after,
            js="(entry, all) => window.fashionflow.remove(entry, all)",
            **script,
        )
        self.zip.click(
            self.pack_all,
            self.entries,
            [self.note, self.zip_file],
            js="(entries) => window.fashionflow.namesOf(entries)",
            preprocess=False,
            trigger_mode="once",
            concurrency_limit=EXPORTS_AT_ONCE,
            concurrency_id="exports",
            show_progress="hidden",
            **script,
        ).then(None, self.zip_file, None, js="(file) => window.fashionflow.save(file)", **script)
        forget_all = "(all) => window.fashionflow.forgetAll(all)"
        self.forget.click(None, self.entries, after, js=forget_all, **script)

    def _connect_returns(self) -> None:
        asked = [self.fetch_button.click, self.number.submit]
        # An event of its own, because a browser may receive only the last of several quick updates.
        gr.on(asked, self.say_fetched, self.number, self.note, preprocess=False, **HELPER)
        gr.on(asked, self.fetch, [self.run.visit, self.number], self.run.outputs, api_name="fetch", **RUN_EVENT)
        self.file.upload(self.open, self.file, [self.file, self.note, *self.outputs], preprocess=False, **HELPER)

    def _connect_draft(self, script: dict) -> None:
        """Puts the photo and the settings back after a reload, because Gradio reloads the page whenever a connection breaks. This must
        happen after the new page has drawn its seed."""
        inputs = self.restored
        self.settings.components["seed"].change(
            None, None, inputs, js=f"() => window.fashionflow.restoreDraft({len(inputs)})", **script
        )
        changes = [component.change for component in inputs]
        gr.on(changes, None, inputs, None, js="(...values) => window.fashionflow.keepDraft(values)", **script)

    # The handlers below run on the server.

    def arrive(self, request: gr.Request, arriving: dict | None) -> bool:
        arriving = arriving if isinstance(arriving, dict) else {}
        private = arriving.get("private") is True
        self.privacy.arrive(request.session_hash, arriving.get("tab"), private)
        return private

    def choose(self, request: gr.Request, private: bool) -> None:
        self.privacy.choose(request.session_hash, private)

    def leave(self, request: gr.Request) -> None:
        self.privacy.leave(request.session_hash)

    def remember(self, request: gr.Request, shown: dict) -> dict:
        """The entry of the clip that is shown. Without such a clip, the previous entry stays, because answers may arrive out of order."""
        path, words = file_of(self.context, shown), words_for(request)
        if path is None:
            return gr.skip()
        job, clip = self.context.job_queue.find(shown["number"]), shown["clip"]
        try:
            return entries.make(job, clip, path, words)
        except (OSError, ValueError):  # deleted meanwhile, maybe while it was read
            return gr.skip()

    def which(self, event: gr.SelectData) -> int:
        return event.index

    def reopen(self, request: gr.Request, picked: dict | None) -> list:
        """Shows the picked clip. If the clip has been deleted, restores its photos and settings."""
        words, buttons = words_for(request), [gr.update(interactive=True)] * 2
        try:
            entry = entries.read(picked, words)
            job = self.context.numbers.find(entry.number, words)
        except ValueError as error:
            return [*self.run.changes(), self.problem(words_of(error, words)), *buttons, *self.unchanged()]
        shown = {"number": entry.number, "clip": entry.clip}
        if file_of(self.context, shown) is None:
            said = wording.status(words("history.deleted"), words("history.make_again"))
            return [
                *self.run.changes(),
                said,
                *buttons,
                *self.restore(words, entry.settings, entry.photo, entry.back_photo),
            ]
        said = wording.finished(words, job.results[entry.clip])
        return [*self.run.changes_for_result(job, entry.clip, said), "", *buttons, *self.unchanged()]

    def use_settings(self, request: gr.Request, picked: dict | None) -> list:
        """Puts the settings and the photos of the picked clip into the page."""
        words = words_for(request)
        try:
            entry = entries.read(picked, words)
            updates = self.restore(words, entry.settings, entry.photo, entry.back_photo)
            return [wording.status(words("history.restored")), *updates]
        except ValueError as error:
            return [self.problem(words_of(error, words)), *self.unchanged()]

    def pack_all(self, request: gr.Request, asked: list | None) -> tuple[str, str | None]:
        """One file with all clips of the history that are still there, and a sentence that names the others."""
        words = words_for(request)
        try:
            found, gone = all_clips.take_apart(self.context, asked, words)
        except ValueError as error:
            return self.problem(str(error)), None
        if not found:
            return self.problem(words("history.zip_none")), None
        try:
            path = all_clips.pack(found)
        except OSError:
            logger.exception("A zip file could not be written.")
            return self.problem(words("history.zip_failed")), None
        said = words("history.zip_gone", names=", ".join(gone)) if gone else words("history.zip_ready")
        return wording.status(said), str(path)

    def fetch(self, request: gr.Request, visit: Visit, typed: str | None) -> Iterator[list]:
        """Shows the job with a number: its clip or its progress."""
        words = words_for(request)
        try:
            job = self.context.numbers.find(typed, words)
        except ValueError:  # `say_fetched` says it
            job = None
        if job is None:
            yield self.run.changes()
        else:
            yield from self.run.show(visit, job, words)

    def say_fetched(self, request: gr.Request, typed: str | None) -> str:
        words = words_for(request)
        try:
            job = self.context.numbers.find(typed, words)
        except ValueError as error:
            return self.problem(str(error))
        if job is not None:
            return wording.status(words("history.fetched", number=spoken_number(job.number)))
        key = "history.no_clip" if (typed or "").strip() else "history.no_number"
        return self.problem(words(key, number=(typed or "").strip(), minutes=AVAILABLE_SECONDS // 60))

    def open(self, request: gr.Request, upload: dict | None) -> list:
        """Restores a clip that was dropped on the page: its settings, and its first frame as the photo. The file contains no photo of the
        back."""
        words, emptied = words_for(request), None
        try:
            path = uploaded_path(upload or {})
        except PhotoError:
            return [emptied, self.problem(words("history.file_gone")), *self.unchanged()]
        try:
            settings, photo = read_provenance(path), first_frame(path)
            updates = self.restore(words, settings, photo)
            said = wording.status(words("history.restored_file"), self.differences(words, settings))
        except ValueError as error:
            if path.suffix.lower() in PICTURES:  # the photo box reports it if it is not a photo either
                return [emptied, "", gr.update(value=str(path)), *self.unchanged()[1:]]
            return [emptied, self.problem(words_of(error, words)), *self.unchanged()]
        return [emptied, said, *updates]

    def differences(self, words: Words, settings: dict) -> str:
        """Explains why a new clip with these settings would look different."""
        made_by, own = settings.get("model"), self.context.job_queue.model.name
        said = [words("history.other_model", model=made_by)] if made_by and own and made_by != own else []
        if settings.get(WITH_BACK_PHOTO) and self.context.job_queue.model.has_geometry:
            said.append(words("history.back_missing"))
        return " ".join(said)

    def restore(self, words: Words, settings: dict, photo: Image.Image | dict, back_photo: dict | None = None) -> list:
        """Updates of `outputs` that restore a clip's photos and settings.

        Args:
            words: the visitor's language.
            settings: as `ClipRequest.metadata` writes them; the browser may have changed them.
            photo: the photo, or the upload that the browser sent for it.
            back_photo: the upload that the browser sent for the photo of the back.

        Raises:
            ValueError: if this page cannot make a clip from them.
        """
        settings = {name: settings[name] for name in LIMITS if name in settings}
        try:
            ClipSettings(**settings).check(self.context.job_queue.model)
        except TypeError as error:  # a name is missing, or a value has a type that cannot be looked up
            raise ValueError(words("history.damaged")) from error
        photo = photo if isinstance(photo, Image.Image) else read_upload(photo)
        back = read_upload(back_photo) if back_photo and self.context.job_queue.model.has_geometry else None
        belongs_to = ""  # the photo of the back belongs to the photo that is restored with it
        return [gr.update(value=photo), gr.update(value=back), *self.settings.restored(settings), belongs_to]

    def unchanged(self) -> list:
        return [gr.skip() for _ in self.outputs]

    @staticmethod
    def problem(sentence: str) -> str:
        return wording.status(sentence, problem=True)
