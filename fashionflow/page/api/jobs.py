"""The endpoints about a job: its progress, its clips, and their exports and fidelity verdicts."""

import time

import numpy as np

from ...evaluation.fidelity import fidelity
from ...generation.events import Finished, Waiting
from ...generation.job import Job, plain_number, spoken_number
from ...generation.queue import AVAILABLE_SECONDS
from ...video.export import Export, export
from ...video.io import read_frames
from .. import wording
from ..context import PageContext
from ..languages import ENGLISH
from .plain import plain_sentences, read_whole


class JobEndpoints:
    """The endpoints about jobs. A program gets files only if it knows their job's number, which cannot be guessed."""

    def __init__(self, context: PageContext):
        self.job_queue, self.numbers = context.job_queue, context.numbers

    def job(self, number) -> tuple[str, int, int, float | None, float | None]:
        """Reports the progress of a job.

        Args:
            number: what submit returned, such as K7QM3F2PX.

        Returns:
            state: waiting, working, finished, stopped or failed.
            clips_finished: how many clips result can already return.
            clips: how many clips were requested.
            seconds_left: the estimated time until the whole job is done; 0 once it has ended; empty while there is no estimate.
            seconds_kept: how long the clips can certainly still be fetched; empty until the job has ended.
        """
        with plain_sentences():
            job = self._find(number)
            kept = max(0.0, job.ended_at + AVAILABLE_SECONDS - time.monotonic()) if job.has_ended else None
            made = sum(result is not None for result in job.results)
            return job.state, made, len(job.results), self._seconds_left(job), kept and round(kept, 1)

    def result(self, number, clip=None) -> tuple[str, int]:
        """Returns a finished clip of a job.

        Args:
            number: what submit returned, such as K7QM3F2PX.
            clip: the index of the clip, from 0, which is the default.

        Returns:
            clip: the mp4 file.
            seed: the seed of the clip.
        """
        with plain_sentences():
            _, _, finished = self._finished(number, clip)
            return str(finished.path), finished.seed

    def stop(self, number) -> str:
        """Stops a job within one denoising step. Whatever it has made by then is kept and can be fetched with result.

        Args:
            number: what submit returned, such as K7QM3F2PX.

        Returns:
            state: stopped, or working until the current step is done; a job that had already ended stays finished or failed.
        """
        with plain_sentences():
            job = self._find(number)
            self.job_queue.stop(job)
            return job.state

    def export(self, number, clip=None, format=None, shape=None, play=None, mark=None) -> str:
        """Exports a finished clip of a job in another format. The file contains the clip's settings.

        Args:
            number: what submit returned, such as K7QM3F2PX.
            clip: the index of the clip, from 0, which is the default.
            format: mp4 (the default), gif, webp, or zip for the frames as PNG files.
            shape: as-made (the default), or 9:16 or 1:1 for social media, with the background extended.
            play: once (the default), loop, or boomerang, which plays forwards and then backwards. An mp4 under 4 seconds is repeated
                until it has 4, unless it is as made and played once, because platforms take no shorter ones.
            mark: true writes a visible note on the frames that they are AI-generated; false by default.

        Returns:
            file: the exported clip.
        """
        with plain_sentences(ENGLISH("viewer.not_prepared")):
            job, _, finished = self._finished(number, clip)
            asked = {"format": format or "mp4", "shape": shape, "play": play, "mark": mark}
            wanted = Export(**{name: value for name, value in asked.items() if value is not None})
            path = export(finished.path, wanted, finished.path.parent)
            if job.discarded.is_set():  # its folder may have been deleted meanwhile
                job.delete()
            return str(path)

    def fidelity(self, number, clip=None) -> tuple[str, str, dict]:
        """Judges how closely the garment of a finished clip matches its photo.

        Args:
            number: what submit returned, such as K7QM3F2PX.
            clip: the index of the clip, from 0, which is the default.

        Returns:
            verdict: kept, slightly off or lost.
            sentence: the verdict in words.
            frames: lists, one number for each frame judged: seconds; colour_difference (CIE Delta E 2000, 0 is the same, 1 just visible); similarity of the pattern, 0 to 1.
        """
        with plain_sentences():
            job, index, finished = self._finished(number, clip)
        with plain_sentences(ENGLISH("viewer.not_judged"), theirs=()):
            frames, photo = read_frames(finished.path), np.asarray(job.photo(index))
            judged = fidelity(frames, photo, finished.fps, self.job_queue.pipe.coverage_of)
            names = ("seconds", "colour_difference", "similarity")
            return judged.verdict, judged.sentence, {name: getattr(judged, name).round(3).tolist() for name in names}

    def _find(self, number: object) -> Job:
        job = self.numbers.find(number, ENGLISH)
        if job is None:
            typed, minutes = spoken_number(plain_number(number)), AVAILABLE_SECONDS // 60
            raise ValueError(
                ENGLISH("history.no_clip" if typed else "history.no_number", number=typed, minutes=minutes)
            )
        return job

    def _finished(self, number: object, clip: object) -> tuple[Job, int, Finished]:
        job = self._find(number)
        index = read_whole("clip", 0 if clip is None else clip, 0, len(job.results) - 1)
        finished = job.results[index]
        if finished is None:
            if job.state == "failed":
                raise ValueError(wording.failure(ENGLISH, job.error))
            later = "and will not be" if job.has_ended else "yet; ask again once job counts it as finished"
            raise ValueError(f"Clip {index} of this job was not made {later}.")
        if not finished.path.is_file():
            raise ValueError(ENGLISH("status.lost"))
        return job, index, finished

    def _seconds_left(self, job: Job) -> float | None:
        if job.has_ended:
            return 0.0
        time_estimator = self.job_queue.time_estimator
        if not time_estimator.is_known:
            return None
        left = [
            time_estimator.seconds(request.settings)
            for request, result in zip(job.requests, job.results, strict=True)
            if result is None
        ]
        if job.state == "waiting" and isinstance(event := next(job.follow(), None), Waiting):
            left.append(event.seconds)
        elif job.results[0] is None:  # the first clip is being made; its time was estimated when it was requested
            left[0] = max(0.0, job.asked_at + job.time_estimate - time.monotonic())
        return round(sum(left), 1)
