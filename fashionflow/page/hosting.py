"""What whoever hosts the page says on the command line or in the environment: where it is served. Whatever is wrong is told in one
sentence, before anything starts."""

import errno
import os
import socket


DEFAULT_PORT = 7860
PORT_VARIABLES = ("GRADIO_SERVER_PORT", "PORT")
"""Environment variables that name the port, the first one before the second. Many hosts set `PORT`."""
LAST_PORT = 65535
MOST_JOBS_VARIABLE = "FASHIONFLOW_MOST_JOBS"


class HostingError(ValueError):
    """The page cannot be served as it was asked. The message says in one sentence what was wrong and what to do."""


def read_port(given: str | None) -> int:
    """The port: the one given, or else that of `PORT_VARIABLES`, or else `DEFAULT_PORT`.

    Raises:
        HostingError: if it is not the number of a port.
    """
    named = {"--port": given} | {name: os.environ.get(name) or None for name in PORT_VARIABLES}
    for name, text in named.items():
        if text is None:
            continue
        if not _is_whole(text, LAST_PORT):
            raise HostingError(
                f"The port must be a whole number from 1 to {LAST_PORT}, but {name} is {text!r}; change it, or choose a port with "
                "--port."
            )
        return int(text)
    return DEFAULT_PORT


def read_most_jobs(given: str | None) -> int | None:
    """How many jobs of one visitor may wait or be made at the same time: the number given, or else that of `MOST_JOBS_VARIABLE`; `None` if
    there is no such limit.

    Raises:
        HostingError: if it is not a whole number above 0.
    """
    text = given if given is not None else os.environ.get(MOST_JOBS_VARIABLE) or None
    if text is None:
        return None
    if not _is_whole(text, 99999):
        named = "--most-jobs" if given is not None else MOST_JOBS_VARIABLE
        raise HostingError(
            f"The most jobs of one visitor must be a whole number above 0, but {named} is {text!r}; change it, or leave it out for "
            "no limit."
        )
    return int(text)


def _is_whole(text: str, largest: int) -> bool:
    """Whether a text is a whole number from 1 to `largest`, which has 5 digits."""
    return text.isascii() and text.isdecimal() and len(text) <= 5 and 1 <= int(text) <= largest


def read_host(given: str | None, port: int) -> str:
    """The host as Gradio wants it, with an IPv6 address in brackets, after a try whether it can be served there.

    Raises:
        HostingError: if the host is unknown, is another machine, or has no such free port.
    """
    host = (given or os.environ.get("GRADIO_SERVER_NAME") or "127.0.0.1").strip().removeprefix("[").removesuffix("]")
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (socket.gaierror, UnicodeError) as error:  # UnicodeError: no name could be like this
        raise HostingError(
            f"The page cannot be served at the host {host!r}, because there is no such address or name; choose another with --host, "
            "such as 127.0.0.1 for this machine alone or 0.0.0.0 for its network."
        ) from error
    for family, kind, protocol, _, address in found:
        try:
            with socket.socket(family, kind, protocol) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                if family == socket.AF_INET6:  # as the server does
                    probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                probe.bind(address)
        except OSError as error:
            raise not_served(host, port, error) from error
    return f"[{host}]" if ":" in host else host


def not_served(host: str, port: int, error: OSError) -> HostingError:
    """The sentence for an address that cannot be served."""
    if error.errno in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
        return HostingError(
            f"The page cannot be served at the host {host!r}, which is not an address of this machine; choose another with --host, "
            "such as 127.0.0.1 for this machine alone or 0.0.0.0 for its network."
        )
    if error.errno in (errno.EACCES, errno.EPERM):
        return HostingError(
            f"The page cannot be served at port {port} of {host}, because this user may not use that port; choose one above 1023 "
            "with --port."
        )
    return HostingError(
        f"The page cannot be served at port {port} of {host}, which another program may be using; end it, or choose another port "
        "with --port."
    )
