"""A program that runs out of memory, for real, in every way that `tests/test_memory.py` asks about; it prints what came of it.

In a process of its own, because what `ulimit -v` takes away is taken from everything in the process.
"""

import contextlib
import ctypes
import io
import json
import resource
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
import psutil
import torch

from fashionflow import GarmentConditioner
from fashionflow.__main__ import main
from fashionflow.generation import command, renderer
from fashionflow.generation.events import Event, Segment, Step, SteppedDown
from fashionflow.generation.job import Job
from fashionflow.generation.queue import JobQueue
from fashionflow.generation.renderer import JobRenderer
from fashionflow.generation.request import ClipRequest
from fashionflow.generation.settings import ClipSettings
from fashionflow.page.context import PageContext, Visit
from fashionflow.page.languages import words_for
from fashionflow.page.run import OUTPUTS, Run
from fashionflow.runtime.free_memory import free_bytes
from fashionflow.runtime.memory import choose, is_out_of_memory
from fashionflow.video.io import read_frames

from . import tiny


M_MMAP_THRESHOLD, M_ARENA_MAX = -3, -8  # in glibc's malloc.h
SIDE = 256  # pixels: 16 frames of that size take about 60 MB to decode, 4 take 15


def limit(megabytes: int | None) -> None:
    """Leaves this process so much memory beyond what it has; all again for `None`."""
    most = resource.RLIM_INFINITY
    if megabytes is not None:
        most = psutil.Process().memory_info().vms + megabytes * 2**20
    resource.setrlimit(resource.RLIMIT_AS, (most, resource.RLIM_INFINITY))


def ways() -> dict[str, bool]:
    """Whether what each library raises is understood."""
    picture = np.zeros((9, 9, 3), np.uint8)
    limit(200)
    understood = {}
    for name, take in {
        "torch": lambda: torch.ones(2**28),
        "python": lambda: bytearray(2**30),
        "numpy": lambda: np.ones(2**28),
        "cv2": lambda: cv2.resize(picture, (20000, 20000)),
        "other": lambda: torch.ones(2) + torch.ones(3),
        "missing": lambda: Path("/nowhere").read_text(),
    }.items():
        try:
            take()
        except Exception as error:
            understood[name] = is_out_of_memory(error)
    limit(None)
    return understood


def choices(pipe) -> dict[str, object]:
    """What is chosen with all memory and with little of it."""
    chosen = {"plenty": choose(pipe, 24)}
    limit(40)
    chosen |= {"little": choose(pipe, 24), "free": free_bytes("cpu")}
    limit(None)
    return chosen


def request(**changes) -> ClipRequest:
    return ClipRequest(
        tiny.photo(), ClipSettings(**{"steps": 2, "seed": 7, "motion": "spin", "interpolation": 1} | changes)
    )


def made(job_queue: JobQueue, asked: ClipRequest, short_for_good: bool = True) -> dict[str, object]:
    """A clip, made before the eyes of a visitor to the page. Memory is short until its end, or until it has stepped down."""
    told, shown, reached, until_stopped = [], [], [], JobRenderer._until_stopped

    def tell(event: Event) -> None:
        told.append(event)
        if isinstance(event, SteppedDown):
            reached.append(len(shown))
            if not short_for_good:
                limit(None)
        Job.tell(job, event)

    def seen(making: JobRenderer, frames: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
        for frame in until_stopped(making, frames):
            shown.append(frame[::4, ::4].astype(int))
            yield frame

    JobRenderer._until_stopped = seen
    job = job_queue.submit(asked)
    job.tell = tell
    run = Run(PageContext(job_queue, live=True), None, None)
    said = [dict(zip(OUTPUTS, changes, strict=True)) for changes in run.show(Visit(), job, words_for(None))]
    limit(None)
    result = job.results[0]
    outcome = {
        "told": [type(event).__name__ for event in told],
        "steps": [event.index for event in told if isinstance(event, Step)],
        "said": [changes["status"] for changes in said if isinstance(changes["status"], str)],
        "reached": reached,
        "state": job.state,
        "error": str(job.error),
        "holds": job.error is not None and (job.error.__context__ or job.error.__cause__) is not None,
    }
    if result:
        written, frames, shown = read_frames(result.path).astype(int), shown, []
        unlimited = list(job_queue.submit(asked).follow())[-1]
        pieces = [read_frames(event.path).astype(int) for event in told if isinstance(event, Segment)]
        outcome |= {
            "memory": result.memory,
            "stepped_down": result.stepped_down,
            "unlimited": [unlimited.memory, unlimited.stepped_down],
            "frames": [len(written), len(frames)],
            "difference": _difference(np.max, frames, shown),
            "pieces": _difference(np.mean, np.concatenate(pieces), written),
        }
    JobRenderer._until_stopped = until_stopped
    return outcome


def _difference(
    of: Callable[[np.ndarray], float], frames: Sequence[np.ndarray], others: Sequence[np.ndarray]
) -> float:
    return float(of(np.abs(np.stack(frames) - np.stack(others)))) if len(frames) == len(others) else np.inf


def decoding(job_queue: JobQueue) -> dict[str, object]:
    """Memory is short when two times 16 frames have been decoded, and a part of the clip has been shown."""
    vae = type(job_queue.pipe.vae)
    decode, asked = vae.decode, []

    def watched(self, latents, **how):
        asked.append(len(latents))
        if asked[-1] != 16 or asked.count(16) != 3:
            return decode(self, latents, **how)
        limit(8)
        try:
            return decode(self, latents, **how)
        finally:
            limit(40)

    vae.decode = watched
    outcome = made(job_queue, request(frames=48, memory="fast"))
    vae.decode = decode
    return outcome | {"decoded": asked[:9]}


def denoising(job_queue: JobQueue) -> dict[str, object]:
    """Another program takes all memory in the second step, and gives it back meanwhile."""
    pipe, passes = job_queue.pipe, []

    def take(*_):
        passes.append(pipe.vae.use_slicing)  # as in the leanest mode alone
        if passes == [False, False]:
            limit(0)

    hook = pipe.unet.register_forward_pre_hook(take)
    outcome = made(job_queue, request(frames=16, memory="fast"), short_for_good=False)
    hook.remove()
    return outcome | {"passes": passes[:4], "slicing_afterwards": pipe.vae.use_slicing}


def nothing_fits(job_queue: JobQueue) -> dict[str, object]:
    limit(15)
    return made(job_queue, request(frames=200, memory="auto"))


def writing(job_queue: JobQueue) -> dict[str, object]:
    """Another program takes all memory when the clip is about to be written, where no leaner mode helps."""
    write_clip = renderer.write_clip

    def take_and_write(*arguments, **options) -> Path:
        limit(4)  # less than a thread takes
        return write_clip(*arguments, **options)

    renderer.write_clip = take_and_write
    outcome = made(job_queue, request(frames=16))
    renderer.write_clip = write_clip
    return outcome


def from_the_command_line(pipe) -> dict[str, object]:
    with tempfile.TemporaryDirectory() as folder:
        photo, clip = Path(folder) / "dress.png", Path(folder) / "dress.mp4"
        tiny.photo().save(photo)
        loaded = command.load_pipeline
        command.load_pipeline = lambda *arguments: (limit(15), pipe)[1]
        printed = io.StringIO()
        with contextlib.redirect_stderr(printed):
            options = ["--seed", "1", "--steps", "1", "--frames", "200", "--memory", "normal"]
            status = main([str(photo), str(clip), *options])
        limit(None)
        command.load_pipeline = loaded
        return {"status": status, "printed": printed.getvalue(), "there": clip.exists()}


if __name__ == "__main__":
    torch.set_num_threads(1)
    # What is freed goes back at once, and no thread reserves any of its own, so that limits mean what they say.
    ctypes.CDLL(None).mallopt(M_MMAP_THRESHOLD, 2**16)
    ctypes.CDLL(None).mallopt(M_ARENA_MAX, 1)
    latent_size = (SIDE // 8, SIDE // 8)
    pipe = tiny.pipeline(
        conditioner=GarmentConditioner(5, tiny.CONTEXT_CHANNELS, tiny.LATENT_CHANNELS, latent_size).eval()
    )
    job_queue = JobQueue(pipe)
    list(job_queue.submit(request(frames=4)).follow())  # the first call of anything loads code
    outcomes = {"ways": ways(), "choices": choices(pipe)}
    for scene in (decoding, denoising, nothing_fits, writing):
        outcomes[scene.__name__] = scene(job_queue)
        outcomes[scene.__name__]["next"] = list(job_queue.submit(request(frames=4)).follow())[-1].whole
    outcomes["command"] = from_the_command_line(pipe)
    json.dump(outcomes, sys.stdout)
