"""A page with passwords: whoever has not logged in gets nothing."""

import httpx
import pytest
from gradio_client import Client

from fashionflow.page.hosting import HostingError
from fashionflow.page.visitors import access, read_visitors
from fashionflow.video.io import read_settings

from .browser import animate, visitors, wait_for_status
from .programs import animate as made_by_a_program
from .programs import named_queue
from .serve import served


VISITORS = [("ada", "s3:cret"), ("bo", "hush")]


@pytest.fixture(scope="module")
def url():
    with served(named_queue(), **access(VISITORS)) as site:
        yield site.url


def test_who_has_logged_in_gets_clips_and_nobody_else_does(url, dress, tmp_path):
    client = Client(url, auth=VISITORS[0], verbose=False, download_files=False)
    clip, _ = made_by_a_program(client, dress)
    visitor = httpx.Client(cookies=client.cookies)
    stream = f"{url}gradio_api/stream/a/b/1/playlist.m3u8"
    assert visitor.get(stream).status_code != 401
    assert visitor.get(f"{url}gradio_api/mcp/schema").status_code == 404
    address = clip["url"] if isinstance(clip, dict) else f"{url}gradio_api/file={clip}"
    (tmp_path / "clip.mp4").write_bytes(visitor.get(address).content)
    assert read_settings(tmp_path / "clip.mp4")["model"] == "tiny"
    for asked in (address, stream, f"{url}gradio_api/info", f"{url}gradio_api/mcp/schema", f"{url}config"):
        assert httpx.get(asked).status_code == 401, asked
    photo = {"files": ("dress.png", dress.read_bytes())}
    assert httpx.post(f"{url}gradio_api/upload", files=photo).status_code == 401
    assert httpx.post(f"{url}gradio_api/call/job", json={"data": ["AAAAAAAAA"]}).status_code == 401
    page = httpx.get(url)
    assert page.status_code == 200 and '"auth_required":true' in page.text


def log_in(page, name: str, password: str) -> None:
    page.fill("input[type=text]", name)
    page.fill("input[type=password]", password)
    page.press("input[type=password]", "Enter")


@pytest.mark.browser
def test_in_a_browser_a_wrong_password_is_told_and_the_right_one_opens_the_page(browser, url, dress):
    with visitors(browser) as visit:
        visit.expected += ("status of 400", "status of 401")
        for name, password in (("ada", "hush"), ("", "hush")):
            page = visit(url, until="input[type=password]", locale="de")
            log_in(page, name, password)
            page.wait_for_selector("text=Falsche Anmeldedaten")
        log_in(page, *VISITORS[0])
        page.wait_for_selector("#animate")
        animate(page, dress)
        wait_for_status(page, "Fertig")
        page.wait_for_selector("#clip video")
        clip = page.locator("#clip video").evaluate("video => video.src")
        assert page.request.get(clip).status == 200

        other = visit(url, until="input[type=password]")
        assert "gradio_api/file=" in clip and other.request.get(clip).status == 401
        assert other.request.post(f"{url}gradio_api/call/job", data={"data": ["AAAAAAAAA"]}).status == 401
        other.goto(f"{url}?job=AAAAAAAAA")
        other.wait_for_selector("input[type=password]")
        assert other.locator("#animate, #photo, #history").count() == 0
        page.reload()  # who has logged in stays so
        page.wait_for_selector("#animate")


def test_a_wrong_password_lets_nobody_in(url):
    for name, password in (("ada", "hush"), ("cy", "hush"), ("ada", "")):
        assert httpx.post(f"{url}login", data={"username": name, "password": password}).status_code == 400


def test_names_and_passwords_are_read(tmp_path):
    file = tmp_path / "visitors"
    file.write_text("ada:s3:cret\n\n  bo:hush  \n", encoding="utf-8")
    assert read_visitors(None, str(file)) == VISITORS
    assert read_visitors("cy:x", str(file)) == [("cy", "x"), *VISITORS]
    assert read_visitors(None, None) is None and access(None) == {}


@pytest.mark.parametrize(
    ("given", "lines", "told"),
    [
        ("hush", None, "--auth is not"),
        (":hush", None, "--auth is not"),
        ("hush:", None, "--auth is not"),
        ("", None, "--auth is not"),
        (None, b"ada:hush\nhush\n", "line 2 of"),
        (None, b"\n", "no password"),
        (None, b"\xff\xfe", "cannot be read"),
    ],
)
def test_a_malformed_password_is_told_in_one_sentence_without_it(tmp_path, given, lines, told):
    file = tmp_path / "visitors"
    if lines is not None:
        file.write_bytes(lines)
    with pytest.raises(HostingError) as caught:
        read_visitors(given, None if lines is None else str(file))
    sentence = str(caught.value)
    assert told in sentence and "hush" not in sentence and sentence.endswith(".") and "\n" not in sentence
