"""The house: every module lies in a room, rooms import only from those before them, and no file is long."""

import ast
from pathlib import Path

import pytest

import fashionflow


PACKAGE = Path(fashionflow.__file__).parent
ROOMS = ["models", "photo", "pipelines", "video", "runtime", "generation", "evaluation", "training", "page"]
ON_TOP = {"__init__", "__main__", "catalogue", "errors", "space", "space_files"}
MOST_LINES = 400


def imported(path: Path) -> set[str]:
    """The modules of the package that a file imports, dotted, without the package's own name."""
    folder = path.relative_to(PACKAGE).parent.parts
    modules = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level:
            modules.add(
                ".".join([*folder[: len(folder) + 1 - node.level], *(node.module or "").split(".")]).strip(".")
            )
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == PACKAGE.name:
            modules.add(node.module.partition(".")[2])
    return modules


def test_nothing_lies_outside_the_rooms():
    assert {path.stem for path in PACKAGE.glob("*.py")} == ON_TOP
    assert sorted(path.parent.name for path in PACKAGE.glob("*/__init__.py")) == sorted(ROOMS)


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_only_from_those_before_it(room):
    allowed = {*ROOMS[: ROOMS.index(room) + 1], "errors", ""}
    wrong = {
        (str(path.relative_to(PACKAGE)), module)
        for path in (PACKAGE / room).rglob("*.py")
        for module in imported(path)
        if module.split(".")[0] not in allowed
    }
    assert not wrong


@pytest.mark.parametrize(
    "folder", sorted({path.parent for path in PACKAGE.glob("*/**/__init__.py")}), ids=lambda path: path.name
)
def test_every_room_says_what_it_holds(folder):
    said = ast.get_docstring(ast.parse((folder / "__init__.py").read_text(encoding="utf-8")))
    assert said and len(said.split()) > 15


def test_no_file_is_long():
    root = PACKAGE.parent
    folders = (PACKAGE, root / "tests", root / "benchmarks")
    files = [root / "app.py", *(path for folder in folders for path in folder.rglob("*.py"))]
    lines = {str(path.relative_to(root)): len(path.read_text(encoding="utf-8").splitlines()) for path in files}
    assert len(lines) > 100 and {name: count for name, count in lines.items() if count > MOST_LINES} == {}
