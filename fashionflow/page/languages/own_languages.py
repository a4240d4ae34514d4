"""Support for languages that Gradio itself does not have.

Gradio's browser code chooses only among its own languages, and English if the visitor's language is not among them. For visitors with
another language that we have, the page is served with our texts in that language instead of the English ones.
"""

from starlette.types import ASGIApp, Message, Receive, Scope, Send


UNKNOWN_TO_GRADIO = ("it",)

BEFORE = b'<script type="module"'  # Gradio's own script, which reads the texts
INSTEAD = b"""<script>{
  const language = navigator.language.split("-")[0].toLowerCase(), texts = window.gradio_config.i18n_translations;
  if (%s.includes(language)) texts.en = texts[language];
}</script>
""" % str(list(UNKNOWN_TO_GRADIO)).encode()


def is_page(scope: Scope) -> bool:
    """Whether a browser asks for the page itself."""
    return scope["type"] == "http" and scope["method"] == "GET" and scope["path"] in ("", "/")


class OwnLanguages:
    """Middleware that adds `INSTEAD` to the page itself, and passes everything else on unchanged."""

    def __init__(self, app: ASGIApp):
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        start: Message = {}

        async def send_changed(message: Message) -> None:
            if message["type"] == "http.response.start":
                start.update(message)
                return
            if start:
                message["body"] = message["body"].replace(BEFORE, INSTEAD + BEFORE, 1)
                headers = [(name, value) for name, value in start["headers"] if name != b"content-length"]
                if not message.get("more_body"):
                    headers.append((b"content-length", str(len(message["body"])).encode()))
                await send(start | {"headers": headers})
                start.clear()
            await send(message)

        await self.app(scope, receive, send_changed if is_page(scope) else send)
