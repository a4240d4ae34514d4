"""Deletes streamed clips in time. Gradio would keep every streamed clip in memory as long as its visitor's tab is open."""

import logging
import threading
import time
import weakref

import gradio as gr

from ..generation.queue import KEEP_SECONDS, SWEEP_SECONDS


logger = logging.getLogger(__name__)


def sweep_while_open(page: gr.Blocks) -> None:
    """Starts a thread that deletes streamed clips of `page` after `KEEP_SECONDS` at the latest, as long as the page exists."""
    threading.Thread(target=_sweep_until_gone, args=(weakref.ref(page),), daemon=True, name="sweep-streams").start()


def _sweep_until_gone(page_or_none: weakref.ref) -> None:
    first_seen = weakref.WeakKeyDictionary()
    while (page := page_or_none()) is not None:
        try:
            # Two sweeps early: a clip may be seen for the first time up to one sweep late, and its end may be noticed one sweep late.
            sweep_streams(page, first_seen, KEEP_SECONDS - 2 * SWEEP_SECONDS)
        except Exception:  # these are Gradio's internals, which another version may change
            logger.exception("Streamed clips are kept until their visitors leave, because Gradio has changed.")
            return
        del page  # no reference may keep the page alive while this thread sleeps
        time.sleep(SWEEP_SECONDS)


def sweep_streams(page: gr.Blocks, first_seen: weakref.WeakKeyDictionary, seconds: float) -> None:
    """Empties the ended streams of `page` that were first seen at least `seconds` ago.

    Args:
        page: a page with streaming outputs.
        first_seen: the time when each stream was first seen, on the clock of `time.monotonic`; new streams are added.
        seconds: how long streams are kept.
    """
    now = time.monotonic()
    for runs in list(page.pending_streams.values()):
        for streams in list(runs.values()):
            for stream in list(streams.values()):
                if now - first_seen.setdefault(stream, now) >= seconds and stream.ended:
                    # The playlist keeps its length, because browsers request an empty playlist again and again without a pause. The list
                    # is replaced, because the server may be reading the old one.
                    stream.segments = [{**segment, "data": b""} for segment in stream.segments]
