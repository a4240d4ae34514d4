"""The answer to whoever asks for the outcome of a call that there is not. Gradio would break off, with an error in the log, or keep a
program that asks a second time waiting for ever."""

import re

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send


OUTCOME = re.compile(r"/gradio_api/call/(?:v2/)?[^/]+/([^/]+)/?")

UNKNOWN = "There is no call with this event_id, or its outcome has been fetched already; call the endpoint again."


class KnownCalls:
    """Middleware that answers HTTP 404 with a sentence, if a program asks for the outcome of a call that is unknown or has been told."""

    def __init__(self, app: ASGIApp):
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        answer = self.app
        asked = OUTCOME.fullmatch(scope["path"]) if scope["type"] == "http" and scope["method"] == "GET" else None
        if asked:
            queue = scope["app"].get_blocks()._queue
            event = asked[1]
            waiting = any(event in events for events in list(queue.pending_event_ids_session.values()))
            if event not in queue.event_ids_to_events and not waiting:
                answer = JSONResponse({"error": UNKNOWN}, status_code=404)
        await answer(scope, receive, send)
