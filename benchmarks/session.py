"""Shared by all measurements of one process: the column, the device, the number of runs, and the reference outputs."""

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
"""The work that is timed; it returns its output."""


@dataclass(frozen=True)
class Session:
    """
    Args:
        column: the way in which the code is run.
        device: the device that it runs on.
        model: a pipeline folder or Hub id; the shipped one for `None`.
        repeats: the most runs of a row that count.
        budget: seconds for the runs of one row, see `timing.repeat`.
        references: a folder for outputs of the baseline in float32; the first process that needs an output writes it.
    """

    column: Column
    device: torch.device
    model: str | None
    repeats: int
    budget: float
    references: Path

    @cached_property
    def pipeline(self) -> FashionFlowPipeline:
        """The pipeline, loaded when it is first needed."""
        return subjects.pipeline(self.column, self.model, self.device)

    @cached_property
    def baseline(self) -> "Session":
        """The same session with the baseline's column."""
        return replace(self, column=Column(BASELINE, BASELINE, PLAIN))

    def run(self, work: Work) -> tuple[list[float], torch.Tensor]:
        """Calls `timing.repeat` with this session's repeats and budget."""
        return repeat(work, self.repeats, self.budget, self.device)

    def time(self, name: str, make: Callable[["Session"], Work]) -> dict:
        """The cell of a row. The work that `make` prepares for this session is timed, and its output is compared with the baseline's.

        Args:
            name: the name of the row.
            make: prepares the work of a session. It is called again with the baseline's session if there is no reference yet.
        """
        seconds, output = self.run(make(self))
        return cell(seconds, error=self.error(name, output, make))

    def error(self, name: str, output: torch.Tensor, make: Callable[["Session"], Work]) -> dict[str, float]:
        """The difference of an output from the baseline's output in float32, which `make` prepares."""
        path = self.references / f"{name}.npy"
        if not path.exists():
            reference = output
            if self.column.name != BASELINE or self.device.type != "cpu":
                with torch.backends.cudnn.flags(allow_tf32=False):  # PyTorch allows it by default
                    reference = make(self.baseline)()
            np.save(path, reference.float().cpu().numpy())
        return difference(output, torch.from_numpy(np.load(path)))
