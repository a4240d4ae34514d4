"""The denoiser's loss: its target, the weights of the noise levels, and the linear estimate that it starts from."""

from collections.abc import Callable, Iterable

import torch
from diffusers import DDPMScheduler
from torch import nn

from ..models import SpaceTimeUNet
from ..pipelines.schedulers import training_scheduler
from .latents import LatentClip
from .recipes import DenoiserConfig
from .windows import noise_like


GAMMA = 5.0  # gamma of min-SNR weighting, as its authors chose it


def noise_schedule(config: DenoiserConfig) -> DDPMScheduler:
    """FashionFlow's noise schedule for the network's prediction type. With `zero_snr`, its last step is pure noise."""
    scheduler = training_scheduler(config.prediction)
    if config.zero_snr:
        scheduler = DDPMScheduler.from_config(scheduler.config, rescale_betas_zero_snr=True)
    return scheduler


def linear_denoiser(
    scheduler: DDPMScheduler, variances: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The best estimate of clean latents that is linear in the noisy latents and the photo, for every timestep and channel.

    With x = a * clean + s * noise and clean = photo + change, where the change has mean 0 and `variances`, [C], that estimate is photo +
    g * (x - a * photo) with g = a * variance / (a^2 * variance + s^2).

    Returns:
        the factor of the noisy latents, the factor of the photo in addition to 1, and the mean squared error of the estimate; each
        [1000, C].
    """
    kept = scheduler.alphas_cumprod[:, None]  # a^2, [1000, 1]
    noisy_gate = kept.sqrt() * variances / (kept * variances + 1 - kept)
    error = (1 - kept) * variances / (kept * variances + 1 - kept)
    return noisy_gate, -kept.sqrt() * noisy_gate, error


@torch.no_grad()
def start_from_linear_denoiser(unet: SpaceTimeUNet, scheduler: DDPMScheduler, variances: torch.Tensor) -> None:
    """Sets the U-Net's gates so that it starts as `linear_denoiser`, and its layers only have to learn the rest.

    The gates are linear in the time embedding, so they are fitted to the wanted values by least squares.
    """
    noisy_gate, photo_gate, error = linear_denoiser(scheduler, variances)
    targets = torch.cat([noisy_gate, photo_gate, error.sqrt() - 1], dim=1)  # [1000, 3C]
    features = unet.embed_time(torch.arange(len(targets)), torch.float32)  # [1000, T]
    features = torch.cat([features, torch.ones(len(features), 1)], dim=1).double()
    ridge = 1e-4 * torch.eye(features.shape[1], dtype=torch.float64)
    solution = torch.linalg.solve(features.T @ features + ridge, features.T @ targets.double())
    unet.skip_gates.weight.copy_(solution[:-1].T)
    unet.skip_gates.bias.copy_(solution[-1])


def variances_of_change(clips: Iterable[LatentClip]) -> torch.Tensor:
    """How far the latents of later frames differ from their guide, or from frame 0 in clips without a guide: the mean square over clips,
    frames and cells, [C]."""
    changes = []
    for clip in clips:
        whole = slice(0, len(clip), 1)
        latents = clip.latents(whole).float()  # [F, C, H, W]
        start = clip.guide(whole)[1:, : latents.shape[1]].float() if clip.has_guide else latents[:1]
        changes.append((latents[1:] - start).square().mean((0, 2, 3)))
    return torch.stack(changes).mean(0)


def loss_weights(
    scheduler: DDPMScheduler, variances: torch.Tensor, weighting: str = "ours", smallest_error: float = 0.02
) -> torch.Tensor:
    """One weight per timestep, [1000], for the squared error of the network's prediction.

    Each weighting is a weight of the error of the clean latents. That error is the error of the prediction times 1 for clean latents, 1 /
    SNR for noise and 1 / (SNR + 1) for velocity.

    Args:
        scheduler: the noise schedule; its `prediction_type` says what the network answers.
        variances: `variances_of_change`, [C].
        weighting: "ours" is the inverse of `linear_denoiser`'s error, so that every noise level counts equally. Without it, the network
            would hardly learn the last, nearly clean steps, and their noise would stay on plain backgrounds. "min_snr" is min(SNR, 5)
            (Hang et al. 2023, arXiv 2303.09556). "none" weighs the prediction's own error by 1.
        smallest_error: floor of that error, so that the network is not trained on the rounding errors of half precision.
    """
    kept = scheduler.alphas_cumprod
    snr = kept / (1 - kept)
    if weighting == "none":
        return torch.ones_like(snr)
    if weighting == "min_snr":
        weights = snr.clamp(max=GAMMA)
    else:
        weights = 1 / linear_denoiser(scheduler, variances)[2].mean(1).clamp_min(smallest_error)
    prediction = scheduler.config.prediction_type
    return weights * {"sample": torch.ones_like(snr), "epsilon": 1 / snr, "v_prediction": 1 / (snr + 1)}[prediction]


def denoising_loss(
    model: nn.Module,
    scheduler: DDPMScheduler,
    weights: torch.Tensor,
    batch: dict[str, torch.Tensor],
    normalise: Callable[[torch.Tensor], torch.Tensor],
    config: DenoiserConfig,
) -> torch.Tensor:
    """Weighted squared error of the network's prediction on frames 1.. ; frame 0 is given clean and has no loss.

    Args:
        model: a `GarmentDenoiser`.
        scheduler: the noise schedule; its `prediction_type` says what the network answers.
        weights: `loss_weights`, [1000].
        batch: windows and draws of `LatentWindows`, stacked.
        normalise: converts pictures, uint8, to the image encoder's pixel values.
        config: the run's settings: dropouts, noise offset, form of the loss and of the conditioning.
    """
    clean = batch["latents"]  # [B, C, F, H, W]
    noise = noise_like(clean, batch["noise_seed"], config.noise_offset)
    last = scheduler.config.num_train_timesteps - 1
    timesteps = ((1 - batch["level"] ** config.timestep_power) * (last + 1)).long().clamp(max=last)  # [B]
    noisy = scheduler.add_noise(clean, noise, timesteps)
    target = {"sample": clean, "epsilon": noise}.get(config.prediction)
    if target is None:
        target = scheduler.get_velocity(clean, noise, timesteps)
    first = 0  # the first frame with a loss
    if config.conditioning != "global":
        noisy = torch.cat([clean[:, :, :1], noisy[:, :, 1:]], dim=2)
        first = 1
    if config.paper_loss:
        target = torch.cat([torch.zeros_like(target[:, :, :1]), target[:, :, 1:]], dim=2) if first else target
        first = 0
    predicted = model(
        noisy,
        timesteps,
        normalise(batch["picture"]),
        batch["photo"],
        batch["motion"] * (batch["keep_motion"] >= config.motion_dropout)[:, None, None],
        (batch["keep_context"] >= config.image_dropout).float(),
        batch.get("guide"),
    )
    difference = (predicted.float() - target)[:, :, first:]
    errors = difference.square().mean((1, 3, 4))  # [B, F]
    if config.colour_weight:
        errors = errors + config.colour_weight * difference.mean((3, 4)).square().mean(
            1
        )  # of each frame's mean colour
    return (weights[timesteps] * (errors.sum(1) if config.paper_loss else errors.mean(1))).mean()
