"""Makes the models faster on this device: the number format, the compiler, the threads, and memory that is kept between steps.

Nothing here changes the content of a clip, except for the rounding of the number format. `python -m benchmarks` measures each switch.
"""

import ctypes
import os
import shutil
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch

from ..models import SpaceTimeUNet
from ..models.processor_fast_paths import WinogradConv2d
from .cuda_graphs import RecordedSteps


NUMBER_FORMATS = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}

MOST_KINDS_OF_BLOCK = 64
"""The maximum number of shapes that are compiled for one class of blocks: enough for two clip lengths and more."""

# glibc's names in malloc.h.
M_TRIM_THRESHOLD, M_MMAP_MAX, M_ARENA_MAX = -1, -4, -8

# The files in which Linux states how long the processes of a container may run in each period: "quota period", or one file for each.
QUOTA_FILES = (
    ("/sys/fs/cgroup/cpu.max", None),
    ("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "/sys/fs/cgroup/cpu/cpu.cfs_period_us"),
)


@dataclass(frozen=True)
class Switches:
    """The optimisations that `load_pipeline` may apply. The defaults made the models faster on every measured machine.

    Args:
        number_format: "auto" (see `number_format`), or a name from `NUMBER_FORMATS`.
        channels_last: store convolution weights in the same memory order as the U-Net's features.
        keep_memory: let the C library keep freed memory for the next step (`keep_freed_memory`); CPU only.
        fit_threads: limit the threads to the number of cores that this process may use (`usable_cores`); CPU only.
        winograd: compute wide convolutions of the U-Net with fewer multiplications (`fashionflow.models.winograd`); float32 on CPU only.
        compile: compile the U-Net's blocks (`compile_blocks`), which takes a minute or more the first time.
        cuda_graphs: record each kind of denoising step once and replay it (`fashionflow.runtime.cuda_graphs`), which keeps the memory of
            a step allocated; CUDA only.
        xformers: use xFormers' attention if it can run; CUDA only.
    """

    number_format: str = "auto"
    channels_last: bool = True
    keep_memory: bool = True
    fit_threads: bool = True
    winograd: bool = True
    compile: bool = False
    cuda_graphs: bool = False
    xformers: bool = True


DEFAULTS = Switches()

PLAIN = Switches(
    "float32",
    channels_last=False,
    keep_memory=False,
    fit_threads=False,
    winograd=False,
    compile=False,
    cuda_graphs=False,
    xformers=False,
)
"""All optimisations off."""


def prepare(model: torch.nn.Module, switches: Switches = DEFAULTS) -> torch.nn.Module:
    """Applies the switches to a model that is on its device, and returns the model. Threads and memory are set for the whole process.

    Args:
        model: such as a U-Net or an autoencoder.
        switches: the switches to apply, except attention, which `fashionflow.runtime.loading.load_pipeline` sets.
    """
    device = next(model.parameters()).device
    if device.type == "cpu":
        if switches.keep_memory:
            keep_freed_memory()
        if switches.fit_threads:
            torch.set_num_threads(min(torch.get_num_threads(), usable_cores()))
    dtype = number_format(device, switches.number_format)
    if next(model.parameters()).dtype != dtype:
        model.to(dtype)
    if switches.channels_last:
        model.to(memory_format=torch.channels_last)
    for layer in model.modules():
        if isinstance(layer, WinogradConv2d):
            layer.winograd = switches.winograd
    if switches.compile and getattr(model, "_repeated_blocks", None):
        compile_blocks(model)
    if switches.cuda_graphs and device.type == "cuda" and isinstance(model, SpaceTimeUNet):
        RecordedSteps(model)
    return model


def number_format(device: torch.device, name: str = "auto") -> torch.dtype:
    """The number format that the models run in.

    Args:
        device: the device of the models.
        name: a name from `NUMBER_FORMATS`, or "auto": float16 on CUDA; bfloat16 on a processor that multiplies it faster than
            float32; otherwise float32.

    Raises:
        ValueError: if `name` is unknown.
    """
    if name == "auto":
        if device.type == "cuda":
            return torch.float16
        return torch.bfloat16 if device.type == "cpu" and processor_has_bfloat16() else torch.float32
    if name not in NUMBER_FORMATS:
        raise ValueError(f"`number_format` must be auto or one of {', '.join(NUMBER_FORMATS)}, got {name!r}.")
    return NUMBER_FORMATS[name]


@cache
def processor_has_bfloat16() -> bool:
    """Whether this processor has instructions that multiply bfloat16; without them, bfloat16 is slower than float32."""
    capabilities = _capabilities()
    return any(capabilities.get(name, False) for name in ("avx512_bf16", "amx_bf16"))


def usable_cores() -> int:
    """The number of physical cores that this process may use at a time, within its affinity and its container's limit.

    PyTorch itself counts the cores of the machine, so in a container with two cores on a machine with sixty it starts sixty threads.
    """
    physical = _capabilities().get("num_physical_cores") or os.cpu_count() or 1
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else physical
    return max(1, min(physical, allowed, int(_quota() or physical)))


def keep_freed_memory() -> bool:
    """Makes glibc keep freed memory for the next allocation. Returns whether it accepts this; with other C libraries nothing happens.

    By default, glibc returns the memory of every large tensor to the system and requests new memory for the next one: at full size,
    12 GB of new, zeroed pages per step, which take a third of the time. `return_freed_memory` returns the kept memory.
    """
    libc = _glibc()
    if libc is None:
        return False
    # One arena, because only the first arena can hold large blocks itself, and the models run on their own thread.
    settings = ((M_ARENA_MAX, 1), (M_MMAP_MAX, 0), (M_TRIM_THRESHOLD, 2**31 - 1))
    return all(libc.mallopt(name, value) == 1 for name, value in settings)


def return_freed_memory() -> None:
    """Returns freed memory to the system, for example after a clip."""
    libc = _glibc()
    if libc is not None:
        libc.malloc_trim(0)


def compile_blocks(model: torch.nn.Module) -> None:
    """Compiles a U-Net's repeated blocks (`torch.compile` by region), so that norms, activations and sums become one kernel.

    The first clip of each length waits for the compiler. The compiled code is cached on disk (`TORCHINDUCTOR_CACHE_DIR`), so the next
    start takes seconds.

    Raises:
        ValueError: if there is no C++ compiler, which the kernels for a processor need.
    """
    on_cpu = next(model.parameters()).device.type == "cpu"
    if on_cpu and not any(map(shutil.which, (os.environ.get("CXX", "g++"), "clang++"))):
        raise ValueError(
            "Compiling for a processor needs a C++ compiler, and there is none; install g++, or do not compile."
        )
    model.register_forward_pre_hook(_allow_many_kinds)
    model.compile_repeated_blocks(fullgraph=True, dynamic=False)


def _allow_many_kinds(*_) -> None:
    """Raises PyTorch's limit of eight compiled shapes. The limit is too low, because blocks of one class share their code but differ in
    their channels. Each thread has its own limit."""
    torch._dynamo.config.recompile_limit = max(torch._dynamo.config.recompile_limit, MOST_KINDS_OF_BLOCK)


def _capabilities() -> dict:
    """PyTorch's information about the processor; older versions give none."""
    return getattr(torch.cpu, "get_capabilities", dict)()


@cache
def _glibc() -> ctypes.CDLL | None:
    if not sys.platform.startswith("linux"):
        return None
    try:
        libc = ctypes.CDLL("libc.so.6")
        libc.mallopt, libc.malloc_trim  # noqa: B018  (another C library may have this name without these functions)
    except (OSError, AttributeError):
        return None
    return libc


def _quota() -> float | None:
    """The number of cores that the container's control group allows; `None` without a limit."""
    for limit, period in QUOTA_FILES:
        try:
            words = Path(limit).read_text(encoding="utf-8").split() + (
                Path(period).read_text(encoding="utf-8").split() if period else []
            )
            quota, length = float(words[0]), float(words[1])
        except (OSError, ValueError, IndexError):  # no such file; "max"
            continue
        if quota > 0 and length > 0:
            return max(1.0, quota / length)
    return None
