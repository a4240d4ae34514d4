"""Medians of repeated work within a time budget, and the difference between two outputs."""

import time
from collections.abc import Callable
from statistics import median
from typing import TypeVar

import torch


FEWEST_REPEATS = 2  # but 1 if warming up took the whole budget
QUICK_SECONDS = 1.0  # work that takes less is warmed up twice

Output = TypeVar("Output")


def repeat(
    work: Callable[[], Output], repeats: int, budget: float, device: torch.device | None = None
) -> tuple[list[float], Output]:
    """The seconds of each run of `work` after warming up, and the output of the last run.

    Args:
        work: a function without arguments.
        repeats: the most runs that count.
        budget: seconds, including the warm-up, after which no further run starts. At least `FEWEST_REPEATS` runs count, or one run if the
            warm-up used up the budget.
        device: the device to wait for before the clock is read; `None` to wait only for `work` itself.
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
    """Returns when a device has finished all its work; the processor has always finished."""
    if device is not None and device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device is not None and device.type == "mps":
        torch.mps.synchronize()


def cell(values: list[float], **more) -> dict:
    """The result of one row in one column: the median, every value, and anything else in `more`."""
    return {"value": median(values), "values": values} | more


def difference(output: torch.Tensor, reference: torch.Tensor) -> dict[str, float]:
    """The difference of `output` from `reference`, of the same shape: the largest difference, and the root mean square of the difference
    relative to the root mean square of the reference."""
    output, reference = output.double().cpu(), reference.double().cpu()
    return {
        "largest": (output - reference).abs().max().item(),
        "relative": ((output - reference).norm() / reference.norm()).item(),
    }
