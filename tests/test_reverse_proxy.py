"""The page behind a reverse proxy that shows it under a path."""

import asyncio
import re
import ssl
from urllib.parse import urljoin, urlsplit

import httpx
import pytest
from gradio_client import Client

from fashionflow.page.address import DarkFromTheStart
from fashionflow.page.hosting import HostingError
from fashionflow.page.root_path import read_root_path
from fashionflow.video.io import read_settings

from .assistants import assistant, data_uri, finished, said
from .browser import MOVING, animate, visitors, wait_for_status
from .programs import QUICK, named_queue
from .programs import animate as made_by_a_program
from .reverse_proxy import PATH, behind_a_proxy, self_signed
from .serve import served


@pytest.fixture(scope="module")
def site():
    with served(named_queue(), root_path=PATH) as site:
        yield site


@pytest.fixture(scope="module")
def under_path(site):
    with behind_a_proxy(site.url) as url:
        yield url


@pytest.fixture(scope="module")
def over_https(site, tmp_path_factory):
    """The address with https, and the file of its certificate."""
    certificate = self_signed(tmp_path_factory.mktemp("certificate"))
    with behind_a_proxy(site.url, certificate) as url:
        yield url, certificate[0]


def base_of(html: str) -> str:
    return re.search(r'<base href="([^"]*)"', html)[1]


@pytest.mark.parametrize("asked", ["", "/", "?stage=1", "/?stage=1"])
def test_the_page_finds_its_parts_with_and_without_a_slash(under_path, asked):
    page = httpx.get(under_path + asked)
    assert page.status_code == 200 and (DarkFromTheStart.STYLE.decode() in page.text) is ("stage" in asked)
    base = urljoin(under_path + asked, base_of(page.text))
    (script,) = re.findall(r'<script type="module"[^>]* src="([^"]+)"', page.text)
    assert urljoin(base, script).startswith(under_path)
    assert "javascript" in httpx.get(urljoin(base, script)).headers["content-type"]


@pytest.mark.parametrize("path", [PATH, f"{PATH}/", "/"])
def test_a_proxy_may_leave_the_path_and_speak_https(site, path):
    told = {"X-Forwarded-Host": "example.com", "X-Forwarded-Proto": "https", "Accept-Encoding": "gzip"}
    page = httpx.get(urljoin(site.url, path), headers=told)
    assert page.status_code == 200 and page.headers["content-encoding"] == "gzip"
    root = re.search(r'"root":"([^"]*)"', page.text)[1]
    assert root == f"https://example.com{PATH}"
    config = httpx.get(urljoin(site.url, f"{path.rstrip('/')}/config"), headers=told).json()
    assert config["root"] == root


def test_a_program_and_an_assistant_get_their_clips(under_path, dress, tmp_path):
    client = Client(f"{under_path}/", verbose=False, download_files=tmp_path)
    clip, _ = made_by_a_program(client, dress, motion="walk")
    assert read_settings(clip)["motion"] == "walk"

    async def ask():
        async with asyncio.timeout(60), assistant(f"{under_path}/") as session:
            return await said(session, "animate", photo=data_uri(dress), motion="sway", **QUICK)

    address, _ = finished(ask())
    assert address.startswith(f"{under_path}/")
    (tmp_path / "clip.mp4").write_bytes(httpx.get(address).content)
    assert read_settings(tmp_path / "clip.mp4")["motion"] == "sway"


def test_over_https_every_address_is_one_of_https(over_https, dress, tmp_path):
    url, certificate = over_https
    trusted = ssl.create_default_context(cafile=certificate)
    page = httpx.get(url, verify=trusted)
    assert re.search(r'"root":"([^"]*)"', page.text)[1] == url and "http://" not in base_of(page.text)
    client = Client(f"{url}/", verbose=False, download_files=False, ssl_verify=trusted)
    clip, _ = made_by_a_program(client, dress, motion="walk")
    assert clip["url"].startswith(f"{url}/")

    async def ask():
        options = {"verify": trusted, "timeout": 60, "follow_redirects": True}
        async with httpx.AsyncClient(**options) as http, assistant(f"{url}/", http) as session:
            return await said(session, "animate", photo=data_uri(dress), motion="sway", **QUICK)

    made, _ = finished(ask())
    assert made.startswith(f"{url}/")
    for address, motion in ((clip["url"], "walk"), (made, "sway")):
        (tmp_path / "clip.mp4").write_bytes(httpx.get(address, verify=trusted).content)
        assert read_settings(tmp_path / "clip.mp4")["motion"] == motion


@pytest.mark.browser
def test_over_https_a_browser_asks_for_nothing_over_http(browser, over_https, dress):
    url, _ = over_https
    asked = []
    with visitors(browser) as visit:
        page = visit(url, ignore_https_errors=True, **MOVING)
        page.on("request", lambda request: asked.append(request.url))
        animate(page, dress)
        wait_for_status(page, "Done")
        page.wait_for_selector("#clip video")
    assert {urlsplit(each).scheme for each in asked} <= {"https", "blob", "data"}
    assert any(each.endswith(".mp4") for each in asked)


@pytest.mark.browser
def test_in_a_browser_the_clip_is_streamed_downloaded_and_found_again(browser, under_path, dress, tmp_path):
    answers = []
    with visitors(browser) as visit:
        page = visit(under_path, fresh=True, **MOVING)
        page.on("response", lambda answer: answers.append((urlsplit(answer.url).path, answer.status)))
        # The finished file is held, because it may be there before the stream is asked for.
        page.route("**/fashionflow-*.mp4", lambda route: None)
        with page.expect_response(re.compile(r"/stream/.*\.ts$")):
            animate(page, dress)
        wait_for_status(page, "Done")
        page.unroute("**/fashionflow-*.mp4")  # which lets it go on
        page.wait_for_selector("#clip video")
        with page.expect_download() as download:
            page.click("#download")
        download.value.save_as(tmp_path / "clip.mp4")
        number = re.search(r"[2-9A-Z]{3}-[2-9A-Z]{3}-[2-9A-Z]{3}", page.inner_text("#job-number"))[0]
        page.evaluate("localStorage.clear()")
        page.goto(f"{under_path}?job={number}")
        page.wait_for_selector("#clip video")
    assert read_settings(tmp_path / "clip.mp4")["model"] == "tiny"
    assert {status for _, status in answers} <= {200, 206}
    assert [path for path, _ in answers if not f"{path}/".startswith(f"{PATH}/")] == []
    assert any(re.search(r"/stream/.*\.ts$", path) for path, _ in answers)


@pytest.mark.parametrize("given", ["/try/on", "/try/on/", "https://example.com:8443/try/on"])
def test_a_root_path_is_read(monkeypatch, given):
    monkeypatch.setenv("GRADIO_ROOT_PATH", given)
    assert read_root_path(None) == given.rstrip("/") and read_root_path("/other") == "/other"
    monkeypatch.delenv("GRADIO_ROOT_PATH")
    assert read_root_path(None) == ""


@pytest.mark.parametrize("given", ["try", "/try on", "/try?on", "ftp://example.com/try", '/"><script>'])
def test_a_malformed_root_path_is_told_in_one_sentence(given):
    with pytest.raises(HostingError, match="must be a path such as /try/on") as caught:
        read_root_path(given)
    assert str(caught.value).endswith(".") and "\n" not in str(caught.value)
