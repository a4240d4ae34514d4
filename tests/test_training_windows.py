import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from fashionflow.evaluation.clip_labels import is_held_out
from fashionflow.training.latents import LatentClip, read_clips
from fashionflow.training.windows import LatentWindows, StepBatches, noise_like, window

from . import training


@pytest.fixture(scope="module")
def path():
    return training.latents() / "000001.safetensors"


def test_windows_are_consecutive_frames_and_a_mirrored_body_turns_the_other_way(path):
    clip, tensors = LatentClip(path), load_file(path)
    plain = window(clip, start=3, num_frames=4, stride=2, mirrored=False)
    torch.testing.assert_close(plain["latents"], tensors["latents"][[3, 5, 7, 9]].transpose(0, 1).float())
    torch.testing.assert_close(plain["photo"], tensors["latents"][3].float())
    torch.testing.assert_close(plain["picture"], tensors["pictures"][3])
    turned = torch.rad2deg(torch.atan2(plain["motion"][:, 0], plain["motion"][:, 1]))
    torch.testing.assert_close(turned, torch.tensor([0.0, 2, 4, 6]), atol=1e-3, rtol=0)
    assert plain["motion"][-1, 2].item() == pytest.approx(0.55 * 6 / 23)
    mirrored = window(clip, start=3, num_frames=4, stride=2, mirrored=True)
    torch.testing.assert_close(mirrored["latents"], tensors["mirrored"][[3, 5, 7, 9]].transpose(0, 1).float())
    torch.testing.assert_close(mirrored["picture"], tensors["pictures"][3].flip(-1))
    torch.testing.assert_close(mirrored["motion"][:, 0], -plain["motion"][:, 0])


def test_windows_of_guided_clips_begin_at_the_photo_and_bring_its_guide(path):
    guided = read_clips(training.guided_latents())
    clip, tensors = guided[0], load_file(training.guided_latents() / path.name)
    plain = window(clip, start=0, num_frames=4, stride=2, mirrored=False)
    torch.testing.assert_close(plain["guide"], tensors["guide"][[0, 2, 4, 6]].transpose(0, 1).float())
    mirrored = window(clip, start=0, num_frames=4, stride=2, mirrored=True)
    torch.testing.assert_close(mirrored["guide"], tensors["mirrored_guide"][[0, 2, 4, 6]].transpose(0, 1).float())
    assert "guide" not in window(LatentClip(path), 0, 4, 2, mirrored=False)
    windows = LatentWindows(guided, 4, [1, 2], seed=5, mirror=False)
    firsts = [clip.latents(slice(0, 1)).float()[0] for clip in guided]
    for number in range(9):
        photo = windows[number]["photo"]
        assert any(torch.equal(photo, first) for first in firsts)


def test_windows_must_fit_into_the_clips(path):
    with pytest.raises(
        ValueError, match="shortest clip, '000001', which has 24 frames, got 13 frames at a stride of 2"
    ):
        LatentWindows([LatentClip(path)], 13, [2, 3])


def test_an_example_is_the_same_whenever_it_is_asked_for_and_epochs_pass_over_every_clip(path):
    clips = read_clips(path.parent)
    windows = LatentWindows(clips, 4, [1, 2], seed=5)
    again = LatentWindows(clips, 4, [1, 2], seed=5)
    first, later = windows[7], [again[number] for number in (9, 7)][1]
    for name, value in first.items():
        torch.testing.assert_close(value, later[name])
    other = LatentWindows(clips, 4, [1, 2], seed=6)[7]
    assert first["noise_seed"] != other["noise_seed"]
    assert sorted(windows._order(2)) == [0, 1, 2]
    levels = torch.stack([windows[number]["level"] for number in range(300)])
    assert levels.mean().item() == pytest.approx(0.5, abs=0.06) and levels.min() < 0.05 and levels.max() > 0.95


def test_two_processes_see_what_one_with_twice_the_batch_sees():
    def steps(batch_size, process, num_processes, accumulation=1, first_step=1):
        passes = iter(StepBatches(batch_size, accumulation, process, num_processes, first_step))
        return [sum((next(passes) for _ in range(accumulation)), []) for _ in range(3)]

    together = [left + right for left, right in zip(steps(2, 0, 2), steps(2, 1, 2), strict=True)]
    assert together == steps(4, 0, 1) == steps(2, 0, 1, accumulation=2)
    assert steps(4, 0, 1, first_step=2)[0] == together[1], "a resumed run goes on with the next examples"


def test_noise_comes_from_the_seeds_alone_and_an_offset_shifts_whole_channels():
    latents = torch.zeros(3, 5, 4, 16, 16)
    noise = noise_like(latents, torch.tensor([1, 2, 1]))
    assert torch.equal(noise[0], noise[2]) and not torch.equal(noise[0], noise[1])
    assert noise.std().item() == pytest.approx(1, abs=0.03) and noise.mean((2, 3, 4)).abs().max() < 0.15
    shifted = noise_like(torch.zeros(20, 48, 2, 8, 8), torch.arange(20), offset=0.5).mean((2, 3, 4))  # [B, C]
    assert shifted.std().item() == pytest.approx(0.5, abs=0.05)


def test_draws_from_a_posterior_differ_for_frame_0_and_the_conditioner(path, tmp_path):
    tensors = load_file(path)
    tensors["deviation"] = torch.full_like(tensors["latents"], 0.25)
    save_file(tensors, tmp_path / "a.safetensors")
    clip = LatentClip(tmp_path / "a.safetensors")
    drawn = window(clip, 0, 4, 1, False, np.random.default_rng(0))
    mean = window(clip, 0, 4, 1, False)
    for difference in (drawn["latents"] - mean["latents"], drawn["photo"] - mean["photo"]):
        assert difference.std().item() == pytest.approx(0.25, abs=0.02)
    assert (drawn["photo"] - drawn["latents"][:, 0]).std().item() == pytest.approx(0.25 * 2**0.5, abs=0.03)


def test_the_test_set_is_known_by_folder_and_else_by_name():
    assert is_held_out("clips/001007.mp4") and not is_held_out("clips/001070.mp4")
    assert is_held_out("videos/test/91-2.mp4") and not is_held_out("videos/train/91-7.mp4")


def test_latents_of_two_sizes_or_cut_off_are_refused_by_name(path, tmp_path):
    tensors = load_file(path)
    save_file(tensors, tmp_path / "a.safetensors")
    save_file(tensors | {"latents": tensors["latents"][..., :4].contiguous()}, tmp_path / "b.safetensors")
    with pytest.raises(ValueError, match=r"one size: clip 'a' has \[16, 12, 8\] .* clip 'b' has \[16, 12, 4\]"):
        read_clips(tmp_path)
    save_file(load_file(training.guided_latents() / path.name), tmp_path / "b.safetensors")
    with pytest.raises(ValueError, match="all have guides or none: clip 'a' and clip 'b' differ; prepare them alike"):
        read_clips(tmp_path)
    (tmp_path / "b.safetensors").write_bytes(path.read_bytes()[:5000])
    with pytest.raises(ValueError, match="b.safetensors' holds no clip's latents .* prepare it again"):
        read_clips(tmp_path)
    with pytest.raises(ValueError, match="`latents` must hold .safetensors files"):
        read_clips(tmp_path / "nowhere")
