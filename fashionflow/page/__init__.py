"""The page: one photo in, a clip out. `build_page` puts it together, `LAUNCH_SETTINGS` say how it is served."""

from .layout import build_page
from .serving import LAUNCH_SETTINGS, QUEUE_SETTINGS


__all__ = ["LAUNCH_SETTINGS", "QUEUE_SETTINGS", "build_page"]
