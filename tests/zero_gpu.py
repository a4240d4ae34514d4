"""A small scheduling service of ZeroGPU on this machine, for tests: as much of its protocol as the package `spaces` speaks (`zero/api.py`).

It is a server and no mock: `spaces` asks it over HTTP for a GPU, and forks its real worker. Only the GPU itself is missing.
"""

import json
import os
import signal
import time
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlsplit

from . import loopback


ALLOWED, QUEUED, HELD, IN_VAIN = "allowed", "queued", "held", "in vain"


@dataclass
class Service:
    address: str
    answers: list[str | tuple[int, dict, dict]] = field(default_factory=list)
    """To the next requests for a GPU: `ALLOWED`, `QUEUED` (allowed after a while in the queue), `HELD` (in the queue until the visitor
    leaves it), `IN_VAIN` (queued, and no GPU came), or a status with its JSON and
    headers; later requests are allowed."""
    asked: list[dict[str, str]] = field(default_factory=list)
    """What each request for a GPU said."""
    workers: list[int] = field(default_factory=list)
    """The processes that had the GPU, latest last; a process that has it again is there again."""
    released: list[dict[str, str]] = field(default_factory=list)
    reports: int = 0

    def kill(self) -> None:
        """Ends the process that has the GPU."""
        with suppress(ProcessLookupError):
            os.kill(self.workers[-1], signal.SIGKILL)

    def take_back(self) -> None:
        """Ends it as ZeroGPU does when its time is over, and waits until `spaces`, in this process, has noticed."""
        self.kill()
        with suppress(ProcessLookupError):
            while True:
                os.kill(self.workers[-1], 0)
                time.sleep(0.01)


class Handler(loopback.JsonHandler):
    def do_POST(self) -> None:  # noqa: N802
        service, asked = self.server.service, urlsplit(self.path)
        values = {name: value for name, (value,) in parse_qs(asked.query).items()}
        if asked.path == "/startup-report":
            service.reports += 1
        elif asked.path == "/allow":
            service.workers.append(int(values["pid"]))
        elif asked.path == "/release":
            service.released.append(values)
        elif asked.path == "/schedule":
            service.asked.append(values)
            return self.schedule(service.answers.pop(0) if service.answers else ALLOWED)
        return self.answer(200, {})

    def schedule(self, answer: str | tuple[int, dict, dict]) -> None:
        token = f"allow-{len(self.server.service.asked)}"
        gpu = {"idle": True, "nvidiaIndex": 0, "nvidiaUUID": "GPU-0", "allowToken": token}
        if answer == ALLOWED:
            return self.answer(200, gpu)
        if not isinstance(answer, str):
            return self.answer(*answer)
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        while answer == HELD:
            try:
                self.wfile.write(b"event: ping\ndata: null\n\n")
            except OSError:
                self.close_connection = True
                return None
            time.sleep(0.05)
        event = f"event: succeeded\ndata: {json.dumps(gpu)}" if answer == QUEUED else "event: failed"
        self.wfile.write(f"{event}\n\n".encode())
        self.close_connection = True
        return None


def serving() -> AbstractContextManager[Service]:
    """The service, on a free port."""
    return loopback.serving(Handler, Service)
