"""The noise schedule that the weights were trained on, and the samplers that can run it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING


if TYPE_CHECKING:
    from diffusers import DDPMScheduler, SchedulerMixin


# The name of a class of diffusers, which takes seconds to import, and what changes between samplers. Everything else (betas, prediction
# type) comes from the model's own scheduler config.
SAMPLERS: dict[str, tuple[str, dict]] = {
    "dpm++": ("DPMSolverMultistepScheduler", {"algorithm_type": "dpmsolver++", "solver_order": 2}),
    "unipc": ("UniPCMultistepScheduler", {}),
    "ddim": ("DDIMScheduler", {"set_alpha_to_one": True, "clip_sample": False}),
    "euler": ("EulerDiscreteScheduler", {}),
    "ddpm": ("DDPMScheduler", {"clip_sample": False}),
}


def training_betas(num_train_timesteps: int = 1000, start: float = 1e-4, end: float = 2e-2) -> list[float]:
    """Half a cosine from `start` to `end`. No `beta_schedule` name in diffusers means this, so the list is stored."""
    last = num_train_timesteps - 1
    return [start + (end - start) * (1 - math.cos(math.pi * step / last)) / 2 for step in range(num_train_timesteps)]


def training_scheduler(prediction_type: str = "epsilon") -> DDPMScheduler:
    """The schedule of the released weights (and of ours) as diffusers' DDPM; `prediction_type` as diffusers names it."""
    from diffusers import DDPMScheduler

    return DDPMScheduler(
        trained_betas=training_betas(),
        clip_sample=False,
        prediction_type=prediction_type,
        timestep_spacing="trailing",
    )


def make_scheduler(name: str, config: dict) -> SchedulerMixin:
    """The sampler `name` on the noise schedule described by a model's scheduler config.

    Raises:
        ValueError: if there is no sampler of that name.
    """
    if name not in SAMPLERS:
        raise ValueError(f"`sampler` must be one of {', '.join(SAMPLERS)}, got {name!r}.")
    import diffusers

    class_name, overrides = SAMPLERS[name]
    # Arguments that a config left at their default are not carried from one class to another, so the spacing is repeated.
    return getattr(diffusers, class_name).from_config(config, timestep_spacing="trailing", **overrides)
