"""A job outlives its connection: the network goes, a proxy ends the stream of events, a phone sleeps."""

import socket
import threading
from collections.abc import Callable
from contextlib import contextmanager
from urllib.parse import urlparse

import pytest

from .browser import LOST_CONNECTION, MOVING, animate, choose, wait_for_status, wait_until


pytestmark = pytest.mark.browser


class Proxy:
    """Passes connections on to a server. A stream of events can be ended early, as if all had been said, left hanging, or held back."""

    def __init__(self, url: str):
        self.server = (urlparse(url).hostname, urlparse(url).port)
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.socket.getsockname()[1]}/"
        self.streams: list[tuple[socket.socket, threading.Event]] = []  # towards browsers, and what hangs them
        self.held: list[tuple[socket.socket, bytes]] | None = None  # what was said while streams were held back
        self.lock = threading.Lock()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                browser, _ = self.socket.accept()
            except OSError:
                return
            server = socket.create_connection(self.server)
            hung = threading.Event()
            threading.Thread(target=self._ask, args=(browser, server, hung), daemon=True).start()
            threading.Thread(target=self._answer, args=(server, browser, hung), daemon=True).start()

    def _ask(self, browser: socket.socket, server: socket.socket, hung: threading.Event) -> None:
        def send(data: bytes) -> None:
            with self.lock:  # the stream on this connection had ended, or the browser would not ask again here
                hung.clear()
                self.streams = [stream for stream in self.streams if stream[0] is not browser]
            server.sendall(data)

        self._pass_on(browser, server, send)

    def _answer(self, server: socket.socket, browser: socket.socket, hung: threading.Event) -> None:
        def send(data: bytes) -> None:
            if b"text/event-stream" in data:
                self.streams.append((browser, hung))
            with self.lock:
                if self.held is not None and any(browser is streaming for streaming, _ in self.streams):
                    self.held.append((browser, data))
                elif not hung.is_set():
                    browser.sendall(data)

        self._pass_on(server, browser, send)

    def _pass_on(self, source: socket.socket, target: socket.socket, send: Callable[[bytes], None]) -> None:
        try:
            while data := source.recv(65536):
                send(data)
        except OSError:
            pass
        for one in (source, target):
            one.close()

    def hold_streams(self) -> None:
        with self.lock:
            self.held = []

    def is_held(self, part: bytes) -> bool:
        return any(part in data for _, data in self.held)

    def release_streams(self) -> None:
        with self.lock:
            held, self.held = self.held, None
            for browser, data in held:
                browser.sendall(data)

    def end_streams(self) -> None:
        for browser, hung in self.streams:
            hung.set()
            try:
                browser.sendall(b"0\r\n\r\n")  # the last piece of an answer in pieces
                browser.shutdown(socket.SHUT_RDWR)
            except OSError:  # one that has ended already
                pass
        self.streams.clear()

    def hang_streams(self) -> None:
        for _, hung in self.streams:
            hung.set()
        self.streams.clear()


@contextmanager
def proxied(url: str):
    proxy = Proxy(url)
    try:
        yield proxy
    finally:
        proxy.end_streams()
        proxy.socket.close()


@pytest.mark.parametrize("trouble", ["offline", "ended", "hanging"])
def test_a_job_outlives_its_connection(visit, url, jobs, dress, brake, trouble):
    with proxied(url) as proxy:
        page = visit(proxy.url, **MOVING)
        if trouble == "hanging":
            page.clock.install()
            page.reload()
            page.wait_for_selector("#animate")
        brake.hold()
        animate(page, dress, steps=12)
        wait_for_status(page, "Step")
        seed = page.input_value("#seed input")
        with page.expect_event("load"):
            if trouble == "offline":
                page.context.set_offline(True)
                page.wait_for_selector(".toast-body")  # Gradio says that it tries again
                page.context.set_offline(False)
            elif trouble == "ended":
                proxy.end_streams()
            else:
                proxy.hang_streams()
                page.clock.fast_forward(60_000)  # the phone sleeps
                page.clock.fast_forward(6_000)
        wait_for_status(page, "Step")
        assert page.is_disabled("#animate") and page.is_enabled("#stop")
        assert page.locator(".toast-body").count() == 0
        page.wait_for_selector("#first-frame img")  # the photo and the settings are there again
        page.click("#advanced button")
        page.wait_for_function(f"document.querySelector('#seed input')?.value === '{seed}'")
        (job,) = jobs
        if trouble == "ended":
            page.click("#stop")
            page.wait_for_selector("#stop:disabled")
        brake.release()
        wait_for_status(page, "Stopped" if trouble == "ended" else "Done")
        assert job.results[0].whole is (trouble != "ended")
        page.wait_for_function(
            "[...document.querySelectorAll('#player video, #clip video')].some((video) => video.currentTime > 0.1)"
        )
        assert page.is_enabled("#animate") and page.is_disabled("#stop")
    visit.expected += LOST_CONNECTION


def test_a_run_that_begins_while_the_stream_of_events_ends_is_followed(visit, url, dress):
    """Gradio ends the stream when no event is left. An event that began meanwhile would never be heard of."""
    with proxied(url) as proxy:
        page = visit(proxy.url)
        choose(page, dress)
        page.click("#history > button")
        page.fill("#history-number :is(input, textarea)", "ABCDEFGHJ")
        proxy.hold_streams()
        page.click("#history-fetch-button")  # which is answered at once
        wait_until(lambda: proxy.is_held(b"close_stream"))
        with page.expect_response("**/queue/join*"):
            page.click("#animate")
        proxy.release_streams()
        wait_for_status(page, "Done")
