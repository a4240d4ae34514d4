import json

import pytest
from diffusers import AutoencoderKL
from transformers import CLIPVisionConfig, CLIPVisionModel

from fashionflow.models import SpaceTimeUNet
from fashionflow.training import denoiser
from fashionflow.training.loop import check_settings
from fashionflow.training.modules import build_denoiser, load_autoencoder
from fashionflow.training.recipes import STRUCTURE, make_config, parse_config

from . import tiny, training


def test_flags_of_earlier_runs_mean_what_they_meant():
    config = parse_config(
        [
            "--latents",
            "L",
            "--vae",
            "V",
            "--out",
            "runs/d",
            "--stem_channels",
            "64",
            "--block_channels",
            "96",
            "192",
            "--image_layers",
            "3",
            "--num_frames",
            "24",
            "--strides",
            "1",
            "--batch_size",
            "2",
            "--timestep_power",
            "2",
            "--time-limit",
            "5",
            "--decay_fraction",
            "0.36",
        ]
    )
    assert (config.latents, config.vae, config.out, config.stem_channels) == ("L", "V", "runs/d", 64)
    assert (config.block_channels, config.image_layers, config.strides, config.time_limit) == ([96, 192], 3, [1], 5)
    assert (config.prediction, config.gated_skips, config.first_frame_everywhere) == ("sample", True, True)
    assert (config.learning_rate, config.motion_dropout, config.ema_decay, config.noise_scale) == (
        5e-4,
        0.1,
        0.999,
        0.1,
    )


def test_the_papers_recipe_is_the_released_model_and_explicit_flags_win():
    config = parse_config(["--latents", "L", "--recipe", "paper", "--batch_size", "1"])
    assert config.batch_size == 1
    assert (config.learning_rate, config.weight_decay, config.mixed_precision) == (1e-4, 1e-2, "no")
    assert (config.num_frames, config.strides, config.fixed_windows, config.mirror) == (70, [1], True, False)
    assert (config.prediction, config.paper_loss, config.gated_skips, config.motion) == ("epsilon", True, False, False)
    released = SpaceTimeUNet.__init__.__wrapped__.__defaults__
    names = SpaceTimeUNet.__init__.__wrapped__.__code__.co_varnames[1 : len(released) + 1]
    defaults = dict(zip(names, released, strict=True))
    shared = [name for name in STRUCTURE if name in defaults]
    assert len(shared) == 9
    for name in shared:
        value = defaults[name]
        assert getattr(config, name) == (list(value) if isinstance(value, tuple) else value), name


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"clips": "c"}, "Either `latents`, .* or `clips`.* is needed, got 'l' and 'c'"),
        ({"vae": ""}, "`vae` is needed"),
        ({"prediction": "epsilon", "zero_snr": True}, "`zero_snr` needs `prediction` sample or v_prediction"),
        ({"paper_loss": True}, "`paper_loss` needs `prediction` epsilon, .* got sample"),
        ({"num_frames": 1}, "`num_frames` must be at least 2, got 1"),
        ({"time_levels": [1], "num_frames": 5}, "`num_frames` must be a multiple of 2"),
        ({"strides": [0]}, r"`strides` must be frame steps of at least 1, got \[0\]"),
        ({"image_dropout": 2.0}, "`image_dropout` must be between 0 and 1, got 2.0"),
        ({"start": "nowhere"}, "`start` must be a pipeline folder, .* got 'nowhere'"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        make_config(**{"latents": "l", "vae": "v"} | settings)


def test_sizes_come_from_the_weights_to_go_on_from(tmp_path):
    pipe = tiny.released_pipeline()
    pipe.save_pretrained(tmp_path)
    config = make_config(latents="l", start=str(tmp_path), learning_rate=1e-5)
    assert (config.prediction, config.time_levels, config.motion, config.gated_skips) == ("epsilon", [1], False, False)
    assert (config.stem_channels, config.image_layers, config.num_frames) == (8, 1, tiny.FRAMES)
    assert (config.vae, config.learning_rate) == (str(tmp_path / "vae"), 1e-5)
    network = build_denoiser(config, 4, (tiny.HEIGHT // 8, tiny.WIDTH // 8), 32)
    for ours, theirs in zip(network.unet.parameters(), pipe.unet.parameters(), strict=True):
        assert (ours == theirs).all()
    with pytest.raises(
        ValueError, match="`block_channels` must be .*8, 16.*, as in the weights .* got .*16, 16.*leave it out"
    ):
        make_config(latents="l", start=str(tmp_path), block_channels=[16, 16])
    with pytest.raises(ValueError, match=r"`latents` must be \[4, 12, 8\] to continue from .* got \[4, 16, 8\]"):
        build_denoiser(config, 4, (16, 8), 32)
    with pytest.raises(ValueError, match="pictures of 32 pixels .* got 96"):
        build_denoiser(config, 4, (12, 8), 96)


def test_clip_and_stable_diffusions_kind_of_autoencoder_are_taken_from_folders(tmp_path):
    vision = CLIPVisionConfig(
        hidden_size=16, intermediate_size=16, num_hidden_layers=2, num_attention_heads=2, image_size=32, patch_size=16
    )
    CLIPVisionModel(vision).save_pretrained(tmp_path / "clip")
    tiny.kl_autoencoder().save_pretrained(tmp_path / "sd" / "vae")
    assert isinstance(load_autoencoder(str(tmp_path / "sd")), AutoencoderKL)
    sizes = {"context_channels": 16, "stem_channels": 8, "block_channels": [8, 8], "cross_attention_heads": [1, 1]}
    settings = {
        "latents": "l",
        "vae": "v",
        "image_encoder": str(tmp_path / "clip"),
        "freeze_image_encoder": True,
    } | sizes
    network = build_denoiser(make_config(**settings), 4, (8, 8), 32)
    assert network.image_encoder.config.num_hidden_layers == 2
    assert not any(p.requires_grad for p in network.image_encoder.parameters())
    with pytest.raises(ValueError, match="`image_encoder` must be 16 wide .* and see 96 pixels.* got 16 and 32"):
        build_denoiser(make_config(**settings), 4, (8, 8), 96)
    with pytest.raises(ValueError, match="`image_encoder` cannot be loaded from .*sd"):
        build_denoiser(make_config(**settings | {"image_encoder": str(tmp_path / "sd")}), 4, (8, 8), 32)
    with pytest.raises(ValueError, match="multiples of 4, got 6 x 8; prepare them at another `--size`"):
        build_denoiser(make_config(**settings), 4, (6, 8), 32)
    with pytest.raises(ValueError, match="`vae` cannot be loaded from"):
        load_autoencoder(str(tmp_path / "clip"))


def test_a_run_is_not_resumed_as_another_one(tmp_path):
    (tmp_path / "checkpoint").mkdir()
    check_settings(tmp_path, {"seed": 1}, ["seed"])  # from before settings were saved
    (tmp_path / "settings.json").write_text(json.dumps({"seed": 0}))
    check_settings(tmp_path, {"seed": 0, "motion": True}, ["seed", "motion"])
    with pytest.raises(ValueError, match="`seed` must stay 0 to continue the run in .*, got 1; .* another `--out`"):
        denoiser.main(make_config(**training.tiny_settings(tmp_path, latents="never/read", seed=1)))
