"""Uploads and calls as they really arrive: under any name, cut off, on a full disk, and many at once."""

import json
import os
import resource
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote, urlsplit

import httpx
import pytest

from fashionflow.errors import SENTENCES
from fashionflow.generation.own_folder import LOCK
from fashionflow.page import privacy
from fashionflow.page.languages import texts
from fashionflow.page.privacy import Privacy

from . import tiny
from .browser import wait_until


NAMES = (
    "red%20dress.jpg",
    "a#b.jpg",
    "x" * 300 + ".jpg",
    "连衣裙" * 60 + ".jpg",
    "-rf.jpg",
    "dress..jpg",
    "job-dress.jpg",
    "../../dress.jpg",
    "a?b&c=d.jpg",
)
MANY = 40
FORM = {"content-type": "multipart/form-data; boundary=B"}


@pytest.fixture(scope="module")
def web():
    with httpx.Client(timeout=60) as client:
        yield client


def upload(web, url: str, content: bytes, name: str = "dress.png", **headers) -> httpx.Response:
    return web.post(f"{url}gradio_api/upload", files={"files": (name, content)}, headers=headers)


def begin(web, url: str, endpoint: str, **values) -> httpx.Response:
    return web.post(f"{url}gradio_api/call/v2/{endpoint}", json=values)


def end(web, url: str, endpoint: str, begun: httpx.Response) -> tuple[str, object]:
    """How a call ends, and its outputs or its error."""
    told = web.get(f"{url}gradio_api/call/{endpoint}/{begun.json()['event_id']}").text
    event, data = told.strip().split("\n")[-2:]
    return event.removeprefix("event: "), json.loads(data.removeprefix("data: "))


@pytest.mark.parametrize("name", NAMES)
def test_a_photo_of_any_name_is_stored_shown_animated_and_deleted(web, url, site, dress, name, monkeypatch):
    monkeypatch.setattr(privacy, "GRACE_SECONDS", 0)
    photo = dress.read_bytes() + name.encode()  # a file of its own
    path = Path(upload(web, url, photo, name).json()[0])
    assert path.parents[1] == site.job_queue.folder and len(path.name) <= 200
    assert web.get(f"{url}gradio_api/file={quote(str(path))}").content == photo
    values = {"photo": {"path": str(path)}, "steps": 1, "frames": tiny.FRAMES}
    event, outputs = end(web, url, "animate", begin(web, url, "animate", **values))
    assert event == "complete" and web.get(outputs[0]["url"]).content[4:8] == b"ftyp"
    record = Privacy(site.job_queue)
    record.arrive("session", "tab", private=True)
    record.note("session", [{"path": str(path)}])
    record.leave("session")
    assert not path.exists() and not path.parent.exists()


def test_whoever_leaves_nothing_can_take_nothing_of_the_server_along(web, url, site, dress, monkeypatch):
    monkeypatch.setattr(privacy, "GRACE_SECONDS", 0)
    path, lock = Path(upload(web, url, dress.read_bytes() + b"mine").json()[0]), site.job_queue.folder / LOCK
    record = Privacy(site.job_queue)
    record.arrive("session", "tab", private=True)
    record.note("session", [str(lock), f"{lock.parent}/./{LOCK}", str(path.parent), f"{path}/of/nothing", str(path)])
    record.leave("session")
    assert lock.exists() and not path.exists()


def test_an_upload_that_is_cut_off_leaves_nothing(web, url, site, capfd):
    before = set(os.listdir(site.job_queue.folder))
    address = urlsplit(url)
    with socket.create_connection((address.hostname, address.port)) as connection:
        connection.sendall(
            b"POST /gradio_api/upload?upload_id=cut HTTP/1.1\r\nHost: page\r\nContent-Length: 900000\r\n"
            b"Content-Type: multipart/form-data; boundary=B\r\n\r\n"
            b'--B\r\nContent-Disposition: form-data; name="files"; filename="dress.png"\r\n\r\n' + bytes(100_000)
        )
        wait_until(lambda: set(os.listdir(site.job_queue.folder)) - before)  # it is arriving
    wait_until(lambda: set(os.listdir(site.job_queue.folder)) == before)
    assert '"msg": "done"' in web.get(f"{url}gradio_api/upload_progress?upload_id=cut").text
    assert "Traceback" not in capfd.readouterr().err


def test_half_an_upload_is_refused_and_leaves_nothing(web, url, site):
    before = set(os.listdir(site.job_queue.folder))
    form = b'--B\r\nContent-Disposition: form-data; name="files"; filename="dress.png"\r\n\r\nhalf a photo'
    answer = web.post(f"{url}gradio_api/upload", content=form, headers=FORM)
    assert (answer.status_code, answer.text) == (400, SENTENCES["cut-off"])
    assert set(os.listdir(site.job_queue.folder)) == before


@pytest.mark.parametrize("upload_id", ["", "?upload_id=none"])
@pytest.mark.parametrize("field", ['name="files"', 'name="photo"', 'name="photo"; filename="dress.png"'])
def test_a_request_without_a_file_is_told_where_files_go_and_leaves_nothing(web, url, site, field, upload_id, capfd):
    before = set(os.listdir(site.job_queue.folder))
    form = f"--B\r\nContent-Disposition: form-data; {field}\r\n\r\na photo\r\n--B--\r\n".encode()
    answer = web.post(f"{url}gradio_api/upload{upload_id}", content=form, headers=FORM)
    assert answer.status_code == 400 and "send each file in a form field named files" in answer.text
    assert set(os.listdir(site.job_queue.folder)) == before
    assert "Traceback" not in capfd.readouterr().err


def test_files_are_taken_at_one_place_only(web, url):
    for place in ("process_recording", "component_server"):
        answer = web.post(f"{url}gradio_api/{place}", files={"video": ("clip.mp4", b"a recording")})
        assert answer.status_code == 400 and "send them to /gradio_api/upload" in answer.text


@contextmanager
def full_disk(most: int):
    """No file of this process may become longer than `most` bytes, as on a disk with so much room."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_on_a_full_disk_an_upload_gets_its_sentence_and_the_next_one_works(web, url, site, dress, capfd):
    before = set(os.listdir(site.job_queue.folder))
    photo = dress.read_bytes() + bytes(100_000)
    with full_disk(50_000):
        answer = upload(web, url, photo, **{"accept-language": "fr"})
    assert (answer.status_code, answer.text) == (507, texts()["fr"]["refused.no-room"])
    assert set(os.listdir(site.job_queue.folder)) == before
    assert "Traceback" not in capfd.readouterr().err
    assert upload(web, url, photo).status_code == 200


def test_on_a_full_disk_a_picture_gets_its_sentence(web, url, dress):
    path = upload(web, url, dress.read_bytes()).json()[0]
    values = {"photo": {"path": path}, "zoom": 1.7}  # a picture that is not there yet
    with full_disk(500):
        event, said = end(web, url, "check_photo", begin(web, url, "check_photo", **values))
    assert (event, said["error"]) == ("error", SENTENCES["no-room"])
    event, _ = end(web, url, "check_photo", begin(web, url, "check_photo", **values))
    assert event == "complete"


def test_many_calls_at_once_are_all_answered(web, url, site, monkeypatch):
    """They are held until all of them have come. Gradio would take one at a time, and refuse all but the first 24 of the others."""
    all_here, find = threading.Event(), site.job_queue.find

    def find_later(number):
        all_here.wait(60)
        return find(number)

    monkeypatch.setattr(site.job_queue, "find", find_later)
    with ThreadPoolExecutor(MANY) as callers:
        begun = list(callers.map(lambda _: begin(web, url, "job", number="K7QM3F2PX"), range(MANY)))
        all_here.set()
        assert {answer.status_code for answer in begun} == {200}
        ends = list(callers.map(lambda answer: end(web, url, "job", answer), begun))
    assert all("K7Q-M3F-2PX" in said["error"] for _, said in ends)


def test_calls_that_answer_at_once_do_not_wait_for_each_other(web, url, site, monkeypatch):
    first_here, second_here, find = threading.Event(), threading.Event(), site.job_queue.find

    def find_once_both_are_here(number):
        mine, other = (second_here, first_here) if first_here.is_set() else (first_here, second_here)
        mine.set()
        assert other.wait(60)
        return find(number)

    monkeypatch.setattr(site.job_queue, "find", find_once_both_are_here)
    begun = [begin(web, url, "job", number="K7QM3F2PX") for _ in range(2)]
    assert all("K7Q-M3F-2PX" in end(web, url, "job", answer)[1]["error"] for answer in begun)
