"""Medians of repeated work within a budget of time, and how far an output is from another."""

import time
from collections.abc import Callable
from statistics import median
from typing import TypeVar

import torch


FEWEST_REPEATS = 2  # but 1 where warming up took the whole budget
QUICK_SECONDS = 1.0  # work that takes less is warmed up twice

Output = TypeVar("Output")


def repeat(
    work: Callable[[], Output], repeats: int, budget: float, device: torch.device | None = None
) -> tuple[list[float], Output]:
    """Seconds of each run of `work` after warming up, and what the last run returned.

    Args:
        work: called without arguments.
        repeats: the most runs that count.
        budget: seconds after which no further run is begun, the warm-up included; `FEWEST_REPEATS` runs count in any case, or
            one if the budget was gone before it.
        device: waited for before the clock is read; nothing but `work` itself for `None`.
    """
    begun_at = time.perf_counter()
    output = work()
    wait_for(device)
    if time.perf_counter() - begun_at < QUICK_SECONDS and repeats > 1:
        output = work()
        wait_for(device)
    fewest = FEWEST_REPEATS if time.perf_counter() - begun_at < budget else 1
    seconds = []
    while len(seconds) < repeats:
        if len(seconds) >= fewest and time.perf_counter() - begun_at + median(seconds) > budget:
            break
        before = time.perf_counter()
        output = work()
        wait_for(device)
        seconds.append(time.perf_counter() - before)
    return seconds, output


def wait_for(device: torch.device | None) -> None:
    """Returns when a device has done all that it was asked; the processor always has."""
    if device is not None and device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device is not None and device.type == "mps":
        torch.mps.synchronize()


def cell(values: list[float], **more) -> dict:
    """What is known of one row in one column: the median, every value, and whatever else."""
    return {"value": median(values), "values": values} | more


def difference(output: torch.Tensor, reference: torch.Tensor) -> dict[str, float]:
    """How far `output` is from `reference`, of the same shape: the largest difference, and the root of the mean squared
    difference relative to that of the reference."""
    output, reference = output.double().cpu(), reference.double().cpu()
    return {
        "largest": (output - reference).abs().max().item(),
        "relative": ((output - reference).norm() / reference.norm()).item(),
    }
