"""What the page says, in the visitor's language.

Labels are translated by Gradio in the browser (`LABELS`), sentences with numbers in them on the server (`words_for`). Both take
the language that the browser names first, so that a page never mixes two. The texts are in a folder a language,
a JSON file for each piece of the page; English is the measure of what must be there.
"""

import json
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path

import gradio as gr

from ...errors import SENTENCES as REFUSALS
from ...errors import UploadError
from ...photo.checks import SENTENCES


FOLDER = Path(__file__).parent
FALLBACK = "en"

Words = Callable[..., str]
"""`words("status.step", index=1, total=4)` is that sentence in one visitor's language."""


@cache
def texts() -> dict[str, dict[str, str]]:
    """All texts, by language and key."""
    gathered: dict[str, dict[str, str]] = {}
    for path in sorted(FOLDER.glob("*/*.json")):
        gathered.setdefault(path.parent.name, {}).update(json.loads(path.read_text(encoding="utf-8")))
    gathered[FALLBACK].update({f"advice.{key}": sentence for key, sentence in SENTENCES.items()})
    gathered[FALLBACK].update({f"refused.{key}": sentence for key, sentence in REFUSALS.items()})
    return gathered


LABELS = gr.I18n(**texts())
"""`LABELS("photo.label")` is a text that the browser translates, whole; numbers cannot be put into it."""


def words_for(request: gr.Request | None) -> Words:
    """Sentences in the language of whoever sent a request; in English for programs and for languages that we have not."""
    accepted = request.headers.get("accept-language", "") if request else ""
    first = accepted.split(",")[0].split(";")[0].strip().lower()
    language = first if first in texts() else first.split("-")[0]
    return partial(_say, language if language in texts() else FALLBACK)


def _say(language: str, key: str, **values) -> str:
    return texts()[language][key].format(**values)


def words_of(error: Exception, words: Words) -> str:
    """What an error says, in a visitor's language if it is one of an upload."""
    return words(f"refused.{error.key}", **error.values) if isinstance(error, UploadError) else str(error)


ENGLISH: Words = partial(_say, FALLBACK)
