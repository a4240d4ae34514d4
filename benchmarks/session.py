"""What every measurement of one process shares: the column, the device, how often, and the outputs to compare with."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch

from fashionflow import FashionFlowPipeline
from fashionflow.runtime.acceleration import PLAIN

from . import subjects
from .columns import BASELINE, Column
from .timing import cell, difference, repeat


Work = Callable[[], torch.Tensor]
"""What is timed; returns its output."""


@dataclass(frozen=True)
class Session:
    """
    Args:
        column: how it is run.
        device: where.
        model: a pipeline folder or Hub id; the shipped one for `None`.
        repeats: the most runs of a row that count.
        budget: seconds for the runs of one row, see `timing.repeat`.
        references: a folder for outputs of the baseline in float32, written by whoever needs one first.
    """

    column: Column
    device: torch.device
    model: str | None
    repeats: int
    budget: float
    references: Path

    @cached_property
    def pipeline(self) -> FashionFlowPipeline:
        """Loaded when it is first asked for."""
        return subjects.pipeline(self.column, self.model, self.device)

    @cached_property
    def baseline(self) -> "Session":
        """The same as the baseline runs it."""
        return replace(self, column=Column(BASELINE, BASELINE, PLAIN))

    def run(self, work: Work) -> tuple[list[float], torch.Tensor]:
        """`timing.repeat` as often as this session does."""
        return repeat(work, self.repeats, self.budget, self.device)

    def time(self, name: str, make: Callable[["Session"], Work]) -> dict:
        """The cell of a row: what `make` makes of this session is timed, and its output compared with the baseline's.

        Args:
            name: of the row.
            make: prepares the work of a session. It is called again with the baseline's where no reference is there yet.
        """
        seconds, output = self.run(make(self))
        return cell(seconds, error=self.error(name, output, make))

    def error(self, name: str, output: torch.Tensor, make: Callable[["Session"], Work]) -> dict[str, float]:
        """How far an output is from the baseline's in float32, which `make` prepares."""
        path = self.references / f"{name}.npy"
        if not path.exists():
            reference = output
            if self.column.name != BASELINE or self.device.type != "cpu":
                with torch.backends.cudnn.flags(allow_tf32=False):  # PyTorch allows it by default
                    reference = make(self.baseline)()
            np.save(path, reference.float().cpu().numpy())
        return difference(output, torch.from_numpy(np.load(path)))
