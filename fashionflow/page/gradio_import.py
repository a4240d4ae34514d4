"""Imports Gradio in about half the time, and whatever the environment says of proxies and ports.

Whenever Gradio is imported, it writes a file for code editors beside the source of each of its components, which takes as long as
everything else together. It leaves out components whose source it cannot find, which is what it is told here
(`create_or_modify_pyi` in `gradio/component_meta.py`).

While it is imported and while it starts a page, Gradio reads host and port from the environment, where `app.py` has read them already,
and it would ask this machine's own address through a proxy that only reaches other machines.
"""

import inspect
import os
from collections.abc import Iterator
from contextlib import contextmanager


READ_BY_APP = ("GRADIO_SERVER_NAME", "GRADIO_SERVER_PORT")  # Gradio cannot be imported if the port is no number


@contextmanager
def own_environment() -> Iterator[None]:
    """The environment without proxies, and without what `app.py` reads itself."""
    changed = {"NO_PROXY": "*", "no_proxy": "*"} | dict.fromkeys(READ_BY_APP)
    before = {name: os.environ.get(name) for name in changed}
    _set(changed)
    try:
        yield
    finally:
        _set(before)


def _set(variables: dict[str, str | None]) -> None:
    for name, value in variables.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


_find_source = inspect.getfile


def _find_source_except_of_components(thing: object) -> str:
    if type(thing).__name__ == "ComponentMeta":
        raise OSError("Nobody edits Gradio here.")
    return _find_source(thing)


inspect.getfile = _find_source_except_of_components
try:
    with own_environment():
        import gradio  # noqa: F401
        import gradio.http_server  # noqa: F401
finally:
    inspect.getfile = _find_source
