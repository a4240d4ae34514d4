import pytest
import torch
from torch import nn

from fashionflow.pipelines.schedulers import SAMPLERS, make_scheduler, training_scheduler
from fashionflow.training.latents import read_clips
from fashionflow.training.losses import (
    denoising_loss,
    linear_denoiser,
    loss_weights,
    noise_schedule,
    start_from_linear_denoiser,
    variances_of_change,
)
from fashionflow.training.recipes import make_config

from . import tiny, training


def config(**settings):
    return make_config(latents="latents", vae="vae", **settings)


def batch_of(number: int, **overrides) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    latents = torch.randn(number, 4, 3, 8, 8, generator=generator)
    return {
        "latents": latents,
        "photo": latents[:, :, 0],
        "picture": torch.zeros(number, 3, 8, 8, dtype=torch.uint8),
        "motion": torch.ones(number, 3, 3),
        "level": torch.rand(number, generator=generator),
        "keep_motion": torch.rand(number, generator=generator),
        "keep_context": torch.rand(number, generator=generator),
        "noise_seed": torch.arange(number),
    } | overrides


class Listener(nn.Module):
    """Keeps what it is given and answers as told."""

    def __init__(self, answer):
        super().__init__()
        self.answer = answer

    def forward(self, noisy, timesteps, pixel_values, photo, motion, keep_context, guide=None):
        self.seen = {
            "noisy": noisy,
            "timesteps": timesteps,
            "motion": motion,
            "keep_context": keep_context,
            "guide": guide,
        }
        return self.answer(noisy, timesteps)


def exact_answer(settings, batch):
    """What a network that knows the clean latents answers about every frame, wrong by 100 on frame 0."""
    scheduler, clean = noise_schedule(settings), batch["latents"]

    def answer(noisy, timesteps):
        kept = scheduler.alphas_cumprod[timesteps].view(-1, 1, 1, 1, 1)
        noise = (noisy - kept.sqrt() * clean) / (1 - kept).sqrt()
        velocity = kept.sqrt() * noise - (1 - kept).sqrt() * clean
        wanted = {"sample": clean, "epsilon": noise, "v_prediction": velocity}[settings.prediction].clone()
        wanted[:, :, 0] += 100
        return wanted

    return Listener(answer), scheduler


@pytest.mark.parametrize("prediction", ["sample", "epsilon", "v_prediction"])
def test_the_right_answer_has_no_loss_and_frame_0_counts_only_where_it_is_not_given(prediction):
    batch = batch_of(4)
    settings = config(prediction=prediction)
    model, scheduler = exact_answer(settings, batch)
    loss = denoising_loss(model, scheduler, torch.ones(1000), batch, torch.Tensor.float, settings)
    assert loss.item() == pytest.approx(0, abs=1e-4)
    assert torch.equal(model.seen["noisy"][:, :, 0], batch["latents"][:, :, 0])
    settings = config(prediction=prediction, conditioning="global")
    loss = denoising_loss(model, scheduler, torch.ones(1000), batch, torch.Tensor.float, settings)
    assert loss.item() == pytest.approx(100**2 / 3, rel=0.01)
    assert not torch.equal(model.seen["noisy"][:, :, 0], batch["latents"][:, :, 0])


def test_the_papers_loss_sums_over_frames_and_wants_no_noise_in_frame_0():
    batch, settings = batch_of(2), config(recipe="paper")
    scheduler = noise_schedule(settings)
    losses = [
        denoising_loss(model, scheduler, torch.ones(1000), batch, torch.Tensor.float, settings).item()
        for model in (
            Listener(lambda noisy, _: torch.zeros_like(noisy)),
            Listener(lambda noisy, _: torch.ones_like(noisy)),
        )
    ]
    assert losses[0] == pytest.approx(2, rel=0.15), "two frames of unit noise, and nothing for frame 0"
    assert losses[1] == pytest.approx(1 + 2 * 2, rel=0.15)


@pytest.mark.parametrize(("power", "share"), [(1.0, 0.25), (2.0, 0.5)])
def test_timesteps_are_drawn_as_asked(power, share):
    settings, model = config(timestep_power=power), Listener(lambda noisy, _: noisy)
    batch = batch_of(4000)
    batch = {name: value[..., :2, :1, :1] if name == "latents" else value for name, value in batch.items()}
    denoising_loss(model, noise_schedule(settings), torch.ones(1000), batch, torch.Tensor.float, settings)
    timesteps = model.seen["timesteps"]
    assert timesteps.min() >= 0 and timesteps.max() == 999
    assert (timesteps >= 750).float().mean().item() == pytest.approx(share, abs=0.03)


def test_motion_and_photo_are_dropped_each_on_its_own():
    settings, model = config(motion_dropout=0.25, image_dropout=0.5), Listener(lambda noisy, _: noisy)
    denoising_loss(model, noise_schedule(settings), torch.ones(1000), batch_of(2000), torch.Tensor.float, settings)
    moved, kept = model.seen["motion"].mean((1, 2)), model.seen["keep_context"]
    assert moved.mean().item() == pytest.approx(0.75, abs=0.03) and kept.mean().item() == pytest.approx(0.5, abs=0.03)
    assert (moved * kept).mean().item() == pytest.approx(0.375, abs=0.03)


def test_min_snr_weights_are_those_of_the_article():
    """Hang et al. 2023: min(SNR, 5) for clean latents, / SNR for noise, / (SNR + 1) for velocity."""
    variances = torch.ones(4)
    for prediction, expected in {
        "sample": lambda snr: min(snr, 5),
        "epsilon": lambda snr: min(snr, 5) / snr,
        "v_prediction": lambda snr: min(snr, 5) / (snr + 1),
    }.items():
        scheduler = training_scheduler(prediction)
        weights = loss_weights(scheduler, variances, "min_snr")
        for timestep in (5, 300, 800):
            kept = scheduler.alphas_cumprod[timestep].item()
            assert weights[timestep].item() == pytest.approx(expected(kept / (1 - kept)), rel=1e-4)


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
def test_our_weights_weigh_the_same_error_alike_whatever_is_predicted(prediction):
    """An answer that implies clean latents wrong by d costs the same as predicting those clean latents."""
    variances = torch.full((4,), 0.8)
    clean, noise, error = (torch.randn(4, 3, 5, 5) for _ in range(3))
    for timestep in (50, 500, 900):
        kept = training_scheduler().alphas_cumprod[timestep]
        signal, deviation = kept.sqrt(), (1 - kept).sqrt()
        noisy = signal * clean + deviation * noise
        wrong = clean + error
        answers = {
            "epsilon": ((noisy - signal * wrong) / deviation, noise),
            "v_prediction": ((signal * noisy - wrong) / deviation, signal * noise - deviation * clean),
        }[prediction]
        own = (answers[0] - answers[1]).square().mean() * loss_weights(training_scheduler(prediction), variances)[
            timestep
        ]
        expected = error.square().mean() * loss_weights(training_scheduler("sample"), variances)[timestep]
        torch.testing.assert_close(own, expected, rtol=1e-3, atol=0)


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("prediction", ["sample", "v_prediction"])
def test_with_zero_snr_every_sampler_starts_from_noise_alone_and_recovers_the_clip(prediction, sampler):
    settings = config(prediction=prediction, zero_snr=True)
    trained = noise_schedule(settings)
    assert trained.alphas_cumprod[-1].item() == 0
    scheduler = make_scheduler(sampler, trained.config)
    scheduler.set_timesteps(20)
    assert int(scheduler.timesteps[0]) == 999
    generator = torch.Generator().manual_seed(0)
    clean = torch.randn(1, 4, 3, 8, 8, generator=generator)
    latents = torch.randn(clean.shape, generator=generator) * scheduler.init_noise_sigma
    for timestep in scheduler.timesteps:
        visible = scheduler.scale_model_input(latents, timestep)
        kept = trained.alphas_cumprod[int(timestep)]
        noise = (visible - kept.sqrt() * clean) / (1 - kept).sqrt()
        answer = clean if prediction == "sample" else kept.sqrt() * noise - (1 - kept).sqrt() * clean
        latents = scheduler.step(answer, timestep, latents).prev_sample
    torch.testing.assert_close(latents, clean, atol=2e-2, rtol=0)


def test_a_weight_of_colour_counts_errors_of_a_frames_mean():
    batch, wrong = batch_of(2), 0.5
    plain, coloured = config(), config(colour_weight=10.0)
    shift = Listener(lambda noisy, _: batch["latents"] + wrong)
    pattern = torch.tensor([wrong, -wrong]).repeat(4)  # along the width; its mean is 0
    waves = Listener(lambda noisy, _: batch["latents"] + pattern)
    for model, expected in ((shift, 11 * wrong**2), (waves, wrong**2)):
        loss = denoising_loss(model, noise_schedule(plain), torch.ones(1000), batch, torch.Tensor.float, coloured)
        assert loss.item() == pytest.approx(expected, rel=1e-3)


def test_an_untrained_denoiser_is_the_best_linear_guess():
    """Checked by drawing: no other pair of factors for noisy latents and photo does better on fresh data."""
    scheduler, variances = training_scheduler("sample"), torch.tensor([0.2, 3.0])
    unet = tiny.unet(in_channels=2)
    torch.nn.init.zeros_(unet.conv_out.spatial.weight)
    start_from_linear_denoiser(unet, scheduler, variances)
    _, _, errors = linear_denoiser(scheduler, variances)
    weights = loss_weights(scheduler, variances)
    generator = torch.Generator().manual_seed(0)
    photo = torch.randn(1, 2, 1, 32, 32, generator=generator)
    clean = photo + variances.sqrt().view(1, 2, 1, 1, 1) * torch.randn(1, 2, 9, 32, 32, generator=generator)
    noise = torch.randn(clean.shape, generator=generator)
    for timestep in (100, 400, 700, 999):
        noisy = scheduler.add_noise(clean, noise, torch.tensor([timestep]))
        clip = torch.cat([photo, noisy], dim=2)
        guess = unet(clip, timestep, torch.zeros(1, 5, tiny.CONTEXT_CHANNELS)).sample[:, :, 1:]
        error = (guess - clean).square().mean((0, 2, 3, 4))  # [C]
        torch.testing.assert_close(error, errors[timestep], rtol=0.1, atol=0.002)
        basis = torch.stack([noisy[0, 1].flatten(), photo.expand_as(clean)[0, 1].flatten()], dim=1)
        best = torch.linalg.lstsq(basis, clean[0, 1].flatten()[:, None]).solution
        assert error[1] <= 1.05 * (basis @ best - clean[0, 1].flatten()[:, None]).square().mean()
        assert weights[timestep] == pytest.approx(1 / max(errors[timestep].mean().item(), 0.02))


def test_the_network_is_given_the_windows_guide_if_there_is_one():
    for batch in (batch_of(2, guide=torch.rand(2, 8, 3, 8, 8)), batch_of(2)):
        model = Listener(lambda noisy, _: noisy)
        denoising_loss(model, noise_schedule(config()), torch.ones(1000), batch, torch.Tensor.float, config())
        assert model.seen["guide"] is batch.get("guide")


def test_change_is_measured_from_the_guide_where_there_is_one():
    guided, plain = (read_clips(folder) for folder in (training.guided_latents(), training.latents()))
    whole = slice(0, 24, 1)
    for clips, start in (
        (guided, lambda clip: clip.guide(whole)[1:, :16]),
        (plain, lambda clip: clip.latents(whole)[:1]),
    ):
        changes = [(clip.latents(whole)[1:].float() - start(clip).float()).square().mean((0, 2, 3)) for clip in clips]
        torch.testing.assert_close(variances_of_change(clips), torch.stack(changes).mean(0))
