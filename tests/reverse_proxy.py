"""A reverse proxy for tests: it serves another server's pages under a path, as nginx or Caddy do."""

import socket
import threading
from collections.abc import Iterator
from contextlib import aclosing, contextmanager

import httpx
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
def behind_a_proxy(url: str) -> Iterator[str]:
    """Serves what is at `url` under `PATH`, and gives its address there, without a slash at the end."""
    client = httpx.AsyncClient(base_url=url, timeout=None, trust_env=False)

    async def forward(request: Request) -> Response:
        path = request.url.path.removeprefix(PATH) or "/"
        headers = [(name, value) for name, value in request.headers.items() if name != "host"]
        headers += [("x-forwarded-host", request.headers["host"]), ("x-forwarded-proto", "http")]
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
        server = uvicorn.Server(uvicorn.Config(Starlette(routes=routes), log_level="warning", lifespan="off"))
        thread = threading.Thread(target=server.run, args=([listening],), daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}{PATH}"
        finally:
            server.should_exit = server.force_exit = True
            thread.join(10)
