import pytest
import torch
from safetensors.torch import load_file

from fashionflow.training import denoiser, pack
from fashionflow.training.latents import LatentFormat, read_clips

from . import training
from .test_training_loop import room_for


@pytest.fixture(scope="module")
def packed(tmp_path_factory):
    out = tmp_path_factory.mktemp("packed")
    pack.main([str(training.latents()), str(out), "--megabytes", "1"])
    return out


def test_a_pack_reads_as_the_latents_that_it_was_made_from(packed):
    originals = {clip.name: clip for clip in read_clips(training.latents())}
    clips = read_clips(packed)
    assert {clip.name: clip.held_out for clip in clips} == {name: clip.held_out for name, clip in originals.items()}
    assert LatentFormat.read(packed) == LatentFormat.read(training.latents())
    everything = slice(0, 24, 1)
    for clip in clips:
        original = originals[clip.name]
        assert clip.shape == original.shape and torch.equal(clip.yaw, original.yaw)
        assert torch.equal(clip.distance, original.distance)
        difference = clip.latents(everything) - original.latents(everything).float()
        assert difference.abs().max() <= pack.STEP / 2 + 0.02
        picture = (clip.picture(6).float() - original.picture(6).float()).abs().mean()
        assert clip.starts == [0, 6, 12, 18] and picture < 6


def test_mirror_images_come_back_by_a_linear_map(packed):
    originals = {clip.name: clip for clip in read_clips(training.latents())}
    error = variance = 0
    for clip in read_clips(packed):
        true = originals[clip.name].latents(slice(1, 5, 3), mirrored=True).float()
        error += (clip.latents(slice(1, 5, 3), mirrored=True) - true).square().mean()
        variance += true.var()
    assert error < 0.05 * variance


def test_guides_come_back_and_their_mirror_images_too(tmp_path):
    pack.write_pack(training.guided_latents(), tmp_path, megabytes=1)
    originals = {clip.name: clip for clip in read_clips(training.guided_latents())}
    clips, error, variance = read_clips(tmp_path), 0, 0
    assert len(clips) == 3
    for clip in clips:
        original, channels, whole = originals[clip.name], clip.shape[1], slice(0, len(clip), 1)
        assert clip.has_guide and clip.starts == [0]
        difference = (clip.guide(whole) - original.guide(whole).float()).abs()
        assert difference[:, :channels].max() <= pack.STEP / 2 + 0.02
        assert difference[:, channels:].max() <= 0.5 / 255 + 1e-6
        assert (clip.picture(0).float() - original.picture(0).float()).abs().mean() < 6
        some = slice(1, 8, 3)
        mirrored, true = (guide.guide(some, mirrored=True).float() for guide in (clip, original))
        assert (mirrored - true)[:, channels:].abs().max() < 0.01
        error += (mirrored - true)[:, :channels].square().mean()
        variance += true[:, :channels].var()
    assert error < 0.05 * variance
    config = training.tiny_denoiser_config(
        tmp_path / "out", latents=str(tmp_path), geometry=str(training.geometry()), steps=2
    )
    denoiser.main(config)
    assert load_file(tmp_path / "out" / "checkpoint" / "model.safetensors")


def test_values_survive_compression_whatever_their_size():
    latents = torch.randn(5, 3, 4, 4, generator=torch.Generator().manual_seed(0)) * 8
    read = pack.decompress(pack.compress(latents, 0.1), (5, 3, 4, 4)).float() * 0.1
    torch.testing.assert_close(read, latents.clamp(-12.7, 12.7), atol=0.051, rtol=0)


def test_a_pack_keeps_to_its_size_and_has_clips_of_both_kinds(tmp_path):
    with pytest.raises(ValueError, match="`megabytes` must have room for two clips at least, got 0.001"):
        pack.write_pack(training.latents(), tmp_path, megabytes=0.001)
    size = (training.latents() / "000001.safetensors").stat().st_size
    pack.write_pack(training.latents(), tmp_path, megabytes=0.25)
    (path,) = tmp_path.glob("*.pack.safetensors")
    assert path.stat().st_size < 0.25e6 < size
    assert {clip.held_out for clip in read_clips(tmp_path)} == {True, False}
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(ValueError, match="is no pack of latents, or was cut off"):
        read_clips(tmp_path)


def test_a_full_disk_leaves_the_pack_before_and_latents_are_not_packed_into_their_own_folder(tmp_path):
    pack.write_pack(training.latents(), tmp_path)
    (path,) = tmp_path.glob("*.pack.safetensors")
    before = path.read_bytes()
    with room_for(2000), pytest.raises(SystemExit) as stopped:
        pack.main([str(training.latents()), str(tmp_path), "--megabytes", "0.25"])
    assert "free some space and run again" in stopped.value.code and path.read_bytes() == before
    with pytest.raises(ValueError, match="`out` must be another folder than the latents'"):
        pack.write_pack(training.latents(), training.latents())


def test_training_takes_a_pack_like_any_other_folder(packed, tmp_path):
    denoiser.main(training.tiny_denoiser_config(tmp_path, latents=str(packed), steps=2))
    assert load_file(tmp_path / "checkpoint" / "model.safetensors")
