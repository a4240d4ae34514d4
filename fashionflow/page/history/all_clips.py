"""All clips of the history in one zip file."""

import hashlib
import shutil
import zipfile
from collections.abc import Sequence
from pathlib import Path

from ...generation.job import Job
from ...video.files import written_whole
from ..context import PageContext
from ..languages import Words
from ..run import file_of


MOST_CLIPS = 24  # in one file, as many as the history holds; at most about 100 MB
FOLDER_PREFIX = "all-clips-"
LONGEST_CAPTION = 80  # characters; ours have half as many


def take_apart(context: PageContext, asked: object, words: Words) -> tuple[list[tuple[Job, int]], list[str]]:
    """The clips that the server still has, newest first, and the captions of those that it has no more.

    Args:
        context: the page's job queue, which finds a clip only by the number of its job.
        asked: a browser's history, a list of `{"job": number, "clip": index, "caption": text}`, unchecked.
        words: the visitor's language.

    Raises:
        ValueError: if too many wrong numbers came from the visitor's address.
    """
    found, gone = [], []
    for entry in asked[:MOST_CLIPS] if isinstance(asked, list) else []:
        if not isinstance(entry, dict):
            continue
        number, clip, caption = entry.get("job"), entry.get("clip"), entry.get("caption")
        if not isinstance(number, str) or type(clip) is not int or not isinstance(caption, str):
            continue
        job = context.numbers.find(number, words)
        if job is None or file_of(context, {"number": number, "clip": clip}) is None:
            gone.append(caption[:LONGEST_CAPTION])
        elif (job, clip) not in found:
            found.append((job, clip))
    return found, gone


def pack(clips: Sequence[tuple[Job, int]]) -> Path:
    """Writes clips into one zip file, among the files of the job that is deleted first: the file is never kept longer than a clip in it.

    Raises:
        OSError: if one of the jobs is deleted meanwhile.
    """
    first = min((job for job, _ in clips), key=lambda job: job.ended_at or float("inf"))
    # Other visitors may know the number of this job. They get no file of the same name, because they know not all of these numbers.
    digest = hashlib.sha256("".join(f"{job.number}/{clip} " for job, clip in clips).encode()).hexdigest()
    for earlier in set(first.folder.glob(f"{FOLDER_PREFIX}*")):
        shutil.rmtree(earlier, ignore_errors=True)  # of a shorter history
    folder = first.folder / f"{FOLDER_PREFIX}{digest}"
    folder.mkdir()
    path = folder / "fashionflow-clips.zip"
    with written_whole(path) as unfinished, zipfile.ZipFile(unfinished, "w", zipfile.ZIP_STORED) as archive:
        for index, (job, clip) in enumerate(reversed(clips), start=1):  # the oldest clip first
            motion = job.requests[clip].settings.motion or "clip"
            archive.write(job.results[clip].path, f"{index:02}-{motion}-{job.results[clip].seed}.mp4")
    if first.discarded.is_set():  # its folder may have been deleted meanwhile
        first.delete()
    return path
