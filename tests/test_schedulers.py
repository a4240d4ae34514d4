import math

import pytest
import torch

from fashionflow.pipelines.schedulers import SAMPLERS, make_scheduler, training_betas, training_scheduler


def answer(kind: str, clean: torch.Tensor, visible: torch.Tensor, kept: torch.Tensor) -> torch.Tensor:
    """What a perfect model says of `visible` = sqrt(kept) clean + sqrt(1 - kept) noise."""
    noise = (visible - kept.sqrt() * clean) / (1 - kept).sqrt()
    return {"epsilon": noise, "sample": clean, "v_prediction": kept.sqrt() * noise - (1 - kept).sqrt() * clean}[kind]


@pytest.mark.parametrize("kind", ["epsilon", "sample", "v_prediction"])
@pytest.mark.parametrize("name", SAMPLERS)
def test_every_sampler_recovers_a_known_clip(name, kind):
    scheduler = make_scheduler(name, training_scheduler(kind).config)
    scheduler.set_timesteps(20)
    generator = torch.Generator().manual_seed(0)
    clean = 3 * torch.randn(1, 4, 3, 8, 8, generator=generator)  # beyond [-1, 1]: a sampler that clips is found out
    latents = torch.randn(clean.shape, generator=generator) * scheduler.init_noise_sigma
    for timestep in scheduler.timesteps:
        visible = scheduler.scale_model_input(latents, timestep)
        kept = scheduler.alphas_cumprod[int(timestep)]
        latents = scheduler.step(answer(kind, clean, visible, kept), timestep, latents).prev_sample
    torch.testing.assert_close(latents, clean, atol=6e-2, rtol=0)


@pytest.mark.parametrize("name", SAMPLERS)
def test_every_sampler_can_be_made_from_every_other(name):
    betas = torch.tensor(training_betas())
    for other in SAMPLERS:
        config = make_scheduler(other, training_scheduler("sample").config).config
        scheduler = make_scheduler(name, config)
        torch.testing.assert_close(scheduler.betas, betas)
        assert scheduler.config.prediction_type == "sample"
        assert scheduler.config.timestep_spacing == "trailing"
        assert not scheduler.config.get("clip_sample", False)


def test_betas_rise_as_half_a_cosine():
    betas = training_betas()
    assert len(betas) == 1000
    assert math.isclose(betas[0], 1e-4) and math.isclose(betas[-1], 2e-2)
    assert betas == sorted(betas)


def test_unknown_sampler_is_refused():
    with pytest.raises(ValueError, match="`sampler` must be one of dpm.*, got 'magic'"):
        make_scheduler("magic", {})
