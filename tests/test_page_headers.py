"""What browsers are told beside the page, its parts and visitors' files. That the page works with it, every browser test shows: a refused
part is an error in the browser's console, and there may be none."""

from pathlib import Path

import brotli
import gradio
import httpx
import numpy as np
import pytest

from fashionflow.page import compression
from fashionflow.video.io import write_clip

from .browser import wait_until


ASSETS = Path(gradio.__file__).parent / "templates" / "frontend" / "assets"


def policy(answer: httpx.Response) -> dict[str, str]:
    """The directives of an answer's Content-Security-Policy."""
    parts = answer.headers["content-security-policy"].split(";")
    return {name: " ".join(sources) for name, *sources in (part.split() for part in parts)}


@pytest.mark.parametrize("path", ["", "?stage=1", "gradio_api/info", "assets/absent.js", "gradio_api/call/absent"])
def test_the_page_may_load_from_this_server_alone(url, path):
    answer = httpx.get(f"{url}{path}")
    told = policy(answer)
    assert told["default-src"] == "'self'" and told["object-src"] == "'none'" and told["base-uri"] == "'self'"
    assert not [source for sources in told.values() for source in sources.split() if "http" in source or "*" in source]
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "same-origin"
    assert (
        "camera=(self)" in answer.headers["permissions-policy"]
        and "microphone=()" in answer.headers["permissions-policy"]
    )
    assert "x-frame-options" not in answer.headers, "Hugging Face shows a Space in a frame"


def test_a_script_is_compressed_once_for_all_visitors(url, monkeypatch):
    name = next(path.name for path in sorted(ASSETS.glob("*-????????.js")) if path.stat().st_size > 50_000)
    compressed = []
    compress = brotli.compress
    monkeypatch.setattr(
        compression.brotli, "compress", lambda *args, **kwargs: compressed.append(name) or compress(*args, **kwargs)
    )
    ask = {"accept-encoding": "br"}
    answers = [httpx.get(f"{url}assets/{name}", headers=ask) for _ in range(3)]
    assert compressed == [name]
    for answer in answers:
        assert answer.content == (ASSETS / name).read_bytes() and answer.headers["content-encoding"] == "br"
        assert "immutable" in answer.headers["cache-control"] and policy(answer)
    assert httpx.get(f"{url}assets/{name}", headers=ask | {"range": "bytes=0-9"}).status_code == 206
    plain = httpx.get(f"{url}assets/{name}", headers={"accept-encoding": "identity"})
    assert plain.content == answers[0].content and "content-encoding" not in plain.headers
    for _ in range(2):  # nothing is kept of what is not there
        assert httpx.get(f"{url}assets/absent-12345678.js", headers=ask).status_code == 404
    assert httpx.head(f"{url}assets/{name}", headers=ask).content == b""


@pytest.mark.parametrize("place", ["file=", "file/"])
@pytest.mark.parametrize("name", ["evil.html", "evil.svg", "evil.xhtml"])
def test_an_uploaded_document_is_downloaded_and_runs_nothing(url, name, place):
    document = b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'
    path = httpx.post(f"{url}gradio_api/upload", files={"files": (name, document)}).json()[0]
    answer = httpx.get(f"{url}gradio_api/{place}{path}")
    assert answer.content == document and policy(answer) == {"sandbox": "allow-same-origin allow-downloads"}
    assert answer.headers["content-disposition"].startswith("attachment")
    assert answer.headers["content-type"] == "application/octet-stream"


@pytest.mark.browser
def test_a_clip_that_is_opened_by_itself_plays(browser, url, site, tmp_path):
    """Only a browser shows it: Chromium asks a second time for the clip, from within the sandbox."""
    clip = write_clip(tmp_path / "clip.mp4", np.full((8, 96, 64, 3), 128, np.uint8), fps=8)
    path = httpx.post(f"{url}gradio_api/upload", files={"files": ("clip.mp4", clip.read_bytes())}).json()[0]
    page = browser.new_page()
    page.goto(f"{url}gradio_api/file={path}")
    try:
        wait_until(lambda: page.evaluate("document.querySelector('video').videoWidth") == 64)
    finally:
        page.close()
