"""Files are whole or not there, whatever ends the program that writes them."""

import os
import resource
import subprocess
import sys
import time

import pytest

from fashionflow.video.files import ABANDONED_SECONDS, check_can_be_written, written_whole


KILLED = """
import os, signal, sys
from fashionflow.video.files import written_whole
with written_whole(sys.argv[1]) as unfinished:
    unfinished.write_bytes(b"half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_killed_program_left_goes_a_day_later(tmp_path):
    subprocess.run([sys.executable, "-c", KILLED, str(tmp_path / "killed.mp4")], check=False)
    (left,) = tmp_path.iterdir()
    (tmp_path / "young").mkdir()
    young = left.rename(tmp_path / "young" / left.name)  # its program may still run
    with written_whole(tmp_path / "young" / "clip.mp4") as unfinished:
        unfinished.touch()
    assert young.exists()
    (tmp_path / "old").mkdir()
    old = young.rename(tmp_path / "old" / left.name)
    (tmp_path / "old" / ".fashionflow-notes.mp4").touch()  # somebody's own
    for each in (tmp_path / "old").iterdir():
        os.utime(each, (time.time() - ABANDONED_SECONDS - 60,) * 2)
    with written_whole(tmp_path / "old" / "clip.mp4") as unfinished:
        unfinished.touch()
    assert sorted(path.name for path in (tmp_path / "old").iterdir()) == [".fashionflow-notes.mp4", "clip.mp4"]
    assert not old.exists()


def test_a_full_disk_is_noticed_before_the_work_and_nothing_is_left(tmp_path):
    check_can_be_written(tmp_path / "clip.mp4")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        with pytest.raises(ValueError, match=r"Nothing can be written to '.*clip\.mp4' \(file too large\)"):
            check_can_be_written(tmp_path / "clip.mp4")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list(tmp_path.iterdir()) == []
