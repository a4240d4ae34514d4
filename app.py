"""Starts the page, on a laptop or in a Space: loads a model, builds the page, and serves it."""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

from fashionflow.generation.queue import JobQueue
from fashionflow.page import LAUNCH_SETTINGS, build_page
from fashionflow.runtime.model_folder import describe_model
from fashionflow.video.metadata import check_signing


if TYPE_CHECKING:
    from fashionflow import FashionFlowPipeline


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Serve the FashionFlow page.")
    parser.add_argument("--model", help="model folder or Hub id; by default FASHIONFLOW_MODEL or the shipped weights")
    parser.add_argument("--device", help="such as cpu or cuda; by default the best available")
    parser.add_argument(
        "--tiny-decoder",
        default=os.environ.get("FASHIONFLOW_TINY_DECODER"),
        help="folder or Hub id of a small decoder for the previews",
    )
    parser.add_argument(
        "--tiny-clips", action="store_true", help="decode the clips with the tiny decoder, too: softer but sooner"
    )
    parser.add_argument(
        "--compile", action="store_true", help="compile the model, for many clips on a GPU; the first clip is slow"
    )
    parser.add_argument(
        "--cuda-graphs", action="store_true", help="record each kind of step once and replay it; on a CUDA GPU"
    )
    parser.add_argument("--host", default=os.environ.get("GRADIO_SERVER_NAME", "127.0.0.1"))
    parser.add_argument("--port", type=int, default=int(os.environ.get("GRADIO_SERVER_PORT", "7860")))
    return parser.parse_args(argv)


def end(*_) -> None:
    """Ends the server as Ctrl+C does, so that its visitors' files are deleted. A second signal does not interrupt this."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise KeyboardInterrupt


def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    signal.signal(signal.SIGTERM, end)
    try:
        check_signing()
        job_queue = JobQueue(describe_model(args.model), measure=True)
    except ValueError as error:
        sys.exit(str(error))
    # Gradio's files go into the job queue's folder, because Gradio does not delete them if a page is open when it ends. Gradio does not
    # copy files that are already there, such as the job queue's clips.
    os.environ.setdefault("GRADIO_TEMP_DIR", str(job_queue.folder))
    page = build_page(job_queue)
    try:
        page.launch(server_name=args.host, server_port=args.port, prevent_thread_lock=True, **LAUNCH_SETTINGS)
    except (OSError, OverflowError):  # OverflowError: there is no port with such a number
        sys.exit(
            f"The page cannot be served at {args.host}, port {args.port}, which another program may be using; "
            "choose another with --port."
        )
    try:
        job_queue.use(load(args))
        page.block_thread()
    except ValueError as error:
        sys.exit(str(error))
    finally:
        page.close(verbose=False)


def load(args: argparse.Namespace) -> FashionFlowPipeline:
    """Loads the pipeline while the page is already served: PyTorch is imported here and not before, and the page takes jobs meanwhile."""
    from fashionflow.runtime.acceleration import DEFAULTS
    from fashionflow.runtime.loading import load_pipeline, running_report

    switches = replace(DEFAULTS, compile=args.compile, cuda_graphs=args.cuda_graphs)
    pipe = load_pipeline(args.model, args.device, switches, args.tiny_decoder, args.tiny_clips)
    logging.info("Running %s", running_report(pipe))
    return pipe


if __name__ == "__main__":
    main()
