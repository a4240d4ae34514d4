"""Tells how the page was opened and at which address phones reach it, and draws that address as a QR code."""

import os
import socket
from ipaddress import ip_address
from urllib.parse import parse_qs, urlsplit

import gradio as gr


ADDRESS_VARIABLE = "FASHIONFLOW_ADDRESS"
EVERY_INTERFACE = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]"}
"""A server that listens on one of these accepts its whole network; and the address at which it finds itself."""

ELSEWHERE = {socket.AF_INET: "10.255.255.255", socket.AF_INET6: "2001:db8::1"}  # addresses that nobody need have


def on_stage(request: gr.Request) -> bool:
    return request.query_params.get("stage") == "1"


def from_stage(request: gr.Request) -> bool:
    """Whether a visitor opened the page with the QR code on the stage."""
    return request.query_params.get("from") == "stage"


def public_address(bar: str, server_name: str) -> str | None:
    """The address at which phones reach this server, without a query, such as "http://192.168.1.7:7860/".

    Args:
        bar: the address in the address bar of the browser that shows the stage.
        server_name: the address that the server listens on, such as "127.0.0.1" or "0.0.0.0".

    Returns:
        The first of these that exists: the address in the environment variable `FASHIONFLOW_ADDRESS`; the one in the bar, unless only
        this machine can reach it; this machine's own network address, if the server listens on it. Otherwise `None`.
    """
    named = os.environ.get(ADDRESS_VARIABLE, "").strip()
    if named:
        return named if "://" in named else f"http://{named}"
    parts = urlsplit(bar)
    if not parts.hostname:
        return None
    address = parts._replace(query="", fragment="")
    if not _only_this_machine(parts.hostname):
        return address.geturl()
    own = own_address(server_name)
    if own is None:
        return None
    return address._replace(netloc=f"{own}:{parts.port}" if parts.port else own).geturl()


def addresses(server_name: str, port: int) -> list[str]:
    """Where a browser finds the page: on this machine, and then on the others of its network, if they can reach it.

    Args:
        server_name: the address that the server listens on, an IPv6 address in brackets.
    """
    hosts = (EVERY_INTERFACE.get(server_name, server_name), own_address(server_name))
    return [f"http://{host}:{port}/" for host in hosts if host]


def own_address(server_name: str) -> str | None:
    """The address of this machine in its network, an IPv6 address in brackets; `None` without a network, or if the server that listens
    on `server_name` cannot be reached at it."""
    if server_name not in EVERY_INTERFACE:
        return None
    family = socket.AF_INET6 if ":" in server_name else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((ELSEWHERE[family], 9))  # sends nothing; it only chooses the interface
            own = probe.getsockname()[0]
    except OSError:
        return None
    if _only_this_machine(own):
        return None
    return f"[{own}]" if ":" in own else own


def _only_this_machine(host: str) -> bool:
    try:
        return ip_address(host).is_loopback or ip_address(host).is_unspecified
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def qr_code(address: str) -> str:
    """An address as a QR code, an SVG element that fills its place.

    Raises:
        RuntimeError: if `segno` is not installed.
    """
    try:
        import segno
    except ImportError as error:
        raise RuntimeError("The QR code needs segno; install it with: pip install segno") from error
    # Level M: the code can be read while about 15 % of it are damaged or hidden. The four modules around it are part of the standard.
    return segno.make(address, error="m", micro=False).svg_inline(border=4, omitsize=True, light="white")


class DarkFromTheStart:
    """Middleware that makes the stage page black from its first paint. Gradio adds our styles only after its own program has started;
    until then the audience would see a white screen after every visit.

    Args:
        app: the next ASGI application.
    """

    STYLE = (
        b"<style>html, body, gradio-app { background: #000 !important; } gradio-app { visibility: hidden; }</style>"
    )

    def __init__(self, app):
        self.app = app

    async def __call__(self, scope, receive, send) -> None:
        if scope["type"] != "http" or b"1" not in parse_qs(scope["query_string"]).get(b"stage", []):
            await self.app(scope, receive, send)
            return
        start, body = None, b""

        async def send_dark(message) -> None:
            nonlocal start, body
            if message["type"] == "http.response.start":
                if not dict(message["headers"]).get(b"content-type", b"").startswith(b"text/html"):
                    await send(message)
                else:
                    start = message  # sent later, because the page gets longer
            elif start is None:
                await send(message)
            else:
                body += message.get("body", b"")
                if message.get("more_body"):
                    return
                body = body.replace(b"</head>", self.STYLE + b"</head>", 1)
                headers = [header for header in start["headers"] if header[0] != b"content-length"]
                await send(start | {"headers": [*headers, (b"content-length", str(len(body)).encode())]})
                await send({"type": "http.response.body", "body": body})

        await self.app(scope, receive, send_dark)
