"""Memory modes: the memory that a clip takes, the memory that is free, and the fallback if that is not enough.

A clip is the same in every mode, up to rounding; the modes differ in how much of the clip is processed at once. `python -m
fashionflow.runtime.memory_peaks` measures the memory that each mode takes.
"""

import contextlib
import errno
import gc
import logging
from collections.abc import Callable, Iterator
from typing import TypeVar

import numpy as np
import torch
from diffusers import AutoencoderKL

from ..models import GarmentAutoencoder
from ..pipelines import FashionFlowPipeline
from ..video.decoding import ClipDecoder
from .cuda_graphs import RecordedSteps
from .free_memory import free_bytes
from .memory_modes import AUTOMATIC, DECODED_AT_ONCE, LEANEST, OutOfMemory


TILED_PIXELS = 2**20
"""Frames with this many pixels or more are decoded in tiles in the leanest mode. Group norms see only their own tile, so colours may
differ slightly between tiles; frames in the sizes of our models are never tiled."""

FREE_SHARE = 0.8
"""The share of free memory that a mode may take if it is to be chosen; other programs and the video encoder need some, too."""

# The most numbers in memory at the same time, in the number format of the models. `memory_peaks` measured them on a processor, as the
# slope from small clips to large ones.
STEP_NUMBERS = 24
"""Numbers per latent cell of the clip and per channel of the U-Net's first layer, during a step."""
DECODE_NUMBERS = {"GarmentAutoencoder": 1.0, "AutoencoderKL": 7.0}
"""Numbers per pixel of the frames decoded at once and per channel of the autoencoder's widest layer at the finest size. For our
autoencoder this is the layer at a quarter of the picture's size, for `AutoencoderKL` the first layer at the picture's own size."""
HELD_CHUNKS = 3
"""The number of chunks of decoded pixels, in float32, that exist at the same time: one is shown, one waits, one is being decoded."""
WORKSPACE_BYTES = 55_000_000
"""The memory that the libraries take for themselves, even with the smallest clip."""

T = TypeVar("T")

logger = logging.getLogger(__name__)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out; it may be an error of PyTorch on any device, Python, NumPy, OpenCV or the system."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return not isinstance(error, OutOfMemory)
    if isinstance(error, OSError):  # a program, such as ffmpeg, that could not be started, or says so itself
        return error.errno == errno.ENOMEM
    message = str(error)
    if isinstance(error, RuntimeError):  # only CUDA's allocator has its own error class
        return any(text in message for text in _MESSAGES)
    return type(error).__module__ == "cv2" and "Insufficient memory" in message


_MESSAGES = (
    "can't start new thread",  # each thread takes 8 MB of addresses
    "DefaultCPUAllocator: can't allocate memory",
    "DefaultCPUAllocator: not enough memory",
    "CUDA error: out of memory",
    "CUDA out of memory",
    "MPS backend out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
)


def peak_bytes(pipe: FashionFlowPipeline, frames: int, mode: str) -> int:
    """The approximate peak of the device's memory that a clip takes in a mode, in bytes: the models' weights and the data that they work
    on. The program itself, its libraries and the video encoder need more memory in addition.

    Args:
        pipe: the pipeline that makes the clip.
        frames: number of the clip's frames that the denoiser makes.
        mode: a name from `DECODED_AT_ONCE`.
    """
    unet, vae = pipe.unet, pipe.vae
    latent_height, latent_width = pipe.conditioner.config.latent_size
    step = STEP_NUMBERS * frames * latent_height * latent_width * unet.config.stem_channels * unet.dtype.itemsize
    height, width = pipe.height, pipe.width
    if mode == LEANEST and _tiles(pipe):
        height, width = min(height, vae.tile_sample_min_size), min(width, vae.tile_sample_min_size)
    is_ours = isinstance(vae, GarmentAutoencoder)
    widest = vae.config.block_channels[0] if is_ours else vae.config.block_out_channels[:2][-1]
    numbers = DECODE_NUMBERS[type(vae).__name__] * widest
    at_once = min(frames, DECODED_AT_ONCE[mode])
    decode = int(numbers * at_once * height * width * vae.dtype.itemsize)
    decode += HELD_CHUNKS * at_once * pipe.height * pipe.width * 3 * torch.float32.itemsize
    weights = {name: _bytes_of(part) for name, part in _parts(pipe).items()}
    if mode == LEANEST and pipe.execution_device.type == "cuda":
        return WORKSPACE_BYTES + max(max(weights.values()), weights["unet"] + step, weights["vae"] + decode)
    return WORKSPACE_BYTES + sum(weights.values()) + max(step, decode)


def choose(pipe: FashionFlowPipeline, frames: int) -> str:
    """The fastest mode for which there is enough memory now; the leanest mode if there is not enough for any."""
    device = pipe.execution_device
    resident = sum(_bytes_of(part) for part in _parts(pipe).values() if part.device.type == device.type)
    room = FREE_SHARE * free_bytes(device) + resident
    # On a processor, decoding many frames at once is not faster, and the first frames are seen later.
    worthwhile = [mode for mode in DECODED_AT_ONCE if device.type != "cpu" or mode != "fast"]
    return next((mode for mode in reversed(worthwhile) if peak_bytes(pipe, frames, mode) <= room), LEANEST)


@contextlib.contextmanager
def applied(pipe: FashionFlowPipeline, mode: str) -> Iterator[None]:
    """A context in which the pipeline works in a memory mode; afterwards the pipeline is as before."""
    if mode != LEANEST:
        yield
        return
    vae, device = pipe.vae, pipe.execution_device
    before = vae.use_slicing, vae.use_tiling
    offload = device.type == "cuda" and not any(hasattr(part, "_hf_hook") for part in _parts(pipe).values())
    _forget_recordings(pipe)
    try:
        vae.use_slicing, vae.use_tiling = True, before[1] or _tiles(pipe)
        if offload:
            pipe.enable_model_cpu_offload(device=device)
        yield
    finally:
        vae.use_slicing, vae.use_tiling = before
        if offload:
            _bring_back(pipe, device)


class MemoryFallback:
    """The memory mode in which one clip is made: at first the requested mode, then a leaner mode each time that memory runs out.

    Use it as a context manager, on the thread that runs the pipeline; afterwards the pipeline is as before.

    Args:
        pipe: the pipeline; nobody else may run it meanwhile.
        frames: number of the clip's frames that the denoiser makes.
        asked: the requested mode, a name from `MEMORY_CHOICES`.
        on_step_down: called with the leaner mode, before the work continues in it.

    Attributes:
        mode: the current mode, a name from `DECODED_AT_ONCE`.
        stepped_down: whether the current mode is leaner than the first one.
    """

    def __init__(
        self,
        pipe: FashionFlowPipeline,
        frames: int,
        asked: str = AUTOMATIC,
        on_step_down: Callable[[str], None] = lambda mode: None,
    ):
        self._pipe, self._frames, self._on_step_down = pipe, frames, on_step_down
        self.mode = choose(pipe, frames) if asked == AUTOMATIC else asked
        self.stepped_down = False
        self._applied = contextlib.ExitStack()

    def __enter__(self) -> "MemoryFallback":
        self._applied.enter_context(applied(self._pipe, self.mode))
        return self

    def __exit__(self, *_) -> None:
        self._applied.close()

    def make(self, work: Callable[[], T]) -> T:
        """Runs `work` and returns its result. If memory runs out, `work` runs again from the beginning in the leanest mode, because the
        other modes differ only in decoding.

        Raises:
            OutOfMemory: if memory runs out in that mode, too.
        """
        while True:
            try:
                return work()
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
            # Outside of the `except` block, because the error keeps everything in memory that the work had made.
            self._step_down(LEANEST)

    def frames(self, decoder: ClipDecoder) -> Iterator[np.ndarray]:
        """A clip's frames, one by one, as `ClipDecoder.frames`. If memory runs out, decoding continues after the last frame, with fewer
        frames decoded at once.

        Args:
            decoder: the decoder of the clip.

        Raises:
            OutOfMemory: if memory runs out in the leanest mode, too.
        """
        count = 0
        while True:
            try:
                decoder.chunk_frames = DECODED_AT_ONCE[self.mode]
                for frame in decoder.frames(count):
                    count += 1
                    yield frame
                return
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
            modes = list(DECODED_AT_ONCE)
            self._step_down(modes[max(0, modes.index(self.mode) - 1)])

    def _step_down(self, leaner: str) -> None:
        device = self._pipe.execution_device
        _forget_recordings(self._pipe)
        _free(device)
        if self.mode == LEANEST:
            needed, free = peak_bytes(self._pipe, self._frames, LEANEST), free_bytes(device)
            whose = "this computer" if device.type == "cpu" else f"the device {device}"
            raise OutOfMemory(
                f"The memory of {whose} ran out in the leanest mode too: a clip of {self._frames} frames takes about "
                f"{in_gigabytes(needed)}, and {in_gigabytes(free)} are free; choose fewer frames, or close other programs."
            )
        logger.warning("Memory ran out in the mode %s; the clip is now made in the mode %s.", self.mode, leaner)
        self._applied.close()
        self.mode, self.stepped_down = leaner, True
        self._applied.enter_context(applied(self._pipe, leaner))
        self._on_step_down(leaner)


def in_gigabytes(number: int) -> str:
    """A number of bytes in a readable form: "0.8 GB", "12 GB"."""
    gigabytes = max(0.1, number / 1e9)
    return f"{gigabytes:.1f} GB" if gigabytes < 10 else f"{gigabytes:.0f} GB"


def _parts(pipe: FashionFlowPipeline) -> dict[str, torch.nn.Module]:
    return {name: part for name, part in pipe.components.items() if isinstance(part, torch.nn.Module)}


def weight_bytes(pipe: FashionFlowPipeline) -> int:
    """The bytes of all weights of the models, on any device."""
    return sum(map(_bytes_of, _parts(pipe).values()))


def _bytes_of(part: torch.nn.Module) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in (*part.parameters(), *part.buffers()))


def _tiles(pipe: FashionFlowPipeline) -> bool:
    # Our own autoencoder decodes tiles without using the photo, so the clip would be different.
    return isinstance(pipe.vae, AutoencoderKL) and pipe.height * pipe.width >= TILED_PIXELS


def _forget_recordings(pipe: FashionFlowPipeline) -> None:
    if isinstance(pipe.unet.forward, RecordedSteps):
        pipe.unet.forward.forget()


def _free(device: torch.device) -> None:
    """Releases memory that is no longer in use."""
    gc.collect()
    if device.type in ("cuda", "mps"):
        getattr(torch, device.type).empty_cache()


def _bring_back(pipe: FashionFlowPipeline, device: torch.device) -> None:
    pipe.remove_all_hooks()
    try:
        pipe.to(device)
    except torch.OutOfMemoryError:  # another program has taken the memory meanwhile
        logger.warning(
            "The models do not fit on %s any more, and stay in the processor's memory between uses.", device
        )
        pipe.enable_model_cpu_offload(device=device)
