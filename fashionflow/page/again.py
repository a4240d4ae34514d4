"""Makes a finished clip again with a change, as an ordinary run: for the buttons under the clip, and for those of the lookbook."""

from dataclasses import replace

from ..errors import UploadError
from ..generation.job import Job
from ..generation.request import ClipRequest
from ..generation.settings import ClipSettings
from .context import PageContext, Visit
from .languages import Words, words_of
from .settings import Settings


def submit_again(
    context: PageContext, visit: Visit, words: Words, job: Job, clip: int, changed: ClipSettings, lost: str
) -> Job:
    """Requests a clip of a job again, from the same photos.

    Args:
        context: the page's job queue.
        visit: the visitor, for whom one clip is made at a time.
        words: the visitor's language.
        job, clip: the job, and the index of the clip in it.
        changed: the settings of the new clip.
        lost: the sentence for a job that has been deleted.

    Raises:
        ValueError: with a sentence, if the clip cannot be requested.
    """
    running = context.job_queue.find(visit.number)
    if running is not None and not running.has_ended:
        raise ValueError(words("status.busy"))
    context.check_line(words)
    try:
        asked = ClipRequest(job.photo(clip), changed, job.back_photo(clip))
    except OSError as error:  # deleted meanwhile
        raise ValueError(lost) from error
    try:
        return context.submit(asked, words, segments=context.live)
    except UploadError as error:  # the disk is full
        raise ValueError(words_of(error, words)) from error


def longer(settings: Settings, clip: ClipSettings) -> ClipSettings | None:
    """The same settings with twice the frames, but at most the maximum; `None` if it already has the maximum."""
    frames = min(2 * clip.frames, int(settings.components["frames"].maximum))
    return replace(clip, frames=frames) if frames > clip.frames else None
