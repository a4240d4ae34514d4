"""What a lookbook would make: which clips, how many, and how long that takes, said before it is asked for."""

from collections.abc import Sequence
from dataclasses import replace
from html import escape

from ...generation.queue import MOST_CLIPS, Estimate
from ...generation.request import LARGEST_SEED, AnimationRequest
from ...photo.reading import PhotoError
from .. import wording
from ..context import whole
from ..languages import Words, words_of
from ..photo_box import PhotoBox
from ..settings import Settings


MOST_SEEDS = 4

FULL_STEPS = {"sample": 12}
"""Steps after which a model gains nothing more, by what it predicts: those that predict the clip itself need few."""
FULL_STEPS_OF_OTHERS = 50


def takes(
    words: Words, settings: Settings, motions: Sequence[str], seeds: object, num_photos: int, values: list
) -> list[AnimationRequest]:
    """The clips that are made of each photo, motion by motion, as requests without a photo.

    Args:
        words: the visitor's language.
        settings: the page's settings, which read `values`.
        motions: names of motions; ignored by a model that knows none.
        seeds: how many seeds, from the page's own onwards.
        num_photos: how many photos there are.
        values: the values of `settings.inputs`.

    Raises:
        ValueError: if that is nothing, or more than one job may have, or what the model cannot do.
    """
    pipe, page = settings.context.job_queue.pipe, settings.request(None, values)
    page.check(pipe)
    if pipe.has_motion and not motions:
        raise ValueError(words("lookbook.no_motion"))
    seeds = min(max(1, int(whole(seeds) or 1)), MOST_SEEDS)
    requests = [
        # The page's angle is meant for the page's motion; the others have their own.
        replace(
            page,
            motion=motion,
            turn_angle=page.turn_angle if motion == page.motion else None,
            seed=(page.seed + index) % (LARGEST_SEED + 1),
        )
        for motion in (motions if pipe.has_motion else [None])
        for index in range(seeds)
    ]
    for request in requests:
        request.check(pipe)
    if num_photos * len(requests) > MOST_CLIPS:
        raise ValueError(words("lookbook.too_many", count=num_photos * len(requests), most=MOST_CLIPS))
    return requests


def read_photos(words: Words, photo_box: PhotoBox, uploads: list[dict]) -> tuple[list, list[str]]:
    """The uploads that can be used, as the model sees them, and a sentence for each of the others."""
    photos, problems = [], []
    for upload in uploads:
        try:
            photos.append(photo_box.fitted(upload, 1, 0, 0))
        except PhotoError as error:
            name = upload.get("orig_name") or ""
            problems.append(words("lookbook.left_out", name=name, reason=words_of(error, words)))
    return photos, problems


def time_estimate(words: Words, requests: list[AnimationRequest], estimate: Estimate, note: str = "") -> str:
    """What is said beside the button, before it is pressed. `requests` are all clips of the job; `note` is said as well."""
    count, ahead = len(requests), estimate.ahead
    clips = words("lookbook.clips_one") if count == 1 else words("lookbook.clips_many", count=count)
    keys = {0: "lookbook.time_estimate_alone", 1: "lookbook.time_estimate_line_one"}
    time = wording.duration(words, estimate.seconds)
    wait = wording.duration(words, estimate.ahead_seconds)
    sentence = words(
        keys.get(ahead, "lookbook.time_estimate_line_many"), clips=clips, time=time, count=ahead, wait=wait
    )
    seeds = list(dict.fromkeys(request.seed for request in requests))
    key = "lookbook.seed_used" if len(seeds) == 1 else "lookbook.seeds_used"
    sentences = [sentence, words(key, first=seeds[0], last=seeds[-1]), *filter(None, [note])]
    return f'<p class="time-estimate">{escape(" ".join(sentences))}</p>'


def longer(settings: Settings, request: AnimationRequest) -> AnimationRequest | None:
    """The same with twice the frames, or as many as there may be; `None` if it has those already."""
    frames = min(2 * request.frames, int(settings.components["frames"].maximum))
    return replace(request, frames=frames) if frames > request.frames else None


def at_full_steps(settings: Settings, request: AnimationRequest) -> AnimationRequest | None:
    """The same with as many steps as make it better; `None` if it has those already."""
    predicts = settings.context.job_queue.pipe.scheduler.config.prediction_type
    steps = FULL_STEPS.get(predicts, FULL_STEPS_OF_OTHERS)
    return replace(request, steps=steps) if steps > request.steps else None
