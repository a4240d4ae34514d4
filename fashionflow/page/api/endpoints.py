"""The endpoints for programs, with names and documented types. They work with gradio_client, curl and MCP.

Programs and assistants read the docstrings of the endpoints (`view_api`, MCP), so each parameter has a line of its own.
"""

from collections.abc import Iterator

import gradio as gr

from ...generation.events import Finished
from ...generation.queue import MOST_CLIPS
from ...generation.request import ClipRequest
from ...generation.settings import DEFAULT_STEPS, LIMITS, ClipSettings
from ...runtime.memory import OutOfMemory
from ..context import PageContext, draw_seed, whole
from ..languages import ENGLISH
from ..mcp_server import prepare
from ..photo_box import PhotoBox
from ..settings import Settings, default_motion
from .components import declare
from .files import FileEndpoints
from .jobs import JobEndpoints
from .plain import plain_sentences, read_crop, read_whole


class Endpoints:
    """The endpoints that make clips, for one job queue."""

    def __init__(self, context: PageContext, photo_box: PhotoBox):
        self.context, self.job_queue, self.photo_box = context, context.job_queue, photo_box

    # The parameters of `animate` stay in this order, and new ones come after them, because programs may pass them by position.
    def animate(
        self,
        photo,
        motion=None,
        turn_angle=None,
        steps=None,
        frames=None,
        seed=None,
        sampler=None,
        guidance=None,
        frame_rate=None,
        interpolation=None,
        quality=None,
        memory=None,
        zoom=None,
        across=None,
        down=None,
        back_photo=None,
    ) -> Iterator[tuple[str | None, int]]:
        """Animates one photo of a garment and waits for the clip. If the caller disconnects, the job is cancelled.

        Args:
            photo: an image file with one garment or one dressed person.
            motion: the motion of the clip, by default turn-left; with surprise-me, the seed chooses it.
            turn_angle: degrees, -360 to 360, positive towards the right of the picture; by default the motion's own angle.
            steps: denoising steps, 1 to 1000, by default 4.
            frames: frames that the model makes, 2 to 280, by default the model's own number; playback adds frames between them.
            seed: 0 to 4294967295; the same photo, settings and seed give the same clip. By default a random seed.
            sampler: the sampler of the denoising steps, by default dpm++.
            guidance: how strongly the clip is guided towards the motion, 1 (not at all, the default) to 5; values above 1 take twice as long.
            frame_rate: denoised frames shown per second, 1 to 60, by default the model's own rate; other rates play slower or faster.
            interpolation: frames shown for each denoised frame, 1 to 8, by default as many as look smooth.
            quality: x264's CRF, 1 (best, largest file) to 51, by default 18.
            memory: auto (the default) chooses by the free memory; lean uses the least memory, normal more, and fast the most memory and the least time. The clip is the same in all modes.
            zoom: 1 (the default) shows as much of the photo as fits the clip; lower values, down to 0.5, show more, and higher ones, up to 4, show less.
            across: which part of the photo is shown, -1 (its left) to 1 (its right), by default 0.
            down: which part of the photo is shown, -1 (its top) to 1 (its bottom), by default 0.
            back_photo: an image file with the back of the same garment or person, shown where the clip turns; by default the back is guessed.

        Returns:
            clip: the finished mp4 file.
            seed: the seed of the clip.
        """
        with plain_sentences():
            request = self._request(
                photo,
                {"zoom": zoom, "across": across, "down": down},
                back_photo,
                motion=motion,
                turn_angle=turn_angle,
                steps=steps,
                frames=frames,
                seed=seed,
                sampler=sampler,
                guidance=guidance,
                frame_rate=frame_rate,
                interpolation=interpolation,
                quality=quality,
                memory=memory,
            )
            job = self.job_queue.submit(request, segments=False)
        try:
            with plain_sentences(ENGLISH("status.failed"), theirs=OutOfMemory):
                # Every event yields something, because Gradio can cancel only at a yield.
                for event in job.follow():
                    yield (str(event.path) if isinstance(event, Finished) else None), request.settings.seed
        finally:
            if not job.has_ended:  # a program that disconnected does not come back for its clip
                self.job_queue.discard(job)

    def submit(
        self,
        photo,
        motion=None,
        turn_angle=None,
        steps=None,
        frames=None,
        seed=None,
        sampler=None,
        guidance=None,
        frame_rate=None,
        interpolation=None,
        quality=None,
        memory=None,
        zoom=None,
        across=None,
        down=None,
        more_motions=None,
        seeds=None,
        back_photo=None,
    ) -> tuple[str, int, int]:
        """Starts a job of one or several clips of a photo and returns at once; the job continues without its caller.

        Args:
            photo: an image file with one garment or one dressed person.
            motion: the motion of the clip, by default turn-left; with surprise-me, the seed chooses it.
            turn_angle: degrees, -360 to 360, positive towards the right of the picture. It applies only to `motion`; by default it is the motion's own angle.
            steps: denoising steps, 1 to 1000, by default 4.
            frames: frames that the model makes, 2 to 280, by default the model's own number; playback adds frames between them.
            seed: the seed of the first clip of each motion, 0 to 4294967295; by default a random seed.
            sampler: the sampler of the denoising steps, by default dpm++.
            guidance: how strongly the clip is guided towards the motion, 1 (not at all, the default) to 5; values above 1 take twice as long.
            frame_rate: denoised frames shown per second, 1 to 60, by default the model's own rate; other rates play slower or faster.
            interpolation: frames shown for each denoised frame, 1 to 8, by default as many as look smooth.
            quality: x264's CRF, 1 (best, largest file) to 51, by default 18.
            memory: auto (the default) chooses by the free memory; lean uses the least memory, normal more, and fast the most memory and the least time. The clip is the same in all modes.
            zoom: 1 (the default) shows as much of the photo as fits the clip; lower values, down to 0.5, show more, and higher ones, up to 4, show less.
            across: which part of the photo is shown, -1 (its left) to 1 (its right), by default 0.
            down: which part of the photo is shown, -1 (its top) to 1 (its bottom), by default 0.
            more_motions: a list of further motions to make clips of, by default none.
            seeds: how many clips of each motion, 1 to 24, by default 1; their seeds are consecutive. A job has at most 24 clips.
            back_photo: an image file with the back of the same garment or person, shown where the clip turns; by default the back is guessed.

        Returns:
            number: the number of the job, for job, result, export, fidelity and stop; anybody who knows it can fetch the clips.
            clips: how many clips are made: first all clips of `motion`, then those of each further motion.
            seed: the seed of the first clip.
        """
        with plain_sentences():
            count = read_whole("seeds", 1 if seeds is None else seeds, 1, MOST_CLIPS)
            if not isinstance(more_motions or [], list):
                raise ValueError(f"`more_motions` must be a list of motions, got {more_motions!r}.")
            first = self._request(
                photo,
                {"zoom": zoom, "across": across, "down": down},
                back_photo,
                motion=motion,
                turn_angle=turn_angle,
                steps=steps,
                frames=frames,
                seed=seed,
                sampler=sampler,
                guidance=guidance,
                frame_rate=frame_rate,
                interpolation=interpolation,
                quality=quality,
                memory=memory,
            )
            others = [first.with_settings(motion=other, turn_angle=None) for other in more_motions or []]
            if count * (1 + len(others)) > MOST_CLIPS:
                raise ValueError(f"A job has {MOST_CLIPS} clips at most, got {count * (1 + len(others))}.")
            requests = [
                request.with_settings(seed=(request.settings.seed + index) % (LIMITS["seed"].largest + 1))
                for request in (first, *others)
                for index in range(count)
            ]
            job = self.job_queue.submit(requests, segments=False)
            return job.number, len(job.results), first.settings.seed

    def estimate(
        self, steps=None, frames=None, guidance=None, interpolation=None, memory=None
    ) -> tuple[float, int, float]:
        """Estimates how long a clip would take on this device, and how long the job queue is. It starts nothing.

        Args:
            steps: denoising steps, 1 to 1000, by default 4.
            frames: frames that the model makes, 2 to 280, by default the model's own number.
            guidance: how strongly the clip is guided towards the motion, 1 (the default) to 5.
            interpolation: frames shown for each denoised frame, 1 to 8, by default as many as look smooth.
            memory: auto (the default), lean, normal or fast.

        Returns:
            seconds: the time for the clip itself.
            clips_ahead: how many clips of others would be made first.
            seconds_ahead: the time for those clips.
        """
        with plain_sentences():
            asked = {"steps": steps, "frames": frames, "guidance": guidance}
            asked |= {"interpolation": interpolation, "memory": memory}
            chosen = self._with_defaults(seed=0, motion=default_motion(self.context), **asked)
            chosen.check(self.job_queue.pipe)
            estimate = self.job_queue.estimate([chosen])
            return round(estimate.seconds, 1), estimate.ahead, round(estimate.ahead_seconds, 1)

    def _request(self, photo: dict | None, crop: dict, back_photo: dict | None, **settings) -> ClipRequest:
        """Builds a request from a program's values. The crop and `settings` are as it sent them, with `None` for values it left out."""
        self.context.check_line(ENGLISH)  # before a photo is read
        crop = read_crop(crop)
        fitted = self.photo_box.fitted(photo, crop.zoom, crop.across, crop.down)
        back = self.photo_box.back.fitted(back_photo, ENGLISH)
        return ClipRequest(fitted, self._with_defaults(**settings), back)

    def _with_defaults(self, **settings) -> ClipSettings:
        given = {name: whole(value) for name, value in settings.items() if value is not None and value != ""}
        given.setdefault("seed", draw_seed())
        given.setdefault("frames", self.job_queue.pipe.config.default_num_frames)
        given.setdefault("steps", DEFAULT_STEPS)
        return ClipSettings(**given)


def build_api(context: PageContext, photo_box: PhotoBox, settings: Settings) -> None:
    declare(
        Endpoints(context, photo_box), JobEndpoints(context.job_queue), FileEndpoints(context, photo_box), settings
    )
    prepare(gr.context.Context.root_block)
