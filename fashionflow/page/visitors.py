"""Who may use the page, if it is not for everybody: names and passwords, and no answer for whoever has not logged in. And who is asking
now, where each visitor has a share of the queue."""

from ipaddress import IPv6Network, ip_address
from pathlib import Path

from gradio.context import LocalContext
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

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


NETWORK_OF_ONE = 64
"""Bits of an IPv6 address that one household or one phone keeps; it may choose the others as often as it likes."""


def this_visitor() -> str | None:
    """Who sent the request that is being answered on this thread: the name with which they logged in, or else the address from which
    they come; `None` outside of any request. A reload, another tab and another browser do not make another visitor.

    Behind a reverse proxy the address is the one in `X-Forwarded-For`, if uvicorn trusts the proxy (`FORWARDED_ALLOW_IPS`).
    """
    request = LocalContext.request.get(None)
    if name := getattr(request, "username", None):
        return name
    host = getattr(getattr(request, "client", None), "host", None)
    try:
        address = ip_address(host)
    except ValueError:  # a name that a proxy tells, or none at all
        return host
    if address.version == 4 or address.ipv4_mapped:
        return str(getattr(address, "ipv4_mapped", None) or address)
    return str(IPv6Network((int(address), NETWORK_OF_ONE), strict=False))


class VisitorsOnly:
    """Middleware for a page with passwords: whoever has not logged in gets no answer from any endpoint and no file. Gradio itself would
    serve the streams of clips."""

    CLOSED = "/gradio_api/"
    NEEDED_AT_THE_START = "/gradio_api/startup-events"
    LOGIN = "/login"

    def __init__(self, app: ASGIApp):
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        closed = scope["type"] == "http" and scope["app"].auth is not None and scope["path"].startswith(self.CLOSED)
        answer = self.app
        if closed and scope["path"] != self.NEEDED_AT_THE_START and not self._has_logged_in(Request(scope)):
            answer = JSONResponse({"detail": "Log in first."}, status_code=401)
        is_login = scope["type"] == "http" and scope["path"].rstrip("/") == self.LOGIN
        await answer(scope, receive, self._said_to_whoever_logs_in(send) if is_login else send)

    @staticmethod
    def _said_to_whoever_logs_in(send: Send) -> Send:
        """Gradio refuses a login without a name with a number of HTTP's on which its own page says nothing."""

        async def send_as_wrong(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] == 422:
                message = message | {"status": 400}
            await send(message)

        return send_as_wrong

    @staticmethod
    def _has_logged_in(request: Request) -> bool:
        names = (f"access-token{kind}-{request.app.cookie_id}" for kind in ("", "-unsecure"))  # Gradio's own
        return any(request.cookies.get(name) in request.app.tokens for name in names)
