"""A catalogue on two workers of Ray. A worker is killed in the middle of a clip, and the driver as well: nothing is lost, and nothing is
made twice."""

import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import closing
from pathlib import Path

import psutil
import pytest

from fashionflow import catalogue
from fashionflow.evaluation.catalogue.manifest import Manifest
from fashionflow.evaluation.catalogue.store import Store
from fashionflow.evaluation.catalogue.workers import check_ray
from fashionflow.video.io import read_frames

from . import tiny
from .browser import wait_until


pytest.importorskip("ray", reason="Ray is not installed: pip install --requirement requirements-ray.txt")

ROOT = Path(__file__).resolve().parents[1]
COUNT, BROKEN = 10, "photo-07.png"
STARTING_SECONDS = 200  # in which workers have begun: each imports PyTorch, and other programs may use the machine


@pytest.fixture(scope="module")
def cluster():
    """A cluster of Ray on this machine, to which this process is connected; its address."""
    check_ray()
    import ray

    with tempfile.TemporaryDirectory(prefix="ff-ray-", dir="/tmp", ignore_cleanup_errors=True) as folder:
        ray.init(
            num_cpus=2, include_dashboard=False, object_store_memory=100 * 2**20, log_to_driver=False, _temp_dir=folder
        )
        yield ray.get_runtime_context().gcs_address
        ray.shutdown()


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(COUNT):
        tiny.photo().rotate(10 * number).save(folder / f"photo-{number:02}.png")
    (folder / BROKEN).write_bytes(b"no picture")
    return folder


def clips(out) -> dict:
    return {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in (out / "clips").glob("*.mp4")}


def rows(out) -> dict:
    return Manifest(Store(str(out))).rows


def workers() -> list[psutil.Process]:
    """Those of the cluster of this file, which this process has started."""
    ours = psutil.Process().children(recursive=True)
    return [each for each in ours if "MapWorker(Map(Worker))" in command(each)]


def in_a_clip() -> list[psutil.Process]:
    """The workers in the middle of a clip: ffmpeg writes it, or reads it back to judge it."""
    return [each for each in workers() if "ffmpeg" in "".join(command(child) for child in each.children())]


def command(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:  # it has ended
        return ""


@pytest.mark.timeout(900)  # 12 seconds of a processor for each worker that begins, on a machine that may be crowded
def test_workers_and_the_driver_are_killed_and_nothing_is_lost_or_made_twice(cluster, photos, model, tmp_path, capsys):
    out = tmp_path / "out"
    # By its address and not by its plain path, as an object store's would be.
    options = [photos.as_uri(), out.as_uri(), "--model", str(model), "--device", "cpu", "--steps", "4"]
    driver = subprocess.Popen(
        [sys.executable, "-m", "fashionflow.catalogue", *options, "--ray", cluster],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE,
    )
    try:
        wait_until(lambda: driver.poll() is not None or len(list(out.glob("parts/*.parquet"))) >= 2, STARTING_SECONDS)
        assert driver.poll() is None, driver.stderr.read().decode()
    finally:
        driver.kill()
        driver.communicate()
    wait_until(lambda: not workers())  # Ray ends the workers of a driver that has gone
    finished, done = clips(out), rows(out)
    assert 2 <= len(done) < COUNT and len(finished) == len([row for row in done.values() if row["clip"]])

    killed = []

    def kill_one():
        wait_until(lambda: killed.extend(in_a_clip()) or killed, STARTING_SECONDS)
        killed[0].kill()

    killer = threading.Thread(target=kill_one)
    killer.start()
    status = catalogue.main([*options, "--workers", "2"])
    killer.join()
    printed = capsys.readouterr()
    assert status == 1 and printed.out.endswith("index.html\n") and "because its worker died" in printed.err
    made = rows(out)
    assert len(made) == COUNT and [name for name, row in made.items() if row["error"]] == [BROKEN]
    assert made[BROKEN]["error"].startswith("The file is not a picture")
    assert sorted(row["attempts"] for row in made.values()) == [1] * (COUNT - 1) + [
        2
    ]  # only the clip in work was begun again
    assert made.items() >= done.items() and clips(out).items() >= finished.items()
    assert len(clips(out)) == COUNT - 1 and all(len(read_frames(clip)) for clip in clips(out))
    assert not [path for path in out.rglob("*") if path.name.startswith(".")] and not list(out.glob("parts/*"))

    before, begun_at = clips(out), time.monotonic()
    assert catalogue.main(options) == 0 and clips(out) == before
    assert "10 clips are there already" in capsys.readouterr().err and time.monotonic() - begun_at < 20


def test_more_workers_than_there_are_cores_are_refused(cluster, photos, model, tmp_path, capsys):
    options = [str(photos), str(tmp_path / "out"), "--model", str(model), "--device", "cpu"]
    assert catalogue.main([*options, "--workers", "3"]) == 2
    assert capsys.readouterr().err.endswith("`workers` must be at most 2, the number of cores there are, got 3.\n")
    assert not (tmp_path / "out" / "clips").exists()


def test_a_cluster_that_there_is_not_is_told_in_one_sentence(monkeypatch, photos, model, tmp_path, capsys):
    import ray

    monkeypatch.setattr(ray, "is_initialized", lambda: False)  # the cluster of this file is another one
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"  # free again in a moment
    assert catalogue.main([str(photos), str(tmp_path / "out"), "--model", str(model), "--ray", address]) == 2
    printed = capsys.readouterr().err
    assert (
        f"Ray cannot be reached at '{address}' (Connection refused); see to it.\n" in printed
        and "Traceback" not in printed
    )
