"""The languages that Gradio itself does not have.

Its browser side picks only among its own languages, and English where the visitor's is not among them. For visitors of another
language that we have, the page is served with our texts of that language in the place of the English ones.
"""

from starlette.types import ASGIApp, Message, Receive, Scope, Send


UNKNOWN_TO_GRADIO = ("it",)

BEFORE = b'<script type="module"'  # Gradio's own program, which reads the texts
INSTEAD = b"""<script>{
  const language = navigator.language.split("-")[0].toLowerCase(), texts = window.gradio_config.i18n_translations;
  if (%s.includes(language)) texts.en = texts[language];
}</script>
""" % str(list(UNKNOWN_TO_GRADIO)).encode()


class OwnLanguages:
    """Serves the page itself with `INSTEAD`, and everything else as it is."""

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

        is_page = scope["type"] == "http" and scope["method"] == "GET" and scope["path"] in ("", "/")
        await self.app(scope, receive, send_changed if is_page else send)
