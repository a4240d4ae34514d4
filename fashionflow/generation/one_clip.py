"""The making of one clip from a photo and settings, which the command line and the catalogue share."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
from PIL import Image

from ..photo.checks import Advice, advise
from ..pipelines import FashionFlowPipeline
from ..runtime.model_folder import ModelDescription
from .renderer import ClipRenderer
from .request import ClipRequest
from .settings import ClipSettings


Frames = Iterator[np.ndarray]


def clip_request(
    pipe: FashionFlowPipeline, settings: ClipSettings, photo: Image.Image, back_photo: Image.Image | None = None
) -> tuple[ClipRequest, list[Advice]]:
    """The request for a clip of a photo as `read_photo` returns it, cropped to its figure; and advice about the photo.

    Raises:
        ValueError: with one sentence about settings that this model does not have, or a photo that it cannot use.
    """
    coverage = pipe.coverage_of(photo)
    crop = pipe.crop_of(photo, coverage)
    request = ClipRequest(pipe.fit_photo(photo, crop), settings, back_photo and pipe.fit_photo(back_photo))
    request.check(ModelDescription.of(pipe))
    advice = advise(photo, pipe.width, pipe.height, crop, coverage) if pipe.has_geometry else []
    return request, advice


def make_clip(
    pipe: FashionFlowPipeline,
    request: ClipRequest,
    clip: Path,
    on_step_down: Callable[[str], None] = lambda mode: None,
    watched: Callable[[Frames, int], Iterable[np.ndarray]] = lambda frames, total: frames,
) -> Path:
    """Makes the clip of a request and returns its path.

    Args:
        clip: its file, a name that ends in .mp4; nothing is left there if anything goes wrong.
        on_step_down: called with the leaner memory mode when memory has run out.
        watched: gets the frames of the clip, uint8 RGB [height, width, 3], and their number, and returns the frames; for progress.

    Raises:
        OSError, OutOfMemory, RuntimeError: as `ClipRenderer` does.
    """
    with (
        ClipRenderer(pipe, request, on_step_down) as renderer,
        closing(renderer.frames(renderer.denoise())) as frames,
    ):
        return renderer.write(clip, watched(frames, renderer.num_frames))
