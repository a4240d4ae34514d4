"""Clips a minute in one process, and with one and with two workers on the processor; what a start costs, and how much is moved.

python -m benchmarks.workers
"""

import argparse
import pickle
import time

from fashionflow import FashionFlowPipeline
from fashionflow.generation.events import Segment
from fashionflow.generation.job import Job
from fashionflow.generation.queue import JobQueue
from fashionflow.generation.ray_actor import Model
from fashionflow.generation.ray_pool import read_pool
from fashionflow.generation.request import ClipRequest
from fashionflow.runtime.loading import load_pipeline
from fashionflow.runtime.model_folder import ModelDescription

from .clips import default_request, make_clips_at_once


COLUMNS = {"one process": None, "1 worker": "cpu", "2 workers": "cpu,cpu"}


def bytes_moved(request: ClipRequest, job: Job) -> int:
    """What goes to and fro between the page and a worker for a clip: the request, the events, and the files; without previews that were
    overtaken by the next before they were seen."""
    moved = len(pickle.dumps(request))
    for event in job.follow():
        moved += len(pickle.dumps(event)) + (event.path.stat().st_size if isinstance(event, Segment) else 0)
    return moved + job.results[0].path.stat().st_size


def measure(pipe: FashionFlowPipeline, model: str | None, devices: str | None, clips: int) -> dict[str, float]:
    """The seconds until all workers are ready, the bytes that one clip moves, and the clips a minute while enough of them wait."""
    pool = read_pool(devices, None, None, Model(model))
    job_queue = JobQueue(ModelDescription.of(pipe))
    begun_at = time.perf_counter()
    try:
        if pool is not None:
            pool.start(job_queue.folder, job_queue.time_estimator, measure=False)
            pool.wait(pipe, job_queue.time_estimator)
        start = time.perf_counter() - begun_at
        job_queue.use(pipe, pool.workers if pool else ())
        request = default_request(pipe)
        first = [job_queue.submit(request) for _ in job_queue.workers]  # slower than those that count
        moved = [bytes_moved(request, job) for job in first][0]
        begun_at = time.perf_counter()
        make_clips_at_once(job_queue, request, clips)
        return {"start": start, "moved": moved, "rate": 60 * clips / (time.perf_counter() - begun_at)}
    finally:
        job_queue.close()
        if pool is not None:
            pool.close()


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.workers", description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=int, default=4, help="how many clips wait at the same moment; 4 by default")
    parser.add_argument("--model", help="a model folder or a Hub id; the model that ships by default")
    args = parser.parse_args(argv)
    pipe = load_pipeline(args.model, "cpu")
    print("|  | clips a minute | ready after | moved for a clip |\n|---|---:|---:|---:|")
    for name, devices in COLUMNS.items():
        found = measure(pipe, args.model, devices, args.clips)
        start, moved = ("–", "–") if devices is None else (f"{found['start']:.0f} s", f"{found['moved'] / 1e6:.1f} MB")
        print(f"| {name} | {found['rate']:.1f} | {start} | {moved} |", flush=True)


if __name__ == "__main__":
    main()
