"""The path under which a reverse proxy shows the page, such as `/try/on` of `https://example.com/try/on`."""

import os
import re
from urllib.parse import urlsplit

from starlette.types import ASGIApp, Receive, Scope, Send

from .hosting import HostingError
from .html_changes import answer_changed


ROOT_PATH = re.compile(r"(https?://[\w.:\[\]-]+)?(/[\w.~%-]+)*")
BASE = b'<base href="./"'  # in Gradio's page


def read_root_path(given: str | None) -> str:
    """The path, or the whole address, without a slash at the end; empty if the page is shown under no path.

    Raises:
        HostingError: if it is neither.
    """
    text = given or os.environ.get("GRADIO_ROOT_PATH") or ""
    path = text.rstrip("/")
    if not ROOT_PATH.fullmatch(path):
        raise HostingError(
            f"The root path must be a path such as /try/on or an address such as https://example.com/try/on, got {text!r}; change "
            "--root-path or GRADIO_ROOT_PATH."
        )
    return path


def _path(scope: Scope) -> str:
    """The path of the page that is asked for something."""
    return urlsplit(scope["app"].root_path or "").path if scope["type"] == "http" else ""


class WithoutRootPath:
    """Middleware that takes the path away from what is asked for, because some proxies do so and others do not."""

    def __init__(self, app: ASGIApp):
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = _path(scope)
        if path and f"{scope['path']}/".startswith(f"{path}/"):
            raw = scope["raw_path"].removeprefix(path.encode())
            scope = scope | {"path": scope["path"].removeprefix(path) or "/", "raw_path": raw or b"/"}
        await self.app(scope, receive, send)


class PageUnderRootPath:
    """Middleware that tells browsers the path of the page. Without a slash at the end of its address, they would look for what the page
    loads one level too high, and for its icon at the top of the host in any case."""

    def __init__(self, app: ASGIApp):
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = _path(scope)
        base = f'<link rel="icon" href="{path}/favicon.ico" /><base href="{path}/"'.encode()
        await answer_changed(self.app, scope, receive, send, lambda page: page.replace(BASE, base, 1))
