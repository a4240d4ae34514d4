"""Whoever tries many numbers of jobs that there are not has to wait, so that nobody finds another visitor's clip by trying."""

import threading
import time
from collections import defaultdict, deque

from ..generation.job import Job
from ..generation.queue import JobQueue
from .languages import Words
from .visitors import this_visitor


MOST_WRONG = 300
"""Wrong numbers from one address within `SECONDS`. A browser's history of yesterday asks for 24 at once, and many visitors may share an
address. At this rate, somebody who tries for a year hits one of a thousand clips with a chance of 1 in 200."""

SECONDS = 60


class WrongNumbers:
    """Finds jobs by the numbers that visitors and programs send, and counts the wrong ones of each visitor: of a login, or else of
    an address.

    Args:
        job_queue: knows the jobs.
    """

    def __init__(self, job_queue: JobQueue):
        self._job_queue = job_queue
        self._wrong: dict[str, deque[float]] = defaultdict(deque)  # when each visitor sent one, by `time.monotonic`
        self._found: set[tuple[str, str]] = set()  # visitors, and the numbers that they have found
        self._lock = threading.Lock()

    def find(self, number: object, words: Words) -> Job | None:
        """The job with a number that somebody typed or sent, `None` if there is none.

        Raises:
            ValueError: with one sentence, if this visitor has tried `MOST_WRONG` wrong numbers within `SECONDS`. The jobs
                that they had found before are found all the same.
        """
        job, visitor = self._job_queue.find(number), this_visitor()
        if visitor is None or not number:  # not from a visitor, or of a browser that knows no job
            return job
        now = time.monotonic()
        with self._lock:
            wrong = self._wrong[visitor]
            while wrong and now - wrong[0] > SECONDS:
                wrong.popleft()
            if job is not None and (visitor, job.number) in self._found:
                return job
            if len(wrong) >= MOST_WRONG:
                raise ValueError(words("job.too_many_wrong"))
            if job is None:
                wrong.append(now)
            else:
                self._found.add((visitor, job.number))
            self._forget(now)
        return job

    def _forget(self, now: float) -> None:
        """Forgets visitors without a wrong number of late, and jobs that have been deleted."""
        for visitor in [each for each, times in self._wrong.items() if not times or now - times[-1] > SECONDS]:
            del self._wrong[visitor]
        known = {job.number for job in self._job_queue.jobs}
        self._found = {(visitor, number) for visitor, number in self._found if number in known}
