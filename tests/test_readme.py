"""What the README and the pages beside it tell people to type, and whether what they name is there."""

import ast
import json
import re
import runpy
import shlex
import shutil
import tomllib
from dataclasses import fields
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import pytest
from transformers import HfArgumentParser

from benchmarks import __main__ as benchmarks
from benchmarks.columns import choose_columns
from benchmarks.rows import choose_rows
from fashionflow import __main__ as command
from fashionflow import __version__
from fashionflow.pipelines.motions import PRESETS
from fashionflow.runtime.acceleration import NUMBER_FORMATS
from fashionflow.training.autoencoder import AutoencoderConfig
from fashionflow.training.decoder import DecoderConfig
from fashionflow.training.denoiser import DenoiserConfig
from fashionflow.training.geometry import GeometryConfig
from fashionflow.training.recipes import parse_config
from fashionflow.training.synthesis import __main__ as synthesis
from fashionflow.video.io import read_frames

from .programs import ENDPOINTS
from .test_layout import ROOMS
from .test_page_api import CURL, PROGRAM
from .test_page_languages import LANGUAGES


ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "fashionflow"
FILES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md"))]
PAGES = {path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8") for path in FILES}
README = PAGES["README.md"]
FENCED = re.compile(r"```(\w*)\n(.*?)```", re.DOTALL)
BLOCKS = [block for text in PAGES.values() for block in FENCED.findall(text)]
PROSE = {name: FENCED.sub("", text) for name, text in PAGES.items()}
CODE = {name: re.findall(r"`([^`\n]+)`", text) for name, text in PROSE.items()}
COMMANDS = [
    shlex.split(line, comments=True)
    for language, block in BLOCKS
    if not language
    for line in block.replace("\\\n", " ").splitlines()
    if line
]
IN_PROSE = [
    shlex.split(code)
    for codes in CODE.values()
    for code in codes
    if re.match(r"(time )?python (-m|app\.py) ?|make ", code)
]
CONFIGS = {
    "fashionflow.training.geometry": GeometryConfig,
    "fashionflow.training.autoencoder": AutoencoderConfig,
    "fashionflow.training.decoder": DecoderConfig,
    "fashionflow.training.denoiser": DenoiserConfig,
    "fashionflow.training.borrowed_gpu": DenoiserConfig,
}
LANGUAGE_NAMES = {"en": "English", "de": "German", "fr": "French", "it": "Italian", "ja": "Japanese"}


def program(words: list[str]) -> str | None:
    """The module of ours that a command runs; `None` for the programs of others."""
    if "-m" in words[:4]:
        module = words[words.index("-m") + 1]
        return module if module.split(".")[0] in ("fashionflow", "benchmarks") else None
    return "app" if "app.py" in words[:2] else None


@cache
def source(module: str) -> str:
    """The text of a module, or of what `python -m` runs of a package."""
    if module == "app":
        return (ROOT / "app.py").read_text(encoding="utf-8")
    path = Path(find_spec(module).origin)
    return (path.with_name("__main__.py") if path.name == "__init__.py" else path).read_text(encoding="utf-8")


def anchors(text: str) -> set[str]:
    """What GitHub calls the headings of a page."""
    headings = re.findall(r"^#+ (.*)$", FENCED.sub("", text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_command_line_examples_parse():
    examples = [words[3:] for words in COMMANDS if words[:3] == ["python", "-m", "fashionflow"]]
    first, with_back, folder = (command.make_parser().parse_args(arguments) for arguments in examples)
    assert (first.photo, first.clip, first.motion, first.seed) == ("dress.jpg", "dress.mp4", "spin", 7)
    assert (with_back.clip, with_back.back, with_back.motion) == ("dress-back.mp4", "back.jpg", "show-the-back")
    assert (folder.photo, folder.clip, folder.motion) == ("photos", "clips", "turn-right")


@pytest.mark.parametrize(
    "program", ["geometry", "autoencoder", "denoiser", "decoder", "prepare", "export", "pack", "borrowed_gpu"]
)
def test_training_examples_name_real_programs(program):
    assert any(f"fashionflow.training.{program}" in words for words in COMMANDS)
    assert (PACKAGE / "training" / f"{program}.py").is_file()


@pytest.mark.parametrize(
    ("program", "config"),
    [
        ("geometry", GeometryConfig),
        ("autoencoder", AutoencoderConfig),
        ("decoder", DecoderConfig),
        ("denoiser", DenoiserConfig),
    ],
)
def test_training_examples_parse(program, config, tmp_path, monkeypatch):
    for folder, suffix in (("clips", "mp4"), ("layers", "npz")):
        (tmp_path / folder).mkdir()
        for name in ("000001", "000007"):
            (tmp_path / folder / f"{name}.{suffix}").touch()
    monkeypatch.chdir(tmp_path)
    (arguments,) = [words[4:] for words in COMMANDS if words[3:4] == [f"fashionflow.training.{program}"]]
    HfArgumentParser(config).parse_args_into_dataclasses(arguments)


def test_every_program_named_is_there():
    programs = {words[words.index("-m") + 1] for words in [*COMMANDS, *IN_PROSE] if "-m" in words}
    assert {"fashionflow.training.synthesis", "fashionflow.evaluation", "fashionflow.evaluation.sample"} <= programs
    for name in programs:
        assert find_spec(name), name


@pytest.mark.parametrize("words", [words for words in [*COMMANDS, *IN_PROSE] if program(words)], ids=" ".join)
def test_every_option_named_is_one_of_its_program(words):
    name = program(words)
    if name in CONFIGS:
        known = {f"--{field.name}" for field in fields(CONFIGS[name])}
    else:
        known = set(re.findall(r'"(--[\w-]+)"', source(name))) | {"--help"}
    assert {word for word in words if word.startswith("--")} <= known


def test_every_make_target_named_is_there():
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    named = {words[1] for words in [*COMMANDS, *IN_PROSE] if words[0] == "make"}
    assert {"run", "test", "check", "bench"} <= named <= targets
    options = {word.removeprefix("BENCH=") for words in IN_PROSE for word in words if word.startswith("BENCH=")}
    assert options <= set(re.findall(r'"(--[\w-]+)"', source("benchmarks")))


def test_benchmark_examples_name_real_rows_and_columns():
    examples = [words[3:] for words in IN_PROSE if words[:3] == ["python", "-m", "benchmarks"]]
    assert len(examples) == 2
    for arguments in examples:
        parsed = benchmarks.make_parser().parse_args(arguments)
        assert choose_rows(parsed.rows, quick=parsed.quick)
        # The number format that is the default of this machine has no column of its own.
        names = [name for name in parsed.columns if name not in NUMBER_FORMATS]
        choose_columns(names, quick=parsed.quick, device="cpu")


def test_synthesis_example_parses():
    examples = [words[3:] for words in COMMANDS if words[2:3] == ["fashionflow.training.synthesis"]]
    clips, layers = (synthesis.parse_args(arguments) for arguments in examples)
    assert (str(clips.out), clips.clips, clips.workers, clips.layers) == ("clips", 2000, 2, False)
    assert (str(layers.out), layers.clips, layers.layers) == ("layers", 3000, True)


def test_one_command_goes_on_from_the_shipped_weights(monkeypatch):
    monkeypatch.chdir(ROOT)
    (arguments,) = [
        words[3:] for words in COMMANDS if words[2:3] == ["fashionflow.training.denoiser"] and "--start" in words
    ]
    config = parse_config(arguments)
    assert (config.stem_channels, config.block_channels, config.num_frames) == (64, [64, 128], 12)


def test_extras_named_are_declared():
    named = {
        name for text in PAGES.values() for names in re.findall(r"\.\[([a-z,]+)\]", text) for name in names.split(",")
    }
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    assert {"synthesis", "evaluation"} <= named <= set(declared)


def test_environment_variables_named_are_read():
    named = {name for text in PAGES.values() for name in re.findall(r"\bFASHIONFLOW_[A-Z0-9_]+", text)}
    code = "".join(path.read_text(encoding="utf-8") for path in [ROOT / "app.py", *PACKAGE.rglob("*.py")])
    assert len(named) >= 5
    assert named == set(re.findall(r'"(FASHIONFLOW_[A-Z0-9_]+)"', code))


def test_pipeline_example_makes_a_clip(tmp_path, monkeypatch):
    (example,) = [block for language, block in BLOCKS if language == "python" and "FashionFlowPipeline" in block]
    shutil.copy(ROOT / "assets" / "examples" / "striped-dress.jpg", tmp_path / "dress.jpg")
    (tmp_path / "assets").symlink_to(ROOT / "assets")
    (tmp_path / "example.py").write_text(example)
    monkeypatch.chdir(tmp_path)
    variables = runpy.run_path("example.py")
    frames = read_frames("dress.mp4")
    assert frames.shape[1:] == (640, 512, 3)
    assert len(frames) == variables["pipe"].config.default_num_frames


def test_the_examples_over_http_are_those_that_are_run():
    """`test_page_api` runs them against a page."""
    (example,) = [block for language, block in BLOCKS if language == "python" and "gradio_client" in block]
    assert ast.dump(ast.parse(example)) == ast.dump(ast.parse(PROGRAM))
    (example,) = [block for language, block in BLOCKS if "curl" in block]
    assert example.strip() == CURL.strip()


def test_every_block_is_checked_here():
    languages = [language for language, _ in BLOCKS]
    assert set(languages) == {"", "python", "json", "text"}
    assert languages.count("python") == 2  # those of the two tests before
    for language, block in BLOCKS:
        if language == "json":
            assert json.loads(block)["mcpServers"]["fashionflow"]["url"].endswith("/gradio_api/mcp/")


def test_every_endpoint_is_described():
    rows = [line.split("|")[1] for line in PAGES["docs/api.md"].splitlines() if line.startswith("| `/")]
    assert sorted(re.findall(r"`/(\w+)`", "".join(rows))) == sorted(ENDPOINTS)


def test_every_motion_is_in_the_readme():
    for label in ("turn left, turn right", "turn and back", "show the back", "spin", "sway", "walk", "surprise me"):
        assert f"| {label} |" in README
    listed = {label for row in re.findall(r"^\| ([\w, ]+) \|", README, re.MULTILINE) for label in row.split(", ")}
    assert {preset.label.lower() for preset in PRESETS.values()} <= listed


def test_every_language_is_tested_and_named():
    there = {path.name for path in (PACKAGE / "page" / "languages").iterdir() if list(path.glob("*.json"))}
    assert there == {"en", *LANGUAGES} == set(LANGUAGE_NAMES)
    for name in LANGUAGE_NAMES.values():
        assert name in README and name in PAGES["docs/page.md"]


@pytest.mark.parametrize("page", PAGES)
def test_what_is_linked_exists(page):
    for target, anchor in re.findall(r"\]\(((?!http)[^)#]*)#?([^)]*)\)", PROSE[page]):
        path = (ROOT / page).parent / target if target else ROOT / page
        assert path.exists(), target
        if anchor:
            assert anchor in anchors(path.read_text(encoding="utf-8")), f"{target}#{anchor}"


def test_every_page_is_linked_in_the_readme():
    linked = {target.split("#")[0] for target in re.findall(r"\]\(([^)]+)\)", README)}
    assert set(PAGES) - {"README.md"} <= linked


@pytest.mark.parametrize("page", PAGES)
def test_files_and_names_in_the_text_exist(page):
    """`a/b.py` and `tests/test_b.py::test_c` alone, and "`Name` in `a/b.py`"."""
    ours = ("fashionflow/", "tests/", "benchmarks/", "assets/", "docs/")
    for code in CODE[page]:
        path, _, test = code.partition("::")
        if path.startswith(ours) or re.fullmatch(r"[\w-]+\.(py|md|toml)", path):
            found = [ROOT / path] if "/" in path or (ROOT / path).exists() else list(PACKAGE.rglob(path))
            assert found and found[0].exists(), path
        if test:
            assert f"def {test}(" in (ROOT / path).read_text(encoding="utf-8"), code
    for name, path in re.findall(r"`(\w+)` in\s+`((?:fashionflow|tests)/[\w/]+\.py)`", PROSE[page]):
        defined = rf"^(\s*(def|class) {name}\b|{name}\b.*=)"
        assert re.search(defined, (ROOT / path).read_text(encoding="utf-8"), re.MULTILINE), f"{name} in {path}"


@pytest.mark.parametrize("page", ["SECURITY.md", "docs/field_cases.md"])
def test_every_promise_has_its_test(page):
    rows = re.findall(r"^\| (?!-|promise |kind )(.+) \|$", PAGES[page].replace("|---|---|", ""), re.MULTILINE)
    assert len(rows) > 9 and [row for row in rows if "`tests/" not in row.split(" | ")[-1]] == []


def test_the_rooms_of_the_readme_hold_what_it_says():
    rows = re.findall(r"^\| `fashionflow/(\w+)` \| (.*) \|$", README, re.MULTILINE)
    assert sorted(room for room, _ in rows) == sorted(path.parent.name for path in PACKAGE.glob("*/__init__.py"))
    for room, text in rows:
        code = "".join(path.read_text(encoding="utf-8") for path in (PACKAGE / room).rglob("*.py"))
        for name in re.findall(r"`([\w.]+)`", text):
            if name[0].isupper():
                assert f"class {name}" in code, f"{name} in {room}"
            else:
                assert (PACKAGE / room / name).exists(), f"{name} in {room}"


def test_the_picture_of_the_house_is_true():
    (picture,) = [block for language, block in BLOCKS if language == "text"]
    lines = [re.split(r" {2,}", line.strip()) for line in picture.splitlines() if line.strip() not in ("", "|")]
    assert [room for room, _, _ in lines] == ROOMS[::-1]
    for room, _, example in lines:
        code = "".join(path.read_text(encoding="utf-8") for path in (PACKAGE / room).rglob("*.py"))
        if not example.startswith(("python -m ", "started by ")):
            for name in example.removesuffix(" ...").split(", "):
                assert re.search(rf"^(def|class) {name}\b", code, re.MULTILINE), f"{name} in {room}"


def test_the_readme_is_short():
    assert len(README.splitlines()) < 200


def test_the_space_runs_what_is_tested():
    """Hugging Face reads these lines."""
    start, head, _ = README.split("---\n", 2)
    settings = dict(line.split(": ", 1) for line in head.splitlines())
    pinned = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    assert start == "" and settings["sdk"] == "gradio" and f"gradio=={settings['sdk_version']}" in pinned
    assert (ROOT / settings["app_file"]).is_file()


def test_the_changelog_begins_with_this_version():
    versions = re.findall(r"^## \[?([\w.]+)", PAGES["CHANGELOG.md"], re.MULTILINE)
    assert versions[0] == __version__
