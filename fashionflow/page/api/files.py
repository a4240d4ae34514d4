"""The endpoints about an uploaded file: a photo, or a clip that was made here before."""

from PIL import Image

from ...generation.saved_settings import read_provenance
from ...photo.checks import advise, remedy
from ..context import PageContext
from ..photo_box import PhotoBox
from ..uploads import read_upload, uploaded_path
from .plain import plain_sentences, read_crop


class FileEndpoints:
    """The endpoints that read files. They open only files that were uploaded."""

    def __init__(self, context: PageContext, photo_box: PhotoBox):
        self.job_queue, self.photo_box = context.job_queue, photo_box

    def check_photo(self, photo, zoom=None, across=None, down=None) -> tuple[list[dict], Image.Image]:
        """Warns about anything in a photo that would make its clip bad, before the clip is made, and shows the model's view of the photo.

        Args:
            photo: an image file with one garment or one dressed person.
            zoom: 1 (the default) shows as much of the photo as fits the clip; lower values, down to 0.5, show more, and higher ones, up to 4, show less.
            across: which part of the photo is shown, -1 (its left) to 1 (its right), by default 0.
            down: which part of the photo is shown, -1 (its top) to 1 (its bottom), by default 0.

        Returns:
            advice: a list of objects, empty for a good photo. Each object has kind, sentence and remedy (or null). If it helps to show another part of the photo, it also has crop, with the zoom, across and down to use.
            first_frame: the photo as the model sees it, which is the clip's first frame.
        """
        with plain_sentences():
            pipe = self.job_queue.pipe
            crop = read_crop({"zoom": zoom, "across": across, "down": down})
            picture, found = read_upload(photo), []
            coverage = pipe.coverage_of(picture)
            first_frame = self.photo_box.fitted(picture, crop, coverage)
            for advice in advise(picture, pipe.width, pipe.height, crop, coverage):
                told = {"kind": advice.kind, "sentence": advice.sentence(), "remedy": advice.remedy}
                if advice.remedy in ("show-all", "zoom-out"):
                    _, better = remedy(advice.remedy, picture, pipe.width, pipe.height, crop, coverage)
                    told["crop"] = {"zoom": better.zoom, "across": better.across, "down": better.down}
                found.append(told)
            return found, first_frame

    def settings_of(self, clip) -> dict:
        """Reads the settings from a clip that FashionFlow made, so that the clip can be made again.

        Args:
            clip: an mp4, GIF, WebP or zip file that result or export returned.

        Returns:
            settings: an object with the settings that animate takes, and model, model_hash, version and date.
        """
        with plain_sentences():
            if not clip:
                raise ValueError("No clip was given; choose an mp4, GIF, WebP or zip file made by FashionFlow.")
            return read_provenance(uploaded_path(clip))
