"""The page as a Hugging Face Space, with one command.

python -m fashionflow.space owner/name
"""

from __future__ import annotations

import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from . import __version__
from .__main__ import Parser
from .runtime.model_folder import HUB_ID, MODEL_VARIABLE
from .space_files import ZERO_GPU, SpaceError, is_folder, size, space_files, unknown_files, variables, write_files


if TYPE_CHECKING:
    from huggingface_hub import HfApi, SpaceInfo


NO_DOCKER = f"ZeroGPU ({ZERO_GPU}) runs no Docker Space; leave out --docker, or choose another --hardware."

LOG_IN = "log in with `hf auth login`, or set HF_TOKEN, with a token that may write"
REMEDIES = {
    400: "change it and run the command again",
    401: LOG_IN,
    402: "set up payment at https://huggingface.co/settings/billing, or choose --hardware cpu-basic",
    403: "use a token that may do this, or choose another owner",
    404: "check the name, and whether the token may see it",
    409: "run the command again when nothing else changes it",
}
LATER = "run the command again later"


def check_wishes(name: str, hardware: str | None, kind: str) -> None:
    """Raises a `SpaceError` for a name or a hardware that there cannot be, or not for this kind of Space."""
    from huggingface_hub import SpaceHardware
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    try:
        validate_repo_id(name)
        valid = name.count("/") == 1
    except HFValidationError:
        valid = False
    if not valid:
        raise SpaceError(
            f"The Space's name must be owner/name, of letters, digits, '-', '_' and '.', got {name!r}; change it."
        )
    known = [str(one.value) for one in SpaceHardware]
    if hardware == ZERO_GPU and kind == "docker":
        raise SpaceError(NO_DOCKER)
    if hardware is not None and hardware not in known:
        raise SpaceError(f"There is no hardware {hardware!r}; choose one of {', '.join(known)}.")


def find_token() -> str:
    """The token of huggingface_hub's own login."""
    from huggingface_hub import get_token

    token = get_token()
    if token is None:
        raise SpaceError(f"Nobody is logged in to the Hugging Face Hub here; {LOG_IN}.")
    if not re.fullmatch(r"[!-~]+", token):  # the HTTP client's own error would show it
        raise SpaceError(f"The token for the Hugging Face Hub has characters that no token has; {LOG_IN}.")
    return token


def deploy(
    name: str,
    files: dict[str, Path | bytes],
    kind: str,
    model: str | None = None,
    hardware: str | None = None,
    private: bool = False,
) -> Iterator[str]:
    """Makes or updates a Space, and yields a line about each thing that it has done; the last one is the address.

    Args:
        name: owner/name.
        files: of `space_files`, for the same `kind` and `model`.
        hardware: what it runs on; `None` leaves that as it is, and a new Space gets the Hub's free one.
        private: whether only its owner sees it; `False` leaves that as it is.

    Raises:
        SpaceError: if the Hub cannot be reached, or refuses something. What was done before it stays.
    """
    from huggingface_hub import HfApi

    api = HfApi(token=find_token())
    with _asking(api, "the token"):
        user = api.whoami()["name"]
    yield f"Logged in as {user}."
    if model is not None and not is_folder(model):
        yield from _check_hub_model(api, model)
    before = _space_before(api, name, hardware)
    with _asking(api, f"the Space {name}"):
        address = api.create_repo(name, repo_type="space", space_sdk=kind, private=private or None, exist_ok=True)
    yield f"{name} is new." if before is None else f"{name} is there already and is updated."
    if before is not None and private and not before.private:
        with _asking(api, f"to make {name} private"):
            api.update_repo_settings(name, private=True, repo_type="space")
        yield "It was public and is private now."
    with tempfile.TemporaryDirectory(prefix="fashionflow-space-") as folder, _asking(api, f"the upload to {name}"):
        write_files(files, Path(folder))
        api.upload_folder(
            repo_id=name,
            repo_type="space",
            folder_path=folder,
            commit_message=f"FashionFlow {__version__}",
            delete_patterns="*",
        )
    yield f"{len(files)} files are up."
    if stale := sorted(set(_names(before)) - set(files)):
        yield f"Deleted, because the Space no longer needs them: {', '.join(stale)}."
    yield from _set_variables(api, name, variables(model))
    if hardware is not None:
        with _asking(api, f"the hardware {hardware!r} for {name}, whose files are up"):
            api.request_space_hardware(name, hardware)
        yield f"Hardware: {hardware}."
    yield str(address)


def _check_hub_model(api: HfApi, model: str) -> Iterator[str]:
    asked = HUB_ID.fullmatch(model)
    with _asking(api, f"the model {model!r}, of which there is no folder here"):
        info = api.model_info(asked["name"], revision=asked["revision"])
    if info.private or info.gated:
        yield f"Not everybody may read the model {model}: give the Space a secret HF_TOKEN that may."


def _space_before(api: HfApi, name: str, hardware: str | None) -> SpaceInfo | None:
    """The Space of this name, if there is one. It must not hold another program, which would be deleted."""
    from huggingface_hub.errors import RepositoryNotFoundError

    with _asking(api, f"to show {name}"):
        try:
            before = api.space_info(name)
        except RepositoryNotFoundError:
            return None
    others = set(_names(before)) - {"README.md", ".gitattributes"}
    if others and "fashionflow/__init__.py" not in others:
        raise SpaceError(
            f"The Space {name} holds another program, which would be deleted; choose another name, or empty it."
        )
    if (
        hardware is None
        and before.runtime
        and ZERO_GPU in (before.runtime.hardware, before.runtime.requested_hardware)
    ):
        raise SpaceError(
            f"The Space {name} is on ZeroGPU, which needs files of its own; add --hardware {ZERO_GPU}, or choose another."
        )
    return before


def _names(space: SpaceInfo | None) -> list[str]:
    return [file.rfilename for file in space.siblings or []] if space else []


def _set_variables(api: HfApi, name: str, wanted: dict[str, str]) -> Iterator[str]:
    """Sets the variables, and takes back what an earlier model needed."""
    with _asking(api, f"the variables of {name}, whose files are up"):
        there = {key: variable.value for key, variable in api.get_space_variables(name).items()}
        for key, value in wanted.items():
            if there.get(key) != value:
                api.add_space_variable(name, key, value)
                yield f"Variable: {key}={value}"
        if MODEL_VARIABLE in there and MODEL_VARIABLE not in wanted:
            api.delete_space_variable(name, MODEL_VARIABLE)
            yield f"Deleted the variable {MODEL_VARIABLE}, so that the Space uses the model that ships."


@contextmanager
def _asking(api: HfApi, what: str) -> Iterator[None]:
    """Turns whatever goes wrong while the Hub is asked for something into a `SpaceError`."""
    from huggingface_hub.errors import HfHubHTTPError, HTTPError, OfflineModeIsEnabled

    try:
        yield
    except SpaceError:
        raise
    except Exception as error:  # of huggingface_hub, of its HTTP client, and of its uploader of large files
        cause = error.__cause__ if isinstance(error, RuntimeError) and error.__cause__ else error
        if isinstance(cause, HfHubHTTPError):
            status, said = cause.response.status_code, cause.server_message or cause.response.reason_phrase
            sentence = f"The Hub refused {what} ({status}: {_one_line(said)}); {REMEDIES.get(status, LATER)}."
        elif isinstance(cause, (HTTPError, OfflineModeIsEnabled)):
            sentence = f"The Hub cannot be reached at {api.endpoint} ({type(cause).__name__}); check the network, HF_ENDPOINT and HF_HUB_OFFLINE."
        else:
            sentence = f"The Hub failed at {what} ({type(cause).__name__}: {_one_line(str(cause))}); {LATER}."
        raise SpaceError(sentence) from error


def _one_line(text: str) -> str:
    return " ".join(text.split()).rstrip(".")


def describe(files: dict[str, Path | bytes], model: str | None, hardware: str | None) -> Iterator[str]:
    """The lines that a dry run prints: every file with its size in bytes, and what else would be done."""
    for name, source in sorted(files.items()):
        yield f"{size(source):>12,}  {name}"
    yield f"{sum(map(size, files.values())):>12,}  bytes in {len(files)} files"
    yield from (f"Variable: {key}={value}" for key, value in variables(model).items())
    if hardware is not None:
        yield f"Hardware: {hardware}"


def make_parser() -> Parser:
    parser = Parser(
        prog="python -m fashionflow.space", description="Makes or updates a Hugging Face Space with the page."
    )
    parser.add_argument("name", help="owner/name of the Space")
    parser.add_argument(
        "--hardware",
        help="such as cpu-basic, l4x1 or zero-a10g; by default what the Space has, or cpu-basic if it is new",
    )
    parser.add_argument("--docker", action="store_true", help="a Docker Space; by default a Gradio Space")
    parser.add_argument(
        "--model", help="a model folder, which goes along, or a Hub id; by default the model that ships"
    )
    parser.add_argument("--private", action="store_true", help="only its owner sees the Space")
    parser.add_argument(
        "--dry-run", metavar="FOLDER", help="write into FOLDER what would be uploaded, and do nothing else"
    )
    return parser


def main(argv: list[str] | None = None) -> int:
    arguments = make_parser().parse_args(argv)
    kind = "docker" if arguments.docker else "gradio"
    try:
        check_wishes(arguments.name, arguments.hardware, kind)
        files = space_files(kind, arguments.model, arguments.hardware)
        for name in unknown_files():
            print(f"Left out, because git does not keep it: {name}", file=sys.stderr)
        if arguments.dry_run is not None:
            write_files(files, Path(arguments.dry_run))
            lines = describe(files, arguments.model, arguments.hardware)
        else:
            lines = deploy(arguments.name, files, kind, arguments.model, arguments.hardware, arguments.private)
        for line in lines:
            print(line, flush=True)
    except ValueError as error:  # SpaceError, ModelError
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("Stopped; run the command again to finish the Space.", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
