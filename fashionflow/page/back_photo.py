"""The photo of the back. Product photos come in pairs, and a model with geometry shows the second photo where the clip shows the back."""

import gradio as gr
from PIL import Image

from ..photo.reading import PhotoError
from . import wording
from .context import HELPER, PageContext
from .languages import LABELS, Words, words_for, words_of
from .uploads import read_upload, save_photo, shown_by_browsers


class BackPhoto:
    """An optional upload. The page does not show it if the model has no geometry.

    Attributes:
        photo: the upload.
        belongs_to: a state with the path of the front photo that the upload was added to, "" if there was none yet. Another front photo
            empties the upload, because otherwise the clip would show the back of another garment without a warning.
        outputs: the components that `after` returns updates for.
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
            visible=self.context.job_queue.model.has_geometry,
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
        """Updates of `outputs` for a new upload. The box is emptied if the upload cannot be used."""
        if upload is None:
            return [gr.skip()] * 3
        words = words_for(request)
        try:
            back = self.fitted(upload, words)
        except ValueError as error:
            note = gr.update(value=wording.status(str(error), problem=True), visible=True)
            return [None, note, gr.skip()]
        if not shown_by_browsers(upload):  # its copy comes back here as the new photo
            return [save_photo(read_upload(upload)), gr.skip(), gr.skip()]
        note = gr.update(visible=False)
        if front and not self._matches(front, back):
            note = gr.update(value=wording.advice([words("photo.back_mismatch")]), visible=True)
        return [gr.skip(), note, (front or {}).get("path") or ""]

    def _matches(self, front: dict, back: Image.Image) -> bool:
        """Whether the outline of the photo of the back fits that of the upload `front`. True if `front` cannot be used."""
        try:
            photo = read_upload(front)
        except PhotoError:  # the visitor was told when the photo was uploaded
            return True
        return self.context.job_queue.pipe.backs_match(photo, back)

    def after(self, words: Words, path: str, is_mended: bool, upload: dict | None, belongs_to: str) -> list:
        """Updates of `outputs` after the upload of the front photo at `path`.

        Args:
            words: the visitor's language.
            path: the path of the new front photo.
            is_mended: whether it is the previous photo, changed by a remedy.
            upload, belongs_to: the current photo of the back, and the path of the front photo that it belongs to.
        """
        if not upload:
            return [gr.skip(), gr.update(visible=False), gr.skip()]
        if is_mended or belongs_to in ("", path):
            return [gr.skip(), gr.skip(), path]
        note = wording.advice([words("photo.back_emptied")])
        return [None, gr.update(value=note, visible=True), ""]

    def fitted(self, upload: dict | None, words: Words) -> Image.Image | None:
        """An upload as the model sees it, or `None` if there is no upload.

        Raises:
            ValueError: with one sentence in the visitor's language, if the upload is not a usable photo.
        """
        if not upload:
            return None
        try:
            return self.context.job_queue.pipe.fit_photo(read_upload(upload))
        except PhotoError as error:
            raise ValueError(words("photo.back_refused", reason=words_of(error, words))) from error
