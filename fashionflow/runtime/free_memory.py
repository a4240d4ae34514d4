"""The memory of a device that this process can still use, whether the machine, a container or the shell limits it."""

import contextlib
import ctypes
import math
from pathlib import Path

import psutil
import torch


NO_LIMIT = math.inf


def free_bytes(device: torch.device | str) -> int:
    """Bytes that this process can still use on a device, including unused memory that PyTorch or the C library keep for it."""
    device = torch.device(device)
    if device.type == "cuda":
        unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + unused
    free = min(psutil.virtual_memory().available, _left_in_container(), _left_of_address_space()) + _kept_by_malloc()
    if device.type == "mps":  # it shares the machine's memory
        free = min(free, torch.mps.recommended_max_memory() - torch.mps.current_allocated_memory())
    return max(0, int(free))


def _left_in_container(mounted: Path = Path("/sys/fs/cgroup"), membership: Path = Path("/proc/self/cgroup")) -> float:
    """Bytes left in this process's control group and in every group that contains it; `NO_LIMIT` if there is no limit.

    Args:
        mounted: the folder where control groups are mounted; version 2 uses this folder, version 1 its subfolder `memory`.
        membership: the file in which Linux lists the groups of this process.
    """
    try:
        lines = membership.read_text(encoding="utf-8").splitlines()
    except OSError:  # not Linux
        return NO_LIMIT
    left = NO_LIMIT
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            root, limit, usage, prefix = mounted, "memory.max", "memory.current", ""
        elif "memory" in controllers.split(","):
            root, limit, usage, prefix = mounted / "memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_"
        else:
            continue
        inner = root / path.strip("/")
        for group in (inner, *inner.parents):
            if group == root.parent:
                break
            with contextlib.suppress(OSError, ValueError):  # no such file, or the limit is "max"
                most = int((group / limit).read_text(encoding="utf-8"))
                statistics = dict(
                    entry.split() for entry in (group / "memory.stat").read_text(encoding="utf-8").splitlines()
                )
                # Linux frees cached pages of files by itself when memory is short.
                cache = sum(int(statistics.get(f"{prefix}{kind}_file", 0)) for kind in ("inactive", "active"))
                left = min(left, most - int((group / usage).read_text(encoding="utf-8")) + cache)
    return left


def _left_of_address_space() -> float:
    """Bytes of address space that are left under the limit of `ulimit -v`."""
    try:
        import resource
    except ImportError:  # Windows
        return NO_LIMIT
    most = resource.getrlimit(resource.RLIMIT_AS)[0]
    return NO_LIMIT if most == resource.RLIM_INFINITY else most - psutil.Process().memory_info().vms


class _Malloc(ctypes.Structure):
    """`struct mallinfo2` of glibc's malloc.h."""

    _fields_ = [
        (name, ctypes.c_size_t)
        for name in [
            "arena",
            "ordblks",
            "smblks",
            "hblks",
            "hblkhd",
            "usmblks",
            "fsmblks",
            "uordblks",
            "fordblks",
            "keepcost",
        ]
    ]


def _kept_by_malloc() -> int:
    """Freed bytes that the C library keeps for the next allocation; 0 if it does not report them."""
    try:
        ask = ctypes.CDLL(None).mallinfo2
    except (AttributeError, OSError, TypeError):  # musl, an old glibc, macOS; Windows
        return 0
    ask.restype = _Malloc
    return ask().fordblks
