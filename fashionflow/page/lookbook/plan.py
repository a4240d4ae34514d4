"""The plan of a lookbook before it is requested: which clips it makes, how many, and how long they take."""

from collections.abc import Sequence
from dataclasses import replace
from html import escape

from ...generation.queue import MOST_CLIPS, Estimate
from ...generation.settings import LIMITS, ClipSettings
from ...photo.reading import Crop, PhotoError
from .. import wording
from ..context import whole
from ..languages import Words, words_of
from ..photo_box import PhotoBox
from ..settings import Settings
from ..uploads import read_upload


MOST_SEEDS = 4

FULL_STEPS = {"sample": 12}
"""The number of steps after which a model improves no further, by its prediction type. Models that predict the clip itself need few
steps."""
FULL_STEPS_OF_OTHERS = 50


def takes(
    words: Words, settings: Settings, motions: Sequence[str], seeds: object, num_photos: int, values: list
) -> list[ClipSettings]:
    """The settings of the clips that are made of each photo, ordered by motion.

    Args:
        words: the visitor's language.
        settings: the page's settings, which read `values`.
        motions: names of motions; ignored if the model has no motions.
        seeds: the number of seeds; they start at the page's own seed.
        num_photos: how many photos there are.
        values: the values of `settings.inputs`.

    Raises:
        ValueError: if there are no clips, more clips than one job may have, or clips that the model cannot make.
    """
    model, page = settings.context.job_queue.model, settings.read(values)
    page.check(model)
    if model.has_motion and not motions:
        raise ValueError(words("lookbook.no_motion"))
    seeds = min(max(1, int(whole(seeds) or 1)), MOST_SEEDS)
    planned = [
        # The page's angle applies only to the page's motion; the other motions use their own angles.
        replace(
            page,
            motion=motion,
            turn_angle=page.turn_angle if motion == page.motion else None,
            seed=(page.seed + index) % (LIMITS["seed"].largest + 1),
        )
        for motion in (motions if model.has_motion else [None])
        for index in range(seeds)
    ]
    for clip in planned:
        clip.check(model)
    if num_photos * len(planned) > MOST_CLIPS:
        raise ValueError(words("lookbook.too_many", count=num_photos * len(planned), most=MOST_CLIPS))
    return planned


def read_photos(words: Words, photo_box: PhotoBox, uploads: list[dict]) -> tuple[list, list[str]]:
    """The usable uploads, as the model sees them, and a sentence for each unusable one."""
    photos, problems = [], []
    for upload in uploads:
        try:
            photos.append(photo_box.fitted(read_upload(upload), Crop()))
        except PhotoError as error:
            name = upload.get("orig_name") or ""
            problems.append(words("lookbook.left_out", name=name, reason=words_of(error, words)))
    return photos, problems


def time_estimate(words: Words, clips_planned: list[ClipSettings], estimate: Estimate, note: str = "") -> str:
    """The text beside the button, before it is pressed. `clips_planned` are all clips of the job; `note` is a further sentence."""
    count, ahead = len(clips_planned), estimate.ahead
    clips = words("lookbook.clips_one") if count == 1 else words("lookbook.clips_many", count=count)
    keys = {0: "lookbook.time_estimate_alone", 1: "lookbook.time_estimate_line_one"}
    time = wording.duration(words, estimate.seconds)
    wait = wording.duration(words, estimate.ahead_seconds)
    sentence = words(
        keys.get(ahead, "lookbook.time_estimate_line_many"), clips=clips, time=time, count=ahead, wait=wait
    )
    seeds = list(dict.fromkeys(clip.seed for clip in clips_planned))
    key = "lookbook.seed_used" if len(seeds) == 1 else "lookbook.seeds_used"
    sentences = [sentence, words(key, first=seeds[0], last=seeds[-1]), *filter(None, [note])]
    return f'<p class="time-estimate">{escape(" ".join(sentences))}</p>'


def at_full_steps(settings: Settings, clip: ClipSettings) -> ClipSettings | None:
    """The same settings with full steps; `None` if they already have them."""
    predicts = settings.context.job_queue.model.prediction_type
    steps = FULL_STEPS.get(predicts, FULL_STEPS_OF_OTHERS)
    return replace(clip, steps=steps) if steps > clip.steps else None
