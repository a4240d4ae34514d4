"""Rows about whole clips, made through a `JobQueue` as the page makes them."""

import time
from dataclasses import replace

from fashionflow import FashionFlowPipeline
from fashionflow.generation.events import Finished, Segment, Step
from fashionflow.generation.queue import JobQueue
from fashionflow.generation.request import ClipRequest
from fashionflow.generation.settings import DEFAULT_STEPS, ClipSettings
from fashionflow.photo.reading import read_photo
from fashionflow.pipelines.motions import MOTIONS

from . import subjects
from .machine import peak_memory
from .parts import PHOTO, Cells
from .rows import CLIP_FRAME_COUNTS, VISITORS, Row
from .session import Session, Work
from .timing import cell, repeat


FULL_STEPS = 20
EVENTS = {"preview": Step, "segment": Segment, "clip": Finished, "preview-full": Step, "clip-full": Finished}
"""The event that a row waits for."""


def default_request(pipe: FashionFlowPipeline, **changes) -> ClipRequest:
    """The request of a visitor who chooses a photo and presses the button."""
    settings = ClipSettings(
        frames=pipe.config.default_num_frames,
        steps=DEFAULT_STEPS,
        seed=7,
        motion=MOTIONS[0] if pipe.has_motion else None,
    )
    return ClipRequest(pipe.fit_photo(read_photo(PHOTO)), replace(settings, **changes))


def make_clip(job_queue: JobQueue, request: ClipRequest) -> dict[type, float]:
    """Makes a clip and deletes it. Returns the seconds after which the first event of each kind arrived."""
    begun_at = time.perf_counter()
    job = job_queue.submit(request)
    seconds = {}
    for event in job.follow():
        seconds.setdefault(type(event), time.perf_counter() - begun_at)
    job_queue.discard(job)
    return seconds


def make_clips_at_once(job_queue: JobQueue, request: ClipRequest, count: int) -> None:
    """Makes clips for `count` visitors who all request one at the same moment. Returns when the last visitor has a clip."""
    jobs = [job_queue.submit(request.with_settings(seed=seed)) for seed in range(count)]
    for job in jobs:
        list(job.follow())
        job_queue.discard(job)


def latents(session: Session) -> Work:
    """The clip's latents before decoding, which show best whether it is the same clip."""
    request = default_request(session.pipeline)
    return lambda: request.denoise(session.pipeline, request.guide(session.pipeline))


def measure(session: Session, rows: list[Row]) -> Cells:
    """Times to the first preview, the first segment and the finished clip, all measured on the same clips."""
    yield from _moments(session, rows, JobQueue(session.pipeline), default_request(session.pipeline))


def measure_full(session: Session, rows: list[Row]) -> Cells:
    """The same at the released size."""
    pipe = subjects.full_pipeline(session.column, session.device)
    request = default_request(pipe, steps=FULL_STEPS, interpolation=1, memory="fast")
    yield from _moments(session, rows, JobQueue(pipe), request)


def _moments(session: Session, rows: list[Row], job_queue: JobQueue, request: ClipRequest) -> Cells:
    moments = []
    seconds, _ = repeat(lambda: moments.append(make_clip(job_queue, request)), session.repeats, session.budget)
    moments = moments[-len(seconds) :]  # the earlier ones were warm-up
    for row in rows:
        error = {"error": session.error("clip", latents(session)(), latents)} if row.name == "clip" else {}
        yield row.name, cell([moment[EVENTS[row.name]] for moment in moments], **error)


def measure_memory(session: Session, rows: list[Row]) -> Cells:
    """Memory of one clip, with nothing else in this process."""
    make_clip(JobQueue(session.pipeline), default_request(session.pipeline))
    for row in rows:
        yield row.name, cell([peak_memory(session.device)])


def measure_memory_full(session: Session, rows: list[Row]) -> Cells:
    """Memory of one clip of the released size, in the memory mode that needs the least."""
    pipe = subjects.full_pipeline(session.column, session.device)
    make_clip(JobQueue(pipe), default_request(pipe, steps=FULL_STEPS, interpolation=1, memory="lean"))
    for row in rows:
        yield row.name, cell([peak_memory(session.device)])


def measure_frames(session: Session, rows: list[Row]) -> Cells:
    """Times of clips of several lengths, one clip of each, because a long clip takes long enough for a good measurement."""
    job_queue, request = JobQueue(session.pipeline), default_request(session.pipeline)
    make_clip(job_queue, request)
    wanted = {row.name for row in rows}
    for frames in CLIP_FRAME_COUNTS:
        if f"clip-frames-{frames}" in wanted:
            yield f"clip-frames-{frames}", cell([make_clip(job_queue, request.with_settings(frames=frames))[Finished]])


def measure_visitors(session: Session, rows: list[Row]) -> Cells:
    """Seconds until the last of a number of visitors has a clip, and those seconds divided by the number of clips."""
    job_queue, request = JobQueue(session.pipeline), default_request(session.pipeline)
    make_clip(job_queue, request)
    wanted = {row.name for row in rows}
    for count in VISITORS:
        if f"visitors-{count}" in wanted:
            begun_at = time.perf_counter()
            make_clips_at_once(job_queue, request, count)
            seconds = time.perf_counter() - begun_at
            yield f"visitors-{count}", cell([seconds], note=f"{seconds / count:.2g} s a clip")
