"""Changes of the HTML of the page itself on its way to a browser, for middleware."""

from collections.abc import Callable

from starlette.types import ASGIApp, Message, Receive, Scope, Send


def is_page(scope: Scope) -> bool:
    """Whether a browser asks for the page itself."""
    return scope["type"] == "http" and scope["method"] == "GET" and scope["path"] in ("", "/")


async def answer_changed(app: ASGIApp, scope: Scope, receive: Receive, send: Send, change: Callable[[bytes], bytes]):
    """Answers with what `app` answers. If it is the page itself, `change` is applied to its first piece, which is all of it in Gradio."""
    start: Message = {}

    async def send_changed(message: Message) -> None:
        if message["type"] == "http.response.start":
            start.update(message)
            return
        if start:
            message["body"] = change(message["body"])
            headers = [(name, value) for name, value in start["headers"] if name != b"content-length"]
            if not message.get("more_body"):
                headers.append((b"content-length", str(len(message["body"])).encode()))
            await send(start | {"headers": headers})
            start.clear()
        await send(message)

    await app(scope, receive, send_changed if is_page(scope) else send)
