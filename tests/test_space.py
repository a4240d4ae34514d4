"""python -m fashionflow.space: what arrives at a Hub, and one sentence for whatever is wrong."""

import subprocess
import sys
from pathlib import Path

import huggingface_hub
import pytest

from fashionflow.runtime.model_folder import MODEL_VARIABLE
from fashionflow.space import main, make_parser
from fashionflow.space_files import space_files

from . import hub, tiny
from .serve import free_port


ROOT = Path(__file__).parents[1]
NAME = "ann/dress"


def contents(*arguments) -> dict[str, bytes]:
    """What `space_files` gives, read."""
    files = space_files(*arguments)
    return {name: source if isinstance(source, bytes) else source.read_bytes() for name, source in files.items()}


@pytest.fixture
def the_hub():
    with hub.serving() as the_hub:
        yield the_hub


@pytest.fixture
def deploy(the_hub, monkeypatch, capsys):
    """Runs the command in this process, against the Hub on this machine; gives the exit status and what it printed."""
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", the_hub.address)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_DISABLE_XET", True)  # which needs a storage of its own
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(huggingface_hub.constants, "HF_TOKEN_PATH", "/absent")
    monkeypatch.setenv("HF_TOKEN", hub.TOKEN)

    def deploy(*arguments):
        try:
            status = main([*map(str, arguments)])
        except SystemExit as ended:  # argparse's own way out
            status = ended.code
        return status, capsys.readouterr()

    return deploy


def test_everything_arrives_at_the_hub(the_hub):
    files = contents("gradio", None, "l4x1")
    command = [sys.executable, "-m", "fashionflow.space", NAME, "--hardware", "l4x1", "--private"]
    surroundings = hub.environment(HF_ENDPOINT=the_hub.address, HF_TOKEN=hub.TOKEN, HF_HUB_DISABLE_XET="1")
    result = subprocess.run(
        command, cwd=ROOT, env=surroundings, capture_output=True, text=True, check=False, timeout=100
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines() == [
        "Logged in as ann.",
        "ann/dress is new.",
        f"{len(files)} files are up.",
        "Hardware: l4x1.",
        f"{the_hub.address}/spaces/ann/dress",
    ]
    space = the_hub.spaces[NAME]
    assert space.files == files
    assert (space.sdk, space.private, space.hardware, space.variables) == ("gradio", True, "l4x1", {})
    assert space.made_as == "gradio"
    assert space.large == {name for name, content in files.items() if hub.is_binary(content)}
    ours = ("/api/whoami-v2", "/api/repos/", "/api/spaces/", "/spaces/")
    assert {token for _, path, token in the_hub.requests if path.startswith(ours)} == {hub.TOKEN}
    assert {token for _, path, token in the_hub.requests if path.startswith("/lfs/")} == {
        None
    }  # somebody else's storage
    assert hub.TOKEN not in result.stdout + result.stderr
    assert not [name for name, content in space.files.items() if hub.TOKEN.encode() in content]


def test_a_space_that_is_there_is_updated(the_hub, deploy, tmp_path_factory):
    model = tiny.saved(tmp_path_factory, tiny.pipeline())
    assert deploy(NAME, "--model", model)[0] == 0
    space = the_hub.spaces[NAME]
    assert space.variables == {MODEL_VARIABLE: "assets/models/tiny"} and not space.private
    space.files |= {"fashionflow/old.py": b"", "notes [1].txt": b""}
    uploads = len(the_hub.objects)

    status, printed = deploy(NAME, "--docker", "--private", "--model", "ann/secret-model")
    assert status == 0, printed.err
    gone = sorted(name for name in space_files("gradio", str(model)) if "/tiny/" in name)
    gone = sorted([*gone, "fashionflow/old.py", "notes [1].txt", "packages.txt", "requirements.txt"])
    assert printed.out.splitlines() == [
        "Logged in as ann.",
        "Not everybody may read the model ann/secret-model: give the Space a secret HF_TOKEN that may.",
        "ann/dress is there already and is updated.",
        "It was public and is private now.",
        f"{len(space_files('docker', 'ann/secret-model'))} files are up.",
        f"Deleted, because the Space no longer needs them: {', '.join(gone)}.",
        f"Variable: {MODEL_VARIABLE}=ann/secret-model",
        f"{the_hub.address}/spaces/ann/dress",
    ]
    assert set(space.files) == set(space_files("docker", "ann/secret-model"))
    assert (space.sdk, space.private, space.hardware) == ("docker", True, "cpu-basic")
    assert len(the_hub.objects) == uploads  # what is there already is not sent again

    status, printed = deploy(NAME)
    assert status == 0 and space.variables == {} and space.private
    assert f"Deleted the variable {MODEL_VARIABLE}" in printed.out and space.files == contents("gradio")


REFUSALS = {
    "GET /api/whoami-v2": (401, "Invalid credentials", "The Hub refused the token (401: Unauthorized); log in"),
    "POST /api/repos/create": (
        403,
        "You have no rights",
        "The Hub refused the Space ann/dress (403: You have no rights); use a token that may do this",
    ),
    "POST /api/spaces/ann/dress/preupload/main": (
        403,
        "Forbidden",
        "The Hub refused the upload to ann/dress (403: Forbidden); use a token that may do this",
    ),
    "PUT /lfs/.*": (403, "Too late", "The Hub refused the upload to ann/dress (403: Too late); use a token"),
    "POST /api/spaces/ann/dress/commit/main": (
        409,
        "The Space\nhas changed.",
        "The Hub refused the upload to ann/dress (409: The Space has changed); run the command again",
    ),
    "POST /api/spaces/ann/dress/variables": (
        500,
        "Trouble",
        "The Hub refused the variables of ann/dress, whose files are up (500: Trouble); run the command again later.",
    ),
    "POST /api/spaces/ann/dress/hardware": (
        402,
        "Payment required",
        "The Hub refused the hardware 'l4x1' for ann/dress, whose files are up (402: Payment required); set up payment",
    ),
}


def assert_refused(result, sentence: str) -> None:
    """One sentence on stderr, an exit status, and never the token."""
    status, printed = result
    *_, said = printed.err.strip().splitlines()  # progress bars come before it
    assert status == 2 and said.startswith(sentence) and said.endswith("."), printed.err
    assert "Traceback" not in printed.err and hub.TOKEN not in printed.out + printed.err


@pytest.mark.parametrize("request_line", REFUSALS)
def test_what_the_hub_refuses_becomes_a_sentence(the_hub, deploy, request_line):
    status, message, sentence = REFUSALS[request_line]
    the_hub.refusals[request_line] = (status, message)
    assert_refused(deploy(NAME, "--model", "ann/model", "--hardware", "l4x1"), sentence)


def test_what_the_uploader_for_large_files_is_refused_becomes_a_sentence(the_hub, deploy, monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_DISABLE_XET", False)
    the_hub.refusals["POST /api/spaces/ann/dress/preupload/main"] = (403, "Forbidden")
    assert_refused(
        deploy(NAME, "--model", "ann/model"), "The Hub refused the upload to ann/dress (403: Forbidden); use a token"
    )


def test_a_hub_that_is_away_becomes_a_sentence(deploy, monkeypatch):
    address = f"http://127.0.0.1:{free_port()}"
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", address)
    assert_refused(deploy(NAME), f"The Hub cannot be reached at {address} (ConnectError); check the network")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["bob/dress"], "The Hub refused the Space bob/dress (403: You don't have the rights"),
        (
            [NAME, "--model", "ann/model", "--hardware", "a100-large"],
            "The Hub refused the hardware 'a100-large' for ann/dress, whose files",
        ),
        (
            [NAME, "--model", "ann/absent"],
            "The Hub refused the model 'ann/absent', of which there is no folder here (404",
        ),
    ],
)
def test_what_the_hub_does_not_know_becomes_a_sentence(deploy, arguments, sentence):
    assert_refused(deploy(*arguments), sentence)


@pytest.mark.parametrize("token", [None, "hf_wrong\x01token"])
def test_without_a_token_nothing_is_asked(the_hub, deploy, monkeypatch, token):
    monkeypatch.setenv("HF_TOKEN", token) if token else monkeypatch.delenv("HF_TOKEN")
    status, printed = deploy(NAME)
    assert status == 2 and printed.out == "" and the_hub.requests == []
    assert printed.err.count("\n") == 1 and "log in with `hf auth login`, or set HF_TOKEN" in printed.err
    assert "wrong" not in printed.err


def test_another_program_of_the_same_name_is_not_deleted(the_hub, deploy):
    the_hub.spaces[NAME] = hub.Space("gradio", False, {"README.md": b"", "app.py": b"print('mine')"})
    assert_refused(deploy(NAME), "The Space ann/dress holds another program, which would be deleted; choose another")
    assert the_hub.spaces[NAME].files["app.py"] == b"print('mine')" and the_hub.spaces[NAME].commits == 0


def test_a_space_on_zero_gpu_is_left_alone_unless_its_hardware_is_named(the_hub, deploy):
    the_hub.spaces[NAME] = hub.Space("gradio", False, {"fashionflow/__init__.py": b""}, hardware="zero-a10g")
    assert_refused(
        deploy(NAME), "The Space ann/dress is on ZeroGPU, which needs files of its own; add --hardware zero-a10g"
    )
    assert the_hub.spaces[NAME].commits == 0
    for hardware, has_spaces in (("zero-a10g", True), ("cpu-basic", False)):
        assert deploy(NAME, "--model", "ann/model", "--hardware", hardware)[0] == 0
        space = the_hub.spaces[NAME]
        assert space.hardware == hardware and (b"spaces" in space.files["requirements.txt"]) == has_spaces


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            ["dress"],
            "The Space's name must be owner/name, of letters, digits, '-', '_' and '.', got 'dress'; change it.",
        ),
        (["ann/my dress"], "The Space's name must be owner/name,"),
        (["a/b/c"], "The Space's name must be owner/name,"),
        ([NAME, "--hardware", "h9000"], "There is no hardware 'h9000'; choose one of cpu-basic, cpu-upgrade, "),
        (
            [NAME, "--hardware", "zero-a10g", "--docker"],
            "ZeroGPU (zero-a10g) runs no Docker Space; leave out --docker,",
        ),
        ([NAME, "--model", "/absent"], "There is no model folder at '/absent'; check the name"),
        ([NAME, "--model", "tests"], "The model 'tests' cannot be loaded, because 'model_index.json' is missing;"),
        ([NAME, "--model", "README.md"], "The model must be a folder or a Hub id, but 'README.md' is a file;"),
        ([NAME, "--colour", "red"], "Unrecognized arguments: --colour red; see --help."),
        ([], "The following arguments are required: name; see --help."),
    ],
)
def test_a_wrong_wish_gets_one_sentence_before_anything_is_asked(the_hub, deploy, monkeypatch, arguments, sentence):
    monkeypatch.chdir(ROOT)
    status, printed = deploy(*arguments)
    assert status == 2 and printed.out == "" and the_hub.requests == []
    assert printed.err.startswith(sentence) and printed.err.count("\n") == 1 and printed.err.endswith(".\n")


def test_a_dry_run_overwrites_nothing(deploy, tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    for name in ("full", "full/mine.txt", "full/mine.txt/deeper"):
        status, printed = deploy(NAME, "--dry-run", tmp_path / name)
        assert status == 2 and printed.err.count("\n") == 1 and name in printed.err and printed.out == ""
    assert [path.name for path in tmp_path.rglob("*")] == ["full", "mine.txt"]
    assert (tmp_path / "full" / "mine.txt").read_text() == "mine"


def test_help_names_every_option():
    text = make_parser().format_help()
    assert all(option in text for option in ("--hardware", "--docker", "--model", "--private", "--dry-run FOLDER"))
