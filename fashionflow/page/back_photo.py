"""The photo of the back: product shots come in pairs, and a model with geometry shows on the back what is in the second one."""

import gradio as gr
from PIL import Image

from ..photo.reading import PhotoError
from . import wording
from .context import HELPER, PageContext
from .languages import LABELS, Words, words_for, words_of
from .uploads import read_upload


class BackPhoto:
    """An upload that nobody has to use. Pages of models without geometry do not show it.

    Attributes:
        photo: the upload.
        belongs_to: a state, the path of the photo that the upload was added to, "" if there was none yet. Another photo empties
            the upload, because a back of another garment would be shown without a word.
        outputs: what `after` gives changes for, as components.
    """

    def __init__(self, context: PageContext):
        self.context = context

    def build(self) -> None:
        self.photo = gr.Image(
            label=LABELS("photo.back"),
            sources=["upload"],
            type="filepath",
            format="png",
            buttons=[],
            visible=self.context.job_queue.pipe.has_geometry,
            elem_id="back-photo",
        )
        self.note = gr.HTML(visible=False, elem_id="back-note", padding=False)
        self.belongs_to = gr.State("")

    @property
    def outputs(self) -> list[gr.components.Component]:
        return [self.photo, self.note, self.belongs_to]

    def connect(self, front: gr.Image) -> None:
        self.photo.change(self.take, [self.photo, front], self.outputs, preprocess=False, **HELPER)
        self.photo.clear(lambda: gr.update(visible=False), None, self.note, **HELPER)

    def take(self, request: gr.Request, upload: dict | None, front: dict | None) -> list:
        """Changes of `outputs` for a new upload: its box is emptied if nothing can be done with its content."""
        if upload is None:
            return [gr.skip()] * 3
        words = words_for(request)
        try:
            back = self.fitted(upload, words)
        except ValueError as error:
            note = gr.update(value=wording.status(str(error), problem=True), visible=True)
            return [None, note, gr.skip()]
        note = gr.update(visible=False)
        if front and not self._matches(front, back):
            note = gr.update(value=wording.advice([words("photo.back_mismatch")]), visible=True)
        return [gr.skip(), note, (front or {}).get("path") or ""]

    def _matches(self, front: dict, back: Image.Image) -> bool:
        """Whether the outline of the photo of the back fits that of the upload `front`; so it is if that one cannot be used."""
        try:
            photo = read_upload(front)
        except PhotoError:  # said already, when the photo came
            return True
        return self.context.job_queue.pipe.backs_match(photo, back)

    def after(self, words: Words, path: str, is_mended: bool, upload: dict | None, belongs_to: str) -> list:
        """Changes of `outputs` once the photo at `path` has come.

        Args:
            words: the visitor's language.
            path: of the new photo.
            is_mended: whether it is the photo before, after a remedy.
            upload, belongs_to: what is there.
        """
        if not upload:
            return [gr.skip(), gr.update(visible=False), gr.skip()]
        if is_mended or belongs_to in ("", path):
            return [gr.skip(), gr.skip(), path]
        note = wording.advice([words("photo.back_emptied")])
        return [None, gr.update(value=note, visible=True), ""]

    def fitted(self, upload: dict | None, words: Words) -> Image.Image | None:
        """What the model sees of an upload, `None` for none.

        Raises:
            ValueError: one sentence in the visitor's language, if the upload is no photo that can be used.
        """
        if not upload:
            return None
        try:
            return self.context.job_queue.pipe.fit_photo(read_upload(upload))
        except PhotoError as error:
            raise ValueError(words("photo.back_refused", reason=words_of(error, words))) from error
