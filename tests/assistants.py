"""What assistants do with the page, for tests: MCP's own client over streamable HTTP."""

import asyncio
import base64
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
from mcp import ClientSession
from mcp.client.streamable_http import streamable_http_client


def finished(call: Coroutine) -> object:
    """The result of a call, made in a thread of its own, because the browser of other tests has its event loop in this one."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, call).result()


@asynccontextmanager
async def assistant(url: str, http_client: httpx.AsyncClient | None = None):
    """A session of MCP's own client over streamable HTTP."""
    async with (
        streamable_http_client(f"{url}gradio_api/mcp/", http_client=http_client) as (read, write, _),
        ClientSession(read, write) as session,
    ):
        await session.initialize()
        yield session


async def said(session, tool: str, **values) -> list[str]:
    """An assistant's answer; an error's sentence has "refused" before it."""
    result = await session.call_tool(tool, values)
    return ["refused"] * result.isError + [part.text for part in result.content if part.type == "text"]


def data_uri(path: Path) -> str:
    return "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode()
