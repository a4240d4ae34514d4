"""Compresses what a browser loads first: the page itself, and Gradio's scripts and styles.

Gradio compresses only what has a file's ending. The page, half a megabyte of settings and texts, has none. And it compresses its hundred
scripts anew for every visitor, which takes a second of the processor that makes the clips.
"""

import re

import brotli
from starlette.datastructures import Headers
from starlette.middleware.gzip import GZipMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .html_changes import is_page


ASSETS = re.compile(r"/assets/[^/]+\.(js|css)")
"""Gradio's scripts and styles: the same for every visitor, and about 20 MB in all."""

UNCHANGING = re.compile(r"-[\w-]{8}\.(js|css)$")
"""The end of a name with a hash of the content: another version of Gradio has other names."""

QUALITY = 5  # of brotli, from 0 to 11: 7 takes twice the time for 2 % less


class CompressedPage:
    """Middleware that compresses the page for browsers that accept it, and passes everything else on unchanged: clips are compressed
    already, and events must not wait."""

    def __init__(self, app: ASGIApp):
        self.app, self.compressing = app, GZipMiddleware(app, compresslevel=6)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await (self.compressing if is_page(scope) else self.app)(scope, receive, send)


class KeptAssets:
    """Middleware that compresses each of Gradio's scripts and styles once, and keeps it in memory for the next visitors. Browsers keep it
    for good, which Gradio does not tell them to. Whoever does not accept brotli, or asks for a part, is answered by Gradio."""

    def __init__(self, app: ASGIApp):
        self.app = app
        self._kept: dict[str, tuple[Message, Message]] = {}  # by path: the start of the answer, and its body

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if not _is_asset(scope):
            await self.app(scope, receive, send)
            return
        if (kept := self._kept.get(scope["path"])) is None:
            kept = await self._ask(scope, receive)
        for message in kept:
            await send(dict(message))  # a copy, because other middleware changes the headers

    async def _ask(self, scope: Scope, receive: Receive) -> tuple[Message, Message]:
        """Gradio's answer, whole and compressed; kept if the file is there."""
        start: Message = {}
        pieces: list[bytes] = []

        async def collect(message: Message) -> None:
            if message["type"] == "http.response.start":
                start.update(message)
            else:
                pieces.append(message.get("body", b""))

        await self.app(scope, receive, collect)
        body = b"".join(pieces)
        if start["status"] == 200:
            body = brotli.compress(body, mode=brotli.MODE_TEXT, quality=QUALITY)
            start["headers"] = _headers(start["headers"], scope["path"], len(body))
        answer = (start, {"type": "http.response.body", "body": body})
        if start["status"] == 200:
            self._kept[scope["path"]] = answer
        return answer


def _is_asset(scope: Scope) -> bool:
    """Whether a browser asks for all of a script or style of Gradio, and may get it compressed."""
    if scope["type"] != "http" or scope["method"] != "GET" or not ASSETS.fullmatch(scope["path"]):
        return False
    asked = Headers(scope=scope)
    return "br" in asked.get("accept-encoding", "") and "range" not in asked


def _headers(of_file: list[tuple[bytes, bytes]], path: str, length: int) -> list[tuple[bytes, bytes]]:
    """The headers of a compressed file."""
    changed = (b"content-length", b"accept-ranges")
    headers = [(name, value) for name, value in of_file if name.lower() not in changed]
    headers += [(b"content-length", str(length).encode()), (b"content-encoding", b"br"), (b"vary", b"Accept-Encoding")]
    if UNCHANGING.search(path):
        headers.append((b"cache-control", b"public, max-age=31536000, immutable"))
    return headers
