"""The web page: a visitor uploads one photo and gets a clip. `build_page` builds it; `LAUNCH_SETTINGS` say how Gradio serves it."""

from . import gradio_import  # noqa: F401  # isort: skip  (before anything that imports Gradio)
from . import deletion, picture_cache  # noqa: F401
from .layout import build_page
from .serving import LAUNCH_SETTINGS


__all__ = ["LAUNCH_SETTINGS", "build_page"]
