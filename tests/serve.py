"""The real page on a free port of this machine, for tests."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import gradio as gr

from fashionflow.generation.queue import JobQueue
from fashionflow.page import LAUNCH_SETTINGS, build_page


@dataclass(frozen=True)
class Site:
    """A page that is being served, its address, and the job queue behind it."""

    job_queue: JobQueue
    page: gr.Blocks
    url: str


def free_port(host: str = "127.0.0.1") -> int:
    """A port that nobody uses. Gradio would try one after another, which a page with MCP survives only once."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.bind((host, 0))
        return probe.getsockname()[1]


@contextmanager
def served(job_queue: JobQueue, **options) -> Iterator[Site]:
    """Serves the page of `job_queue`, with further options of Gradio's `launch`."""
    before = os.environ.get("GRADIO_TEMP_DIR")  # of a page that is being served already
    os.environ["GRADIO_TEMP_DIR"] = str(job_queue.folder)  # as app.py does
    page = build_page(job_queue)
    where = {"server_name": "127.0.0.1", "server_port": free_port()}
    _, url, _ = page.launch(prevent_thread_lock=True, quiet=True, **where, **LAUNCH_SETTINGS | options)
    try:
        yield Site(job_queue, page, url)
    finally:
        page.close(verbose=False)
        os.environ.pop("GRADIO_TEMP_DIR")
        if before is not None:
            os.environ["GRADIO_TEMP_DIR"] = before


@contextmanager
def serve(job_queue: JobQueue) -> Iterator[str]:
    """Serves the page of `job_queue` and gives its address."""
    with served(job_queue) as site:
        yield site.url
