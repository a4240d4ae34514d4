"""Gradio keeps every streamed clip in memory for as long as its visitor's tab is open. Here they go in time."""

import logging
import threading
import time
import weakref

import gradio as gr

from ..generation.queue import KEEP_SECONDS, SWEEP_SECONDS


logger = logging.getLogger(__name__)


def sweep_while_open(page: gr.Blocks) -> None:
    """Has streamed clips of `page` deleted after `KEEP_SECONDS` at the latest, for as long as the page exists."""
    threading.Thread(target=_sweep_until_gone, args=(weakref.ref(page),), daemon=True, name="sweep-streams").start()


def _sweep_until_gone(page_or_none: weakref.ref) -> None:
    first_seen = weakref.WeakKeyDictionary()
    while (page := page_or_none()) is not None:
        try:
            # One sweep early for when a clip is first seen, and one for when its time is noticed to be over.
            sweep_streams(page, first_seen, KEEP_SECONDS - 2 * SWEEP_SECONDS)
        except Exception:  # these are Gradio's internals, and another Gradio may have others
            logger.exception("Streamed clips are kept until their visitors leave, because Gradio has changed.")
            return
        del page  # nothing may hold it while this thread sleeps
        time.sleep(SWEEP_SECONDS)


def sweep_streams(page: gr.Blocks, first_seen: weakref.WeakKeyDictionary, seconds: float) -> None:
    """Empties the ended streams of `page` that were seen for the first time `seconds` ago.

    Args:
        page: a page with streaming outputs.
        first_seen: when each stream was seen first, on the clock of `time.monotonic`; new ones are added.
        seconds: how long they are kept.
    """
    now = time.monotonic()
    for runs in list(page.pending_streams.values()):
        for streams in list(runs.values()):
            for stream in list(streams.values()):
                if now - first_seen.setdefault(stream, now) >= seconds and stream.ended:
                    # The playlist keeps its length: browsers ask for an empty one again and again without a pause. The
                    # list is a new one, because the server may be reading the old one.
                    stream.segments = [{**segment, "data": b""} for segment in stream.segments]
