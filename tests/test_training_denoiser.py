import importlib.util
import os
import socket
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file

from fashionflow import FashionFlowPipeline
from fashionflow.training import denoiser, recipes
from fashionflow.training.latents import read_clips
from fashionflow.training.losses import noise_schedule, start_from_linear_denoiser, variances_of_change
from fashionflow.training.modules import build_denoiser
from fashionflow.training.strips import held_out_errors
from fashionflow.training.windows import window

from . import tiny, training


# A borrowed GPU has latents and no videos, so the programs that run there must be imported without what reads videos. The second
# process is split off when all is imported, which takes longer than the training.
TRAIN_BOTH = """
import os, sys
sys.modules["moviepy"] = None
from fashionflow.training import borrowed_gpu, denoiser
del sys.modules["moviepy"]
from tests import training
other = os.fork()
os.environ["RANK"] = os.environ["LOCAL_RANK"] = "0" if other else "1"
training.autoencoder.main(training.autoencoder_config(sys.argv[1], steps=4, batch_size=1))
denoiser.run(sys.argv[2:])
if other:
    sys.exit(os.waitpid(other, 0)[1] != 0)
"""


def weights(out) -> dict[str, torch.Tensor]:
    return load_file(out / "checkpoint" / "model.safetensors")


def train(out, **settings) -> dict[str, torch.Tensor]:
    denoiser.main(training.tiny_denoiser_config(out, **{"decay_fraction": 0.0, "sample_every": 10**6} | settings))
    return weights(out)


def assert_same(left: dict[str, torch.Tensor], right: dict[str, torch.Tensor], tolerance: float = 1e-4) -> None:
    """The weights move by up to 0.01 in four steps, so this is a hundredth of that; Adam blows rounding up to 2e-5."""
    assert left.keys() == right.keys()
    for name, value in left.items():
        torch.testing.assert_close(value, right[name], atol=tolerance, rtol=0, msg=name)


@pytest.fixture(scope="module")
def four_steps(tmp_path_factory):
    out = tmp_path_factory.mktemp("four")
    train(out, steps=4)
    return out


def test_denoiser_learns_and_its_pipeline_runs(tmp_path):
    tensorboard = importlib.util.find_spec("tensorboard") is not None
    denoiser.main(training.tiny_denoiser_config(tmp_path, steps=50, tensorboard=tensorboard))
    assert any(tmp_path.rglob("events.out.tfevents*")) == tensorboard
    log = training.read_log(tmp_path)
    assert log[-1]["held_out_100"] < 1, "nearly clean latents must be told better than by repeating the photo"
    assert log[-1]["held_out_400"] < 0.73, "it was 0.77 after half of the steps"
    pipe = FashionFlowPipeline.from_pretrained(tmp_path / "pipeline")
    pipe.set_progress_bar_config(disable=True)
    frames = pipe(tiny.photo(), num_inference_steps=2, motion="spin", output_type="pt").frames
    assert frames.shape == (1, 4, 3, 192, 128)
    assert pipe.config.frame_rate == 4.0


def test_a_resumed_run_ends_where_an_uninterrupted_one_does(four_steps, tmp_path):
    train(tmp_path, steps=2)
    assert_same(train(tmp_path, steps=4), weights(four_steps), tolerance=1e-6)


def test_passes_are_added_up_to_one_larger_batch(four_steps, tmp_path):
    assert_same(train(tmp_path, steps=4, batch_size=1, accumulation=2), weights(four_steps))


def test_two_processes_give_the_weights_of_one_with_twice_the_batch(four_steps, tmp_path):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    settings = training.tiny_settings(tmp_path, steps=4, batch_size=1, decay_fraction=0.0)
    flags = []
    for name, value in settings.items():
        flags += [f"--{name}", *map(str, value if isinstance(value, list) else [value])]
    shared = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "ACCELERATE_USE_CPU": "true"}
    shared |= {"ACCELERATE_TORCH_DEVICE": "cpu", "OMP_NUM_THREADS": "1", "LOCAL_WORLD_SIZE": "2"}
    ended = subprocess.run(
        [sys.executable, "-c", TRAIN_BOTH, str(tmp_path / "autoencoder"), *flags],
        cwd=training.CLIPS.parents[2],
        env=os.environ | shared,
        stderr=subprocess.PIPE,
        text=True,
        timeout=240,
    )
    assert ended.returncode == 0, ended.stderr
    assert_same(weights(tmp_path), weights(four_steps))
    assert len(training.read_log(tmp_path)) == 1, "one process writes"
    training.autoencoder.main(training.autoencoder_config(tmp_path / "alone", steps=4, batch_size=2))
    assert_same(weights(tmp_path / "autoencoder"), weights(tmp_path / "alone"))


def test_saved_weights_are_the_average_ones(tmp_path):
    """EMA that decays at once is the last step; one that hardly decays stays near the start. They must differ."""
    saved = []
    for decay in (0.0, 0.99999):
        out = tmp_path / str(decay)
        train(out, steps=3, ema_decay=decay)
        saved.append(FashionFlowPipeline.from_pretrained(out / "pipeline").unet.conv_out.spatial.weight)
    assert (saved[0] - saved[1]).abs().max() > 1e-5


def test_gradient_checkpointing_changes_nothing_but_memory(four_steps, tmp_path):
    assert_same(train(tmp_path, steps=4, gradient_checkpointing=True), weights(four_steps))


def test_local_conditioning_leaves_the_tokens_out_in_training_and_in_the_pipeline(tmp_path):
    train(tmp_path, steps=2, conditioning="local")
    pipe = FashionFlowPipeline.from_pretrained(tmp_path / "pipeline")
    context, first_frame = pipe.encode_image(tiny.photo())
    assert context.abs().max() == 0 and first_frame.abs().max() > 0


def test_global_conditioning_is_said_in_the_pipelines_config(tmp_path):
    train(tmp_path, steps=2, conditioning="global", prediction="v_prediction", zero_snr=True)
    config = FashionFlowPipeline.load_config(tmp_path / "pipeline")
    assert config["first_frame_given"] is False
    pipe = FashionFlowPipeline.from_pretrained(tmp_path / "pipeline")
    assert not pipe.unet.config.first_frame_everywhere and not pipe.unet.config.gated_skips
    assert pipe.scheduler.config.prediction_type == "v_prediction" and pipe.scheduler.config.rescale_betas_zero_snr
    pipe.set_progress_bar_config(disable=True)
    latents = pipe(tiny.photo(), num_inference_steps=2, output_type="latent").frames
    photo = pipe.encode_image(tiny.photo())[1]
    assert latents.shape[2] == 4 and (latents[:, :, :1] - photo).abs().mean() > 0.1, "frame 0 is made, not given"


def guided_settings(**settings) -> dict:
    return {"latents": str(training.guided_latents()), "geometry": str(training.geometry())} | settings


@pytest.fixture(scope="module")
def guided(tmp_path_factory):
    """A denoiser that was trained with guides."""
    out = tmp_path_factory.mktemp("guided")
    denoiser.main(training.tiny_denoiser_config(out, steps=100, batch_size=1, **guided_settings()))
    return out


def test_an_untrained_denoiser_with_guides_repeats_them(tmp_path):
    clips = read_clips(training.guided_latents())
    windows = [window(clip, 0, 4, 2, mirrored=False) for clip in clips]
    windows = {name: torch.stack([w[name] for w in windows]) for name in windows[0]}
    config = training.tiny_denoiser_config(tmp_path, **guided_settings())
    model = build_denoiser(config, 16, (12, 8), clips[0].image_size, guided=True).eval()
    scheduler = noise_schedule(config)
    normalise = lambda pictures: pictures.float() / 127.5 - 1  # noqa: E731
    errors = held_out_errors(model, scheduler, windows, normalise, config.conditioning)
    assert set(errors.values()) == {1.0}, "as far off as the guide"
    start_from_linear_denoiser(model.unet, scheduler, variances_of_change(clips))
    errors = held_out_errors(model, scheduler, windows, normalise, config.conditioning)
    assert errors["held_out_100"] < 0.3 < 0.9 < errors["held_out_999"] < 1.05, "what is less noisy tells more"


def test_training_with_guides_learns_and_its_pipeline_runs(guided):
    log = training.read_log(guided)
    losses = [line["loss"] for line in log if "loss" in line]
    assert losses[-1] < 0.9 * losses[0]
    assert log[-1]["held_out_100"] < 1, "nearly clean latents must be told better than by the guide"
    assert (guided / "samples.png").is_file()
    pipe = FashionFlowPipeline.from_pretrained(guided / "pipeline")
    pipe.set_progress_bar_config(disable=True)
    assert pipe.has_geometry and pipe.config.clip_scale == 2 and pipe.unet.config.guide_channels == 20
    assert pipe.config.photo_fit == "figure"
    before, after = tiny.geometry().state_dict(), pipe.geometry.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items()), "the geometry is as it was"
    frames = pipe(tiny.photo(), num_inference_steps=2, motion="turn-left", output_type="pt").frames
    assert frames.shape == (1, 4, 3, 384, 256)


def test_a_guided_denoiser_goes_on_with_ones_own_clips(guided, tmp_path):
    argv = ["--clips", str(training.clips()), "--start", str(guided / "pipeline"), "--out", str(tmp_path)]
    denoiser.run([*argv, "--steps", "1", "--batch_size", "2", "--warmup", "1", "--mixed_precision", "no"])
    assert read_clips(tmp_path / "latents")[0].has_guide
    pipe = FashionFlowPipeline.from_pretrained(tmp_path / "pipeline")
    assert pipe.has_geometry and pipe.unet.config.guide_channels == 20


def test_latents_and_weights_must_both_have_guides_or_neither(guided, four_steps, tmp_path):
    runs = [
        ({"latents": str(training.latents())}, guided, "they have no guides and '.*' needs them; prepare them with"),
        (guided_settings(), four_steps, "they have guides and '.*' takes none; prepare them without `--geometry`"),
    ]
    for given, start, sentence in runs:
        settings = {"start": str(start / "pipeline"), "out": str(tmp_path), "mixed_precision": "no", "batch_size": 2}
        with pytest.raises(ValueError, match=sentence):
            denoiser.main(recipes.make_config(**settings | given))
    with pytest.raises(ValueError, match="`geometry` is needed, .* got none"):
        train(tmp_path, latents=str(training.guided_latents()), steps=1)


@pytest.mark.parametrize("kind", ["ours", "released"])
def test_one_command_goes_on_from_a_models_weights_with_ones_own_clips(kind, tmp_path):
    pipe = tiny.pipeline() if kind == "ours" else tiny.released_pipeline()
    pipe.save_pretrained(tmp_path / "start")
    argv = ["--clips", str(training.clips()), "--start", str(tmp_path / "start"), "--out", str(tmp_path / "out")]
    denoiser.run([*argv, "--steps", "2", "--batch_size", "2", "--warmup", "1", "--mixed_precision", "no"])
    tuned = FashionFlowPipeline.from_pretrained(tmp_path / "out" / "pipeline")
    for name in ("frame_rate", "default_num_frames", "signed_pixels", "photo_fit", "noise_scale"):
        assert tuned.config[name] == pipe.config[name], name
    assert tuned.scheduler.config.prediction_type == pipe.scheduler.config.prediction_type
    assert tuned.image_processor.rescale_factor == pipe.image_processor.rescale_factor
    moved = max((a - b).abs().max() for a, b in zip(tuned.unet.parameters(), pipe.unet.parameters(), strict=True))
    assert 0 < moved < 0.05


def test_too_little_data_is_said_before_anything_starts(tmp_path):
    only = tmp_path / "latents"
    only.mkdir()
    held_out = only / "000007.safetensors"
    held_out.write_bytes((training.latents() / "000007.safetensors").read_bytes())
    config = training.tiny_denoiser_config(tmp_path / "out", latents=str(only), steps=1)
    with pytest.raises(ValueError, match="`batch_size` must be at most the number of clips to train on, 0, got 2"):
        denoiser.main(config)
    held_out.rename(only / "000001.safetensors")
    with pytest.raises(ValueError, match="`latents` must also hold clips whose name ends in 7"):
        denoiser.main(config)
    (only / "000001.safetensors").unlink()
    with pytest.raises(ValueError, match="`latents` must hold .safetensors files"):
        denoiser.main(config)
    with pytest.raises(SystemExit, match="`latents` must hold .safetensors files"):
        denoiser.run(f"--latents {only} --vae {config.vae} --out {tmp_path}/out --mixed_precision no".split())
