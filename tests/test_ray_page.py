"""app.py with several devices, as somebody starts it: a clip through the page's door, loopback alone, and nothing left at the end."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from fashionflow.video.io import read_frames

from .browser import wait_until
from .serve import free_port


pytest.importorskip("ray", reason="Ray is not installed (requirements-ray.txt)")

ROOT = Path(__file__).parents[1]


def test_the_page_with_two_devices_makes_a_clip_and_ends_without_leftovers(tmp_path, model, dress):
    from gradio_client import Client, handle_file

    folder, port = Path("/tmp") / f"ff-{os.getpid()}", free_port()  # the paths of Ray's sockets must be short
    folder.mkdir()
    surroundings = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    surroundings |= {"TMPDIR": str(folder), "HOME": str(folder)}
    command = [sys.executable, "app.py", "--model", str(model), "--port", str(port), "--devices", "cpu,cpu"]
    with (tmp_path / "log").open("w") as log:
        page = subprocess.Popen(command, cwd=ROOT, env=surroundings, stdout=log, stderr=log)
    try:
        wait_until(lambda: "Clips are made by" in (tmp_path / "log").read_text() or page.poll() is not None)
        said = (tmp_path / "log").read_text()
        assert page.poll() is None and "2 workers" in said, said
        client = Client(f"http://127.0.0.1:{port}", verbose=False, download_files=tmp_path, analytics_enabled=False)
        clip, _ = client.predict(handle_file(dress), frames=2, steps=1, api_name="/animate")
        client.close()
        assert read_frames(clip).shape[1:] == (96, 64, 3)
        family = [psutil.Process(page.pid), *psutil.Process(page.pid).children(recursive=True)]
        listening = {
            each.laddr.ip for one in family for each in one.net_connections() if each.status == psutil.CONN_LISTEN
        }
        assert len(family) > 4 and listening <= {"127.0.0.1", "::ffff:127.0.0.1"}
        begun_at = time.monotonic()
        page.send_signal(signal.SIGTERM)
        assert page.wait(timeout=30) == 0 and time.monotonic() - begun_at < 10
        wait_until(lambda: not any(one.is_running() and one.status() != psutil.STATUS_ZOMBIE for one in family))
        assert not [path for path in folder.rglob("*") if path.is_file() and "cache" not in str(path)]
    finally:
        page.kill()
        subprocess.run(["rm", "-rf", str(folder)], check=True)
