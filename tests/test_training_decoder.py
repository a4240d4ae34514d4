import json
import os
import shutil

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import load_file

from fashionflow import FashionFlowPipeline, GarmentAutoencoder, GarmentConditioner
from fashionflow.evaluation.clip_labels import read_labels, walked_distance
from fashionflow.models.guide_fusion import GuideFrames
from fashionflow.photo.cropping import fit
from fashionflow.pipelines.guide import guide_frames
from fashionflow.pipelines.motions import rows
from fashionflow.training import decoder
from fashionflow.training.modules import guided
from fashionflow.training.pairs import PairedClip, PairedCrops
from fashionflow.video.io import read_frames

from . import tiny, training


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory) -> str:
    """A toy pipeline with geometry and the trained toy autoencoder, 192 x 128 pixels, whose clips are 384 x 256."""
    return saved(tmp_path_factory.mktemp("pipeline"), tiny.guided_pipeline, guide_channels=20)


def saved(folder, make, **unet) -> str:
    vae = GarmentAutoencoder.from_pretrained(training.trained_autoencoder() / "vae")
    conditioner = GarmentConditioner(5, tiny.CONTEXT_CHANNELS, 16, (12, 8)).eval()
    make(vae=vae, unet=tiny.unet(in_channels=16, **unet), conditioner=conditioner).save_pretrained(folder)
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
    names = ("held_out_psnr_guide", "held_out_psnr_sampled", "held_out_psnr_true")
    assert set(names) < set(lines[-1]) and lines[-1]["held_out_psnr_true"] > 15
    before = GarmentAutoencoder.from_pretrained(training.trained_autoencoder() / "vae").state_dict()
    after = GarmentAutoencoder.from_pretrained(out / "vae")
    changed = {name for name, value in before.items() if not torch.equal(value, after.state_dict()[name])}
    assert changed
    assert not [name for name in changed if "encoder" in name]
    assert after.guide_fusion.fuse[-2].weight.abs().max() > 0, "the fusion learns"
    with Image.open(out / "samples.png") as strip:
        assert strip.size == (6 * training.WIDTH, 5 * training.HEIGHT), (
            "guide, sampled, true, drawn and truth of every fourth frame"
        )


def test_sampled_latents_and_guide_are_the_pipelines_own(pipeline, trained):
    pair = load_file(trained[0] / "sampled" / "000007.safetensors")
    assert pair["sampled"].shape == pair["true"].shape == (24, 16, 12, 8)
    torch.testing.assert_close(pair["sampled"][0], pair["true"][0], atol=0.05, rtol=0.05)  # frame 0 is the photo
    assert (pair["sampled"][1:] - pair["true"][1:]).float().abs().mean() > 0.1
    assert pair["guide_pixels"].shape == (24, 3, 192, 128) and pair["guide_known"].shape == (24, 4, 192, 128)
    assert pair["guide_pixels"].dtype == pair["guide_known"].dtype == torch.uint8
    known = pair["guide_known"].float() / 255
    certain = known[0, [0, 2]].sum(0) > 0.99
    photo = torch.from_numpy(read_frames(training.clips() / "000007.mp4")[0]).permute(2, 0, 1)
    difference = (pair["guide_pixels"][0].float() - photo.float()).abs().mean(0)
    assert certain.float().mean() > 0.7 and difference[certain].mean() < 2
    # It is what the pipeline would give the decoder, which sees the larger clip shrunk.
    label = read_labels(training.clips())["000007"]
    pipe = FashionFlowPipeline.from_pretrained(pipeline)
    guide = pipe.guide(
        fit(Image.fromarray(photo.permute(1, 2, 0).numpy()), 256, 384, "crop"),
        rows(np.array(label["yaw"]), walked_distance(label, 24)),
        24,
    )
    small = F.interpolate(guide_frames(guide.frames(torch.tensor([9]))).pixels, (192, 128), mode="area")
    assert ((small[0] + 1) * 127.5 - pair["guide_pixels"][9].float()).abs().max() < 0.6


def test_crops_show_the_same_place_in_latents_truth_and_guide():
    """Every pixel says which line it is on, so that a shift between the parts of a crop would be seen."""
    lines = np.arange(160, dtype=np.uint8)[None, :, None, None]
    frames = np.broadcast_to(lines, (3, 160, 64, 3))
    cells = torch.arange(10.0)[None, None, :, None].expand(3, 1, 10, 4)
    pixels = torch.from_numpy(lines.reshape(1, 1, 160, 1).copy())
    clip = PairedClip(frames, cells, cells, pixels.expand(3, 3, 160, 64), pixels.expand(3, 4, 160, 64))
    crops = PairedCrops([clip], block_size=16, crop_lines=4, seed=0).draw(range(6), sampled_fraction=0.5)
    top = crops["latents"][:, 0, 0, 0]
    assert len(set(top.tolist())) > 1
    for name, channels in (("pixels", 3), ("guide_pixels", 3)):
        torch.testing.assert_close((crops[name][:, 0, 0, 0] + 1) * 127.5, 16 * top)
        assert crops[name].shape == (6, channels, 64, 64)
    torch.testing.assert_close(crops["guide_known"][:, 0, 0, 0] * 255, 16 * top)
    assert crops["guide_known"].shape == (6, 4, 64, 64)
    plain = PairedCrops([PairedClip(frames, cells, cells)], 16, 4, seed=0).draw(range(6), 0.5)
    assert set(plain) == {"latents", "pixels"} and torch.equal(plain["latents"], crops["latents"])


def test_errors_of_what_nobody_sees_hardly_count():
    pixels = torch.zeros(2, 3, 16, 16)
    known = torch.zeros(2, 4, 16, 16)
    known[..., :8] = torch.tensor([0.5, 0.0, 0.5, 0.0])[:, None, None]  # the left half is certain
    left, right = torch.zeros_like(pixels), torch.zeros_like(pixels)
    left[..., :4], right[..., 12:] = 0.5, 0.5
    crop = {"pixels": pixels, "guide_known": known, "guide_pixels": pixels}
    unseen, seen = (decoder.decoding_loss(pixels, drawn, crop).item() for drawn in (left, right))
    assert 0 < unseen < 0.11 * seen
    assert decoder.decoding_loss(right, right, crop) > 2.5 * seen, "what a clip shows counts twice as much"
    assert decoder.decoding_loss(pixels, left, {"pixels": pixels}) == 0, "without a guide nothing is drawn apart"


def test_what_a_step_sees_is_what_the_autoencoder_decodes():
    vae = guided(tiny.autoencoder())
    torch.nn.init.normal_(vae.guide_fusion.fuse[-2].weight, std=0.2)
    generator = torch.Generator().manual_seed(0)
    latents = torch.randn(2, tiny.LATENT_CHANNELS, 4, 4, generator=generator)
    pixels = torch.rand(2, 3, 32, 32, generator=generator) * 2 - 1
    known = torch.rand(2, 4, 32, 32, generator=generator) / 4
    with torch.no_grad():
        shown, drawn = decoder.Reconstruction(vae)(latents, pixels, known)
        torch.testing.assert_close(shown, vae.decode(latents, guide=GuideFrames(pixels, known)).sample)
        assert (shown - drawn).abs().mean() > 0.05
        plain, alone = decoder.Reconstruction(vae)(latents)
        torch.testing.assert_close(plain, tiny.autoencoder().decode(latents).sample)
        assert plain is alone


def test_a_pipeline_without_geometry_trains_without_guides(pipeline, tmp_path):
    plain = saved(tmp_path / "plain", tiny.pipeline)
    decoder.main(config(plain, tmp_path / "out", num_clips=1, steps=1))
    assert set(load_file(tmp_path / "out" / "sampled" / "000007.safetensors")) == {"sampled", "true"}
    vae = GarmentAutoencoder.from_pretrained(tmp_path / "out" / "vae")
    assert vae.guide_fusion is None
    lines = training.read_log(tmp_path / "out")
    assert lines[-1]["held_out_psnr_true"] > 20 and "held_out_psnr_guide" not in lines[-1]
    # What was sampled without guides is not taken for a pipeline with geometry.
    shutil.rmtree(tmp_path / "out" / "checkpoint")
    with pytest.raises(ValueError, match="000007.safetensors' is of another pipeline or .*; delete it and run again"):
        decoder.main(config(pipeline, tmp_path / "out", num_clips=1, steps=1))


def test_clips_of_another_size_and_missing_kinds_are_one_sentence(pipeline, tmp_path):
    small = tiny.guided_pipeline()
    small.save_pretrained(tmp_path / "small")
    with pytest.raises(ValueError, match="must be 96 x 64 pixels .* pictures, got 192 x 128 in 000007.mp4"):
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
    with pytest.raises(ValueError, match="`sampling_steps` must stay 1 to continue the run in"):
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
    vae = GarmentAutoencoder.from_pretrained(trained[0] / "vae")
    pipe = FashionFlowPipeline.from_pretrained(pipeline, vae=vae)
    pipe.set_progress_bar_config(disable=True)
    frames = pipe(**tiny.inputs(motion="spin", num_frames=2, num_inference_steps=1)).frames
    assert frames.shape == (1, 2, 3, 384, 256)
