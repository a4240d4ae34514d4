"""What browsers are told beside each answer: the page needs this server alone, and what visitors upload is never run as a page.

The page may stand in a frame of another one, because Hugging Face shows a Space like that.
"""

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send


# Gradio writes scripts and styles into its page, and makes functions of the texts of its events. Its player reads clips from memory (blob:).
CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'self'",
        "script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:",
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data: blob:",
        "media-src 'self' data: blob:",
        "font-src 'self' data:",
        "connect-src 'self' data: blob:",
        "worker-src 'self' blob:",
        "object-src 'none'",
        "base-uri 'self'",
        "form-action 'self'",
    )
)

HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Permissions-Policy": "camera=(self), microphone=(), geolocation=(), payment=(), usb=()",
}

FILES = ("/gradio_api/file=", "/gradio_api/file/")
OF_FILES = HEADERS | {"Content-Security-Policy": "sandbox allow-same-origin allow-downloads"}
"""For a file that is opened by itself: if it is a document, no script in it runs. A clip plays there, which Chromium would refuse to
another origin, and can be saved."""


class Headers:
    """Middleware that adds `HEADERS` to every answer."""

    def __init__(self, app: ASGIApp):
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        added = OF_FILES if any(files in scope["path"] for files in FILES) else HEADERS

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(added)
            await send(message)

        await self.app(scope, receive, send_with_headers)
