"""What lies in the repository: small files, no pickles, and lists that agree with each other."""

import ast
import os
import re
import subprocess
from pathlib import Path

import pytest
from packaging.requirements import Requirement


ROOT = Path(__file__).parents[1]
MEGABYTE = 1_000_000


@pytest.fixture(scope="module")
def files() -> list[Path]:
    """All that is tracked, or would be."""
    command = ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, capture_output=True, text=True, check=False)
    if listed.returncode != 0:
        pytest.skip("not a git checkout")
    return [path for name in listed.stdout.split("\0") if name and (path := ROOT / name).is_file()]


def test_no_file_is_large(files):
    assert [path.name for path in files if path.stat().st_size >= 10 * MEGABYTE] == []


def test_the_models_that_ship_are_small(files):
    models = ROOT / "assets" / "models"
    assert sum(path.stat().st_size for path in files if models in path.parents) <= 40 * MEGABYTE


def test_no_weights_are_pickled(files):
    """A pickle can hold code; safetensors cannot."""
    pickled = []
    for path in files:
        with path.open("rb") as file:
            start = file.read(256)
        is_torch_archive = start[:4] == b"PK\x03\x04" and b"data.pkl" in start
        if (
            path.suffix in (".bin", ".ckpt", ".pickle", ".pkl", ".pt", ".pth")
            or start[:1] == b"\x80"
            or is_torch_archive
        ):
            pickled.append(path.name)
    assert pickled == []


def in_the_locales_encoding(call: ast.Call) -> bool:
    """Whether a call reads or writes text without saying in which encoding."""
    name = getattr(call.func, "attr", getattr(call.func, "id", ""))
    given = {keyword.arg: keyword.value for keyword in call.keywords}
    if "encoding" in given:
        return False
    if "text" in given or "universal_newlines" in given or name in ("read_text", "write_text"):
        return True
    if name != "open" or getattr(getattr(call.func, "value", None), "id", "") in ("Image", "tarfile", "self"):
        return False
    is_method = isinstance(call.func, ast.Attribute)
    mode = given.get("mode") or next(iter(call.args[0 if is_method else 1 :]), ast.Constant("r"))
    return isinstance(mode, ast.Constant) and re.fullmatch(r"[rwax+t]+", str(mode.value)) is not None


def test_texts_are_read_and_written_in_utf_8_whatever_the_locale():
    wrong = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in [ROOT / "app.py", *(ROOT / "fashionflow").rglob("*.py"), *(ROOT / "benchmarks").rglob("*.py")]
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and in_the_locales_encoding(node)
    ]
    assert wrong == []


def test_ci_runs_what_everybody_runs():
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    assert "make test" in script.read_text().splitlines()


def requirements(name: str) -> list[Requirement]:
    lines = (line.split("#")[0].strip() for line in (ROOT / name).read_text().splitlines())
    return [Requirement(line) for line in lines if line and not line.startswith("--requirement ")]


def test_every_requirement_is_pinned_within_its_range():
    pinned = {pin.name.lower().replace("_", "-"): next(iter(pin.specifier)) for pin in requirements("constraints.txt")}
    assert {pin.operator for pin in pinned.values()} == {"=="}
    assert "+" not in pinned["torch"].version  # so that machines with and without CUDA find their own build
    for requirement in [each for name in ("", "-dev", "-ray") for each in requirements(f"requirements{name}.txt")]:
        pin = pinned[requirement.name.lower().replace("_", "-")]
        assert requirement.specifier.contains(pin.version), requirement


def test_the_image_installs_what_is_pinned_and_each_file_by_its_hash():
    text = (ROOT / "requirements.lock").read_text()
    locked = dict(re.findall(r"^([\w.-]+)==(\S+)", text, re.MULTILINE))
    hashes = re.findall(r"^([\w.-]+)==\S+(?:.*\\\n +--hash=sha256:[0-9a-f]{64})+$", text, re.MULTILINE)
    assert list(locked) == hashes  # pip would refuse the whole file
    pinned = {pin.name.lower(): next(iter(pin.specifier)).version for pin in requirements("constraints.txt")}
    assert {name: version for name, version in locked.items() if pinned.get(name, version) != version} == {}
    assert {each.name.lower().replace("_", "-") for each in requirements("requirements.txt")} <= set(locked)
    assert (
        "pip install --no-cache-dir --require-hashes --requirement requirements.lock"
        in (ROOT / "Dockerfile").read_text()
    )


def test_the_image_copies_what_is_there():
    ignore = (ROOT / ".dockerignore").read_text().split()
    for sources in re.findall(r"^COPY --chown=user (.*) \S+$", (ROOT / "Dockerfile").read_text(), re.MULTILINE):
        for source in sources.split():
            assert (ROOT / source).exists(), source
            assert f"!{source}" in ignore
