import shutil

import pytest
import torch

from fashionflow import GarmentAutoencoder
from fashionflow.training import autoencoder
from fashionflow.video.io import read_frames

from . import training


def test_autoencoder_starts_from_principal_components_and_resumes():
    clips, trained_autoencoder = training.clips(), training.trained_autoencoder()
    scores = [
        (line["step"], line["held_out_psnr"])
        for line in training.read_log(trained_autoencoder)
        if "held_out_psnr" in line
    ]
    assert [step for step, _ in scores] == [0, 4, 5, 8], "a resumed run must go on from step 5"
    assert scores[0][1] > 20, "the linear code alone keeps the picture before any training"
    assert scores[-1][1] > scores[0][1] - 1
    vae = GarmentAutoencoder.from_pretrained(trained_autoencoder / "vae")
    pixels = autoencoder.to_pixels([read_frames(clips / "000007.mp4")[12]])
    with torch.no_grad():
        assert autoencoder.psnr(vae(pixels).sample.clamp(-1, 1), pixels) == pytest.approx(scores[-1][1], abs=0.01)
    assert (trained_autoencoder / "samples.png").is_file()


def test_decoder_alone_can_be_trained_on_and_keeps_the_code(tmp_path):
    clips, trained_autoencoder = training.clips(), training.trained_autoencoder()
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


def test_clips_without_a_test_set_are_refused(tmp_path):
    clips = training.clips()
    shutil.copy(clips / "000001.mp4", tmp_path)
    with pytest.raises(ValueError, match="whose name ends in 7, which are kept for testing; .* has one kind only"):
        autoencoder.AutoencoderConfig(clips=str(tmp_path))


@pytest.mark.parametrize("name", ["steps", "batch_size", "sample_every", "save_every"])
def test_counts_below_1_are_refused(name):
    with pytest.raises(ValueError, match=f"`{name}` must be at least 1, got 0"):
        autoencoder.AutoencoderConfig(**{"clips": str(training.clips()), name: 0})


def test_crops_must_fit_the_cells(tmp_path):
    with pytest.raises(ValueError, match="`crop` must be a multiple of 16 for this autoencoder, got 70"):
        autoencoder.main(training.autoencoder_config(tmp_path, steps=1, crop=70))


@pytest.mark.parametrize(("name", "value"), [("clips", "nowhere"), ("photos", "nowhere")])
def test_wrong_folder_is_said_before_anything_starts(name, value):
    clips = training.clips()
    with pytest.raises(ValueError, match=f"`{name}` must be a folder of .*'nowhere'"):
        autoencoder.AutoencoderConfig(**{"clips": str(clips)} | {name: value})
