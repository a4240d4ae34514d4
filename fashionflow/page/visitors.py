"""Who may use the page, if it is not for everybody: names and passwords, and no answer for whoever has not logged in."""

from pathlib import Path

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from .hosting import HostingError


def read_visitors(given: str | None, file: str | None) -> list[tuple[str, str]] | None:
    """Names with their passwords, as Gradio's `auth` wants them; `None` if the page is for everybody.

    Args:
        given: one `name:password`.
        file: the path of a file with one `name:password` a line.

    Raises:
        HostingError: if they cannot be read. The sentence repeats no password.
    """
    if given is None and file is None:
        return None
    lines = {} if given is None else {"--auth": given}
    if file is not None:
        try:
            text = Path(file).expanduser().read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise HostingError(
                f"The passwords in {file!r} cannot be read; name a text file with one name:password a line."
            ) from error
        numbered = enumerate(text.splitlines(), start=1)
        lines |= {f"line {number} of {file!r}": line.strip() for number, line in numbered if line.strip()}
    visitors = []
    for place, line in lines.items():
        name, _, password = line.partition(":")
        if not (name and password):
            raise HostingError(f"A name and a password must be given as name:password, but {place} is not like this.")
        visitors.append((name, password))
    if not visitors:
        raise HostingError(f"There is no password in {file!r}; write one name:password a line.")
    return visitors


def access(visitors: list[tuple[str, str]] | None) -> dict:
    """What Gradio's `launch` is told of the visitors. Assistants cannot log in, so there is no MCP on a page with passwords."""
    return {} if visitors is None else {"auth": visitors, "mcp_server": False}


class VisitorsOnly:
    """Middleware for a page with passwords: whoever has not logged in gets no answer from any endpoint and no file. Gradio itself would
    serve the streams of clips."""

    CLOSED = "/gradio_api/"
    NEEDED_AT_THE_START = "/gradio_api/startup-events"

    def __init__(self, app: ASGIApp):
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        closed = scope["type"] == "http" and scope["app"].auth is not None and scope["path"].startswith(self.CLOSED)
        answer = self.app
        if closed and scope["path"] != self.NEEDED_AT_THE_START and not self._has_logged_in(Request(scope)):
            answer = JSONResponse({"detail": "Log in first."}, status_code=401)
        await answer(scope, receive, send)

    @staticmethod
    def _has_logged_in(request: Request) -> bool:
        names = (f"access-token{kind}-{request.app.cookie_id}" for kind in ("", "-unsecure"))  # Gradio's own
        return any(request.cookies.get(name) in request.app.tokens for name in names)
