"""Every text of the page in every language, and the page in a browser that speaks it."""

import re
from pathlib import Path
from string import Formatter
from types import SimpleNamespace

import pytest

import fashionflow.page
from fashionflow import errors
from fashionflow.evaluation import fidelity
from fashionflow.page.languages import ENGLISH, FALLBACK, texts, words_for, words_of
from fashionflow.page.settings import Settings
from fashionflow.page.stage import KEYS
from fashionflow.photo.reading import PhotoError, read_photo
from fashionflow.pipelines.motions import MOTIONS
from fashionflow.runtime.memory_modes import MEMORY_CHOICES
from fashionflow.video.export import FORMATS, PLAYS, SHAPES

from . import tiny
from .browser import choose


PAGE = Path(fashionflow.page.__file__).parent
LANGUAGES = ("de", "fr", "it", "ja")

# What stands in the braces of a key that is put together where it is used, by the key before them.
SET = [name for name in Settings.NAMES if name not in ("motion", "seed", "sampler", "memory")]
KNOWN = {
    "advanced.": [*SET, *(f"{name}_info" for name in SET)],
    "advanced.memory_": [*MEMORY_CHOICES, "costs", "info"],
    "advice.": [key.removeprefix("advice.") for key in texts()[FALLBACK] if key.startswith("advice.")],
    "advice.remedy_": ("show-all", "zoom-out", "clean-background", "sharpen", "brighten"),
    "gpu.": errors.NO_GPU,
    "lookbook.": ("make", "stop", "longer", "full"),
    "lookbook.no_": ("longer", "full"),
    "lookbook.say_": ("longer", "full"),
    "motion.": MOTIONS,
    "refused.": errors.SENTENCES,
    "no_worker.": errors.NO_WORKER,
    "not_written.": errors.NOT_WRITTEN,
    "stage.": ("title", "tagline", "working", "space", "keys", "unreachable"),
    "stage.key_": [name for _, name in KEYS],
    "viewer.": [
        *(key.replace(" ", "_") for key in fidelity.SENTENCES),
        *("colour_difference", "similarity", "again", "longer", "open_comparison", "copy"),
    ],
    "viewer.badge_": [name.replace(" ", "_") for name in fidelity.VERDICTS],
    "viewer.format_": FORMATS,
    "viewer.play_": PLAYS,
    "viewer.shape_": [name for name, size in SHAPES.items() if size is None],
}
KEY = re.compile(
    r"(f?)\"((?:page|photo|crop|motion|run|time_estimate|advanced|stage|status|job|time|advice|history|lookbook|viewer|refused|gradio|gpu|not_written)\.[^\" ]*)\""
)


def placeholders(text: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(text) if name}


def request(accepted: str) -> SimpleNamespace:
    return SimpleNamespace(headers={"accept-language": accepted} if accepted else {})


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_language_has_every_text_and_no_other_with_the_same_placeholders(language):
    english, own = texts()[FALLBACK], texts()[language]
    assert set(english) - set(own) == set(), "missing"
    assert set(own) - set(english) == set(), "too many"
    for key, text in english.items():
        assert own[key].strip(), key
        assert placeholders(own[key]) == placeholders(text), key
        assert own[key].count("**") == text.count("**") and own[key].count("<") == text.count("<"), key


def test_every_text_that_the_page_asks_for_is_there():
    asked = set()
    for path in PAGE.glob("**/*.py"):
        for is_formatted, key in KEY.findall(path.read_text()):
            if not is_formatted:
                asked.add(key)
                continue
            prefix = re.match(r"[^{]*", key)[0]
            assert prefix in KNOWN, f"{path.name} puts {key!r} together; say in KNOWN of what"
            asked.update(prefix + name for name in KNOWN[prefix])
    assert len(asked) > 150
    assert asked - {"photo.jpg"} - set(texts()[FALLBACK]) == set()


@pytest.mark.parametrize(
    ("accepted", "language"),
    [
        ("de", "de"),
        ("de-AT,de;q=0.9,en;q=0.8", "de"),
        ("fr-CA;q=1, en", "fr"),
        ("IT-it", "it"),
        ("ja", "ja"),
        ("en-US,de;q=0.9", "en"),
        ("ko,de;q=0.9", "en"),  # the browser goes by the first alone
        ("", "en"),
        (";;,", "en"),
    ],
)
def test_the_language_is_the_first_that_the_browser_names(accepted, language):
    assert words_for(request(accepted))("run.animate") == texts()[language]["run.animate"]


def test_programs_are_answered_in_english():
    assert words_for(None)("run.animate") == ENGLISH("run.animate") == "Animate"


def test_what_is_wrong_with_a_photo_is_said_in_the_visitors_language_and_to_programs_in_english():
    with pytest.raises(PhotoError) as caught:
        read_photo(tiny.photo().resize((20, 30)))
    assert words_of(caught.value, ENGLISH) == str(caught.value)
    said = words_of(caught.value, words_for(request("de-DE")))
    assert "20 x 30 Pixeln zu klein" in said
    assert words_of(ValueError("Something else."), words_for(request("de-DE"))) == "Something else."


def test_numbers_have_the_decimal_sign_of_their_language():
    given = {"seconds": "2.8"}
    assert "2,8 s" in words_for(request("de-DE"))("viewer.begins", **given)
    for other in (words_for(request("ja-JP")), ENGLISH):
        assert "2.8" in other("viewer.begins", **given)
    german = words_for(request("de"))
    assert "1,3 GB" in german("advanced.memory_costs", mode="x", costs="1.3 GB")
    assert "1.mp4" in german("advanced.memory_costs", mode="1.mp4", costs="7")  # a name is no number


@pytest.mark.browser
@pytest.mark.parametrize(("locale", "language"), [("de-DE", "de"), ("fr-FR", "fr"), ("it-IT", "it"), ("ja-JP", "ja")])
def test_the_whole_page_speaks_one_language(visit, url, dress, tmp_path, locale, language):
    own, english = texts()[language], texts()[FALLBACK]
    page = visit(url, locale=locale)
    page.wait_for_function(f"document.documentElement.lang === '{language}'")
    empty = tmp_path / "empty.jpg"
    empty.touch()
    page.set_input_files("#photo input[type=file]", empty)
    page.get_by_text(own["refused.empty"]).wait_for()
    choose(page, dress)
    page.click("#animate")
    page.locator("#status", has_text=own["status.done"]).wait_for()
    page.wait_for_selector("#download")
    for fold in ("advanced", "formats", "clip-settings", "lookbook", "history"):
        page.click(f"#{fold} > button")
    page.wait_for_selector("#lookbook-time-estimate p")
    page.wait_for_selector("#history-number")
    seen = page.inner_text("body")
    lines = {line.strip() for line in seen.splitlines()}
    said = {own[key] for key in own}
    assert not (set(english.values()) - said) & lines
    # Sentences with numbers in them: their longest words between the numbers.
    for key, text in english.items():
        longest = max((part[0] for part in Formatter().parse(text)), key=len).strip()
        if longest.count(" ") > 1 and longest not in own[key]:
            assert longest not in seen, key
    assert "__i18n__" not in seen
    assert not [key for key in english if key in seen]
