"""Support for languages that Gradio itself does not have.

Gradio's browser code chooses only among its own languages, and English if the visitor's language is not among them. For visitors with
another language that we have, the page is served with our texts in that language instead of the English ones.
"""

from starlette.types import ASGIApp, Receive, Scope, Send

from ..html_changes import answer_changed


UNKNOWN_TO_GRADIO = ("it",)

BEFORE = b'<script type="module"'  # Gradio's own script, which reads the texts
INSTEAD = b"""<script>{
  const language = navigator.language.split("-")[0].toLowerCase(), texts = window.gradio_config.i18n_translations;
  if (texts && %s.includes(language)) texts.en = texts[language];
}</script>
""" % str(list(UNKNOWN_TO_GRADIO)).encode()


class OwnLanguages:
    """Middleware that adds `INSTEAD` to the page itself, and passes everything else on unchanged."""

    def __init__(self, app: ASGIApp):
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await answer_changed(self.app, scope, receive, send, lambda page: page.replace(BEFORE, INSTEAD + BEFORE, 1))
