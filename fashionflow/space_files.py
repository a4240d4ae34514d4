"""The files of a Hugging Face Space with the page: which of the repository's go up, and the two that are written for it."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

from . import __version__
from .runtime.model_folder import HUB_ID, MODEL_VARIABLE, SHIPPED_MODEL, check_files, find_folder, not_loadable


ROOT = Path(__file__).resolve().parents[1]
NEEDED = ("fashionflow/", "assets/examples/", "assets/recorded/")
NOT_NEEDED = ("fashionflow/training/", "fashionflow/space")
"""Parts of the above that the page does not import."""
SUFFIXES = {".py", ".json", ".js", ".css", ".jpg", ".mp4", ".md"}
"""Of files in the folders above. Keys, certificates, checkpoints and archives have others, and never go up."""
MODELS = "assets/models"
BESIDE = {
    "gradio": ("app.py", "requirements.txt", "packages.txt"),
    "docker": ("app.py", "requirements.lock", "Dockerfile", ".dockerignore"),
}
"""Files at the top, for each kind of Space."""
PORT = 7860  # of the Dockerfile

ZERO_GPU = "zero-a10g"
"""The hardware of ZeroGPU, which runs the following versions and no others, as of August 2026."""
ZERO_GPU_PYTHON = "3.12.12"
ZERO_GPU_REQUIREMENTS = {"torch": "torch==2.11.0", "xformers": None, "spaces": "spaces>=0.51"}
"""Lines of requirements.txt that differ there. xFormers has no kernel for its cards."""

# What the Hub wants in its large-file storage. It refuses a push of plain binary files.
LARGE_FILES = (
    *("avif", "gif", "heic", "ico", "jpeg", "jpg", "png", "webp"),
    *("mov", "mp3", "mp4", "wav", "webm"),
    *("bin", "ckpt", "npy", "npz", "onnx", "pkl", "pt", "pth", "safetensors"),
    *("gz", "pdf", "tar", "ttf", "woff2", "zip"),
)


class SpaceError(ValueError):
    """There will be no Space, or only a part of it. The message says in one sentence what was wrong, with what, and what to do."""


def space_files(
    kind: str, model: str | None = None, hardware: str | None = None, root: Path = ROOT
) -> dict[str, Path | bytes]:
    """The files of a Space: for each name, the file that it is a copy of, or its content.

    Args:
        kind: "gradio" or "docker".
        model: a model's folder, which goes along, or its Hub id, which the Space downloads; `None` for the model that ships.
        hardware: what it will run on, which the Space's card suggests to whoever copies it; ZeroGPU has versions of its own.
        root: the repository.

    Raises:
        SpaceError, ModelError: if something is missing.
    """
    names = [*BESIDE[kind], *(name for name in known_files(root) if is_needed(name))]
    for name in names:
        if not (root / name).is_file():
            raise SpaceError(f"{str(root / name)!r} is missing; clone the repository of FashionFlow whole.")
    written = {"README.md": card(kind, model, hardware, root).encode(), ".gitattributes": git_attributes().encode()}
    if hardware == ZERO_GPU:
        written["requirements.txt"] = zero_gpu_requirements(
            (root / "requirements.txt").read_text(encoding="utf-8")
        ).encode()
    return {name: root / name for name in names} | model_files(model, root) | written


def zero_gpu_requirements(ours: str) -> str:
    """The requirements.txt of a Space on ZeroGPU."""
    kept = [line for line in ours.splitlines() if re.match(r"[\w.-]*", line)[0] not in ZERO_GPU_REQUIREMENTS]
    lines = [line for line in kept if not line.startswith("#")]
    return "\n".join([*lines, *filter(None, ZERO_GPU_REQUIREMENTS.values())]) + "\n"


def known_files(root: Path) -> list[str]:
    """The files of the repository that git keeps; without git's folder, as in an archive of the repository, all but hidden ones."""
    if (root / ".git").exists():
        return _git(root, "ls-files", "-z", "--cached")
    return [
        name
        for path in sorted(root.rglob("*"))
        if path.is_file() and not re.search(r"(^|/)(\.|__pycache__/)", name := path.relative_to(root).as_posix())
    ]


def unknown_files(root: Path = ROOT) -> list[str]:
    """What the Space might need but git does not keep, so that it does not go up."""
    if not (root / ".git").exists():
        return []
    return [name for name in _git(root, "ls-files", "-z", "--others", "--exclude-standard") if is_needed(name)]


def is_needed(name: str) -> bool:
    return name.startswith(NEEDED) and not name.startswith(NOT_NEEDED) and Path(name).suffix in SUFFIXES


def _git(root: Path, *arguments: str) -> list[str]:
    try:
        listed = subprocess.run(
            ["git", "-C", str(root), *arguments], capture_output=True, encoding="utf-8", check=True
        )
    except (OSError, subprocess.CalledProcessError) as error:
        reason = (getattr(error, "stderr", None) or str(error)).strip().splitlines()[0].rstrip(".")
        raise SpaceError(
            f"git cannot list the files in {str(root)!r} ({reason}); make `git status` work there."
        ) from error
    return [name for name in listed.stdout.split("\0") if name]


def model_files(model: str | None, root: Path = ROOT) -> dict[str, Path]:
    """The files of the model that go along: those that it is loaded from, and nothing else that lies in its folder."""
    if model is not None and not is_folder(model) and HUB_ID.fullmatch(model):
        return {}
    folder = find_folder(model or root / MODELS / SHIPPED_MODEL.name).resolve()
    try:
        check_files(folder)
    except ValueError as error:
        raise not_loadable(model or folder, str(error).rstrip(".")) from error
    index = json.loads((folder / "model_index.json").read_text(encoding="utf-8"))
    parts = [name for name, kind in index.items() if isinstance(kind, list) and kind[0] is not None]
    paths = [
        path
        for part in parts
        for path in sorted((folder / part).glob("[!.]*"))
        if path.suffix in (".json", ".safetensors")
    ]
    names = ["model_index.json", *(path.relative_to(folder).as_posix() for path in paths)]
    if (folder / "README.md").is_file():  # says where the weights come from, and under which licence
        names.append("README.md")
    return {f"{place(folder)}/{name}": folder / name for name in names}


def variables(model: str | None) -> dict[str, str]:
    """The environment variables that tell the Space which model to use."""
    if model is None:
        return {}
    return {MODEL_VARIABLE: place(Path(model).expanduser().resolve()) if is_folder(model) else model}


def is_folder(model: str) -> bool:
    return Path(model).expanduser().is_dir()


def place(folder: Path) -> str:
    """Where the Space has the model of a folder."""
    return f"{MODELS}/{re.sub(r'[^a-zA-Z0-9_.-]+', '-', folder.name).strip('.-') or 'model'}"


def card(kind: str, model: str | None, hardware: str | None, root: Path = ROOT) -> str:
    """The README.md of the Space. The lines at its top configure it; they are those of the repository's README, but for what differs."""
    try:
        _, head, text = (root / "README.md").read_text(encoding="utf-8").split("---\n", 2)
        settings = dict(line.split(": ", 1) for line in head.splitlines())
        gradio, python = (settings.pop(name) for name in ("sdk_version", "python_version"))
        title, said = text.strip().split("\n\n")[:2]
    except (OSError, ValueError, KeyError) as error:
        raise SpaceError(
            f"The first lines of {str(root / 'README.md')!r} do not configure a Space; clone the repository of FashionFlow whole."
        ) from error
    settings["sdk"] = kind
    if kind == "gradio":
        settings |= {"sdk_version": gradio, "python_version": python}
    else:
        del settings["app_file"]
        settings["app_port"] = PORT
    if hardware == ZERO_GPU:  # the Hub's list of what a card may suggest does not have it
        settings["python_version"] = ZERO_GPU_PYTHON
    elif hardware is not None:
        settings["suggested_hardware"] = hardware
    used = variables(model).get(MODEL_VARIABLE, SHIPPED_MODEL.name).removeprefix(f"{MODELS}/")
    lines = "\n".join(f"{name}: {value}" for name, value in settings.items())
    return (
        f"---\n{lines}\n---\n\n{title}\n\n{said}\n\n"
        f"Made by `python -m fashionflow.space` of FashionFlow {__version__}, with the model `{used}`.\n"
    )


def git_attributes() -> str:
    """The .gitattributes of the Space. It is not in our own repository, because that must be cloned without git-lfs."""
    return "".join(f"*.{suffix} filter=lfs diff=lfs merge=lfs -text\n" for suffix in LARGE_FILES)


def write_files(files: dict[str, Path | bytes], folder: Path) -> None:
    """Writes the files into a folder that is empty or does not exist yet; if that fails, it leaves nothing behind."""
    try:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise SpaceError(f"{str(folder)!r} is not an empty folder; empty it, or give another name.")
        try:
            for name, source in files.items():
                path = folder / name
                path.parent.mkdir(parents=True, exist_ok=True)
                if isinstance(source, bytes):
                    path.write_bytes(source)
                else:
                    shutil.copyfile(source, path)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
    except OSError as error:
        raise SpaceError(
            f"{str(folder)!r} cannot be written ({error.strerror or error}); give another folder."
        ) from error


def size(source: Path | bytes) -> int:
    """Bytes of a file of `space_files`."""
    return len(source) if isinstance(source, bytes) else source.stat().st_size
