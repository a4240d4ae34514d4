"""Receives uploads whole or not at all.

Gradio would leave the beginning of an upload that is cut off, and files under another name than "files", in the server's folder until it
ends, and answer a full disk, or a text in place of a file, with an error of the server. Importing this module replaces Gradio's function
for uploads, and closes its other two ways to send files, which no part of this page uses.
"""

import logging
import os
import tempfile
from pathlib import Path

from gradio import route_utils, routes
from gradio.route_utils import FileUploadProgress, GradioMultiPartParser, MultiPartException, upload_fn
from starlette.datastructures import FormData, UploadFile
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse

from ..errors import UploadError
from .languages import words_for, words_of


NO_ROOM = "no-room"
STATUS = {NO_ROOM: 507}
"""HTTP's number for what is not the sender's fault."""

FIELD = "files"

logger = logging.getLogger(__name__)


async def receive(
    request: Request,
    folder: str,
    max_file_size: float,
    upload_id: str | None,
    force_move: bool = True,
    upload_progress: FileUploadProgress | None = None,
) -> tuple[list[str], list[str], list[str]]:
    """Stores the uploaded files of a request below `folder`, as Gradio's function does, each in a folder named after its content. Returns
    their paths, and nothing that would have to be moved later.

    Raises:
        UploadError: if they did not arrive completely, or cannot be stored. Nothing of them is left then.
        MultiPartException: if there is no file in the request, or it is too large.
    """
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="arriving-", dir=folder, ignore_cleanup_errors=True) as arriving:
            arrived, _, _ = await upload_fn(request, arriving, max_file_size, upload_id, force_move, upload_progress)
            if not arrived:
                raise UploadError("cut-off")
            return [_take_in(Path(path), Path(arriving), Path(folder)) for path in arrived], [], []
    except ClientDisconnect as error:
        raise UploadError("cut-off") from error
    except OSError as error:
        logger.error("An upload could not be stored: %s.", error.strerror or error)
        raise UploadError(NO_ROOM) from error
    finally:
        # Whoever watches the progress is told that it has ended, also if it was cut off. Gradio forgets it when that has been told.
        if upload_progress is not None and upload_id in upload_progress._statuses:
            upload_progress.set_done(upload_id)


def _take_in(path: Path, arriving: Path, folder: Path) -> str:
    """Moves a complete file from `arriving` to the same place in `folder`, and returns its new path."""
    place = folder / path.relative_to(arriving)
    place.parent.mkdir(exist_ok=True)
    os.replace(path, place)
    return str(place)


class FilesAlone(GradioMultiPartParser):
    """Reads the files of a request. Gradio's class would also pass on texts as if they were files."""

    async def parse(self) -> FormData:
        form = await super().parse()
        files = [(name, each) for name, each in form.multi_items() if name == FIELD and isinstance(each, UploadFile)]
        if form and not files:
            raise MultiPartException(
                f"There is no file in this request; send each file in a form field named {FIELD}."
            )
        return FormData(files)

    def on_part_data(self, data: bytes, start: int, end: int) -> None:
        progress = self.upload_progress
        if self._current_part.file is None:  # a text, which has no name that could be told
            self.upload_progress = None
        super().on_part_data(data, start, end)
        self.upload_progress = progress


class Closed(GradioMultiPartParser):
    """Takes the place of what reads the files of a request, where no part of the page sends any."""

    async def parse(self):
        raise MultiPartException("Files are not taken here; send them to /gradio_api/upload.")


async def answer_upload_error(request: Request, error: UploadError) -> PlainTextResponse:
    """The answer to an upload that was refused: its sentence, which the page shows."""
    return PlainTextResponse(words_of(error, words_for(request)), STATUS.get(error.key, 400))


EXCEPTION_HANDLERS = {UploadError: answer_upload_error}
"""For the web application that serves the page."""

routes.upload_fn, routes.GradioMultiPartParser, route_utils.GradioMultiPartParser = receive, Closed, FilesAlone
