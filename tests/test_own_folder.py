"""What a killed server leaves behind is deleted by the next one."""

import os
import subprocess
import sys
import time

import pytest

from fashionflow.generation.own_folder import LOCK, OwnFolder, delete_abandoned
from fashionflow.generation.queue import JobQueue

from . import tiny
from .browser import wait_until


SERVER = """
import sys
from fashionflow.generation.own_folder import OwnFolder
own = OwnFolder(sys.argv[1])
print(own.path, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def server(tmp_path):
    """Another server's process, and its folder with a visitor's photo, both an hour old."""
    program = subprocess.Popen(
        [sys.executable, "-c", SERVER, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    folder = tmp_path / program.stdout.readline().strip()
    tiny.photo().save(folder / "photo.png")
    an_hour_ago = time.time() - 3600
    os.utime(folder / LOCK, (an_hour_ago, an_hour_ago))
    yield program, folder
    program.kill()
    program.communicate()


def test_the_folder_of_a_killed_server_goes_and_that_of_a_running_one_stays(server, tmp_path):
    program, folder = server
    assert delete_abandoned(tmp_path) == [] and (folder / "photo.png").exists()
    program.kill()  # SIGKILL, which no program can answer
    program.wait()
    assert (folder / "photo.png").exists()
    JobQueue(tiny.pipeline(), folder=tmp_path)  # the next server
    wait_until(lambda: not folder.exists())


def test_a_server_that_ends_deletes_its_folder_itself(server):
    program, folder = server
    program.communicate("")
    assert program.returncode == 0 and not folder.exists()


def test_what_is_no_servers_folder_stays(tmp_path):
    young, own = OwnFolder(tmp_path), tmp_path / "fashionflow-clips"
    young._lock.release()  # as between its creation and its closing
    own.mkdir()
    (own / "clip.mp4").touch()
    assert delete_abandoned(tmp_path) == [] and young.path.exists() and (own / "clip.mp4").exists()
