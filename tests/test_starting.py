"""How the page is started and ended: where it is served, one sentence for whatever is wrong, and an end at any moment."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx
import pytest

import app
from fashionflow.generation.events import Step
from fashionflow.generation.own_folder import PREFIX
from fashionflow.generation.queue import JobQueue
from fashionflow.generation.request import ClipRequest
from fashionflow.generation.settings import ClipSettings
from fashionflow.page.hosting import DEFAULT_PORT, PORT_VARIABLES, read_port
from fashionflow.page.languages import ENGLISH

from . import tiny
from .assistants import assistant, data_uri, finished, said
from .brake import Brake
from .programs import QUICK
from .serve import free_port


ROOT = Path(__file__).parents[1]
NOWHERE = "127.0.0.1:9"  # a proxy that answers nobody
PATIENCE_SECONDS = 100


@pytest.fixture
def started(tmp_path):
    """`started(*arguments, **environment)` starts app.py. Its temporary folder is empty before and must be so after."""
    programs, temporary = [], tmp_path / "temporary"
    temporary.mkdir()

    def start(*arguments: str, **environment: str) -> subprocess.Popen:
        usual = {name: value for name, value in os.environ.items() if name not in ("GRADIO_TEMP_DIR", *PORT_VARIABLES)}
        usual |= {"TMPDIR": str(temporary), "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
        command = [sys.executable, "app.py", "--device", "cpu", *arguments]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        programs.append(subprocess.Popen(command, cwd=ROOT, env=usual | environment, **pipes))
        return programs[-1]

    yield start
    for program in programs:
        program.kill()
        program.communicate()
    assert list(temporary.glob(f"{PREFIX}*")) == []


def ended(program: subprocess.Popen, by: signal.Signals) -> tuple[int, float, str]:
    """A program's status, the seconds until it ended, and what it wrote to stderr, after a signal."""
    asked_at = time.monotonic()
    program.send_signal(by)
    _, said = program.communicate(timeout=PATIENCE_SECONDS)
    return program.returncode, time.monotonic() - asked_at, said


def wait_for_page(url: str, program: subprocess.Popen) -> None:
    while program.poll() is None:
        try:
            assert httpx.get(url, timeout=PATIENCE_SECONDS, trust_env=False).status_code == 200
            return
        except httpx.TransportError:
            time.sleep(0.05)
    pytest.fail(program.communicate()[1])


def test_behind_proxies_at_every_ipv6_address_it_starts_and_it_ends_in_the_middle_of_a_clip(started, model, dress):
    """Gradio would ask the proxies for the page's own address, and PyTorch's thread would abort the process."""
    port = free_port("::1")
    proxies = {
        "HTTP_PROXY": f"http://{NOWHERE}",
        "HTTPS_PROXY": f"http://{NOWHERE}",
        "ALL_PROXY": f"socks5://{NOWHERE}",
    }
    options = ("--host", "::", "--model", str(model), "--most-jobs", "1")
    program = started(*options, PORT=str(port), GRADIO_SERVER_PORT="", **proxies)
    wait_for_page(f"http://[::1]:{port}/", program)
    printed = next(line for line in program.stdout if line.startswith("The page is at "))
    assert printed.split()[4] == f"http://[::1]:{port}/"  # "[::]" is no address but on Linux

    async def ask_for_clips() -> None:
        async with asyncio.timeout(PATIENCE_SECONDS), assistant(f"http://[::1]:{port}/") as session:
            made, *_ = await said(session, "animate", photo=data_uri(dress), **QUICK)
            assert made.startswith("http")  # Gradio's client has been asked for it
            number, *_ = await said(session, "submit", photo=data_uri(dress), steps=1000)
            assert await said(session, "submit", photo=data_uri(dress)) == [
                "refused",
                ENGLISH("status.share_full", count=1),
            ]
            while (await said(session, "job", number=number))[0] != "working":
                await asyncio.sleep(0.05)

    finished(ask_for_clips())
    status, seconds, complaints = ended(program, signal.SIGTERM)
    assert (status, complaints.count("Traceback"), complaints.count("terminate called")) == (0, 0, 0), complaints
    assert seconds < 10


def test_a_page_for_some_under_a_path_says_so_and_ctrl_c_while_the_model_is_loaded_ends_it_quietly(
    started, model, tmp_path
):
    (tmp_path / "visitors").write_text("ada:s3cret\n", encoding="utf-8")
    port = free_port()
    options = ("--root-path", "/try/on", "--auth-file", str(tmp_path / "visitors"))
    program = started("--port", str(port), "--model", str(model), *options)
    wait_for_page(f"http://127.0.0.1:{port}/", program)
    answer = httpx.get(f"http://127.0.0.1:{port}/", headers={"X-Forwarded-Host": "example.com"}, trust_env=False)
    assert '"root":"http://example.com/try/on"' in answer.text and '"auth_required":true' in answer.text
    status, seconds, complaints = ended(program, signal.SIGINT)
    assert (status, "Traceback" in complaints, "s3cret" in complaints) == (0, False, False), complaints
    assert seconds < 10


def test_a_port_that_is_no_number_ends_the_program_with_one_sentence(started):
    """Gradio reads this variable when it is imported."""
    program = started(GRADIO_SERVER_PORT="abc")
    _, complaints = program.communicate(timeout=PATIENCE_SECONDS)
    assert program.returncode == 1
    assert complaints.count("\n") == 1 and complaints.endswith(".\n") and "GRADIO_SERVER_PORT is 'abc'" in complaints


def test_whoever_is_asked_to_end_ends_though_something_hangs():
    program = """
import atexit, time
from fashionflow.runtime import ending
ending.LONGEST_SECONDS = 0.2
atexit.register(time.sleep, 600)
ending.run(lambda: exit("There is no page."))
"""
    command, pipes = [sys.executable, "-c", program], {"capture_output": True, "text": True}
    result = subprocess.run(command, cwd=ROOT, timeout=PATIENCE_SECONDS, check=False, **pipes)
    assert (result.returncode, result.stderr) == (1, "There is no page.\n")


@pytest.mark.parametrize(("handler", "said"), [("SIG_DFL", "ended"), ("SIG_IGN", "went on\nended")])
def test_a_closed_terminal_ends_a_program_unless_nohup_started_it(handler, said):
    program = f"""
import atexit, os, signal
from fashionflow.runtime import ending
signal.signal(signal.SIGHUP, signal.{handler})
atexit.register(print, "ended")
def main():
    os.kill(os.getpid(), signal.SIGHUP)
    print("went on")
ending.run(main)
"""
    command, pipes = [sys.executable, "-c", program], {"capture_output": True, "text": True}
    result = subprocess.run(command, cwd=ROOT, timeout=PATIENCE_SECONDS, check=False, **pipes)
    assert (result.returncode, result.stdout) == (0, f"{said}\n")


def test_a_queue_that_is_closed_writes_no_more_files():
    job_queue = JobQueue(tiny.pipeline())
    brake = Brake(job_queue.pipe)
    brake.hold(after=2)
    job = job_queue.submit(ClipRequest(tiny.photo(), ClipSettings(frames=4, steps=1000, seed=1)))
    next(event for event in job.follow() if isinstance(event, Step))
    threading.Timer(0.3, brake.release).start()
    job_queue.close(PATIENCE_SECONDS)
    assert job.has_ended and not job.folder.exists() and not job_queue.in_line


@pytest.mark.parametrize(
    ("arguments", "variables", "told"),
    [
        (["--port", "99999"], {}, "--port is '99999'"),
        (["--port", ""], {}, "--port is ''"),
        ([], {"PORT": "0"}, "PORT is '0'"),
        ([], {"GRADIO_SERVER_PORT": "abc"}, "GRADIO_SERVER_PORT is 'abc'"),
        (["--host", "256.1.1.1"], {}, "no such address or name"),
        (["--host", "192.0.2.7"], {}, "not an address of this machine"),  # of a network that is only written about
        (["--host", "::1:2:3:4:5:6:7:8"], {}, "no such address or name"),
    ],
)
def test_what_cannot_be_served_is_told_in_one_sentence(monkeypatch, arguments, variables, told):
    for name in PORT_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    sentence = refused(arguments)
    assert told in sentence
    assert ("--host" in sentence) is ("--host" in arguments) is ("port" not in sentence)


def test_a_port_in_use_is_told_in_one_sentence():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert f"port {port} of 127.0.0.1" in refused(["--port", str(port)])


def refused(arguments: list[str]) -> str:
    """The sentence with which app.py ends; Python prints it, and exits with status 1."""
    with pytest.raises(SystemExit) as caught:
        app.main(arguments)
    sentence = caught.value.code
    assert sentence.endswith(".") and "\n" not in sentence and "Error" not in sentence
    return sentence


def test_the_port_is_the_one_given_or_else_gradios_or_else_the_hosts(monkeypatch):
    ports = {"GRADIO_SERVER_PORT": "8001", "PORT": "8002"}
    for name, value in ports.items():
        monkeypatch.setenv(name, value)
    assert read_port("8000") == 8000 and read_port(None) == 8001
    monkeypatch.setenv("GRADIO_SERVER_PORT", "")
    assert read_port(None) == 8002
    monkeypatch.delenv("PORT")
    assert read_port(None) == DEFAULT_PORT
