import json
import os
import shutil
import signal
from pathlib import Path

import pytest
import torch
from accelerate import Accelerator

from fashionflow import FashionFlowPipeline, GarmentAutoencoder
from fashionflow.schedulers import training_scheduler
from fashionflow.training import autoencoder, denoiser, export, prepare
from fashionflow.training.loop import TrainingLoop, is_held_out, learning_rate_factor
from fashionflow.video import read_frames

from . import tiny


CLIPS = Path(__file__).parent / "data" / "clips"


@pytest.fixture(scope="module")
def clips(tmp_path_factory) -> Path:
    """Two clips to train on, one held out, and a file that is no video."""
    folder = tmp_path_factory.mktemp("clips")
    labels = []
    for name, source in zip(("000001", "000002", "000007"), sorted(CLIPS.glob("*.mp4")), strict=True):
        shutil.copy(source, folder / f"{name}.mp4")
        labels.append({"name": name, "motion": "walk", "yaw": [float(angle) for angle in range(24)]})
    (folder / "000003.mp4").write_bytes(b"not a video")
    (folder / "labels.jsonl").write_text("\n".join(map(json.dumps, labels)))
    return folder


@pytest.fixture(scope="module")
def trained_autoencoder(clips, tmp_path_factory) -> Path:
    good = tmp_path_factory.mktemp("good")
    for name in ("000001", "000002", "000007"):
        shutil.copy(clips / f"{name}.mp4", good)
    out = tmp_path_factory.mktemp("autoencoder")
    config = {
        "clips": str(good),
        "out": str(out),
        "latent_channels": 16,
        "block_channels": [8, 8, 8],
        "batch_size": 2,
        "crop": 64,
        "frame_stride": 12,
        "sample_every": 5,
        "mixed_precision": "no",
    }
    autoencoder.main(autoencoder.AutoencoderConfig(**config, steps=5))
    autoencoder.main(autoencoder.AutoencoderConfig(**config, steps=8))  # goes on where the first stopped
    return out


@pytest.fixture(scope="module")
def latents(clips, trained_autoencoder, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("latents")
    prepare.main([str(clips), str(folder), "--vae", str(trained_autoencoder / "vae")])
    return folder


def read_log(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def test_autoencoder_starts_from_principal_components_and_resumes(clips, trained_autoencoder):
    scores = [
        (line["step"], line["held_out_psnr"]) for line in read_log(trained_autoencoder) if "held_out_psnr" in line
    ]
    assert [step for step, _ in scores] == [0, 4, 5, 8], "a resumed run must go on from step 5"
    assert scores[0][1] > 20, "the linear code alone keeps the picture before any training"
    assert scores[-1][1] > scores[0][1] - 1
    vae = GarmentAutoencoder.from_pretrained(trained_autoencoder / "vae")
    pixels = autoencoder.to_pixels([read_frames(clips / "000007.mp4")[12]])
    with torch.no_grad():
        assert autoencoder.psnr(vae(pixels).sample.clamp(-1, 1), pixels) == pytest.approx(scores[-1][1], abs=0.01)
    assert (trained_autoencoder / "samples.png").is_file()


def test_decoder_alone_can_be_trained_on_and_keeps_the_code(clips, trained_autoencoder, tmp_path):
    good = tmp_path / "clips"
    shutil.copytree(clips, good, ignore=shutil.ignore_patterns("000003.mp4"))
    start = trained_autoencoder / "vae"
    config = {"clips": str(good), "out": str(tmp_path), "batch_size": 1, "crop": 64, "mixed_precision": "no"}
    autoencoder.main(autoencoder.AutoencoderConfig(**config, start=str(start), decoder_only=True, steps=2, warmup=1))
    before, after = (GarmentAutoencoder.from_pretrained(folder) for folder in (start, tmp_path / "vae"))
    for (name, old), new in zip(before.named_parameters(), after.parameters(), strict=True):
        if "encoder" in name:
            assert torch.equal(old, new), name
    assert not torch.equal(before.linear_decoder.weight, after.linear_decoder.weight)


def test_preparing_skips_what_is_broken_and_what_is_done(clips, latents, trained_autoencoder, capsys):
    assert sorted(path.stem for path in latents.glob("*.safetensors")) == ["000001", "000002", "000007"]
    before = {path: path.stat().st_mtime_ns for path in latents.iterdir()}
    prepare.main([str(clips), str(latents), "--vae", str(trained_autoencoder / "vae")])
    assert "skipped 000003.mp4" in capsys.readouterr().out
    assert {path: path.stat().st_mtime_ns for path in latents.iterdir()} == before


def test_windows_are_consecutive_frames_and_a_mirrored_body_turns_the_other_way(latents):
    clip = denoiser.LatentWindows([latents / "000001.safetensors"], 4, [2]).clips[0]
    plain = denoiser.window(clip, start=3, num_frames=4, stride=2, mirrored=False)
    torch.testing.assert_close(plain["latents"], clip["latents"][[3, 5, 7, 9]].transpose(0, 1).float())
    torch.testing.assert_close(plain["picture"], clip["pictures"][3])
    turned = torch.rad2deg(torch.atan2(plain["motion"][:, 0], plain["motion"][:, 1]))
    torch.testing.assert_close(turned, torch.tensor([0.0, 2, 4, 6]), atol=1e-3, rtol=0)
    assert plain["motion"][-1, 2].item() == pytest.approx(0.55 * 6 / 23)
    mirrored = denoiser.window(clip, start=3, num_frames=4, stride=2, mirrored=True)
    torch.testing.assert_close(mirrored["latents"], clip["mirrored"][[3, 5, 7, 9]].transpose(0, 1).float())
    torch.testing.assert_close(mirrored["motion"][:, 0], -plain["motion"][:, 0])


def tiny_denoiser_config(latents: Path, trained_autoencoder: Path, out: Path, **overrides) -> denoiser.DenoiserConfig:
    config = {
        "latents": str(latents),
        "vae": str(trained_autoencoder / "vae"),
        "out": str(out),
        "stem_channels": 16,
        "block_channels": [16, 16],
        "attention_heads": 2,
        "attention_head_channels": 8,
        "cross_attention_heads": [1, 1],
        "context_channels": 16,
        "num_frames": 4,
        "batch_size": 2,
        "warmup": 1,
        "learning_rate": 2e-3,
        "mixed_precision": "no",
    }
    return denoiser.DenoiserConfig(**config | overrides)


def test_denoiser_learns_and_its_pipeline_runs(latents, trained_autoencoder, tmp_path):
    config = tiny_denoiser_config(latents, trained_autoencoder, tmp_path, steps=100)
    denoiser.main(config)
    log = read_log(tmp_path)
    losses = [line["loss"] for line in log if "loss" in line]
    assert losses[-1] < 0.9 * losses[0]
    assert log[-1]["held_out_100"] < 1, "nearly clean latents must be told better than by repeating the photo"
    pipe = FashionFlowPipeline.from_pretrained(tmp_path / "pipeline")
    pipe.set_progress_bar_config(disable=True)
    frames = pipe(tiny.photo(), num_inference_steps=2, motion="spin", output_type="pt").frames
    assert frames.shape == (1, 4, 3, 320, 256)
    assert pipe.config.frame_rate == 4.0


def test_saved_weights_are_the_average_ones(latents, trained_autoencoder, tmp_path):
    """EMA that decays at once is the last step; one that hardly decays stays near the start. They must differ."""
    weights = []
    for decay in (0.0, 0.99999):
        out = tmp_path / str(decay)
        denoiser.main(tiny_denoiser_config(latents, trained_autoencoder, out, steps=3, ema_decay=decay))
        weights.append(FashionFlowPipeline.from_pretrained(out / "pipeline").unet.conv_out.spatial.weight)
    assert (weights[0] - weights[1]).abs().max() > 1e-5


def test_first_frame_carries_no_loss():
    class Clean(torch.nn.Module):
        def forward(self, noisy, timesteps, pixel_values, motion):
            guess = batch["latents"].clone()
            guess[:, :, 0] += 100
            return guess

    batch = {
        "latents": torch.randn(2, 4, 3, 8, 8),
        "picture": torch.zeros(2, 3, 8, 8, dtype=torch.uint8),
        "motion": torch.zeros(2, 3, 3),
    }
    scheduler, weights = training_scheduler("sample"), torch.ones(1000)
    assert denoiser.denoising_loss(Clean(), scheduler, weights, batch, torch.Tensor.float, 0.1).item() == 0


@pytest.mark.parametrize(("power", "share"), [(1.0, 0.25), (2.0, 0.5)])
def test_timesteps_are_drawn_as_asked(power, share):
    drawn = []

    class Listen(torch.nn.Module):
        def forward(self, noisy, timesteps, pixel_values, motion):
            drawn.append(timesteps)
            return noisy

    batch = {"latents": torch.zeros(4000, 1, 2, 1, 1), "picture": torch.zeros(4000), "motion": torch.zeros(4000, 2, 3)}
    scheduler, weights = training_scheduler("sample"), torch.ones(1000)
    denoiser.denoising_loss(Listen(), scheduler, weights, batch, torch.Tensor.float, 0.1, power)
    timesteps = drawn[0]
    assert timesteps.min() >= 0 and timesteps.max() == 999
    assert (timesteps >= 750).float().mean().item() == pytest.approx(share, abs=0.03)


def test_an_untrained_denoiser_is_the_best_linear_guess():
    """Checked by drawing: no other pair of factors for noisy latents and photo does better on fresh data."""
    scheduler, variances = training_scheduler("sample"), torch.tensor([0.2, 3.0])
    unet = tiny.unet(in_channels=2)
    torch.nn.init.zeros_(unet.conv_out.spatial.weight)
    denoiser.start_from_linear_denoiser(unet, scheduler, variances)
    _, _, errors = denoiser.linear_denoiser(scheduler, variances)
    weights = denoiser.loss_weights(scheduler, variances)
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


def test_clips_that_end_in_7_are_never_trained_on(latents, trained_autoencoder, tmp_path):
    assert is_held_out("clips/001007.mp4") and not is_held_out("clips/001070.mp4")
    only = tmp_path / "latents"
    only.mkdir()
    shutil.copy(latents / "000007.safetensors", only)
    config = tiny_denoiser_config(only, trained_autoencoder, tmp_path / "out", steps=1)
    with pytest.raises(ValueError, match="`batch_size` must be at most the number of clips to train on, 0, got 2"):
        denoiser.main(config)
    (only / "000007.safetensors").rename(only / "000001.safetensors")
    with pytest.raises(ValueError, match="`latents` must also hold clips whose name ends in 7"):
        denoiser.main(config)
    (only / "000001.safetensors").unlink()
    with pytest.raises(ValueError, match="`latents` must hold .safetensors files"):
        denoiser.main(config)


def test_windows_must_fit_into_the_clips(latents):
    with pytest.raises(ValueError, match="the shortest clip, which has 24 frames, got 13 frames at a stride of 2"):
        denoiser.LatentWindows([latents / "000001.safetensors"], 13, [2, 3])


def test_learning_rate_warms_up_stays_and_falls():
    factors = [learning_rate_factor(step, 100, 10, 0.4) for step in range(101)]
    assert factors[0] == pytest.approx(0.1) and factors[9:60] == [1] * 51
    assert factors[80] == pytest.approx(0.5) and factors[100] == 0
    assert all(left >= right for left, right in zip(factors[60:], factors[61:], strict=False))


def test_sigterm_ends_after_the_step_with_a_checkpoint(tmp_path):
    def loop() -> TrainingLoop:
        return TrainingLoop(Accelerator(), tmp_path, steps=100, time_limit=0, save_every=1000)

    first = loop()
    for step in first:
        if step == 3:
            os.kill(os.getpid(), signal.SIGTERM)
    assert first.step == 3
    second = loop()
    assert second.resume() and second.step == 3
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def test_a_run_killed_between_two_checkpoints_resumes_and_saves_again(tmp_path):
    def loop() -> TrainingLoop:
        return TrainingLoop(Accelerator(), tmp_path, steps=3, time_limit=0, save_every=1000)

    assert list(loop()) == [1, 2, 3]
    (tmp_path / "checkpoint").rename(tmp_path / "checkpoint.old")
    resumed = loop()
    assert resumed.resume() and resumed.step == 3
    resumed.save()
    (tmp_path / "checkpoint.old").mkdir()
    (tmp_path / "checkpoint.old" / "left").touch()
    resumed.save()
    assert (tmp_path / "checkpoint").is_dir() and not (tmp_path / "checkpoint.old").exists()


def test_time_limit_ends_the_run(tmp_path):
    loop = TrainingLoop(Accelerator(), tmp_path, steps=10**9, time_limit=1 / 600, save_every=10**9)
    steps = list(loop)
    assert 0 < len(steps) < 10**9 and (tmp_path / "checkpoint").is_dir()


def test_clips_without_a_test_set_are_refused(clips, tmp_path):
    shutil.copy(clips / "000001.mp4", tmp_path)
    with pytest.raises(ValueError, match="whose name ends in 7, which are kept for testing; .* has one kind only"):
        autoencoder.AutoencoderConfig(clips=str(tmp_path))


@pytest.mark.parametrize(("name", "value"), [("clips", "nowhere"), ("photos", "nowhere")])
def test_wrong_folder_is_said_before_anything_starts(clips, name, value):
    with pytest.raises(ValueError, match=f"`{name}` must be a folder of .*'nowhere'"):
        autoencoder.AutoencoderConfig(**{"clips": str(clips)} | {name: value})


def test_export_keeps_the_first_layers_of_the_image_encoder(tmp_path):
    pipe = tiny.pipeline()
    pipe.save_pretrained(tmp_path / "pipeline")
    export.export(tmp_path / "pipeline", tmp_path / "out", image_layers=0)
    shorter = FashionFlowPipeline.from_pretrained(tmp_path / "out", dtype=torch.float32).image_encoder
    pixels = torch.randn(1, 3, 32, 32)
    pipe.image_encoder.encoder.layers = torch.nn.ModuleList()
    expected = pipe.image_encoder(pixels).last_hidden_state
    torch.testing.assert_close(shorter(pixels).last_hidden_state, expected, atol=1e-2, rtol=0)


def test_exported_pipeline_is_half_as_large_in_small_parts_and_the_same_model(tmp_path):
    pipe = tiny.pipeline(unet=tiny.unet(stem_channels=64, block_channels=(96, 192), cross_attention_heads=(2, 4)))
    pipe.save_pretrained(tmp_path / "pipeline")
    pipe.vae.decoder[0].bias.data += 0.1
    pipe.vae.save_pretrained(tmp_path / "vae")
    export.export(
        tmp_path / "pipeline", tmp_path / "out", tmp_path / "vae", num_frames=2 * tiny.FRAMES, image_layers=1
    )
    parts = list((tmp_path / "out" / "unet").glob("*.safetensors"))
    assert len(parts) > 1 and max(part.stat().st_size for part in parts) < 10e6
    loaded = FashionFlowPipeline.from_pretrained(tmp_path / "out", dtype=torch.float32)
    loaded.set_progress_bar_config(disable=True)
    assert (loaded.config.default_num_frames, loaded.config.frame_rate) == (2 * tiny.FRAMES, 16.0)
    difference = loaded(**tiny.inputs()).frames - pipe(**tiny.inputs()).frames
    assert difference.abs().max() < 0.02
    pipe.vae.linear_encoder.bias.data += 0.1
    pipe.vae.save_pretrained(tmp_path / "vae")
    with pytest.raises(ValueError, match="`vae` must have the code that the denoiser was trained on"):
        export.export(tmp_path / "pipeline", tmp_path / "other", tmp_path / "vae")
