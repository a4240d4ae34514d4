"""What programs can ask about a job: how far it is, its clips, and what can be made of them or said about them."""

import time

import numpy as np

from ...evaluation.fidelity import fidelity
from ...generation.job import Job, plain_number, spoken_number
from ...generation.queue import AVAILABLE_SECONDS, JobQueue
from ...generation.request import Finished, Waiting
from ...video.export import Export, export
from ...video.io import read_frames
from ..languages import ENGLISH
from .plain import plain_sentences, read_whole


class JobEndpoints:
    """Files go only to whoever knows their job's number, which cannot be guessed."""

    def __init__(self, job_queue: JobQueue):
        self.job_queue = job_queue

    def job(self, number) -> tuple[str, int, int, float | None, float | None]:
        """Says how far a job is.

        Args:
            number: what submit returned, such as K7QM3F2PX.

        Returns:
            state: waiting, working, finished, stopped or failed.
            clips_finished: clips that result gives already.
            clips: clips that were asked for.
            seconds_left: until the whole job is done, more or less; 0 once it has ended; empty while nobody knows.
            seconds_kept: for so long the clips can be fetched for certain; empty until the job has ended.
        """
        with plain_sentences():
            job = self._find(number)
            kept = max(0.0, job.ended_at + AVAILABLE_SECONDS - time.time()) if job.has_ended else None
            made = sum(result is not None for result in job.results)
            return job.state, made, len(job.results), self._seconds_left(job), kept and round(kept, 1)

    def result(self, number, clip=None) -> tuple[str, int]:
        """Gives a finished clip of a job.

        Args:
            number: what submit returned, such as K7QM3F2PX.
            clip: which one, from 0, the default.

        Returns:
            clip: the mp4 file.
            seed: what it was made from.
        """
        with plain_sentences():
            _, _, finished = self._finished(number, clip)
            return str(finished.path), finished.seed

    def stop(self, number) -> str:
        """Stops a job within one denoising step. What has been made of it is kept and can be fetched with result.

        Args:
            number: what submit returned, such as K7QM3F2PX.

        Returns:
            state: stopped, or working until the step at work is done; a job that had ended already stays finished or failed.
        """
        with plain_sentences():
            job = self._find(number)
            self.job_queue.stop(job)
            return job.state

    def export(self, number, clip=None, format=None, shape=None, play=None, mark=None) -> str:
        """Gives a finished clip of a job in another form, with its settings inside.

        Args:
            number: what submit returned, such as K7QM3F2PX.
            clip: which one, from 0, the default.
            format: mp4 (the default), gif, webp, or zip for the frames as PNG files.
            shape: as-made (the default), or 9:16 or 1:1 for social media, with the background extended.
            play: once (the default), loop, or boomerang for forwards and backwards.
            mark: true writes visibly on the frames that they are AI-generated; false by default.

        Returns:
            file: the clip in that form.
        """
        with plain_sentences(ENGLISH("viewer.not_prepared")):
            job, _, finished = self._finished(number, clip)
            asked = {"format": format or "mp4", "shape": shape, "play": play, "mark": mark}
            wanted = Export(**{name: value for name, value in asked.items() if value is not None})
            path = export(finished.path, wanted, finished.path.parent)
            if job.discarded.is_set():  # its folder may have been deleted under the work
                job.delete()
            return str(path)

    def fidelity(self, number, clip=None) -> tuple[str, str, dict]:
        """Judges how true the garment of a finished clip is to its photo.

        Args:
            number: what submit returned, such as K7QM3F2PX.
            clip: which one, from 0, the default.

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
        job = self.job_queue.find(number)
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
                raise ValueError(ENGLISH("status.failed"))
            later = "and will not be" if job.has_ended else "yet; ask again once the job says so"
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
            time_estimator.seconds(request)
            for request, result in zip(job.requests, job.results, strict=True)
            if result is None
        ]
        if job.state == "waiting" and isinstance(event := next(job.follow(), None), Waiting):
            left.append(event.seconds)
        elif job.results[0] is None:  # the first clip is at work, and how long it takes was said when it was asked for
            left[0] = max(0.0, job.asked_at + job.promised - time.time())
        return round(sum(left), 1)
