import json
import os
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from fashionflow import FashionFlowPipeline, GarmentAutoencoder, GarmentConditioner
from fashionflow.training import decoder
from fashionflow.training.pairs import PairedClip, PairedCrops

from . import tiny, training


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory) -> str:
    """A toy pipeline with the trained toy autoencoder, 320 x 256 pixels."""
    folder = tmp_path_factory.mktemp("pipeline")
    vae = GarmentAutoencoder.from_pretrained(training.trained_autoencoder() / "vae")
    tiny.pipeline(
        vae=vae,
        unet=tiny.unet(in_channels=16),
        conditioner=GarmentConditioner(5, tiny.CONTEXT_CHANNELS, 16, (20, 16)).eval(),
    ).save_pretrained(folder)
    return str(folder)


def config(pipeline: str, out, **overrides) -> decoder.DecoderConfig:
    settings = {
        "pipeline": pipeline,
        "clips": str(training.clips()),
        "out": str(out),
        "num_held_out": 1,
        "sampling_steps": 1,
        "perceptual_weight": 0,
        "batch_size": 1,
        "crop_lines": 4,
        "mixed_precision": "no",
        "warmup": 1,
        "decay_fraction": 0.0,
    }
    return decoder.DecoderConfig(**settings | overrides)


@pytest.fixture(scope="module")
def trained(pipeline, tmp_path_factory):
    """A decoder that was trained, stopped and trained on, with the times at which its clips were sampled."""
    out = tmp_path_factory.mktemp("decoder")
    decoder.main(config(pipeline, out, steps=1))
    sampled = {path: os.stat(path).st_mtime_ns for path in (out / "sampled").iterdir()}
    decoder.main(config(pipeline, out, steps=3))
    return out, sampled


def test_decoder_learns_from_sampled_clips_and_keeps_the_code(trained):
    out, sampled = trained
    assert sorted(path.stem for path in sampled) == ["000001", "000002", "000007"]
    assert {path: os.stat(path).st_mtime_ns for path in sampled} == sampled, "what was sampled is not sampled again"
    lines = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    assert lines[-1]["step"] == 3
    assert lines[-1]["held_out_psnr_true_alone"] > 20
    before = GarmentAutoencoder.from_pretrained(training.trained_autoencoder() / "vae").state_dict()
    after = GarmentAutoencoder.from_pretrained(out / "vae")
    assert after.guidance is not None
    changed = {name for name, value in before.items() if not torch.equal(value, after.state_dict()[name])}
    assert changed
    assert not [name for name in changed if "encoder" in name]
    assert after.guidance.fuse[-2].weight.abs().max() > 0, "the guidance learns"
    assert (out / "samples.png").is_file()


def test_sampled_latents_are_the_pipelines_own(trained):
    pair = load_file(trained[0] / "sampled" / "000007.safetensors")
    assert pair["sampled"].shape == pair["true"].shape == (24, 16, 20, 16)
    torch.testing.assert_close(pair["sampled"][0], pair["true"][0], atol=0.05, rtol=0.05)  # frame 0 is the photo
    assert (pair["sampled"][1:] - pair["true"][1:]).float().abs().mean() > 0.1


def test_crops_show_the_same_place_in_latents_photo_truth_and_flow():
    """Every pixel says which line it is on, so that a shift between the parts of a crop would be seen."""
    lines = np.arange(160, dtype=np.uint8)[None, :, None, None]
    frames = np.broadcast_to(lines, (3, 160, 64, 3))
    cells = torch.arange(10.0)[None, None, :, None].expand(3, 1, 10, 4)
    quarters = torch.arange(40.0)[None, None, :, None].expand(3, 2, 40, 16)
    clip = PairedClip(frames, sampled=cells, true=cells, flow=quarters, belief=quarters[:, :1])
    crops = PairedCrops([clip], block_size=16, crop_lines=4, seed=0).draw(range(6), sampled_fraction=0.5)
    top = crops["latents"][:, 0, 0, 0]
    assert len(set(top.tolist())) > 1
    for name, per_cell in (("first_latents", 1), ("flow", 4), ("belief", 4)):
        torch.testing.assert_close(crops[name][:, 0, 0, 0], per_cell * top)
        assert crops[name].shape[2] == 4 * per_cell
    for name in ("photo", "pixels"):
        torch.testing.assert_close((crops[name][:, 0, 0, 0] + 1) * 127.5, 16 * top)
        assert crops[name].shape == (6, 3, 64, 64)


def test_clips_of_another_size_and_missing_kinds_are_one_sentence(pipeline, tmp_path):
    small = tiny.pipeline()
    small.save_pretrained(tmp_path / "small")
    with pytest.raises(ValueError, match="must be 96 x 64 pixels .* got 320 x 256 in 000007.mp4"):
        decoder.main(config(str(tmp_path / "small"), tmp_path / "out", steps=1))
    clips = tmp_path / "clips"
    shutil.copytree(training.clips(), clips, ignore=shutil.ignore_patterns("000007.mp4"))
    with pytest.raises(ValueError, match="got 2 and 0 in"):
        decoder.main(config(pipeline, tmp_path / "none", clips=str(clips), steps=1))


def test_clips_that_cannot_be_read_are_reported_and_passed_over(pipeline, tmp_path, capsys):
    clips = tmp_path / "clips"
    clips.mkdir()
    shutil.copy(training.clips() / "labels.jsonl", clips)
    for name in ("000001", "000007"):
        (clips / f"{name}.mp4").write_bytes(b"not a video")
    with pytest.raises(ValueError, match="clips that can be used, .* got 0 and 0 in"):
        decoder.main(config(pipeline, tmp_path / "out", clips=str(clips), steps=1))
    assert "skipped 000007.mp4: " in capsys.readouterr().out


def test_a_resumed_run_ends_where_an_uninterrupted_one_does(pipeline, trained, tmp_path):
    shutil.copytree(trained[0] / "sampled", tmp_path / "sampled")
    decoder.main(config(pipeline, tmp_path, steps=3))
    resumed, whole = (load_file(out / "checkpoint" / "model.safetensors") for out in (trained[0], tmp_path))
    for name, value in whole.items():
        torch.testing.assert_close(resumed[name], value, atol=1e-5, rtol=0, msg=name)


def test_a_run_is_not_resumed_as_another_one(pipeline, trained):
    with pytest.raises(ValueError, match="`sampling_steps` must stay 1 to go on with the run in"):
        decoder.main(config(pipeline, trained[0], steps=4, sampling_steps=2))


@pytest.mark.parametrize("kind", ["missing", "empty", "file"])
@pytest.mark.parametrize("name", ["pipeline", "clips"])
def test_folders_of_no_use_are_told_in_a_sentence(name, kind, pipeline, tmp_path):
    folder = tmp_path / kind
    if kind == "empty":
        folder.mkdir()
    elif kind == "file":
        folder.touch()
    flags = {"pipeline": pipeline, "clips": str(training.clips()), "out": str(tmp_path / "out")} | {name: str(folder)}
    with pytest.raises(SystemExit) as stopped:
        decoder.run(
            [
                *(part for flag, value in flags.items() for part in (f"--{flag}", value)),
                "--perceptual_weight=0",
                "--mixed_precision=no",
            ]
        )
    assert str(folder) in stopped.value.code and "\n" not in stopped.value.code


def test_trained_decoder_loads_in_the_pipeline(pipeline, trained):
    pipe = FashionFlowPipeline.from_pretrained(pipeline, vae=GarmentAutoencoder.from_pretrained(trained[0] / "vae"))
    assert pipe.is_photo_guided
