"""Waiting for a job queue, for tests whose clips are made on its thread."""

import time

from fashionflow.generation.queue import JobQueue


def wait_until_idle(job_queue: JobQueue) -> None:
    """Returns when no job runs or waits."""
    while job_queue.in_line:
        time.sleep(0.01)
