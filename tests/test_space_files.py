"""What goes up to a Space, and that it serves the page."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from gradio_client import Client, handle_file
from packaging.requirements import Requirement

from fashionflow import __version__
from fashionflow.page.hosting import DEFAULT_PORT
from fashionflow.runtime.model_folder import MODEL_VARIABLE, describe_model
from fashionflow.space_files import SpaceError, space_files, unknown_files, variables, write_files
from fashionflow.video.io import read_frames, read_settings

from . import hub, tiny
from .browser import wait_until
from .serve import free_port


ROOT = Path(__file__).parents[1]
HUB_MODEL = "ann/model"
"""Which does not go along."""
WITHOUT_NETWORK = """
import runpy, sys
def refuse(event, arguments):
    if event in ("socket.getaddrinfo", "socket.connect", "socket.bind"):
        raise OSError(f"There is no network, but {arguments} was asked for.")
sys.addaudithook(refuse)
runpy.run_module("fashionflow.space", run_name="__main__")
"""


# python app.py, where FashionFlow is not installed: an editable installation would lend it the modules that the folder lacks.
APP = """
import runpy, sys
sys.meta_path[:] = [finder for finder in sys.meta_path if not finder.__module__.startswith("__editable__")]
sys.argv = ["app.py"]
runpy.run_path("app.py", run_name="__main__")
"""


def files_in(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()
    }


def settings_of(card: bytes) -> dict:
    return yaml.safe_load(card.decode().split("---\n")[1])


def git(folder: Path, *arguments: str) -> str:
    command = ["git", "-C", str(folder), "-c", "user.name=Ann", "-c", "user.email=ann@example.com", *arguments]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode:
        pytest.skip("not a git checkout")
    return result.stdout


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("space") / "written"
    write_files(space_files("gradio"), folder)
    return files_in(folder)


@pytest.fixture(scope="module")
def repository(tmp_path_factory) -> Path:
    """A repository with few files, and with some that nobody may see."""
    root = tmp_path_factory.mktemp("repository")
    names = [name for name in space_files("docker", HUB_MODEL) if "/page/" not in name]
    for name in [*names, "README.md", "packages.txt", ".gitignore"]:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, root / name) if (ROOT / name).exists() else (root / name).touch()
    git(root, "init", "--quiet")
    git(root, "add", ".")
    for name in (
        ".env",
        "fashionflow/.env",
        "fashionflow/key.pem",
        "fashionflow/token.json",
        "fashionflow/.token.json",
        "fashionflow/runs/first.json",
        "fashionflow/__pycache__/errors.pyc",
        "runs/first/model.safetensors",
        "assets/models/other/model.safetensors",
        "assets/examples/new.jpg",
    ):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"secret")
    return root


def test_a_dry_run_needs_no_network_and_names_every_file_with_its_size(written, tmp_path):
    folder = tmp_path / "space"
    command = [sys.executable, "-c", WITHOUT_NETWORK, "ann/dress", "--dry-run", str(folder), "--hardware", "l4x1"]
    result = subprocess.run(
        command, cwd=ROOT, env=hub.environment(), capture_output=True, text=True, check=False, timeout=100
    )
    assert result.returncode == 0, result.stderr
    files = files_in(folder)
    *listed, total, hardware = result.stdout.splitlines()
    said = {name: int(size.replace(",", "")) for size, name in (line.split(maxsplit=1) for line in listed)}
    assert said == {name: len(content) for name, content in files.items()}
    assert total.split() == [f"{sum(said.values()):,}", *f"bytes in {len(said)} files".split()]
    assert hardware == "Hardware: l4x1" and settings_of(files["README.md"])["suggested_hardware"] == "l4x1"
    assert {**files, "README.md": None} == {**written, "README.md": None}


def test_what_the_page_needs_goes_up_as_it_is_and_nothing_else(written):
    tracked = git(ROOT, "ls-files", "fashionflow", "assets").split()
    assert {"fashionflow/space.py", "fashionflow/training/loop.py"} <= set(tracked)
    wanted = {name for name in tracked if not name.startswith(("fashionflow/training/", "fashionflow/space"))}
    made = {"README.md", ".gitattributes"}
    assert set(written) == wanted | made | {"app.py", "requirements.txt", "packages.txt"}
    for name in set(written) - made:
        assert written[name] == (ROOT / name).read_bytes(), name


def test_a_docker_space_gets_what_its_image_is_built_from(written):
    files = space_files("docker")
    assert set(files) - set(written) == {"Dockerfile", ".dockerignore", "requirements.lock"}
    assert set(written) - set(files) == {"packages.txt", "requirements.txt"}
    for line in (ROOT / "Dockerfile").read_text().splitlines():
        if line.startswith("COPY"):
            for source in line.split()[2:-1]:
                assert any(name == source or name.startswith(f"{source}/") for name in files), source


def test_the_card_configures_each_kind_of_space(written):
    shared = {"title": "FashionFlow", "emoji": "👗", "colorFrom": "gray", "colorTo": "indigo", "pinned": False}
    shared |= {"short_description": "One garment photo becomes a short clip of it in motion"}
    pins = (ROOT / "constraints.txt").read_text().splitlines()
    gradio, docker = settings_of(written["README.md"]), settings_of(space_files("docker")["README.md"])
    assert f"gradio=={gradio['sdk_version']}" in pins
    python = {"python_version": gradio["python_version"], "sdk_version": gradio["sdk_version"]}
    assert gradio == shared | python | {"sdk": "gradio", "app_file": "app.py"}
    assert gradio["python_version"] in ("3.11", "3.12", "3.13")
    assert docker == shared | {"sdk": "docker", "app_port": 7860}
    assert docker["app_port"] == DEFAULT_PORT  # which `app.py` takes in the image, unless told otherwise
    assert "EXPOSE 7860" in (ROOT / "Dockerfile").read_text()


def test_a_push_of_the_folder_sends_what_is_binary_to_the_large_file_storage(written, tmp_path):
    git(tmp_path, "init", "--quiet")
    (tmp_path / ".gitattributes").write_bytes(written[".gitattributes"])
    told = git(tmp_path, "check-attr", "-z", "filter", "--", *written).split("\0")
    filters = dict(zip(told[::3], told[2::3], strict=False))
    binary = {name for name, content in written.items() if hub.is_binary(content)}
    assert len(binary) > 15
    assert {name for name in written if filters[name] == "lfs"} == binary


def test_our_own_repository_is_cloned_without_large_file_storage():
    assert "filter: lfs" not in git(ROOT, "check-attr", "filter", "--", "docs/page.png", "a.safetensors", "a.mp4")


def test_what_git_does_not_keep_stays_here(repository):
    files = space_files("docker", HUB_MODEL, root=repository)
    kept = set(git(repository, "ls-files").splitlines())
    assert set(files) <= kept | {".gitattributes"}
    assert unknown_files(repository) == [
        "assets/examples/new.jpg",
        "fashionflow/.token.json",
        "fashionflow/token.json",
    ]


def test_an_archive_of_the_repository_is_enough(repository, tmp_path):
    copy = tmp_path / "archive"
    shutil.copytree(repository, copy, ignore=shutil.ignore_patterns(".git", "runs"))
    more = set(space_files("docker", HUB_MODEL, root=copy)) - set(space_files("docker", HUB_MODEL, root=repository))
    assert more == {"assets/examples/new.jpg", "fashionflow/token.json"}
    (copy / "app.py").unlink()
    with pytest.raises(SpaceError, match=r"app\.py' is missing; clone the repository of FashionFlow whole\."):
        space_files("gradio", HUB_MODEL, root=copy)


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    """A model's folder in which other things lie, too."""
    folder = tmp_path_factory.mktemp("models") / "my model"
    tiny.guided_pipeline().save_pretrained(folder)
    for name in (".env", "unet/optimizer.bin", "unet/.token.json", "checkpoint-100/model.safetensors", "notes.json"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(b"secret")
    return folder


def test_a_model_of_ones_own_goes_along_without_what_else_lies_there(model, tmp_path, monkeypatch):
    files = space_files("gradio", str(model))
    assert not [name for name in files if "fashionflow-mini" in name]
    assert not [path for path in files.values() if isinstance(path, Path) and path.read_bytes() == b"secret"]
    write_files(files, tmp_path)
    monkeypatch.chdir(tmp_path)
    told = variables(str(model))
    assert told == {MODEL_VARIABLE: "assets/models/my-model"} and b"`my-model`" in files["README.md"]
    assert describe_model(told[MODEL_VARIABLE]).has_geometry
    for path in Path("assets/models/my-model").rglob("*.*"):
        assert path.read_bytes() == (model / path.relative_to("assets/models/my-model")).read_bytes()


def test_a_model_of_the_hub_is_named_and_not_uploaded():
    files = space_files("gradio", "ann/model@v1")
    assert not [name for name in files if name.endswith(".safetensors")] and b"`ann/model@v1`" in files["README.md"]
    assert variables("ann/model@v1") == {MODEL_VARIABLE: "ann/model@v1"}


def test_what_cannot_be_written_whole_is_not_written_at_all(tmp_path):
    with pytest.raises(SpaceError, match="cannot be written"):
        write_files({"a": b"", "b": tmp_path / "absent"}, tmp_path / "half")
    assert not (tmp_path / "half").exists()


def test_on_zero_gpu_only_its_own_versions_are_asked_for():
    ours, files = (space_files("gradio", HUB_MODEL, hardware) for hardware in (None, "zero-a10g"))
    assert set(files) == set(ours)
    settings = settings_of(files["README.md"])
    assert settings.pop("python_version") == "3.12.12"
    assert settings.items() <= settings_of(ours["README.md"]).items()
    lines = [line for line in ours["requirements.txt"].read_text().splitlines() if not line.startswith("#")]
    theirs = files["requirements.txt"].decode().splitlines()
    assert {line for line in lines if line not in theirs} == {
        line for line in lines if line.startswith(("torch", "xformers"))
    }
    assert [line for line in theirs if line not in lines] == ["torch==2.11.0", "spaces>=0.51"]
    (torch,) = (Requirement(line) for line in lines if line.startswith("torch"))
    assert torch.specifier.contains("2.11.0")  # so that it can run what is tested


def test_the_page_is_served_from_what_goes_up(tmp_path):
    """By the folder's own code, with the model in it."""
    folder, port = tmp_path / "space", free_port()
    write_files(space_files("gradio"), folder)
    package = folder / "fashionflow" / "__init__.py"
    package.write_text(package.read_text().replace(__version__, "the Space's own"))
    (tmp_path / "temporary").mkdir()
    surroundings = hub.environment(
        TMPDIR=str(tmp_path / "temporary"), HF_HUB_OFFLINE="1", GRADIO_SERVER_PORT=str(port)
    )
    with (tmp_path / "log").open("w") as log:
        page = subprocess.Popen([sys.executable, "-c", APP], cwd=folder, env=surroundings, stdout=log, stderr=log)
    try:
        wait_until(lambda: "Running " in (tmp_path / "log").read_text() or page.poll() is not None)
        assert page.poll() is None, (tmp_path / "log").read_text()
        client = Client(
            f"http://127.0.0.1:{port}",
            verbose=False,
            download_files=tmp_path / "downloads",
            analytics_enabled=False,
        )
        photo = handle_file(folder / "assets" / "examples" / "striped-dress.jpg")
        clip, _ = client.predict(photo, motion="sway", frames=2, steps=1, seed=3, api_name="/animate")
        assert read_frames(clip).shape[1:] == (640, 512, 3)
        assert read_settings(clip)["version"] == "the Space's own"  # and not ours, which is installed here
        client.close()
    finally:
        page.terminate()
        page.wait(timeout=30)
