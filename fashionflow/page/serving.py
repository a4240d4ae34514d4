"""How the page is served: its look, its limits, and nothing fetched from or told to anybody else."""

from pathlib import Path

import gradio as gr
from starlette.middleware import Middleware

from .address import DarkFromTheStart
from .context import MOST_AT_ONCE
from .languages import LABELS
from .languages.own_languages import OwnLanguages
from .mcp_server import mcp_is_installed


# Fonts that every machine has. Gradio's own themes name web fonts.
FONTS = ["system-ui", "-apple-system", "Segoe UI", "Roboto", "Helvetica Neue", "Arial", "sans-serif"]
FIXED_WIDTH_FONTS = ["ui-monospace", "Menlo", "Consolas", "monospace"]

THEME = gr.themes.Base(
    primary_hue=gr.themes.colors.stone,
    neutral_hue=gr.themes.colors.stone,
    radius_size=gr.themes.sizes.radius_md,
    font=[gr.themes.Font(name) for name in FONTS],
    font_mono=[gr.themes.Font(name) for name in FIXED_WIDTH_FONTS],
).set(
    body_text_color_subdued="*neutral_600",  # Gradio's own is too pale to be read by everybody
    button_primary_background_fill="*neutral_900",
    button_primary_background_fill_hover="*neutral_700",
    button_primary_background_fill_dark="*neutral_100",
    button_primary_background_fill_hover_dark="*neutral_300",
    button_primary_text_color="white",
    button_primary_text_color_dark="*neutral_900",
)

STYLES = Path(__file__).with_name("styles")

SCRIPTS = Path(__file__).with_name("scripts")
"""What no component of Gradio's does. Each file adds functions to `window.fashionflow`."""

# Gradio counts only those whom it has not handed on yet, which it does at once, so the studio's line has its own limit.
QUEUE_SETTINGS = {"max_size": MOST_AT_ONCE}

LAUNCH_SETTINGS = {
    "theme": THEME,
    "css_paths": sorted(STYLES.glob("*.css")),
    "head": "".join(f"<script>{script.read_text()}</script>" for script in sorted(SCRIPTS.glob("*.js"))),
    "i18n": LABELS,
    "app_kwargs": {"middleware": [Middleware(DarkFromTheStart), Middleware(OwnLanguages)]},
    "footer_links": ["api"],
    "max_file_size": "40mb",  # a phone's largest photo, twice over
    "run_history": False,  # an unreleased collection leaves no trace in the browser
    "enable_monitoring": False,
    "state_session_capacity": 300,  # visitors whose state Gradio keeps after they have gone, half a megabyte each
    "ssr_mode": False,
    "mcp_server": mcp_is_installed(),  # assistants; without the package the page is the same for everybody else
}
