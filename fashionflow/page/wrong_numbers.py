"""Whoever tries many numbers of jobs that there are not has to wait, so that nobody finds another visitor's clip by trying."""

import threading
import time
from collections import defaultdict, deque

from gradio.context import LocalContext

from ..generation.job import Job
from ..generation.queue import JobQueue
from .languages import Words


MOST_WRONG = 300
"""Wrong numbers from one address within `SECONDS`. A browser's history of yesterday asks for 24 at once, and many visitors may share an
address. At this rate, somebody who tries for a year hits one of a thousand clips with a chance of 1 in 200."""

SECONDS = 60


class WrongNumbers:
    """Finds jobs by the numbers that visitors and programs send, and counts the wrong ones by the address that they come from.

    Args:
        job_queue: knows the jobs.
    """

    def __init__(self, job_queue: JobQueue):
        self._job_queue = job_queue
        self._wrong: dict[str, deque[float]] = defaultdict(
            deque
        )  # the latest wrong numbers, on the clock of `time.monotonic`
        self._found: set[tuple[str, str]] = set()  # addresses, and the numbers that they have found
        self._lock = threading.Lock()

    def find(self, number: object, words: Words) -> Job | None:
        """The job with a number that somebody typed or sent, `None` if there is none.

        Raises:
            ValueError: with one sentence, if the address of the request has tried `MOST_WRONG` wrong numbers within `SECONDS`. The jobs
                that it had found before are found all the same.
        """
        job, request = self._job_queue.find(number), LocalContext.request.get(None)
        client = getattr(request, "client", None)
        if client is None or not number:  # not from a visitor, or of a browser that knows no job
            return job
        now = time.monotonic()
        with self._lock:
            wrong = self._wrong[client.host]
            while wrong and now - wrong[0] > SECONDS:
                wrong.popleft()
            if job is not None and (client.host, job.number) in self._found:
                return job
            if len(wrong) >= MOST_WRONG:
                raise ValueError(words("job.too_many_wrong"))
            if job is None:
                wrong.append(now)
            else:
                self._found.add((client.host, job.number))
            self._forget(now)
        return job

    def _forget(self, now: float) -> None:
        """Forgets addresses without a wrong number of late, and jobs that have been deleted."""
        for address in [each for each, times in self._wrong.items() if not times or now - times[-1] > SECONDS]:
            del self._wrong[address]
        known = {job.number for job in self._job_queue.jobs}
        self._found = {(address, number) for address, number in self._found if number in known}
