"""Receives uploads whole or not at all.

Gradio would leave the beginning of an upload that is cut off, and files under another name than "files", in the server's folder until it
ends, and answer a full disk with an error of the server. Importing this module replaces Gradio's function for uploads, and closes its
other two ways to send files, which no part of this page uses.
"""

import logging
import os
import tempfile
from pathlib import Path

from gradio import routes
from gradio.route_utils import GradioMultiPartParser, MultiPartException, upload_fn
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse

from ..errors import UploadError
from .languages import words_for, words_of


NO_ROOM = "no-room"
STATUS = {NO_ROOM: 507}
"""HTTP's number for what is not the sender's fault."""

logger = logging.getLogger(__name__)


async def receive(
    request: Request, folder: str, most_bytes: float, upload_id: str | None, upload_progress=None, **options
) -> tuple[list[str], list[str], list[str]]:
    """Stores the uploaded files of a request below `folder`, as Gradio's function does, each in a folder named after its content. Returns
    their paths, and nothing that would have to be moved later.

    Raises:
        UploadError: if they did not arrive completely, or cannot be stored. Nothing of them is left then.
    """
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="arriving-", dir=folder, ignore_cleanup_errors=True) as arriving:
            arrived, _, _ = await upload_fn(
                request, arriving, most_bytes, upload_id, upload_progress=upload_progress, **options
            )
            if not arrived:
                raise UploadError("cut-off")
            return [_take_in(Path(path), Path(arriving), Path(folder)) for path in arrived], [], []
    except Exception as error:
        if upload_progress is not None:
            upload_progress.set_done(upload_id)  # whoever watches it arriving need not wait any longer
        if isinstance(error, ClientDisconnect):
            raise UploadError("cut-off") from error
        if not isinstance(error, OSError):
            raise
        logger.error("An upload could not be stored: %s.", error.strerror or error)
        raise UploadError(NO_ROOM) from error


def _take_in(path: Path, arriving: Path, folder: Path) -> str:
    """Moves a complete file from `arriving` to the same place in `folder`, and returns its new path."""
    place = folder / path.relative_to(arriving)
    place.parent.mkdir(exist_ok=True)
    os.replace(path, place)
    return str(place)


class Closed(GradioMultiPartParser):
    """Takes the place of what reads the files of a request, where no part of the page sends any."""

    async def parse(self):
        raise MultiPartException("Files are not taken here; send them to /gradio_api/upload.")


async def answer_upload_error(request: Request, error: UploadError) -> PlainTextResponse:
    """The answer to an upload that was refused: its sentence, which the page shows."""
    return PlainTextResponse(words_of(error, words_for(request)), STATUS.get(error.key, 400))


EXCEPTION_HANDLERS = {UploadError: answer_upload_error}
"""For the web application that serves the page."""

routes.upload_fn, routes.GradioMultiPartParser = receive, Closed
