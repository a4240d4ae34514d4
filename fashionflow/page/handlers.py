"""What happens when a visitor does something. Nothing here is shared between visitors but the studio."""

import base64
import binascii
import logging
import random
import threading
from collections.abc import Iterator
from pathlib import Path

import gradio as gr
from gradio.utils import get_upload_folder, is_in_or_equal
from PIL import Image

from ..animation import AnimationRequest, Finished, Segment, Step, Waiting
from ..motion import PRESETS, SURPRISE
from ..photo import PhotoError, read_photo
from ..studio import Studio
from . import wording
from .serving import MOST_AT_ONCE


# The components that a run changes, in the order in which Gradio is told of them.
OUTPUTS = ("preview", "player", "clip", "status", "download", "animate", "stop")

EXAMPLES = Path(__file__).parents[2] / "assets" / "examples"

MANY_SEEDS = 1_000_000  # few enough digits to be noted down

logger = logging.getLogger(__name__)


class Visit:
    """What the page remembers of one visitor: how to stop the run at work. Gradio copies it for every new one."""

    def __init__(self):
        self.stop = threading.Event()

    def __deepcopy__(self, memo: dict) -> "Visit":
        return Visit()


class Handlers:
    """The page's events, for one studio.

    Gradio hands over what the browser sent as it came (`preprocess=False`): it would open pictures itself, without our
    limits and with a traceback for every damaged one.

    Args:
        studio: who makes the clips.
        live: whether clips are shown while they are decoded; otherwise once they are finished.
    """

    def __init__(self, studio: Studio, live: bool):
        self.studio = studio
        self.live = live

    def show_photo(self, upload: dict | None) -> tuple:
        """The photo box (emptied if nothing can be done with its content), frame 0 of the clip, and what is wrong."""
        if upload is None:
            return gr.skip(), None, gr.skip()
        try:
            first_frame = self.studio.pipe.fit_photo(read_upload(upload))
        except PhotoError as error:
            return None, None, gr.update(value=wording.status(str(error), problem=True), visible=True)
        return gr.skip(), first_frame, gr.update(visible=False)

    def forget_photo(self) -> tuple:
        """Frame 0 and the note under the photo, once the visitor has taken the photo away."""
        return None, gr.update(visible=False)

    def own_angle(self, motion: str) -> dict:
        """The turn angle's slider for a motion: at the motion's own angle, or idle where the seed draws it."""
        if motion == SURPRISE:
            return gr.update(interactive=False)
        return gr.update(value=PRESETS[motion].angle, interactive=True)

    def animate(self, upload, motion, turn_angle, steps, frames, seed, sampler, visit: Visit) -> Iterator[list]:
        """One run, as changes of `OUTPUTS`. Whatever goes wrong is a sentence under the picture, and the page works on."""
        idle = {"animate": gr.update(interactive=True), "stop": gr.update(interactive=False)}
        try:
            if motion in (None, SURPRISE):
                turn_angle = None
            request = self.request(upload, motion, turn_angle, steps, frames, seed, sampler)
            events = self.studio.animate(request, stop := threading.Event(), segments=self.live)
        except ValueError as error:
            yield changes(status=wording.status(str(error), problem=True), **idle)
            return
        visit.stop = stop
        yield changes(
            preview=gr.update(value=request.photo, visible=True),
            player=gr.update(value=None, visible=False),
            clip=gr.update(value=None, visible=False),
            download=gr.update(visible=False),
            animate=gr.update(interactive=False),
            stop=gr.update(interactive=True),
        )
        try:
            ending = wording.status(wording.STOPPED)
            for event in events:
                if isinstance(event, Finished):
                    ending = wording.finished(event)
                yield from self.shown(event)
            yield changes(status=ending, **idle)
        except Exception:
            logger.exception("A clip could not be made.")
            yield changes(status=wording.status(wording.FAILED, problem=True), **idle)
        finally:
            events.close()

    def shown(self, event: Waiting | Step | Segment | Finished) -> Iterator[list]:
        """One event of the studio, as changes of the page."""
        if isinstance(event, Waiting):
            yield changes(status=wording.waiting(event))
        elif isinstance(event, Step):
            yield changes(status=wording.step(event), preview=event.preview)
        elif isinstance(event, Segment):
            if event.index == 0:  # a player takes either a piece or a change of its looks, not both at once
                yield changes(preview=gr.update(visible=False), player=gr.update(visible=True))
            yield changes(status=wording.segment(event), player=str(event.path))
        else:
            yield changes(download=gr.update(value=str(event.path), visible=True))
            if not self.live:
                yield changes(preview=gr.update(visible=False), clip=gr.update(value=str(event.path), visible=True))

    def animate_for_programs(
        self, photo, motion=None, turn_angle=None, steps=None, frames=None, seed=None, sampler=None
    ) -> Iterator[tuple[str | None, int]]:
        """Animates one photo of a garment. Returns the finished clip, an mp4 file, and the seed that it was made from.

        photo: an image file with one garment or one dressed person.
        motion: turn-left, turn-right, turn-and-back, show-the-back, spin, sway, walk or surprise-me.
        turn_angle: degrees from -360 to 360, positive towards the right of the picture; the motion's own if left out.
        steps: denoising steps, 1 to 1000.
        frames: frames that the model makes, 2 to 280; playback may add frames between them.
        seed: 0 to 4294967295; the same seed gives the same clip. Drawn if left out.
        sampler: dpm++, unipc, ddim, euler or ddpm.
        """
        seed = self.draw_seed() if seed is None else seed
        try:
            request = self.request(photo, motion, turn_angle, steps, frames, seed, sampler)
            events = self.studio.animate(request, threading.Event(), segments=False)
        except ValueError as error:
            raise gr.Error(str(error), print_exception=False) from error
        try:
            # Something is yielded at every event, because that is when Gradio can cancel.
            for event in events:
                yield (str(event.path) if isinstance(event, Finished) else None), request.seed
        except Exception as error:
            logger.exception("A clip could not be made.")
            raise gr.Error(wording.FAILED, print_exception=False) from error
        finally:
            events.close()

    def stop(self, visit: Visit) -> list:
        """Asks this visitor's run to end; it says itself when it has."""
        visit.stop.set()
        return gr.update(interactive=False)

    def draw_seed(self) -> int:
        return random.randrange(MANY_SEEDS)

    def request(self, upload, motion, turn_angle, steps, frames, seed, sampler) -> AnimationRequest:
        """The browser's numbers, which may have come as 12.0, as a request that the studio will check.

        Raises:
            ValueError: one sentence that says what is wrong with the photo, or that the line is full.
        """
        if self.studio.in_line >= MOST_AT_ONCE:
            raise ValueError(wording.FULL)
        return AnimationRequest(
            photo=self.studio.pipe.fit_photo(read_upload(upload)),  # the whole photo would be kept while in line
            frames=whole(frames),
            steps=whole(steps),
            seed=whole(seed),
            motion=motion or None,
            turn_angle=turn_angle,
            sampler=sampler,
        )


def default_motion(studio: Studio) -> str | None:
    """The motion that the page starts with."""
    return next(iter(PRESETS)) if studio.pipe.has_motion else None


def changes(**changed) -> list:
    """A value for each of `OUTPUTS`; what is not named stays as it is."""
    return [changed.get(name, gr.skip()) for name in OUTPUTS]


def read_upload(upload: dict | None) -> Image.Image:
    """The photo in what a browser or a program sent.

    Raises:
        PhotoError: if it is none that can be used.
    """
    if not upload:
        return read_photo("")
    url = upload.get("url") or ""
    if url.startswith("data:"):
        try:
            return read_photo(base64.b64decode(url.partition(",")[2], validate=True))
        except binascii.Error as error:
            raise PhotoError("The photo was damaged on its way here; choose it again.") from error
    # The path is the browser's word. Only uploads and our own examples may be opened, whatever else lies on this machine.
    path = upload.get("path")
    if not path or not any(is_in_or_equal(path, folder) for folder in (get_upload_folder(), EXAMPLES)):
        raise PhotoError(wording.GONE)
    if not Path(path).is_file():
        raise PhotoError(wording.GONE)
    return read_photo(upload["path"])


def whole(number: object) -> object:
    """12.0 as 12; anything else as it is."""
    return int(number) if isinstance(number, float) and number.is_integer() else number
