"""The real page on a free port of this machine, for tests."""

from collections.abc import Iterator
from contextlib import contextmanager

from fashionflow.page import LAUNCH_SETTINGS, QUEUE_SETTINGS, build_page
from fashionflow.studio import Studio


@contextmanager
def serve(studio: Studio) -> Iterator[str]:
    """Serves the page of `studio` and gives its address."""
    page = build_page(studio).queue(**QUEUE_SETTINGS)
    _, url, _ = page.launch(prevent_thread_lock=True, quiet=True, server_name="127.0.0.1", **LAUNCH_SETTINGS)
    try:
        yield url
    finally:
        page.close(verbose=False)
