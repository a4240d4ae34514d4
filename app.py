"""Starts the page, on a laptop or in a Space: loads a model, builds the page, and serves it."""

from __future__ import annotations

import argparse
import atexit
import logging
import os
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

from fashionflow.__main__ import Parser
from fashionflow.runtime.ending import run


if TYPE_CHECKING:
    from fashionflow import FashionFlowPipeline


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = Parser(description="Serve the FashionFlow page.")
    parser.add_argument("--model", help="model folder or Hub id; by default FASHIONFLOW_MODEL or the shipped weights")
    parser.add_argument("--device", help="such as cpu or cuda; by default the best available")
    parser.add_argument(
        "--devices",
        metavar="NAMES",
        help="several devices of this machine that make clips at the same time, such as cuda:0,cuda:1; needs Ray",
    )
    parser.add_argument(
        "--ray",
        metavar="ADDRESS",
        help="makes the clips on a Ray cluster that this machine is part of: auto or HOST:PORT; one worker for each of its GPUs",
    )
    parser.add_argument("--workers", type=int, metavar="N", help="how many workers the Ray cluster runs")
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
    parser.add_argument(
        "--host", help="where to listen; by default GRADIO_SERVER_NAME or 127.0.0.1, this machine alone"
    )
    parser.add_argument("--port", help="by default GRADIO_SERVER_PORT, PORT or 7860")
    parser.add_argument(
        "--root-path",
        metavar="PATH",
        help="under which a reverse proxy shows the page, such as /try/on; by default GRADIO_ROOT_PATH",
    )
    parser.add_argument(
        "--auth",
        metavar="NAME:PASSWORD",
        help="lets only this visitor in; --auth-file keeps it off the list of processes",
    )
    parser.add_argument("--auth-file", metavar="FILE", help="lets only these visitors in: one NAME:PASSWORD a line")
    parser.add_argument(
        "--most-jobs",
        metavar="N",
        help="how many clips or lookbooks of one visitor may wait or be made at the same time; by default FASHIONFLOW_MOST_JOBS, "
        "or as many as the queue takes",
    )
    parser.add_argument(
        "--keep",
        metavar="FOLDER",
        help="copies every finished clip into this folder; only for this machine's own page",
    )
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    try:
        serve(args)
    except ValueError as error:
        sys.exit(str(error))


def serve(args: argparse.Namespace) -> None:
    """Serves the page until the program is ended.

    Raises:
        ValueError: with one sentence, if the page cannot be served like this.
    """
    from fashionflow.generation import zero_gpu  # Gradio takes seconds to import, and `--help` does not need it
    from fashionflow.generation.queue import JobQueue
    from fashionflow.generation.ray_actor import Model
    from fashionflow.generation.ray_pool import read_pool
    from fashionflow.page import LAUNCH_SETTINGS, build_page, hosting
    from fashionflow.page.address import addresses
    from fashionflow.page.gradio_import import own_environment
    from fashionflow.page.kept_clips import read_folder
    from fashionflow.page.root_path import read_root_path
    from fashionflow.page.visitors import access, read_visitors
    from fashionflow.runtime.model_folder import describe_model
    from fashionflow.video.metadata import check_signing

    port = hosting.read_port(args.port)
    host = hosting.read_host(args.host, port)
    path, visitors = read_root_path(args.root_path), read_visitors(args.auth, args.auth_file)
    keep, most_jobs = read_folder(args.keep, host), hosting.read_most_jobs(args.most_jobs)
    check_signing()
    pool = read_pool(
        args.devices,
        args.ray,
        args.workers,
        Model(args.model, args.tiny_decoder, args.tiny_clips, args.compile, args.cuda_graphs),
    )
    if pool is not None and (args.device is not None or zero_gpu.is_here()):
        raise ValueError("--devices and --ray go neither with --device nor with ZeroGPU; leave one of them out.")
    try:
        # Where a GPU is lent for each clip alone, there is none to measure.
        measure = not zero_gpu.is_here() and pool is None  # the workers of a pool measure themselves
        job_queue = JobQueue(describe_model(args.model), measure=measure, most_jobs=most_jobs)
    except OSError as error:
        raise hosting.HostingError("No temporary folder can be written to; name one that can in TMPDIR.") from error
    if pool is not None:
        atexit.register(pool.close)
    atexit.register(job_queue.close)
    # Gradio's files go into the job queue's folder, because Gradio does not delete them if a page is open when it ends. Gradio does not
    # copy files that are already there, such as the job queue's clips.
    os.environ.setdefault("GRADIO_TEMP_DIR", str(job_queue.folder))
    page = build_page(job_queue, keep)
    if zero_gpu.is_here():  # it takes the weights when the page is launched
        job_queue.use(load(args))
    try:
        with own_environment():
            where = {"server_name": host, "server_port": port, "root_path": path}
            page.launch(**LAUNCH_SETTINGS | where | access(visitors), prevent_thread_lock=True, quiet=True)
    except OSError as error:  # what took the port in the meantime, or listens on another address with it
        raise hosting.not_served(host, port, error) from error
    atexit.register(page.close, verbose=False)
    print(f"The page is at {' and, for this network, at '.join(addresses(host, port))}", flush=True)
    if pool is not None:
        pool.start(job_queue.folder, job_queue.time_estimator)
        pipe = load(argparse.Namespace(**vars(args) | {"device": "cpu"}))  # which looks at photos
        pool.wait(pipe, job_queue.time_estimator)
        job_queue.use(pipe, pool.workers)
        logging.info("Clips are made by %s", job_queue.report())
    elif not job_queue.is_loaded:
        job_queue.use(load(args))
    page.block_thread()


def load(args: argparse.Namespace) -> FashionFlowPipeline:
    """Loads the pipeline while the page is already served: PyTorch is imported here and not before, and the page takes jobs meanwhile."""
    from fashionflow.runtime.acceleration import DEFAULTS
    from fashionflow.runtime.loading import load_pipeline, running_report

    switches = replace(DEFAULTS, compile=args.compile, cuda_graphs=args.cuda_graphs)
    pipe = load_pipeline(args.model, args.device, switches, args.tiny_decoder, args.tiny_clips)
    logging.info("Running %s", running_report(pipe))
    return pipe


if __name__ == "__main__":
    run(main)
