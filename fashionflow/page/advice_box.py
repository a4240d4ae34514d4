"""Warnings about a photo before a clip is made from it, with a one-tap remedy where there is one."""

import gradio as gr
import numpy as np
from PIL import Image

from ..photo.checks import MOST_ADVICE, advise, remedy
from ..photo.reading import Crop
from . import wording
from .context import HELPER, PageContext
from .languages import LABELS, Words, words_for, words_of
from .uploads import read_upload, save_photo


class AdviceBox:
    """
    Attributes:
        outputs: the components that `says` returns updates for.
        kept_crop: a state with the path of a photo that keeps the crop that is set. Any other photo gets a crop of its own.
    """

    def __init__(self, context: PageContext):
        self.context = context

    def build(self) -> None:
        self.note = gr.HTML(visible=False, elem_id="note", padding=False)
        with gr.Row(elem_id="remedies"):
            looks = {"size": "sm", "visible": False, "scale": 0, "min_width": 160}
            self.remedies = [gr.Button(elem_id=f"remedy-{index}", **looks) for index in range(MOST_ADVICE)]
            self.undo = gr.Button(LABELS("advice.undo"), elem_id="undo-remedy", **looks)
        self.names = gr.State([])  # the names of the remedies on the buttons
        self.kept_crop = gr.State("")
        self.before = gr.State(None)  # {"path", "crop"} before the first remedy

    @property
    def outputs(self) -> list[gr.components.Component]:
        return [self.note, *self.remedies, self.names]

    def connect(self, inputs: list[gr.components.Component]) -> None:
        """`inputs`: the photo and the three crop sliders, as in `PhotoBox.inputs`."""
        outputs = [*inputs, self.note, self.kept_crop, self.before, self.undo]
        for index, button in enumerate(self.remedies):
            button.click(
                self.apply,
                [gr.State(index), self.names, self.before, *inputs],
                outputs,
                preprocess=False,
                **HELPER | {"show_progress": "minimal", "show_progress_on": [inputs[0]]},
            )
        self.undo.click(self.take_back, self.before, outputs, **HELPER)

    def says(self, words: Words, photo: Image.Image, crop: Crop, coverage: np.ndarray | None) -> list:
        """The advice on a photo, as updates of `outputs`. `coverage` is what the pipeline's `coverage_of` says of the photo."""
        model = self.context.job_queue.model
        found = advise(photo, model.width, model.height, crop, coverage)
        sentences = [words(f"advice.{advice.key}", **advice.values) for advice in found]
        names = [advice.remedy for advice in found if advice.remedy]
        note = gr.update(value=wording.advice(sentences), visible=bool(sentences))
        return [note, *self._buttons(words, names), names]

    def says_nothing(self) -> list:
        return [gr.update(visible=False)] * (1 + MOST_ADVICE) + [[]]

    def says_wrong(self, sentence: str) -> list:
        """The error message for an upload that cannot be used at all, as updates of `outputs`."""
        note = gr.update(value=wording.status(sentence, problem=True), visible=True)
        return [note, *[gr.update(visible=False)] * MOST_ADVICE, []]

    def apply(
        self, request: gr.Request, index: int, names: list[str], before: dict | None, upload: dict, zoom, across, down
    ) -> list:
        """The photo and its crop after a remedy. If the remedy cannot help, both stay as they are, and the note says why."""
        words, crop = words_for(request), Crop(zoom, across, down)
        unchanged = [gr.skip()] * 8
        if not 0 <= index < len(names):
            return unchanged
        pipe = self.context.job_queue.pipe
        try:
            photo = read_upload(upload)
            mended, crop = remedy(names[index], photo, pipe.width, pipe.height, crop, pipe.coverage_of(photo))
        except ValueError as error:
            unchanged[4] = gr.update(value=wording.status(words_of(error, words), problem=True), visible=True)
            return unchanged
        before = before or {"path": upload["path"], "crop": [zoom, across, down]}
        path = upload["path"] if mended is photo else save_photo(mended)
        shown = gr.skip() if mended is photo else path
        return [shown, crop.zoom, crop.across, crop.down, gr.skip(), path, before, gr.update(visible=True)]

    def take_back(self, before: dict | None) -> list:
        """The photo and its crop as they were before the first remedy."""
        if before is None:
            return [gr.skip()] * 8
        return [before["path"], *before["crop"], gr.skip(), before["path"], None, gr.update(visible=False)]

    def _buttons(self, words: Words, names: list[str]) -> list[dict]:
        labels = [words(f"advice.remedy_{name}") for name in names]
        shown = [gr.update(value=label, visible=True) for label in labels]
        return shown + [gr.update(visible=False)] * (MOST_ADVICE - len(shown))
