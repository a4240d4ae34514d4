"""What a clip really takes in each memory mode, beside what `fashionflow.runtime.memory` expects of it.

python -m fashionflow.runtime.memory_peaks --model assets/models/fashionflow-mini --frames 24

Each mode has a process of its own. On a processor the peak is what the process grew by in its turn, on CUDA what PyTorch's
allocator says; the weights are in both. On a processor it needs Linux.
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
from ..video.decoding import playing_frames
from .loading import load_pipeline
from .memory import DECODED_AT_ONCE, MemoryFallback, peak_bytes, weight_bytes


STEPS = 2


def measure(pipe: FashionFlowPipeline, mode: str, frames: int | None = None) -> dict[str, float]:
    """The peaks of one clip in a mode, in this very process, which should have made no larger one before.

    Args:
        pipe: a loaded pipeline, on its device.
        mode: a name from `DECODED_AT_ONCE`.
        frames: as the denoiser makes them; the model's own number by default.

    Returns:
        bytes, `expected` and `measured` of the whole clip, and of its `steps` and its `decoding` without the weights; `seconds`
        that one frame's decoding took.
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
        for _ in playing_frames(pipe, latents, guide=guide, chunk_frames=DECODED_AT_ONCE[mode]):
            pass
        if latents.is_cuda:
            torch.cuda.synchronize()
        return (time.perf_counter() - started) / latents.shape[2]

    with MemoryFallback(pipe, frames, mode):
        decode(denoise(max(2, pipe.unet.frame_multiple)))  # the first call of anything loads code, which stays
        steps, latents = _peak_of(lambda: denoise(frames), pipe)
        decoding, seconds = _peak_of(lambda: decode(latents), pipe)
        on_cuda = pipe._execution_device.type == "cuda"
    weights = weight_bytes(pipe)
    return {
        "expected": peak_bytes(pipe, frames, mode),
        "measured": max(steps, decoding) + (0 if on_cuda else weights),
        "steps": steps,
        "decoding": decoding,
        "seconds": seconds,
    }


def _peak_of(work: Callable[[], object], pipe: FashionFlowPipeline) -> tuple[int, object]:
    """The most bytes that PyTorch held on CUDA meanwhile, or by which this process grew; and what the work returned."""
    if pipe._execution_device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
        result = work()
        return torch.cuda.max_memory_allocated(), result
    ctypes.CDLL(None).malloc_trim(0)  # otherwise it grows into what it kept
    Path("/proc/self/clear_refs").write_text("5")  # the peak is now what the process has
    before = _status("VmRSS")
    result = work()
    return _status("VmHWM") - before, result


def _status(name: str) -> int:
    """Bytes, from what Linux says of this process."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(f"{name}:"))
    return 1024 * int(line.split()[1])


def _measure_loaded(model: str | None, device: str, mode: str, frames: int | None) -> dict[str, float]:
    return measure(load_pipeline(model, device), mode, frames)


def main() -> None:
    parser = argparse.ArgumentParser(description="Measures what a clip takes in each memory mode.")
    parser.add_argument("--model", help="a model folder or a Hub id; the model that ships")
    parser.add_argument("--device", default="auto", help="cuda or cpu; the best there is")
    parser.add_argument("--frames", type=int, help="frames that the model makes; the model's own number")
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
