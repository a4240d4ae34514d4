"""The shortest possible time of this machine for a model's work, from counted operations and bytes and from measured rates.

Every layer with weights takes at least as long as its operations at the measured rate of matrix products, and at least as long as its
weights, its input and its output need to pass through memory once at the measured rate of copying. The sum over the layers is the
roofline. Everything between those layers (activations, sums, reshapes) is free, as if it were fused into them. Products between
activations (attention) cost their operations.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from .timing import wait_for


BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}
MATRIX_SIDE = {"cuda": 8192, "cpu": 2048}
COPIED_BYTES = {"cuda": 2**31, "cpu": 2**28}
RATE_SECONDS = 1.0


@dataclass
class Count:
    """The counted work of a model.

    Args:
        layers: operations, and numbers read and written, for each call of a layer with weights, in the order of the calls.
        between: operations outside of these layers.
    """

    layers: list[tuple[int, int]] = field(default_factory=list)
    between: int = 0

    @property
    def operations(self) -> int:
        """The number of multiplications and additions."""
        return sum(operations for operations, _ in self.layers) + self.between

    @property
    def numbers(self) -> int:
        """The number of weights, inputs and outputs, each counted once for every call."""
        return sum(numbers for _, numbers in self.layers)

    def seconds(self, rates: dict, number_format: str) -> float:
        """The roofline at the rates that `measure_rates` returned."""
        operation, number = 1 / rates["operations"][number_format], BYTES[number_format] / rates["bytes"]
        layers = sum(max(operations * operation, numbers * number) for operations, numbers in self.layers)
        return layers + self.between * operation


def count(work: Callable[[], Any], *models: nn.Module) -> Count:
    """Counts the work of the models while `work` runs. Models and inputs on the device "meta" are counted without being computed.

    On other devices, the fused attention of the processor would not be counted, because PyTorch's counter does not know it.
    """
    counted, before, hooks = Count(), [], []

    def enter(module: nn.Module, inputs: tuple) -> None:
        before.append(counter.get_total_flops())

    def leave(module: nn.Module, inputs: tuple, output: torch.Tensor) -> None:
        tensors = (*(each for each in inputs if isinstance(each, torch.Tensor)), output, *module.parameters())
        counted.layers.append((counter.get_total_flops() - before.pop(), sum(tensor.numel() for tensor in tensors)))

    for model in models:
        for module in model.modules():
            if not list(module.children()) and list(module.parameters()):
                hooks += [module.register_forward_pre_hook(enter), module.register_forward_hook(leave)]
    try:
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            work()
    finally:
        for hook in hooks:
            hook.remove()
    counted.between = counter.get_total_flops() - sum(operations for operations, _ in counted.layers)
    return counted


def measure_rates(
    device: torch.device,
    formats: list[str],
    side: int | None = None,
    size: int | None = None,
    seconds: float = RATE_SECONDS,
) -> dict:
    """Measures operations per second in square matrix products of each number format, and bytes per second read and written by copying.

    Args:
        device: the device to measure, with as many threads as PyTorch uses now.
        formats: names from `BYTES`.
        side: the side of the matrices; large enough for the device by default.
        size: the number of bytes to copy; by default more than any cache holds.
        seconds: the time for each rate. The fastest run counts, because no disturbance makes a machine faster.
    """
    kind = device.type if device.type in MATRIX_SIDE else "cpu"
    side, size = side or MATRIX_SIDE[kind], size or COPIED_BYTES[kind]
    operations = {}
    for name in formats:
        left, right = torch.randn(2, side, side, device=device).to(getattr(torch, name))
        operations[name] = 2 * side**3 / _fastest(lambda left=left, right=right: left @ right, device, seconds)
    source = torch.ones(size, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    return {"operations": operations, "bytes": 2 * size / _fastest(lambda: target.copy_(source), device, seconds)}


def _fastest(work: Callable[[], Any], device: torch.device, seconds: float) -> float:
    work()
    wait_for(device)
    fastest, until = float("inf"), time.perf_counter() + seconds
    while time.perf_counter() < until:
        before = time.perf_counter()
        work()
        wait_for(device)
        fastest = min(fastest, time.perf_counter() - before)
    return fastest
