"""The texts of the page in the visitor's language.

Gradio translates labels in the browser (`LABELS`), and the server translates sentences with numbers in them (`words_for`). Both use the
language that the browser names first, so a page never mixes two languages. Each language has a folder with one JSON file for each part of
the page. Every language must have the same texts as English.
"""

import json
import re
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path

import gradio as gr

from ...errors import NO_GPU, NO_WORKER, NOT_WRITTEN, UploadError
from ...errors import SENTENCES as REFUSALS
from ...photo.checks import SENTENCES


FOLDER = Path(__file__).parent
FALLBACK = "en"

WITH_DECIMAL_COMMA = ("de", "fr", "it")
NUMBER = re.compile(r"^(\d+)\.(\d+)(?=$| [kMG]B$)")
"""A value that is a number with decimals, perhaps in bytes."""

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
    gathered[FALLBACK].update({f"gpu.{key}": sentence for key, sentence in NO_GPU.items()})
    gathered[FALLBACK].update({f"no_worker.{key}": sentence for key, sentence in NO_WORKER.items()})
    gathered[FALLBACK].update({f"not_written.{key}": sentence for key, sentence in NOT_WRITTEN.items()})
    return gathered


LABELS = gr.I18n(**texts())
"""`LABELS("photo.label")` is a text that the browser translates as a whole; numbers cannot be inserted into it."""


def words_for(request: gr.Request | None) -> Words:
    """Sentences in the language of the visitor who sent a request; in English for programs and for languages that we do not have."""
    accepted = request.headers.get("accept-language", "") if request else ""
    first = accepted.split(",")[0].split(";")[0].strip().lower()
    language = first if first in texts() else first.split("-")[0]
    return partial(_say, language if language in texts() else FALLBACK)


def _say(language: str, key: str, **values) -> str:
    if language in WITH_DECIMAL_COMMA:
        values = {
            name: NUMBER.sub(r"\1,\2", value) if isinstance(value, str) else value for name, value in values.items()
        }
    return texts()[language][key].format(**values)


def words_of(error: Exception, words: Words) -> str:
    """The message of an error, in the visitor's language if it is an `UploadError`."""
    return words(f"refused.{error.key}", **error.values) if isinstance(error, UploadError) else str(error)


ENGLISH: Words = partial(_say, FALLBACK)
