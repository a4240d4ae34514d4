"""A reverse proxy for tests: it serves another server's pages under a path, as nginx or Caddy do."""

import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import aclosing, contextmanager
from pathlib import Path

import httpx
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route


PATH = "/try/on"
PASSED_ON = (
    *("content-type", "content-length", "content-encoding", "location", "set-cookie", "mcp-session-id"),
    "content-security-policy",
)


@contextmanager
def behind_a_proxy(url: str, certificate: tuple[Path, Path] | None = None) -> Iterator[str]:
    """Serves what is at `url` under `PATH`, and gives its address there, without a slash at the end.

    Args:
        certificate: the files of a certificate and of its key, for https; `None` for http.
    """
    scheme, ssl = "http", {}
    if certificate is not None:
        scheme, ssl = "https", {"ssl_certfile": certificate[0], "ssl_keyfile": certificate[1]}
    client = httpx.AsyncClient(base_url=url, timeout=None, trust_env=False)

    async def forward(request: Request) -> Response:
        path = request.url.path.removeprefix(PATH) or "/"
        headers = [(name, value) for name, value in request.headers.items() if name != "host"]
        headers += [("x-forwarded-host", request.headers["host"]), ("x-forwarded-proto", scheme)]
        asked = client.build_request(
            request.method, path, params=request.query_params, headers=headers, content=request.stream()
        )
        try:
            answer = await client.send(asked, stream=True)
        except (ClientDisconnect, httpx.TransportError):  # one of the two has left
            return Response(status_code=502)
        kept = {name: value for name, value in answer.headers.items() if name in PASSED_ON}

        async def body():
            async with aclosing(answer):
                async for piece in answer.aiter_raw():  # raw, because what is compressed stays compressed
                    yield piece

        return StreamingResponse(body(), answer.status_code, kept)

    methods = ["GET", "HEAD", "POST", "DELETE"]
    routes = [Route(path, forward, methods=methods) for path in (PATH, f"{PATH}/{{rest:path}}")]
    with socket.create_server(("127.0.0.1", 0)) as listening:
        config = uvicorn.Config(Starlette(routes=routes), log_level="warning", lifespan="off", **ssl)
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, args=([listening],), daemon=True)
        thread.start()
        try:
            yield f"{scheme}://127.0.0.1:{listening.getsockname()[1]}{PATH}"
        finally:
            server.should_exit = server.force_exit = True
            thread.join(10)


def self_signed(folder: Path) -> tuple[Path, Path]:
    """The files of a certificate for 127.0.0.1, which nobody else has signed, and of its key."""
    if shutil.which("openssl") is None:
        pytest.skip("No openssl on PATH.")
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=127.0.0.1"
    names = ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run([*command.split(), *names], check=True, capture_output=True)
    return certificate, key
