"""Measures the memory that a clip really takes in each memory mode, and shows what `fashionflow.runtime.memory` expects.

python -m fashionflow.runtime.memory_peaks --model assets/models/fashionflow-mini --frames 24

Each mode runs in its own process. On a processor, the peak is the growth of the process in this time; on CUDA, it is the number that
PyTorch's allocator reports. Both include the weights. On a processor, this module needs Linux.
"""

import argparse
import ctypes
import multiprocessing
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import torch
from PIL import Image

from ..pipelines import FashionFlowPipeline
from ..video.decoding import ClipDecoder
from .loading import load_pipeline
from .memory import MemoryFallback, peak_bytes, weight_bytes
from .memory_modes import DECODED_AT_ONCE


STEPS = 2


def measure(pipe: FashionFlowPipeline, mode: str, frames: int | None = None) -> dict[str, float]:
    """Measures the memory peaks of one clip in a mode, in this process, which should not have made a larger clip before.

    Args:
        pipe: a loaded pipeline, on its device.
        mode: a name from `DECODED_AT_ONCE`.
        frames: number of frames that the denoiser makes; by default the model's own number.

    Returns:
        bytes: `expected` and `measured` for the whole clip, and `steps` and `decoding` for these parts without the weights; and
        `seconds`, the time to decode one frame.
    """
    pipe.set_progress_bar_config(disable=True)
    frames = frames or pipe.config.default_num_frames
    photo = Image.effect_noise((pipe.width, pipe.height), 64).convert("RGB")

    guide = pipe.guide(photo, None, frames)

    def denoise(count: int) -> torch.Tensor:
        steps = {"num_inference_steps": STEPS, "num_frames": count, "output_type": "latent"}
        return pipe(photo, generator=torch.Generator().manual_seed(0), **steps).frames

    def decode(latents: torch.Tensor) -> float:
        started = time.perf_counter()
        for _ in ClipDecoder(pipe, latents, guide=guide, chunk_frames=DECODED_AT_ONCE[mode]).frames():
            pass
        if latents.is_cuda:
            torch.cuda.synchronize()
        return (time.perf_counter() - started) / latents.shape[2]

    with MemoryFallback(pipe, frames, mode):
        decode(denoise(max(2, pipe.unet.frame_multiple)))  # a first call loads code, which stays in memory
        steps, latents = _peak_of(lambda: denoise(frames), pipe)
        decoding, seconds = _peak_of(lambda: decode(latents), pipe)
        on_cuda = pipe.execution_device.type == "cuda"
    weights = weight_bytes(pipe)
    return {
        "expected": peak_bytes(pipe, frames, mode),
        "measured": max(steps, decoding) + (0 if on_cuda else weights),
        "steps": steps,
        "decoding": decoding,
        "seconds": seconds,
    }


def _peak_of(work: Callable[[], object], pipe: FashionFlowPipeline) -> tuple[int, object]:
    """Runs `work`. Returns the peak of bytes that PyTorch held meanwhile (on CUDA) or by which this process grew, and the result."""
    if pipe.execution_device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
        result = work()
        return torch.cuda.max_memory_allocated(), result
    ctypes.CDLL(None).malloc_trim(0)  # otherwise the process would grow into memory that it kept
    # This sets the peak to the current memory of the process.
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    before = _status("VmRSS")
    result = work()
    return _status("VmHWM") - before, result


def _status(name: str) -> int:
    """A number of bytes from Linux's status file of this process."""
    line = next(
        line
        for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
        if line.startswith(f"{name}:")
    )
    return 1024 * int(line.split()[1])


def _measure_loaded(model: str | None, device: str, mode: str, frames: int | None) -> dict[str, float]:
    return measure(load_pipeline(model, device), mode, frames)


def main() -> None:
    parser = argparse.ArgumentParser(description="Measures the memory that a clip takes in each memory mode.")
    parser.add_argument("--model", help="a model folder or a Hub id; by default the shipped model")
    parser.add_argument("--device", default="auto", help="cuda or cpu; by default the best available")
    parser.add_argument("--frames", type=int, help="frames that the model makes; by default the model's own number")
    arguments = parser.parse_args()
    columns = ("expected", "measured", "steps", "decoding")
    print(f"{'mode':8}" + "".join(f"{name + ', MB':>16}" for name in columns) + f"{'decoded, ms/frame':>20}")
    for mode in DECODED_AT_ONCE:
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
            measured = process.submit(
                _measure_loaded, arguments.model, arguments.device, mode, arguments.frames
            ).result()
        sizes = "".join(f"{measured[name] / 1e6:16.0f}" for name in columns)
        print(f"{mode:8}{sizes}{1000 * measured['seconds']:20.1f}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
