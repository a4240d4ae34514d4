"""Imports Gradio in about half the time.

Whenever Gradio is imported, it writes a file for code editors beside the source of each of its components, which takes as long as
everything else together. It leaves out components whose source it cannot find, which is what it is told here
(`create_or_modify_pyi` in `gradio/component_meta.py`).
"""

import inspect


_find_source = inspect.getfile


def _find_source_except_of_components(thing: object) -> str:
    if type(thing).__name__ == "ComponentMeta":
        raise OSError("Nobody edits Gradio here.")
    return _find_source(thing)


inspect.getfile = _find_source_except_of_components
try:
    import gradio  # noqa: F401
finally:
    inspect.getfile = _find_source
