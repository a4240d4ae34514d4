"""Arguments of a program that Gradio itself refuses, with an error on the server or with no sentence at all."""

import re
from collections.abc import Sequence

import gradio as gr
from fastapi.exceptions import RequestValidationError
from gradio.data_classes import FileData, ImageData
from gradio.route_utils import FnIndexInferError
from starlette.requests import Request
from starlette.responses import JSONResponse

from .plain import Refusal


NOT_A_FILE = '`{name}` must be an uploaded file, such as {{"path": "..."}} with the path that the server gave to an upload, got {given}.'
LONGEST_GIVEN = 60  # characters of a value that a sentence repeats

NAMED_ARGUMENTS = "/call/v2/"
"""In the address of an endpoint whose arguments come by name."""

SENTENCES = {
    r"Parameter `(.*)` is not a valid": "`{name}` is not a parameter of {endpoint}; see the page's API documentation.",
    r"required argument: (.*)": "`{name}` is missing; {endpoint} needs it.",
}
"""What Gradio says, and what the program is told."""


def with_complete_files(components: Sequence[gr.components.Component], values: Sequence) -> list:
    """The values of an endpoint's components, in which every file has the mark that Gradio asks for (`meta`), so that its path is enough.

    Raises:
        Refusal: if a value should be a file and is none.
    """
    complete = list(values)
    for index, (component, value) in enumerate(zip(components, values, strict=False)):
        if getattr(component, "data_model", None) not in (FileData, ImageData) or value is None:
            continue
        if not isinstance(value, dict) or not isinstance(value.get("path"), str):
            given = repr(value)
            short = given if len(given) <= LONGEST_GIVEN else f"{given[:LONGEST_GIVEN]}..."
            raise Refusal(NOT_A_FILE.format(name=component.label, given=short))
        complete[index] = {**value, "meta": FileData(path=value["path"]).meta}
    return complete


async def answer_unknown_endpoint(request: Request, error: LookupError | FnIndexInferError) -> JSONResponse:
    """The answer to a call of an endpoint that there is not: HTTP 404 with a sentence.

    Raises:
        LookupError: the error itself, if it is about something else.
    """
    path = request.url.path.rstrip("/")
    endpoint = path.rpartition("/")[2]
    if isinstance(error, FnIndexInferError) or (NAMED_ARGUMENTS in path and error.args == (f"/{endpoint}",)):
        sentence = f"There is no endpoint named {endpoint[:LONGEST_GIVEN]!r}; see the page's API documentation."
        return JSONResponse({"error": sentence}, status_code=404)
    raise error


async def answer_wrong_arguments(request: Request, error: TypeError) -> JSONResponse:
    """The answer to a request whose arguments Gradio cannot put in order: HTTP 400 with a sentence.

    Raises:
        TypeError: the error itself, if it is about something else.
    """
    if NAMED_ARGUMENTS in request.url.path:
        endpoint = request.url.path.rstrip("/").rpartition("/")[2]
        for pattern, sentence in SENTENCES.items():
            if found := re.search(pattern, str(error)):
                return JSONResponse({"error": sentence.format(name=found[1], endpoint=endpoint)}, status_code=400)
    raise error


async def answer_unreadable(request: Request, error: RequestValidationError) -> JSONResponse:
    """The answer to a request that is no JSON, or that Gradio cannot read: HTTP 422 with a sentence."""
    first = error.errors()[0]
    reason = first.get("ctx", {}).get("error") or first["msg"]
    sentence = f"The request could not be read ({str(reason)[:LONGEST_GIVEN]}); send a JSON object with the values of the parameters by name."
    return JSONResponse({"error": sentence}, status_code=422)


EXCEPTION_HANDLERS = {
    RequestValidationError: answer_unreadable,
    TypeError: answer_wrong_arguments,
    KeyError: answer_unknown_endpoint,
    FnIndexInferError: answer_unknown_endpoint,
}
"""For the web application that serves the page."""
