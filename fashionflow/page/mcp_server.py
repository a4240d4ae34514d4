"""The page's interface for programs and assistants. It downloads nothing for them, and keeps none of their files for ever.

Assistants use MCP, which Gradio supports if the package `mcp` is installed (`mcp_server=True`). By default, Gradio would download a file
that is named by its address, keep a file that comes as a data URI for ever, and tell gradio.app that its own client was started.
"""

import binascii
import logging
import os
import re
import stat
from contextlib import suppress
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import unquote

import gradio as gr
import gradio.mcp
from gradio.exceptions import InvalidPathError
from gradio.processing_utils import save_base64_to_cache
from gradio.utils import get_function_description, get_upload_folder, is_in_or_equal
from gradio_client import Client
from gradio_client.utils import handle_file, is_file_obj_with_meta, is_http_url_like, traverse
from huggingface_hub import constants

from .api.plain import Refusal
from .api.wrong_arguments import with_complete_files


NOT_FETCHED = (
    "Nothing is fetched from an address such as {address!r}; send the file itself, as an upload or as a data URI "
    "(data:image/jpeg;base64,...)."
)
NOT_UPLOADED = "There is no such upload; upload the file, and give the path that the server answers."
MOST_MEGABYTES = 12
"""The largest file in a data URI; the URI is 4 / 3 as long as the file. Uploads may be larger."""
LONGEST_ADDRESS = 80  # characters of an address that an error message repeats
FILE_FORMAT = (
    f"a file as a data URI (data:image/jpeg;base64,...) of at most {MOST_MEGABYTES} MB, or the address that this server gave to "
    "an upload"
)

logger = logging.getLogger(__name__)


def mcp_is_installed() -> bool:
    return find_spec("mcp") is not None


def prepare(page: gr.Blocks) -> None:
    """Keeps a page from downloading files for anybody, and adds the defaults of values that a program left out at the end of an
    endpoint's list."""
    read = page.preprocess_data

    async def read_local(block_fn, inputs: list, *rest, **options) -> list:
        if block_fn.api_visibility == "public":
            inputs = [*inputs, *(component.value for component in block_fn.inputs[len(inputs) :])]
            inputs = with_complete_files(block_fn.inputs, inputs)
        traverse(inputs, refuse_what_is_no_upload, is_file_obj_with_meta)
        try:
            return await read(block_fn, inputs, *rest, **options)
        except InvalidPathError as error:  # a file of this machine that nobody has uploaded
            raise Refusal(NOT_UPLOADED) from error

    launch = page.launch

    def launch_once(*arguments, app_kwargs: dict | None = None, **options):
        # Gradio adds the start of this page's MCP server to `app_kwargs`. The copy keeps another page from starting it again.
        return launch(*arguments, app_kwargs=dict(app_kwargs or {}), **options)

    page.preprocess_data, page.launch = read_local, launch_once
    if mcp_is_installed():
        gradio.mcp.GradioMCPServer = AssistantServer  # the class that `mcp_server=True` starts
        # The client with which it calls this page's own endpoints; a proxy for other machines is none for this one.
        gradio.mcp.Client = partial(Client, httpx_kwargs={"trust_env": False})
    else:
        logger.info("Assistants cannot use this page (MCP), because the Python package mcp is not installed.")


def refuse_what_is_no_upload(file: dict) -> dict:
    """Returns a file unchanged. Refuses a file whose path is an address, because Gradio would download it, and a path that no upload can
    have: an impossible one, that of a folder, or that of a file directly in the folder for uploads, which is the server's own."""
    path = file["path"]
    if is_http_url_like(path):
        raise Refusal(NOT_FETCHED.format(address=path[:LONGEST_ADDRESS]))
    try:
        if os.path.dirname(os.path.realpath(path)) == os.path.realpath(get_upload_folder()):
            raise Refusal(NOT_UPLOADED)
        with suppress(FileNotFoundError):  # it has been deleted, which the visitor is told
            if not stat.S_ISREG(os.lstat(path).st_mode):
                raise Refusal(NOT_UPLOADED)
    except (ValueError, OSError) as error:  # a zero byte in it, or too long a name
        raise Refusal(NOT_UPLOADED) from error
    return file


class AssistantServer(gradio.mcp.GradioMCPServer):
    """Gradio's MCP server for one page."""

    if mcp_is_installed():  # Gradio's own limit is 4 MiB, less than a phone's photo
        StreamableHTTPSessionManager = partial(
            gradio.mcp.GradioMCPServer.StreamableHTTPSessionManager,
            max_request_body_size=round(MOST_MEGABYTES * 1e6 * 4 / 3) + 2**16,
        )

    def _get_or_create_client(self):
        # The environment variable overrides the client's own argument for this.
        os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
        # The client's first request would ask the Hugging Face Hub which programs are assistants.
        offline, constants.HF_HUB_OFFLINE = constants.HF_HUB_OFFLINE, True
        try:
            return super()._get_or_create_client()
        finally:
            constants.HF_HUB_OFFLINE = offline

    def _prepare_tool_call_args(self, name: str, arguments: dict) -> tuple:
        endpoint, values, headers, block_fn = super()._prepare_tool_call_args(name, arguments)
        # The call comes from this machine then, and the assistant must still be told apart from others.
        asked_by = self.mcp_server.request_context.request.client
        return endpoint, values, headers | ({"x-forwarded-for": asked_by.host} if asked_by else {}), block_fn

    async def _execute_tool_without_progress(self, job) -> list:
        (result,) = await super()._execute_tool_without_progress(job)
        # Several results stay several values, as they do for calls with progress.
        return list(result) if isinstance(result, tuple) else [result]

    @property
    def _file_data_tool_description(self) -> str:
        return " A file is given as a data URI."

    def get_fn_description(self, block_fn, tool_name: str) -> tuple[str, dict[str, str]]:
        description, parameters, returns = get_function_description(block_fn.fn)
        _, files = self.get_input_schema(tool_name, parameters)
        if files:
            description += self._file_data_tool_description
        return f"{description} Returns {' '.join(returns)}", parameters

    def simplify_filedata_schema(self, schema: dict) -> tuple[dict, list[list[str | int]]]:
        schema, positions = super().simplify_filedata_schema(schema)
        for name, *_ in positions:
            schema["properties"][name]["format"] = FILE_FORMAT
        return schema, positions

    def convert_strings_to_filedata(self, value: dict, filedata_positions: list[list[str | int]]) -> dict:
        names = [name for name, *_ in filedata_positions if value.get(name) is not None]
        return value | {name: self._received(value[name]) for name in names}

    def _received(self, text: object) -> dict:
        """Stores a file from a data URI among the uploads, which are deleted in time, or finds a file that was uploaded before.

        Raises:
            Refusal: with one sentence, if it is neither.
        """
        if not isinstance(text, str) or not text.startswith("data:"):
            address = re.fullmatch(r"https?://\S*/gradio_api/file=(\S+)", str(text))
            path = unquote(address[1]) if address else ""
            # Gradio passes on files of this machine by their path, so only an uploaded file is accepted here.
            if not path or not is_in_or_equal(path, get_upload_folder()) or not Path(path).is_file():
                raise Refusal(NOT_FETCHED.format(address=str(text)[:LONGEST_ADDRESS]))
            return handle_file(path)
        try:
            path = save_base64_to_cache(text, get_upload_folder())
        except (binascii.Error, ValueError) as error:
            raise Refusal("The data URI is damaged; send data:image/jpeg;base64, and the file in base64.") from error
        self.blocks.upload_file_set.add(path)
        return handle_file(path)
