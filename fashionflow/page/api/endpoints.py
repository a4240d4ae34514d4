"""What programs can ask for: named endpoints with documented types, for gradio_client, curl and MCP alike.

The docstrings of the endpoints are what programs and assistants read (`view_api`, MCP), so each parameter has a line of its own.
"""

from collections.abc import Iterator
from dataclasses import replace

import gradio as gr
from PIL import Image

from ...generation.queue import MOST_CLIPS
from ...generation.request import DEFAULT_STEPS, LARGEST_SEED, AnimationRequest, Finished
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
    """What makes clips, for one studio."""

    def __init__(self, context: PageContext, photo_box: PhotoBox):
        self.context, self.job_queue, self.photo_box = context, context.job_queue, photo_box

    # The parameters of `animate` stay in this order, and new ones come after them, because programs may give them by place.
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
        """Animates one photo of a garment and waits for the clip. If the caller goes away, the work ends.

        Args:
            photo: an image file with one garment or one dressed person.
            motion: what the garment does, by default turn-left; surprise-me leaves it to the seed.
            turn_angle: degrees, -360 to 360, positive towards the right of the picture; by default the motion's own.
            steps: denoising steps, 1 to 1000, by default 4.
            frames: frames that the model makes, 2 to 280, by default the model's own number; playback adds frames between them.
            seed: 0 to 4294967295; the same photo, settings and seed give the same clip. Drawn by default.
            sampler: how the denoiser steps, by default dpm++.
            guidance: how far the clip is pushed towards the motion, 1 (not at all, the default) to 5; above 1 takes twice as long.
            frame_rate: denoised frames shown a second, 1 to 60, by default the model's own; others play slower or faster.
            interpolation: frames shown for each denoised one, 1 to 8, by default what looks smooth.
            quality: x264's CRF, 1 (best, largest file) to 51, by default 18.
            memory: auto (the default) goes by the memory that is free; lean takes the least, normal more, fast the most and the least time. The same clip in all of them.
            zoom: 1 (the default) shows as much of the photo as fits the clip; 0.5 shows more, up to 4 shows less.
            across: which part of the photo is shown, -1 (its left) to 1 (its right), by default 0.
            down: which part of the photo is shown, -1 (its top) to 1 (its bottom), by default 0.
            back_photo: an image file with the back of the same garment or person, shown where the clip turns; by default the back is guessed.

        Returns:
            clip: the finished mp4 file.
            seed: what it was made from.
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
                # Something is yielded at every event, because that is when Gradio can cancel.
                for event in job.follow():
                    yield (str(event.path) if isinstance(event, Finished) else None), request.seed
        finally:
            if not job.has_ended:  # a program that has gone does not come back for its clip
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
        """Starts a job of one or several clips of a photo and returns at once; the job goes on without its caller.

        Args:
            photo: an image file with one garment or one dressed person.
            motion: what the garment does, by default turn-left; surprise-me leaves it to the seed.
            turn_angle: degrees, -360 to 360, positive towards the right of the picture, for `motion` alone; by default its own.
            steps: denoising steps, 1 to 1000, by default 4.
            frames: frames that the model makes, 2 to 280, by default the model's own number; playback adds frames between them.
            seed: 0 to 4294967295, of the first clip of each motion; drawn by default.
            sampler: how the denoiser steps, by default dpm++.
            guidance: how far the clip is pushed towards the motion, 1 (not at all, the default) to 5; above 1 takes twice as long.
            frame_rate: denoised frames shown a second, 1 to 60, by default the model's own; others play slower or faster.
            interpolation: frames shown for each denoised one, 1 to 8, by default what looks smooth.
            quality: x264's CRF, 1 (best, largest file) to 51, by default 18.
            memory: auto (the default) goes by the memory that is free; lean takes the least, normal more, fast the most and the least time. The same clip in all of them.
            zoom: 1 (the default) shows as much of the photo as fits the clip; 0.5 shows more, up to 4 shows less.
            across: which part of the photo is shown, -1 (its left) to 1 (its right), by default 0.
            down: which part of the photo is shown, -1 (its top) to 1 (its bottom), by default 0.
            more_motions: a list of motions that also get clips, by default none.
            seeds: clips of each motion, 1 to 24, by default 1; their seeds follow each other. A job has 24 clips at most.
            back_photo: an image file with the back of the same garment or person, shown where the clip turns; by default the back is guessed.

        Returns:
            number: finds the job again with job, result, export, fidelity and stop; whoever knows it gets the clips.
            clips: how many clips are made, all of `motion` first, then of each further motion.
            seed: of the first clip.
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
            others = [replace(first, motion=other, turn_angle=None) for other in more_motions or []]
            if count * (1 + len(others)) > MOST_CLIPS:
                raise ValueError(f"A job has {MOST_CLIPS} clips at most, got {count * (1 + len(others))}.")
            requests = [
                replace(request, seed=(request.seed + index) % (LARGEST_SEED + 1))
                for request in (first, *others)
                for index in range(count)
            ]
            job = self.job_queue.submit(requests, segments=False)
            return job.number, len(job.results), first.seed

    def estimate(
        self, steps=None, frames=None, guidance=None, interpolation=None, memory=None
    ) -> tuple[float, int, float]:
        """Says how long a clip would take on this device, and how long the line is, before anything is started.

        Args:
            steps: denoising steps, 1 to 1000, by default 4.
            frames: frames that the model makes, 2 to 280, by default the model's own number.
            guidance: how far the clip is pushed towards the motion, 1 (the default) to 5.
            interpolation: frames shown for each denoised one, 1 to 8, by default what looks smooth.
            memory: auto (the default), lean, normal or fast.

        Returns:
            seconds: what the clip itself takes.
            clips_ahead: clips of others that would be made first.
            seconds_ahead: what those take.
        """
        with plain_sentences():
            asked = {"steps": steps, "frames": frames, "guidance": guidance}
            asked |= {"interpolation": interpolation, "memory": memory}
            request = self._with_defaults(None, seed=0, motion=default_motion(self.context), **asked)
            request.check(self.job_queue.pipe)
            estimate = self.job_queue.estimate([request])
            return round(estimate.seconds, 1), estimate.ahead, round(estimate.ahead_seconds, 1)

    def _request(self, photo: dict | None, crop: dict, back_photo: dict | None, **settings) -> AnimationRequest:
        """A request from what a program sent; the crop and `settings` as it sent them, `None` for what it left out."""
        self.context.check_line(ENGLISH)  # before a photo is read
        crop = read_crop(crop)
        fitted = self.photo_box.fitted(photo, crop.zoom, crop.across, crop.down)
        back = self.photo_box.back.fitted(back_photo, ENGLISH)
        return replace(self._with_defaults(fitted, **settings), back_photo=back)

    def _with_defaults(self, photo: Image.Image | None, **settings) -> AnimationRequest:
        given = {name: whole(value) for name, value in settings.items() if value is not None and value != ""}
        given.setdefault("seed", draw_seed())
        given.setdefault("frames", self.job_queue.pipe.config.default_num_frames)
        given.setdefault("steps", DEFAULT_STEPS)
        return AnimationRequest(photo=photo, **given)


def build_api(context: PageContext, photo_box: PhotoBox, settings: Settings) -> None:
    declare(
        Endpoints(context, photo_box), JobEndpoints(context.job_queue), FileEndpoints(context, photo_box), settings
    )
    prepare(gr.context.Context.root_block)
