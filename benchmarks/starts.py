"""Rows about start times: of the page, until it answers, and of the command line, until its model is loaded."""

import http.client
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

from .parts import Cells
from .rows import Row
from .session import Session
from .timing import cell, repeat


ROOT = Path(__file__).parents[1]
LONGEST_START = 120
POLL_SECONDS = 0.02

LOAD = (
    "import sys; from fashionflow import __main__ as command; command.load_pipeline(sys.argv[1] or None, sys.argv[2])"
)


def start_page(model: str | None, device: str) -> float:
    """Starts the page of `app.py` in its own process and returns the seconds until it answers. Then the page is ended.

    Raises:
        RuntimeError: if the page ends by itself, or does not answer within `LONGEST_START` seconds.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, str(ROOT / "app.py"), "--port", str(port), "--device", device]
    command += ["--model", model] if model else []
    begun_at = time.perf_counter()
    page = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=_environment())
    try:
        while not _answers(port):
            if page.poll() is not None:
                raise RuntimeError(f"The page ended by itself: {page.stderr.read().decode().strip()[-300:]}")
            if time.perf_counter() - begun_at > LONGEST_START:
                raise RuntimeError(f"The page did not answer within {LONGEST_START} seconds.")
            time.sleep(POLL_SECONDS)
        return time.perf_counter() - begun_at
    finally:
        page.terminate()
        try:
            page.communicate(timeout=20)
        except subprocess.TimeoutExpired:
            page.kill()
            page.communicate()


def start_command(model: str | None, device: str) -> None:
    """Imports the command line and loads its model, in its own process."""
    command = [sys.executable, "-c", LOAD, model or "", device]
    subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def measure(session: Session, rows: list[Row]) -> Cells:
    """Starts each program a few times. The first start does not count, because it reads the files from the disk."""
    where = (session.model, str(session.device))
    for row in rows:
        if row.name == "start-command":
            seconds, _ = repeat(lambda: start_command(*where), session.repeats, session.budget)
        else:
            answered = []
            counted, _ = repeat(lambda: answered.append(start_page(*where)), session.repeats, session.budget)  # noqa: B023
            seconds = answered[-len(counted) :]
        yield row.name, cell(seconds)


def _answers(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


def _environment() -> dict[str, str]:
    return os.environ | {"GRADIO_ANALYTICS_ENABLED": "False"}
