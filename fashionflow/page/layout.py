"""The layout of the page."""

from pathlib import Path

import gradio as gr

from ..generation.queue import AVAILABLE_SECONDS, JobQueue
from ..video.io import ffmpeg_on_path
from .api.endpoints import build_api
from .context import PageContext
from .deletion import LOOK_SECONDS
from .history.list import History
from .kept_clips import KeptClips
from .languages import LABELS
from .lookbook.panel import Lookbook
from .photo_box import PhotoBox
from .run import Run
from .serving import QUEUE_SETTINGS, no_web_application
from .settings import Settings
from .stage import Stage
from .streams import sweep_while_open
from .uploads import RECORDED
from .viewer import Viewer


def build_page(job_queue: JobQueue, keep: Path | None = None) -> gr.Blocks:
    """Builds the page for one job queue. Launch it with `LAUNCH_SETTINGS`.

    Args:
        keep: a folder for copies of all finished clips; `None` for a page that leaves nothing.
    """
    context = PageContext(job_queue, live=ffmpeg_on_path())
    # Gradio deletes its copies of files a little after the job queue could, and within the hour.
    with (
        no_web_application(),
        gr.Blocks(
            title="FashionFlow",
            analytics_enabled=False,
            delete_cache=(LOOK_SECONDS, AVAILABLE_SECONDS),
        ) as page,
    ):
        if RECORDED.is_dir():
            gr.set_static_paths([RECORDED])
        photo_box, settings = PhotoBox(context), Settings(context)
        run = Run(context, photo_box, settings)
        viewer, lookbook, history, stage = (
            part(context, photo_box, settings, run) for part in (Viewer, Lookbook, History, Stage)
        )
        if keep is not None:
            KeptClips(keep, job_queue, history.privacy)
        with gr.Row(elem_id="header"):
            gr.HTML("<h1>FashionFlow</h1>", padding=False, elem_id="title")
            gr.HTML(LABELS("page.tagline"), padding=False, elem_id="tagline")
            gr.HTML(LABELS("page.keeping" if keep is None else "page.keeping_clips"), padding=False, elem_id="keeping")
            history.build_switches()
        with gr.Row(elem_id="workplace"):
            with gr.Column(scale=6, min_width=280, elem_id="photo-side"):
                photo_box.build()
            with gr.Column(scale=8, min_width=320, elem_id="controls"):
                settings.build_motion()
                settings.build_main()
                run.build_buttons()
                settings.build_advanced()
            with gr.Column(scale=10, min_width=320, elem_id="result"):
                run.build_stage()
                viewer.build_actions()
                run.build_number()
                viewer.build()
        lookbook.build()
        history.build()
        stage.build()
        for part in (photo_box, settings, run, viewer, lookbook, history, stage):
            part.connect(page)
        build_api(context, photo_box, settings)
        page.queue(**QUEUE_SETTINGS)
    sweep_while_open(page)
    return page
