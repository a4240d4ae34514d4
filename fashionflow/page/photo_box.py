"""The photo, which is dropped, pasted or taken with the camera, and on it the frame of the crop that the model will see."""

import gradio as gr
import numpy as np
from PIL import Image

from ..photo.reading import MAX_ZOOM, MIN_ZOOM, Crop, PhotoError, cropped
from .advice_box import AdviceBox
from .back_photo import BackPhoto
from .context import HELPER, PageContext
from .crop_view import crop_view
from .languages import LABELS, Words, words_for, words_of
from .uploads import EXAMPLES, read_upload, save_photo, shown_by_browsers


class PhotoBox:
    """
    Attributes:
        photo, first_frame: the upload, and the clip's frame 0 at the model's size.
        back: the upload of a second photo.
        inputs: the photo and the three crop sliders.
    """

    def __init__(self, context: PageContext):
        self.context, self.advice, self.back = context, AdviceBox(context), BackPhoto(context)

    def build(self) -> None:
        with gr.Row(elem_id="photos"):
            self.photo = gr.Image(
                label=LABELS("photo.label"),
                sources=["upload", "clipboard", "webcam"],
                type="filepath",
                format="png",  # the format of a photo that a remedy returns
                buttons=[],
                # A mirrored picture would have its lettering the wrong way round.
                webcam_options=gr.WebcamOptions(mirror=False),
                min_width=140,
                elem_id="photo",
            )
            self.first_frame = gr.Image(
                label=LABELS("photo.first_frame"),
                interactive=False,
                format="jpeg",
                buttons=[],
                min_width=140,
                elem_id="first-frame",
            )
            self.crop_view = gr.HTML(visible=False, padding=False, elem_id="crop-view")
        self.advice.build()
        self.crop = gr.Accordion(LABELS("crop.title"), open=False, visible=False, elem_id="crop")
        with self.crop:
            gr.Checkbox(
                label=LABELS("crop.cut_out"),
                container=False,
                visible=self.context.job_queue.model.has_geometry,
                elem_id="show-cut-out",
            )
            with gr.Row():
                looks = {"min_width": 120}
                self.zoom = gr.Slider(
                    MIN_ZOOM, MAX_ZOOM, 1, step=0.05, label=LABELS("crop.zoom"), elem_id="crop-zoom", **looks
                )
                place = (-1, 1, 0, 0.01)
                self.across = gr.Slider(*place, label=LABELS("crop.across"), elem_id="crop-across", **looks)
                self.down = gr.Slider(*place, label=LABELS("crop.down"), elem_id="crop-down", **looks)
        self.back.build()
        self._build_examples()

    def _build_examples(self) -> None:
        """Builds the example photos, if there are any."""
        examples = sorted(str(path) for path in EXAMPLES.glob("*.jpg"))
        if not examples:
            return
        gr.set_static_paths([EXAMPLES])  # they are public, and must not be deleted with the visitors' photos
        gr.Examples(
            examples,
            self.photo,
            label=LABELS("photo.examples"),
            cache_examples=False,
            api_visibility="private",
            examples_per_page=12,
            elem_id="examples",
        )

    @property
    def inputs(self) -> list[gr.components.Component]:
        return [self.photo, self.zoom, self.across, self.down]

    @property
    def views(self) -> list[gr.components.Component]:
        """Frame 0, the photo with the crop's frame, and the sliders of the crop."""
        return [self.first_frame, self.crop_view, self.crop]

    @property
    def nothing(self) -> list:
        """Updates of `views` without a photo."""
        return [None, gr.update(visible=False), gr.update(visible=False)]

    def connect(self, page: gr.Blocks) -> None:
        sliders, says = [self.zoom, self.across, self.down], self.advice.outputs
        advice = self.advice
        self.photo.change(
            self.take,
            [*self.inputs, advice.kept_crop, self.back.photo, self.back.belongs_to],
            [self.photo, *self.views, *sliders, advice.before, advice.undo, *says, *self.back.outputs],
            preprocess=False,
            **HELPER,
        )
        self.photo.clear(self.forget, None, [*self.views, advice.undo, *says], **HELPER)
        gr.on(
            [slider.change for slider in sliders],
            self.move,
            self.inputs,
            [self.first_frame, self.crop_view, *says],
            preprocess=False,
            trigger_mode="always_last",
            **HELPER,
        )
        advice.connect(self.inputs)
        self.back.connect(self.photo)

    def take(
        self, request: gr.Request, upload: dict | None, zoom, across, down, kept_crop: str, back, back_belongs_to: str
    ) -> list:
        """Updates after a new photo: the upload box (emptied if the photo cannot be used), frame 0, the model's own crop, the advice, and
        the photo of the back. A photo that a remedy returned keeps the crop."""
        unchanged = [gr.skip()] * len(self.back.outputs)
        if upload is None:
            return [gr.skip(), *self.nothing, *[gr.skip()] * (5 + len(self.advice.outputs)), *unchanged]
        words, pipe = words_for(request), self.context.job_queue.pipe
        kept = upload.get("path") == kept_crop
        undo = [gr.skip()] * 2 if kept else [None, gr.update(visible=False)]
        try:
            photo = read_upload(upload)
            if not shown_by_browsers(upload):  # its copy comes back here as the new photo
                return [save_photo(photo), *[gr.skip()] * (8 + len(self.advice.outputs)), *unchanged]
            coverage, axis = pipe.coverage_and_axis_of(photo)
            crop = Crop(zoom, across, down) if kept else pipe.crop_of(photo, coverage)
            frame_and_view = self.frame_and_view(words, photo, crop, coverage, axis)
        except PhotoError as error:
            said = self.advice.says_wrong(words_of(error, words))
            return [None, *self.nothing, *[gr.skip()] * 3, *undo, *said, *unchanged]
        said = self.advice.says(words, photo, crop, coverage)
        back = self.back.after(words, upload.get("path"), kept, back, back_belongs_to)
        return [
            gr.skip(),
            *frame_and_view,
            gr.update(visible=True),
            crop.zoom,
            crop.across,
            crop.down,
            *undo,
            *said,
            *back,
        ]

    def forget(self) -> list:
        """Updates of the views, the crop and the advice after the visitor has removed the photo."""
        return [*self.nothing, gr.update(visible=False), *self.advice.says_nothing()]

    def move(self, request: gr.Request, upload: dict | None, zoom, across, down) -> list:
        """Updates of frame 0, the view of the crop and the advice after a change of the crop."""
        words, crop, pipe = words_for(request), Crop(zoom, across, down), self.context.job_queue.pipe
        try:
            photo = read_upload(upload)
            coverage, axis = pipe.coverage_and_axis_of(photo)
            frame_and_view = self.frame_and_view(words, photo, crop, coverage, axis)
            return [*frame_and_view, *self.advice.says(words, photo, crop, coverage)]
        except ValueError:  # the visitor was told when the photo was uploaded
            return [gr.skip()] * (2 + len(self.advice.outputs))

    def frame_and_view(
        self, words: Words, photo: Image.Image, crop: Crop, coverage: np.ndarray | None, axis: float
    ) -> list:
        """Updates of frame 0 and of the photo with the crop's frame; `coverage` and `axis` as the pipeline's `coverage_and_axis_of` gives
        them.

        Raises:
            ValueError: if the crop is out of range.
        """
        model = self.context.job_queue.model
        view = crop_view(words, photo, crop, model.width / model.height, coverage, axis)
        return [self.fitted(photo, crop, coverage), gr.update(value=view, visible=True)]

    def fitted(self, photo: Image.Image, crop: Crop, coverage: np.ndarray | None = None) -> Image.Image:
        """A photo as the model sees it. Only this picture is kept while a job waits in the queue.

        Args:
            photo: the photo, as `read_upload` returns it.
            crop: the part of it that is shown.
            coverage: what the pipeline's `coverage_of` says of the photo, where that is known already.

        Raises:
            ValueError: if the crop is out of range.
        """
        pipe = self.context.job_queue.pipe
        if crop == Crop():  # a photo is fitted as in the model's training, which may stretch it
            return pipe.fit_photo(photo, pipe.crop_of(photo, coverage))
        return cropped(photo, pipe.width, pipe.height, crop)
