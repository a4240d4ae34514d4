"""Deletes streamed clips in time, and lets no clip wait for what packs its stream.

Gradio would keep every streamed clip in memory as long as its visitor's tab is open. It packs each segment with the `ffprobe` and the
`ffmpeg` on the PATH, waits for them without a limit, and ends the run of a visitor at their first error. Importing this module replaces
that: without a packed segment, the clip is shown once it is finished. Gradio would also ask `ffprobe` whether each finished clip can be
played; all of ours can.
"""

import logging
import subprocess
import threading
import time
import weakref
from types import SimpleNamespace

import gradio as gr
from gradio import processing_utils
from gradio.components import video

from ..generation.queue import KEEP_SECONDS, SWEEP_SECONDS


PACKING_SECONDS = 10
"""The longest time that a program may take to pack one segment, which it does in a twentieth of a second."""

logger = logging.getLogger(__name__)

_encode_chunk = gr.Video._encode_chunk


def pack(player: gr.Video, output_id: str, path: str) -> dict | None:
    """Packs a segment for the stream `output_id`, as Gradio's function does. After an error it returns `None` at once for the rest of the
    stream."""
    state = video._stream_states.get(output_id)
    if state is None or getattr(state, "has_failed", False):
        return None
    try:
        return _encode_chunk(player, output_id, path)
    except (OSError, RuntimeError, ValueError, subprocess.SubprocessError) as error:
        state.has_failed = True
        logger.error("A clip is shown only once it is finished, because its stream cannot be packed: %s", error)
        return None


def _run_in_time(*arguments, **options) -> subprocess.CompletedProcess:
    return subprocess.run(*arguments, timeout=PACKING_SECONDS, **options)


gr.Video._encode_chunk = pack
video.subprocess = SimpleNamespace(run=_run_in_time)
processing_utils.video_is_playable = lambda path: True


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
