"""How the page is served: its look and its limits. It loads nothing from other servers, and reports nothing to them."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import gradio as gr
from gradio import http_server
from gradio.routes import App
from starlette.middleware import Middleware

from . import receiving
from .address import EVERY_INTERFACE, DarkFromTheStart
from .api import wrong_arguments
from .api.known_calls import KnownCalls
from .compression import CompressedPage, KeptAssets
from .headers import Headers
from .languages import LABELS
from .languages.own_languages import OwnLanguages
from .mcp_server import mcp_is_installed
from .root_path import PageUnderRootPath, WithoutRootPath
from .visitors import VisitorsOnly


# Fonts that every machine has. Gradio's own themes use web fonts.
FONTS = ["system-ui", "-apple-system", "Segoe UI", "Roboto", "Helvetica Neue", "Arial", "sans-serif"]
FIXED_WIDTH_FONTS = ["ui-monospace", "Menlo", "Consolas", "monospace"]

THEME = gr.themes.Base(
    primary_hue=gr.themes.colors.orange,
    neutral_hue=gr.themes.colors.stone,
    radius_size=gr.themes.sizes.radius_md,
    font=[gr.themes.Font(name) for name in FONTS],
    font_mono=[gr.themes.Font(name) for name in FIXED_WIDTH_FONTS],
).set(
    body_text_color_subdued="*neutral_600",  # Gradio's own colour is too pale for some readers
    # One accent, dark enough for white text (5.2 to 1) and light enough for black text in the dark (8.9 to 1).
    color_accent="*primary_700",
    slider_color="*primary_700",
    slider_color_dark="*primary_400",
    button_primary_background_fill="*primary_700",
    button_primary_background_fill_hover="*primary_800",
    button_primary_background_fill_dark="*primary_400",
    button_primary_background_fill_hover_dark="*primary_300",
    button_primary_text_color="white",
    button_primary_text_color_dark="*neutral_950",
)

STYLES = Path(__file__).with_name("styles")

SCRIPTS = Path(__file__).with_name("scripts")
"""Scripts for everything that Gradio's components cannot do. Each file adds functions to `window.fashionflow`."""


@contextmanager
def no_web_application() -> Iterator[None]:
    """Keeps Gradio from building the web application of a page, while the page is built. Gradio builds three that nobody uses, in a tenth
    of a second each, before `launch` builds the one that is served."""
    create = App.__dict__["create_app"]
    App.create_app = staticmethod(lambda *_, **__: None)
    try:
        yield
    finally:
        App.create_app = create


_start_server = http_server.start_server


def _start_server_with_its_address(*arguments, **options) -> tuple:
    """What Gradio's function does and returns. Where it listens on every IPv6 address, it would print, and look for itself at,
    http://[::]:7860/, which is no address outside of Linux."""
    name, port, url, server = _start_server(*arguments, **options)
    return name, port, url.replace("[::]", EVERY_INTERFACE["[::]"], 1), server


http_server.start_server = _start_server_with_its_address

# Gradio's queue holds every call of a program, also of the endpoints that answer at once, until it has looked at it. Clips wait in the job
# queue instead, which has its own limit (MOST_AT_ONCE in context.py).
QUEUE_SETTINGS = {"max_size": 1000}

MIDDLEWARE = (
    Headers,
    WithoutRootPath,
    VisitorsOnly,
    KnownCalls,
    KeptAssets,
    CompressedPage,
    DarkFromTheStart,
    OwnLanguages,
    PageUnderRootPath,
)

LAUNCH_SETTINGS = {
    "theme": THEME,
    "css_paths": sorted(STYLES.glob("*.css")),
    "head": "".join(
        f"<script>{script.read_text(encoding='utf-8')}</script>" for script in sorted(SCRIPTS.glob("*.js"))
    ),
    "i18n": LABELS,
    "app_kwargs": {
        "middleware": [Middleware(each) for each in MIDDLEWARE],
        "exception_handlers": wrong_arguments.EXCEPTION_HANDLERS | receiving.EXCEPTION_HANDLERS,
    },
    "footer_links": ["api"],
    "max_file_size": "40mb",  # a phone's largest photo, twice over
    "run_history": False,  # photos of an unreleased collection leave no trace in the browser
    "enable_monitoring": False,
    "state_session_capacity": 300,  # visitors whose state Gradio keeps after they have left, half a megabyte each
    "ssr_mode": False,
    "mcp_server": mcp_is_installed(),  # for assistants; without the package nothing changes for other visitors
}
