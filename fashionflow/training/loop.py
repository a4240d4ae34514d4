"""What the two training programs share: the learning rate, a clean end, and checkpoints that resume."""

import json
import math
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path

from accelerate import Accelerator
from tqdm import tqdm


CHECKPOINT = "checkpoint"
OLD_CHECKPOINT = "checkpoint.old"


def is_held_out(clip: Path | str) -> bool:
    """Clips whose seed, which is their file name, ends in 7 are the test set and never trained on."""
    return Path(clip).stem.endswith("7")


def learning_rate_factor(step: int, steps: int, warmup: int, decay_fraction: float) -> float:
    """Rises over `warmup` steps, stays at 1, and falls as half a cosine over the last `decay_fraction` of `steps`.

    The flat middle lets a run be prolonged: only the fall has to be done again.
    """
    decay_steps = max(1, round(steps * decay_fraction))
    remaining = min(1.0, max(0, steps - step) / decay_steps)
    return min(1.0, (step + 1) / max(1, warmup)) * (1 - math.cos(math.pi * remaining)) / 2


class TrainingLoop:
    """Counts optimiser steps with a progress bar until the last step, the time limit or SIGTERM, whichever is first.

    Args:
        accelerator: holds everything that a checkpoint saves (models, optimiser, EMA, learning rate).
        folder: where the checkpoint and `log.jsonl` go.
        steps: optimiser steps of the whole run, resumed parts included.
        time_limit: minutes after which the run ends cleanly; 0 for none.
        save_every: steps between checkpoints.
    """

    def __init__(self, accelerator: Accelerator, folder: Path, steps: int, time_limit: float, save_every: int):
        self.accelerator = accelerator
        self.folder = folder
        self.steps = steps
        self.save_every = save_every
        self.step = 0
        self.seconds = 0.0  # spent training, earlier parts included
        self._deadline = time.monotonic() + 60 * time_limit if time_limit else math.inf
        self._stopped = False
        self._losses: list[float] = []
        signal.signal(signal.SIGTERM, self._stop)
        accelerator.register_for_checkpointing(self)
        folder.mkdir(parents=True, exist_ok=True)

    def _stop(self, *_):
        self._stopped = True

    def state_dict(self) -> dict:
        return {"step": self.step, "seconds": self.seconds}

    def load_state_dict(self, state: dict) -> None:
        self.step, self.seconds = state["step"], state["seconds"]

    def resume(self) -> bool:
        """Goes on from the folder's checkpoint if there is one."""
        checkpoint = self.folder / CHECKPOINT
        if not checkpoint.is_dir() and (self.folder / OLD_CHECKPOINT).is_dir():
            checkpoint = self.folder / OLD_CHECKPOINT  # the last run was killed while it swapped the two
        if not checkpoint.is_dir():
            return False
        self.accelerator.load_state(str(checkpoint))
        self.accelerator.print(f"resumed at step {self.step} from {checkpoint}")
        return True

    def save(self) -> None:
        """Writes a checkpoint beside the old one and then swaps them; at every moment one of the two is whole."""
        fresh, old = self.folder / "checkpoint.new", self.folder / OLD_CHECKPOINT
        self.accelerator.save_state(str(fresh))
        if self.accelerator.is_main_process:
            checkpoint = self.folder / CHECKPOINT
            if checkpoint.is_dir():
                shutil.rmtree(old, ignore_errors=True)
                checkpoint.rename(old)
            fresh.rename(checkpoint)
            shutil.rmtree(old, ignore_errors=True)
        self.accelerator.wait_for_everyone()

    def log(self, **values: float) -> None:
        if self.accelerator.is_main_process:
            with open(self.folder / "log.jsonl", "a") as file:
                file.write(json.dumps({"step": self.step, "seconds": round(self.seconds), **values}) + "\n")

    def report(self, loss: float, log_every: int = 50) -> None:
        """Takes the loss of the step just done; logs the mean of every `log_every`."""
        self._losses.append(loss)
        if len(self._losses) == log_every:
            self.log(loss=round(sum(self._losses) / log_every, 5))
            self._losses.clear()

    def __iter__(self) -> Iterator[int]:
        """Yields the number of each step before it is done, counting from 1, and saves on the way and at the end."""
        with tqdm(
            total=self.steps, initial=self.step, disable=not self.accelerator.is_main_process, mininterval=5
        ) as bar:
            while self.step < self.steps and not self._stopped and time.monotonic() < self._deadline:
                started = time.monotonic()
                yield self.step + 1
                self.step += 1
                self.seconds += time.monotonic() - started
                if self._losses:
                    bar.set_postfix(loss=f"{self._losses[-1]:.4f}", refresh=False)
                bar.update()
                if self.step % self.save_every == 0:
                    self.save()
        self.save()
