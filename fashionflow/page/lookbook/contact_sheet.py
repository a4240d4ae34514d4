"""The contact sheet of a job with several clips: an animated thumbnail for each clip, and the job's progress in words."""

import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

from PIL import Image

from ...errors import NoGPU, NotWritten, NoWorker
from ...generation.events import Finished, Segment, Step, Waiting
from ...generation.job import Job
from ...generation.request import ClipRequest
from ...video.files import written_whole
from ...video.io import read_frames
from .. import wording
from ..languages import Words


THUMBNAIL_WIDTH = 240  # pixels
THUMBNAIL_RATE = 12.0  # frames a second, at most
THUMBNAIL_QUALITY = 70
FADING = 0.65  # how far the photo of a clip that is not made yet is blended towards grey
GREY = (128, 128, 128)


def cells(job: Job, words: Words, moving: bool) -> list[tuple[str, str]]:
    """A picture file and a caption for each clip of a job. The picture is the clip's thumbnail or, until the clip is made, its faded
    photo.

    Args:
        job: the job; its clips are ordered by photo, then by motion, then by seed.
        words: the visitor's language.
        moving: whether the thumbnails are animated; otherwise they show the middle frames of their clips.

    Raises:
        OSError: if the job has been deleted.
    """
    return [(str(_picture(job, clip, moving)), _caption(job, clip, words)) for clip in range(len(job.requests))]


def name_of(job: Job, clip: int, words: Words) -> str:
    """The name of a clip of a job: its motion and its seed, and the number of its photo if there are several."""
    settings = job.requests[clip].settings
    parts = [words("lookbook.photo", index=_photo_index(job, clip) + 1)] if _num_photos(job) > 1 else []
    parts += [words(f"motion.{settings.motion}")] if settings.motion else []
    return " · ".join([*parts, words("lookbook.seed", seed=settings.seed)])


def _caption(job: Job, clip: int, words: Words) -> str:
    name, result = name_of(job, clip, words), job.results[clip]
    if result is None:
        return words("lookbook.not_made" if job.has_ended else "lookbook.waiting", name=name)
    return name if result.whole else words("lookbook.partly", name=name)


def _clips_per_photo(job: Job) -> int:
    """How many clips each photo of a job has."""
    return len({(request.settings.motion, request.settings.seed) for request in job.requests})


def _num_photos(job: Job) -> int:
    return len(job.requests) // _clips_per_photo(job)


def _photo_index(job: Job, clip: int) -> int:
    return clip // _clips_per_photo(job)


def _picture(job: Job, clip: int, moving: bool) -> Path:
    """A clip's thumbnail. It is made on its first use and deleted with its job."""
    result = job.results[clip]
    if result is None:
        # All clips of one photo share the same picture.
        first = _photo_index(job, clip) * _clips_per_photo(job)
        path = job.folder / f"waiting-{first}.webp"
        if not path.is_file():
            with written_whole(path) as unfinished:  # two tabs may ask for it at the same time
                _write_faded(job.photo(first), unfinished)
        return path
    path = job.folder / f"thumbnail-{clip}-{'moving' if moving else 'still'}.webp"
    if not path.is_file():
        with written_whole(path) as unfinished:
            write_thumbnail(result, unfinished, moving)
    return path


def write_thumbnail(result: Finished, path: Path, moving: bool) -> None:
    """Writes a clip as an animated WebP, `THUMBNAIL_WIDTH` wide, or its middle frame as a still one. Every browser, also on phones, can
    play many animated WebP pictures at a time without a script."""
    frames = read_frames(result.path)  # uint8 RGB, [F, height, width, 3]
    every = max(1, round(result.fps / THUMBNAIL_RATE))
    chosen = frames[::every] if moving else frames[len(frames) // 2 :][:1]
    pictures = [_small(Image.fromarray(frame)) for frame in chosen]
    looks = {"quality": THUMBNAIL_QUALITY, "method": 0}
    if moving:
        looks |= {
            "save_all": True,
            "append_images": pictures[1:],
            "duration": round(1000 * every / result.fps),
            "loop": 0,
        }
    pictures[0].save(path, **looks)


def _write_faded(photo: Image.Image, path: Path) -> None:
    small = _small(photo)
    Image.blend(small, Image.new("RGB", small.size, GREY), FADING).save(path, quality=THUMBNAIL_QUALITY)


def _small(picture: Image.Image) -> Image.Image:
    width = min(THUMBNAIL_WIDTH, picture.width)
    return picture.resize((width, round(width / picture.width * picture.height)), Image.Resampling.BILINEAR)


def pack(job: Job) -> Path | None:
    """Writes a zip of all clips that a job has made so far, or returns `None` if there are none. The zip is deleted with its job.

    Raises:
        OSError: if the job has been deleted.
    """
    made = [result for result in job.results if result is not None]
    if not made:
        return None
    path = job.folder / "fashionflow-lookbook.zip"
    with written_whole(path) as unfinished, zipfile.ZipFile(unfinished, "w") as archive:
        for result in made:  # stored uncompressed, because an mp4 does not get smaller
            motion = job.requests[result.clip].settings.motion or "clip"
            archive.write(result.path, f"{result.clip + 1:02}-{motion}-{result.seed}.mp4")
    return path


def progress(
    words: Words, job: Job, event: Waiting | Step | Segment, seconds_of: Callable[[Sequence[ClipRequest]], float]
) -> str:
    """A message on which clip of a job is being made, and how long the whole job still takes.

    Args:
        words: the visitor's language.
        job: the job.
        event: the last event of the job.
        seconds_of: estimates how many seconds requests take.
    """
    at_work = isinstance(event, (Step, Segment))
    clip = event.clip if at_work else job.next_clip
    if clip is None:  # all clips are made, and the job is about to report its end
        clip = len(job.requests) - 1
    left = seconds_of(job.requests[clip + at_work :]) + (event.remaining if at_work else event.seconds)
    time, total = wording.duration(words, left), len(job.requests)
    headline = words("lookbook.clip_of", clip=clip + 1, total=total)
    if at_work or event.ahead == 0:
        detail = words("lookbook.left", time=time)
    else:
        key = "lookbook.others_first_one" if event.ahead == 1 else "lookbook.others_first_many"
        detail = words(key, count=event.ahead, time=time)
    within = event.index / event.total if isinstance(event, Step) else float(isinstance(event, Segment))
    return wording.status(headline, detail, (clip + within) / total)


def ending(words: Words, job: Job) -> str:
    """A message on how a job ended, for a job that has ended."""
    made, total = sum(result is not None for result in job.results), len(job.results)
    if isinstance(job.error, (NoGPU, NotWritten, NoWorker)):
        stopped = words("lookbook.stopped", made=made, total=total)
        return wording.status(wording.failure(words, job.error), stopped, problem=True)
    keys = {"finished": "lookbook.done", "stopped": "lookbook.stopped", "failed": "lookbook.failed"}
    return wording.status(words(keys[job.state], made=made, total=total), problem=job.state == "failed")
