"""Shared by the training programs: the learning rate, a clean end, and checkpoints to resume from."""

import json
import math
import shutil
import signal
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import torch
from accelerate import Accelerator
from tqdm import tqdm

from ..evaluation.files import write_whole


CHECKPOINT = "checkpoint"
OLD_CHECKPOINT = "checkpoint.old"
SETTINGS = "settings.json"


def learning_rate_factor(step: int, steps: int, warmup: int, decay_fraction: float) -> float:
    """Rises over `warmup` steps, stays at 1, and falls as half a cosine over the last `decay_fraction` of `steps`.

    Because the middle is constant, a run can be extended: only the decay has to be repeated. With a `decay_fraction` of 1 it is the usual
    cosine schedule after a warm-up; with 0 it never falls.
    """
    decay_steps = max(1, round(steps * decay_fraction))
    remaining = min(1.0, max(0, steps - step) / decay_steps)
    return min(1.0, (step + 1) / max(1, warmup)) * (1 - math.cos(math.pi * remaining)) / 2


def set_learning_rate(optimizer: torch.optim.Optimizer, config, step: int) -> float:
    """Sets the optimiser's learning rate for a step, counted from 1, by a run's settings, and returns it."""
    rate = config.learning_rate * learning_rate_factor(step - 1, config.steps, config.warmup, config.decay_fraction)
    for group in optimizer.param_groups:
        group["lr"] = rate
    return rate


def check_settings(folder: Path, settings: dict, fixed: Iterable[str]) -> None:
    """Refuses to resume a run with settings that would make it a different run.

    Args:
        folder: the run's folder. A folder without a checkpoint, or without saved settings, is accepted.
        settings: the settings requested now.
        fixed: names of the settings that must not change.

    Raises:
        ValueError: for the first of these settings that differs.
    """
    path = folder / SETTINGS
    if not path.is_file() or not any((folder / name).is_dir() for name in (CHECKPOINT, OLD_CHECKPOINT)):
        return
    saved = json.loads(path.read_text(encoding="utf-8"))
    for name in fixed:
        if name in saved and saved[name] != settings[name]:
            raise ValueError(
                f"`{name}` must stay {saved[name]!r} to continue the run in {str(folder)!r}, got {settings[name]!r}; "
                "give it as it was, or another `--out`."
            )


class TrainingLoop:
    """Counts optimiser steps with a progress bar until the last step, the time limit or SIGTERM, whichever is first.

    Several processes all stop after the same step, no matter which of them received the signal.

    Args:
        accelerator: holds everything that a checkpoint saves (models, optimiser, EMA).
        folder: where the checkpoint, `settings.json` and `log.jsonl` go.
        steps: optimiser steps of the whole run, resumed parts included.
        time_limit: minutes after which the run ends cleanly; 0 for none.
        save_every: steps between checkpoints.
        settings: the run's settings, which `check_settings` compares when the run is resumed.
    """

    def __init__(
        self,
        accelerator: Accelerator,
        folder: Path,
        steps: int,
        time_limit: float,
        save_every: int,
        settings: dict | None = None,
    ):
        self.accelerator = accelerator
        self.folder = folder
        self.steps = steps
        self.save_every = save_every
        self.settings = settings
        self.step = 0
        self.seconds = 0.0  # training time, including earlier parts of the run
        self._deadline = time.monotonic() + 60 * time_limit if time_limit else math.inf
        self._stopped = False
        self._losses: list[float] = []
        signal.signal(signal.SIGTERM, self._stop)
        accelerator.register_for_checkpointing(self)
        folder.mkdir(parents=True, exist_ok=True)

    def _stop(self, *_):
        self._stopped = True

    def state_dict(self) -> dict:
        return {"step": self.step, "seconds": self.seconds, "losses": self._losses}

    def load_state_dict(self, state: dict) -> None:
        self.step, self.seconds = state["step"], state["seconds"]
        self._losses = list(state.get("losses", []))  # older checkpoints have none

    def resume(self) -> bool:
        """Continues from the folder's checkpoint if there is one.

        Raises:
            ValueError: if it is damaged or belongs to another model.
        """
        checkpoint = self.folder / CHECKPOINT
        if not checkpoint.is_dir() and (self.folder / OLD_CHECKPOINT).is_dir():
            checkpoint = self.folder / OLD_CHECKPOINT  # the last run was killed while it swapped the two
        if not checkpoint.is_dir():
            return False
        try:
            self.accelerator.load_state(str(checkpoint))
        except Exception as error:  # torch, safetensors and pickle each have errors of their own
            raise ValueError(
                f"The checkpoint {str(checkpoint)!r} is damaged or of a model with other sizes "
                f"({str(error).strip().splitlines()[0]}); give the sizes that it was made with, or another `--out`."
            ) from error
        self.accelerator.print(f"resumed at step {self.step} from {checkpoint}")
        return True

    def save(self) -> bool:
        """Writes a checkpoint beside the old one and then swaps them. At every moment one of the two is complete.

        Returns:
            False if it could not be written. In that case the reason is printed and the old checkpoint is kept.
        """
        fresh, old = self.folder / "checkpoint.new", self.folder / OLD_CHECKPOINT
        main, error = self.accelerator.is_main_process, None
        if main:
            shutil.rmtree(fresh, ignore_errors=True)  # left by a run that was killed while it was writing
        self.accelerator.wait_for_everyone()
        try:
            self.accelerator.save_state(str(fresh))
            if main and self.settings is not None:
                write_whole(self.folder / SETTINGS, json.dumps(self.settings, indent=1))
        except Exception as failure:  # a full disk makes torch and safetensors raise errors of their own
            error = failure
        if self._any(error is not None):
            if main:
                shutil.rmtree(fresh, ignore_errors=True)
                reason = str(error).strip().splitlines()[0] if error else "another process failed"
                tqdm.write(
                    f"The checkpoint of step {self.step} cannot be written to {str(self.folder)!r} ({reason}); the one "
                    "before is kept. Free some space."
                )
            return False
        if main:
            checkpoint = self.folder / CHECKPOINT
            if checkpoint.is_dir():
                shutil.rmtree(old, ignore_errors=True)
                checkpoint.rename(old)
            fresh.rename(checkpoint)
            shutil.rmtree(old, ignore_errors=True)
        self.accelerator.wait_for_everyone()
        return True

    def log(self, **values: float) -> None:
        """Adds a line to `log.jsonl`, and to TensorBoard if that was requested."""
        line = json.dumps({"step": self.step, "seconds": round(self.seconds), **values})
        if self.accelerator.is_main_process:
            try:
                with open(self.folder / "log.jsonl", "a", encoding="utf-8") as file:
                    file.write(line + "\n")
            except OSError as error:  # such as a full disk; the trained weights are still in memory
                tqdm.write(f"{line} ({error})")
        self.accelerator.log(values, step=self.step)

    def report(self, loss: float, log_every: int = 50, **values: float) -> None:
        """Records the loss of the last step. Logs the mean of every `log_every` losses, together with the current `values`."""
        self._losses.append(loss)
        if len(self._losses) == log_every:
            self.log(loss=round(sum(self._losses) / log_every, 5), **values)
            self._losses.clear()

    def _any(self, condition: bool) -> bool:
        """Whether `condition` holds in any of the processes."""
        if self.accelerator.num_processes == 1:
            return condition
        flag = torch.tensor([float(condition)], device=self.accelerator.device)
        return self.accelerator.reduce(flag, reduction="sum").item() > 0

    def __iter__(self) -> Iterator[int]:
        """Yields the number of each step before it is done, counting from 1, and saves checkpoints regularly and at the end.

        Raises:
            OSError: if the last checkpoint cannot be written.
        """
        with tqdm(
            total=self.steps, initial=self.step, disable=not self.accelerator.is_main_process, mininterval=5
        ) as bar:
            while self.step < self.steps and not self._any(self._stopped or time.monotonic() >= self._deadline):
                started = time.monotonic()
                yield self.step + 1
                self.step += 1
                self.seconds += time.monotonic() - started
                if self._losses:
                    bar.set_postfix(loss=f"{self._losses[-1]:.4f}", refresh=False)
                bar.update()
                if self.step % self.save_every == 0:
                    self.save()
        if not self.save():
            raise OSError(f"The last steps could not be saved in {str(self.folder)!r}.")


def save_whole(model, folder: Path, **options) -> None:
    """Calls `model.save_pretrained` on a folder beside the final one and then moves it there, so that a full disk leaves the previous
    model.

    Args:
        model: a diffusers model or pipeline.
        folder: the final folder.
        options: options for `save_pretrained`.

    Raises:
        OSError: if it cannot be written.
    """
    fresh, old = folder.with_name(folder.name + ".new"), folder.with_name(folder.name + ".old")
    shutil.rmtree(fresh, ignore_errors=True)
    try:
        model.save_pretrained(fresh, **options)
    except Exception as error:  # safetensors raises its own error class
        shutil.rmtree(fresh, ignore_errors=True)
        raise OSError(
            f"{str(folder)!r} cannot be written ({error}); free some space, the one before is kept."
        ) from error
    shutil.rmtree(old, ignore_errors=True)
    if folder.is_dir():
        folder.rename(old)
    fresh.rename(folder)
    shutil.rmtree(old, ignore_errors=True)
