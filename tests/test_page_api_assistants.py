"""The page's endpoints as assistants use them: MCP's own client over streamable HTTP."""

import asyncio
import json
import logging
import re
import sys
from pathlib import Path

import httpx
import pytest
from gradio.utils import get_upload_folder
from gradio_client import Client

from fashionflow.generation.queue import JobQueue
from fashionflow.page import LAUNCH_SETTINGS, mcp_server
from fashionflow.video.io import read_settings

from . import tiny
from .assistants import assistant, data_uri, finished, said
from .programs import ADDRESSES, ENDPOINTS, QUICK, animate, looked_up, named_queue, note_look_ups
from .serve import serve


@pytest.fixture(scope="module")
def job_queue():
    return named_queue()


@pytest.fixture(scope="module")
def url(job_queue):
    with serve(job_queue) as url:
        note_look_ups()
        yield url


def test_an_assistant_sees_the_same_endpoints_with_every_parameter_explained(url):
    async def look():
        async with assistant(url) as session:
            return (await session.list_tools()).tools

    tools = {tool.name: tool for tool in finished(look())}
    assert sorted(tools) == sorted(ENDPOINTS)
    for tool in tools.values():
        assert len(tool.description) > 60 and "http or https" not in json.dumps(tool.inputSchema)
        for name, parameter in tool.inputSchema["properties"].items():
            assert len(parameter["description"]) > 10, (tool.name, name)
    for name in ("photo", "back_photo"):
        photo = tools["animate"].inputSchema["properties"][name]
        assert photo["type"] == "string" and "data URI" in photo["format"]
    assert tools["animate"].inputSchema["required"] == ["photo"]
    assert "upload_file_to_gradio" not in tools["animate"].description


def test_an_assistant_animates_a_photo_and_gets_the_file(url, dress, tmp_path):
    async def ask():
        async with assistant(url) as session:
            made = await said(session, "animate", photo=data_uri(dress), motion="sway", **QUICK)
            number, *_ = await said(session, "submit", photo=data_uri(dress), motion="walk", **QUICK)
            checked = await session.call_tool("check_photo", {"photo": data_uri(dress)})
            while (await said(session, "job", number=number))[0] != "finished":
                await asyncio.sleep(0.05)
            return made, await said(session, "result", number=number), checked

    looked_up.clear()
    (clip, seed), (other, _), checked = finished(ask())
    assert seed == "3" and "image" in [part.type for part in checked.content]
    for address, motion in ((clip, "sway"), (other, "walk")):
        assert address.startswith(url)
        (tmp_path / "clip.mp4").write_bytes(httpx.get(address).content)
        assert read_settings(tmp_path / "clip.mp4")["motion"] == motion
    assert set(looked_up) <= {"127.0.0.1", "localhost", "None"}, "something was fetched from or told to others"


def test_what_assistants_send_lies_among_the_uploads_and_is_deleted_with_them(url, job_queue, dress, monkeypatch):
    pages = []
    received = mcp_server.AssistantServer._received

    def remembered(self, text):
        pages.append(self.blocks)
        return received(self, text)

    monkeypatch.setattr(mcp_server.AssistantServer, "_received", remembered)

    async def ask():
        async with assistant(url) as session:
            return await said(session, "check_photo", photo=data_uri(dress))

    finished(ask())
    assert Path(get_upload_folder()) == job_queue.folder
    kept = [Path(path) for path in pages[0].upload_file_set if Path(path).read_bytes() == dress.read_bytes()]
    assert any(path.is_relative_to(job_queue.folder) for path in kept)


def test_an_assistant_gets_one_sentence_for_whatever_is_wrong(url, dress):
    photo = {"path": str(dress), "meta": {"_type": "gradio.FileData"}}

    async def ask():
        async with assistant(url) as session:
            for tool in ("animate", "check_photo"):
                for address in (*ADDRESSES, str(dress), f"{url}gradio_api/file={dress}", "file:///etc/passwd"):
                    _, sentence = await said(session, tool, photo=address)
                    assert "Nothing is fetched" in sentence and sentence.endswith(".") and "\n" not in sentence
                refused, *_ = await said(session, tool, photo=photo)  # Gradio's client would upload it from here
                assert refused == "refused"
                assert "damaged" in (await said(session, tool, photo="data:image/png;base64,A"))[1]
            _, sentence = await said(session, "animate", photo=data_uri(dress), steps=0)
            assert sentence.startswith("`steps` must be")
            _, sentence = await said(session, "animate", photo=data_uri(dress), back_photo=data_uri(dress))
            assert sentence.startswith("`back_photo` must be empty for this model")
            _, sentence = await said(session, "animate", photo=data_uri(dress), back_photo=ADDRESSES[0])
            assert "Nothing is fetched" in sentence
            _, sentence = await said(session, "result", number="AAAAAAAAA")
            assert sentence.startswith("There is no clip with the number AAA-AAA-AAA")

    looked_up.clear()
    finished(ask())
    assert not {"169.254.169.254", "example.com"} & set(looked_up)


def test_an_assistant_may_send_a_phones_photo(url, tmp_path):
    """Their own protocol's limit is 4 MiB."""
    photo = tmp_path / "phone.bmp"
    tiny.photo().resize((1200, 1600)).save(photo)
    assert 5e6 < photo.stat().st_size < 6e6

    async def ask():
        async with assistant(url) as session:
            return await said(session, "check_photo", photo=data_uri(photo))

    assert finished(ask())[0] != "refused"


def test_an_assistant_may_name_what_was_uploaded(url, dress, tmp_path):
    clip, _ = animate(
        Client(url, verbose=False, download_files=tmp_path, analytics_enabled=False), dress, motion="walk"
    )
    with open(clip, "rb") as file:
        path = httpx.post(f"{url}gradio_api/upload", files={"files": file}).json()[0]

    async def ask():
        async with assistant(url) as session:
            return await said(session, "settings_of", clip=f"{url}gradio_api/file={path}")

    assert re.search(r"'motion': 'walk'", finished(ask())[0])


def test_without_mcp_the_page_is_served_all_the_same(monkeypatch, caplog):
    monkeypatch.setitem(sys.modules, "mcp", None)  # as importing finds a package that is not installed
    monkeypatch.setitem(LAUNCH_SETTINGS, "mcp_server", mcp_server.mcp_is_installed())
    with caplog.at_level(logging.INFO, mcp_server.logger.name), serve(JobQueue(tiny.pipeline())) as url:
        assert httpx.get(url).status_code == 200
        assert httpx.get(f"{url}gradio_api/mcp/").status_code == 404
    assert len([line for line in caplog.messages if "mcp is not installed" in line]) == 1
