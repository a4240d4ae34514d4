"""Compresses the page itself. Gradio compresses only what has a file's ending, and the page, half a megabyte of settings and texts, has none."""

from starlette.middleware.gzip import GZipMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

from .html_changes import is_page


class CompressedPage:
    """Middleware that compresses the page for browsers that accept it, and passes everything else on unchanged: clips are compressed
    already, and events must not wait."""

    def __init__(self, app: ASGIApp):
        self.app, self.compressing = app, GZipMiddleware(app, compresslevel=6)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await (self.compressing if is_page(scope) else self.app)(scope, receive, send)
