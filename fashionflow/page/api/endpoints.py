"""The endpoints for programs, with names and documented types. They work with gradio_client, curl and MCP.

Programs and assistants read the docstrings of the endpoints (`view_api`, MCP), so each parameter has a line of its own.
"""

from collections.abc import Iterator

import gradio as gr

from ...errors import NoGPU, NotWritten, NoWorker
from ...generation.events import Finished
from ...generation.queue import MOST_CLIPS
from ...generation.request import ClipRequest
from ...generation.settings import DEFAULT_STEPS, LIMITS, RANDOM_SEED, ClipSettings
from ...runtime.memory_modes import OutOfMemory
from ..context import PageContext, draw_seed, whole
from ..languages import ENGLISH
from ..mcp_server import prepare
from ..photo_box import PhotoBox
from ..settings import Settings, default_motion
from ..uploads import read_upload
from .components import declare
from .files import FileEndpoints
from .jobs import JobEndpoints
from .plain import plain_sentences, read_crop, read_whole


class Endpoints:
    """The endpoints that make clips, for one job queue. Each takes the values of its parameters by name, `None` for a value that the
    program left out (`parameters.with_parameters`)."""

    def __init__(self, context: PageContext, photo_box: PhotoBox):
        self.context, self.job_queue, self.photo_box = context, context.job_queue, photo_box

    def animate(self, given: dict) -> Iterator[tuple[str | None, int]]:
        """Animates one photo of a garment and waits for the clip. If the caller disconnects, the job is cancelled.

        Returns:
            clip: the finished mp4 file.
            seed: the seed of the clip.
        """
        with plain_sentences():
            request = self._request(given)
            job = self.context.submit(request, ENGLISH)
        try:
            with plain_sentences(ENGLISH("status.failed"), theirs=(OutOfMemory, NoGPU, NotWritten, NoWorker)):
                # Something is yielded at every event, because that is when Gradio can cancel.
                for event in job.follow():
                    yield (str(event.path) if isinstance(event, Finished) else None), request.settings.seed
        finally:
            if not job.has_ended:  # a program that has gone does not come back for its clip
                self.job_queue.discard(job)

    def submit(self, given: dict) -> tuple[str, int, int]:
        """Starts a job of one or several clips of a photo and returns at once; the job continues without its caller.

        Returns:
            number: the number of the job, for job, result, export, fidelity and stop; anybody who knows it can fetch the clips.
            clips: how many clips are made: first all clips of `motion`, then those of each further motion.
            seed: the seed of the first clip.
        """
        with plain_sentences():
            seeds, more_motions = given.pop("seeds"), given.pop("more_motions") or []
            count = read_whole("seeds", 1 if seeds is None else seeds, 1, MOST_CLIPS)
            if not isinstance(more_motions, list):
                raise ValueError(f"`more_motions` must be a list of motions, got {more_motions!r}.")
            first = self._request(given)
            first.check(self.job_queue.model)  # before the seeds are counted on
            others = [first.with_settings(motion=other, turn_angle=None) for other in more_motions]
            if count * (1 + len(others)) > MOST_CLIPS:
                raise ValueError(f"A job has {MOST_CLIPS} clips at most, got {count * (1 + len(others))}.")
            requests = [
                request.with_settings(seed=(request.settings.seed + index) % (LIMITS["seed"].largest + 1))
                for request in (first, *others)
                for index in range(count)
            ]
            job = self.context.submit(requests, ENGLISH)
            return job.number, len(job.results), first.settings.seed

    def estimate(self, given: dict) -> tuple[float, int, float]:
        """Estimates how long a clip would take on this device, and how long the job queue is. It starts nothing.

        Returns:
            seconds: the time for the clip itself.
            clips_ahead: how many clips of others would be made first.
            seconds_ahead: the time for those clips.
        """
        with plain_sentences():
            settings = self._settings({**given, "seed": 0, "motion": default_motion(self.context)})
            settings.check(self.job_queue.model)
            estimate = self.job_queue.estimate([settings])
            return round(estimate.seconds, 1), estimate.ahead, round(estimate.ahead_seconds, 1)

    def _request(self, given: dict) -> ClipRequest:
        """Builds a request from a program's values by name, with `None` for values that it left out."""
        self.context.check_line(ENGLISH)  # before a photo is read
        crop = read_crop({name: given[name] for name in ("zoom", "across", "down")})
        photo = self.photo_box.fitted(read_upload(given["photo"]), crop)
        back_photo = self.photo_box.back.fitted(given["back_photo"], ENGLISH)
        return ClipRequest(photo, self._settings({name: given[name] for name in LIMITS}), back_photo)

    def _settings(self, given: dict) -> ClipSettings:
        given = {name: whole(value) for name, value in given.items() if value is not None and value != ""}
        if given.get("seed", RANDOM_SEED) == RANDOM_SEED:
            given["seed"] = draw_seed()
        given.setdefault("frames", self.job_queue.model.default_num_frames)
        given.setdefault("steps", DEFAULT_STEPS)
        return ClipSettings(**given)


def build_api(context: PageContext, photo_box: PhotoBox, settings: Settings) -> None:
    declare(Endpoints(context, photo_box), JobEndpoints(context), FileEndpoints(context, photo_box), settings)
    prepare(gr.context.Context.root_block)
