"""The machine that is measured, and the peak memory of this process."""

import os
import platform
import re
import sys
from pathlib import Path

import torch

from fashionflow.runtime.acceleration import usable_cores


MEGABYTE = 1_000_000


def describe_machine(device: torch.device) -> dict[str, str | int | float]:
    """Processor, cores, memory, PyTorch and GPU, by name."""
    machine = {
        "processor": _processor(),
        "cores": usable_cores(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
        "system": platform.system(),
        "python": platform.python_version(),
        "pytorch": torch.__version__,
        "vector_instructions": torch.backends.cpu.get_cpu_capability(),
        "device": device.type,
    }
    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        machine |= {"gpu": properties.name, "gpu_memory_gb": round(properties.total_memory / 1e9, 1)}
    return machine


def in_words(machine: dict) -> str:
    """The description of a machine as one line."""
    gpu = f", {machine['gpu']} ({machine['gpu_memory_gb']} GB)" if "gpu" in machine else ", no GPU used"
    return (
        f"{machine['processor']}, {machine['cores']} cores, {machine['memory_gb']} GB of memory{gpu}, "
        f"PyTorch {machine['pytorch']}, {machine['vector_instructions']}"
    )


def peak_memory(device: torch.device) -> float:
    """The peak memory of this process so far, in megabytes: memory of tensors on a CUDA GPU, otherwise resident memory."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / MEGABYTE
    status = Path("/proc/self/status")
    if status.exists():  # `getrusage` would also count memory of the parent process
        return int(re.search(r"VmHWM:\s+(\d+) kB", status.read_text(encoding="utf-8"))[1]) * 1024 / MEGABYTE
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak * (1 if sys.platform == "darwin" else 1024) / MEGABYTE


def _processor() -> str:
    information = Path("/proc/cpuinfo")
    if information.exists() and (found := re.search(r"model name\s*: (.+)", information.read_text(encoding="utf-8"))):
        return found[1].strip()
    return platform.processor() or platform.machine()
