"""The training loop of all networks: optimiser, averaged weights, checkpoints, and regular evaluation on held-out examples."""

import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from diffusers.training_utils import EMAModel
from torch import nn
from tqdm import tqdm
from transformers import HfArgumentParser

from .loop import TrainingLoop, set_learning_rate


def fit(
    config: Any,
    accelerator: Accelerator,
    network: nn.Module,
    batches_from: Callable[[int], Iterator],
    loss_of: Callable[[nn.Module, Any], torch.Tensor],
    evaluate: Callable[[TrainingLoop], None],
    model: nn.Module | None = None,
    first_step: int = 0,
    evaluate_first: bool = True,
) -> None:
    """Trains a network until its last step, the time limit or SIGTERM. Continues from the run's checkpoint if there is one.

    Args:
        config: the run's settings, a dataclass with `out`, `steps`, `learning_rate`, `warmup`, `decay_fraction`, `ema_decay`,
            `max_grad_norm` (0 for none), `time_limit`, `save_every` and `sample_every`; `weight_decay` and `accumulation` if it has them.
        network: the network to train. Its parameters are averaged over the steps (EMA).
        batches_from: called with the number of the first step to do, counting from 1; iterates over batches, `accumulation` per step.
        loss_of: takes the model, as accelerate wrapped it, and a batch; returns the loss, a scalar tensor.
        evaluate: called in the main process with the averaged weights in `network`: logs its scores with `loop.log`, and writes weights
            and samples. If it raises an `OSError` (a full disk), the error is printed and training continues.
        model: the module that `loss_of` calls, if it is not the network itself but contains it.
        first_step: steps that count as done in a new run.
        evaluate_first: evaluate after step 1 too, so that mistakes show early.
    """
    accumulation = getattr(config, "accumulation", 1)
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=config.learning_rate, weight_decay=getattr(config, "weight_decay", 0))
    ema = EMAModel(network.parameters(), decay=config.ema_decay, use_ema_warmup=True, power=0.75)
    model, optimizer = accelerator.prepare(network if model is None else model, optimizer)
    accelerator.register_for_checkpointing(ema)
    loop = TrainingLoop(
        accelerator, Path(config.out), config.steps, config.time_limit, config.save_every, asdict(config)
    )
    if not loop.resume():
        loop.step = first_step
    ema.to(accelerator.device)
    accelerator.init_trackers("tensorboard")

    def evaluate_averaged_weights() -> None:
        ema.store(network.parameters())
        ema.copy_to(network.parameters())
        try:
            evaluate(loop)
        except OSError as error:  # such as a full disk; the trained weights are still in memory
            tqdm.write(str(error))
        ema.restore(network.parameters())

    batches = batches_from(loop.step + 1)
    for step in loop:
        learning_rate = set_learning_rate(optimizer, config, step)
        losses = []
        for _ in range(accumulation):
            with accelerator.accumulate(model):
                loss = loss_of(model, next(batches))
                accelerator.backward(loss)
                if accelerator.sync_gradients and config.max_grad_norm:
                    accelerator.clip_grad_norm_(model.parameters(), config.max_grad_norm)
                optimizer.step()
                optimizer.zero_grad()
                losses.append(loss.detach())
        ema.step(network.parameters())
        mean_loss = accelerator.reduce(torch.stack(losses).mean(), reduction="mean").item()
        loop.report(mean_loss, learning_rate=learning_rate)
        is_due = step % config.sample_every == 0 or (evaluate_first and step == 1)
        if accelerator.is_main_process and is_due:
            evaluate_averaged_weights()
    if accelerator.is_main_process:
        evaluate_averaged_weights()
    accelerator.wait_for_everyone()


def run_program(main: Callable[[Any], None], config_class: type, argv: list[str] | None = None) -> None:
    """A training program's command line. Anything wrong with the settings or the data ends it with one sentence.

    Args:
        main: trains with the settings that it is given.
        config_class: a dataclass, whose fields are the options.
        argv: the arguments; those of the process by default.
    """
    try:
        (config,) = HfArgumentParser(config_class).parse_args_into_dataclasses(argv)
        main(config)
    except (ValueError, OSError) as error:
        sys.exit(str(error))
