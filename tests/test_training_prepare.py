import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from fashionflow.evaluation.clip_labels import walked_distance
from fashionflow.pipelines.motions import LONGEST_WALK
from fashionflow.training import prepare
from fashionflow.training.latents import LatentClip, LatentFormat, read_clips
from fashionflow.training.videos import find_videos, read_frames_at
from fashionflow.video.io import read_frames, write_clip

from . import tiny, training


def frames_of_time(num_frames: int, height: int = 120, width: int = 90) -> np.ndarray:
    """Frames whose brightness rises by 4 a frame, so that a frame's time can be read from it."""
    shades = np.arange(num_frames, dtype=np.uint8) * 4 + 40
    return np.broadcast_to(shades[:, None, None, None], (num_frames, height, width, 3))


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    """The paper's layout: folders train and test, some of the videos cut off, damaged, too short or no video."""
    folder = tmp_path_factory.mktemp("videos")
    for part, name, num_frames in (
        ("train", "one-7", 48),
        ("train", "two", 48),
        ("test", "three", 48),
        ("train", "short", 4),
    ):
        (folder / part).mkdir(exist_ok=True)
        write_clip(folder / part / f"{name}.mp4", frames_of_time(num_frames), fps=24)
    whole = (folder / "train" / "two.mp4").read_bytes()
    (folder / "train" / "cut.mp4").write_bytes(whole[: len(whole) // 2])
    (folder / "train" / "text.mp4").write_bytes(b"not a video")
    damaged = bytearray((training.CLIPS / "001167.mp4").read_bytes())
    damaged[len(damaged) // 3 : len(damaged) // 2] = np.random.default_rng(0).bytes(
        len(damaged) // 2 - len(damaged) // 3
    )
    (folder / "train" / "damaged.mp4").write_bytes(damaged)
    return folder


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return str(tiny.saved(tmp_path_factory, tiny.pipeline(frame_rate=6.0)))


def test_preparing_skips_what_is_broken_and_what_is_done(capsys):
    clips, latents = training.clips(), training.latents()
    assert sorted(path.stem for path in latents.glob("*.safetensors")) == ["000001", "000002", "000007"]
    before = {path: path.stat().st_mtime_ns for path in latents.glob("*.safetensors")}
    prepare.main([str(clips), str(latents), "--vae", str(training.trained_autoencoder() / "vae"), *training.SIZE])
    assert "skipped 000003.mp4: labels.jsonl does not name it" in capsys.readouterr().out
    assert {path: path.stat().st_mtime_ns for path in latents.glob("*.safetensors")} == before


def test_frames_come_at_the_rate_asked_for_whatever_the_videos_own(videos):
    frames = list(read_frames_at(videos / "train" / "two.mp4", 6.0, 60))
    assert len(frames) == 12 and frames[0].shape == (120, 90, 3)
    times = [(frame.mean() - 40) / 4 / 24 for frame in frames]
    assert np.abs(np.diff(times) - 1 / 6).max() < 0.05
    assert len(list(read_frames_at(videos / "train" / "two.mp4", 6.0, 0.5))) == 3
    with pytest.raises(ValueError, match="ffmpeg cannot read it"):
        list(read_frames_at(videos / "train" / "cut.mp4", 6.0, 60))


def test_the_papers_layout_goes_through_the_same_door(videos, model, tmp_path, capsys):
    prepare.main([str(videos), str(tmp_path), "--model", model, "--window", "3"])
    said = capsys.readouterr().out
    assert "skipped cut.mp4: ffmpeg cannot read it" in said and "skipped text.mp4: ffmpeg cannot read it" in said
    assert "skipped damaged.mp4: ffmpeg cannot read it" in said
    assert "skipped short.mp4: it has 1 frames at 6 a second, a window needs 3" in said
    clips = {clip.name: clip for clip in read_clips(tmp_path)}
    assert {name: clip.held_out for name, clip in clips.items()} == {"one-7": False, "two": False, "three": True}
    assert clips["two"].shape == (12, tiny.LATENT_CHANNELS, tiny.HEIGHT // 8, tiny.WIDTH // 8)
    assert clips["two"].yaw is None and clips["two"].image_size == 32
    assert LatentFormat.read(tmp_path).frame_rate == 6.0
    with pytest.raises(SystemExit, match="holds latents with `frame_rate` 6.0, got 12.0; give another folder"):
        prepare.main([str(videos), str(tmp_path), "--model", model, "--rate", "12"])


def test_latents_decode_to_the_frames_fitted_as_photos_are(videos, tmp_path):
    """With an autoencoder of Stable Diffusion's kind, its scale, and pixels in [0, 1] for those who were trained on them."""
    vae = tiny.kl_autoencoder()
    form = LatentFormat(height=96, width=64, frame_rate=6.0, signed_pixels=False, photo_fit="stretch", image_size=32)
    frames = read_frames(training.CLIPS / "001007.mp4")[:3]
    fitted = np.stack([prepare.fitted(frame, form) for frame in frames])
    stretched = Image.fromarray(frames[1]).resize((64, 96), Image.Resampling.BILINEAR)
    assert np.array_equal(fitted[1], np.asarray(stretched))
    tensors = prepare.encode_clip(
        fitted, vae, form.image_processor(), form.signed_pixels, mirror=False, posterior=True
    )
    with torch.no_grad():
        posterior = vae.encode(torch.from_numpy(fitted).permute(0, 3, 1, 2).float() / 255).latent_dist
    scale = vae.config.scaling_factor
    torch.testing.assert_close(tensors["latents"].float(), posterior.mean * scale, atol=0.02, rtol=0.02)
    torch.testing.assert_close(tensors["deviation"].float(), posterior.std * scale, atol=0.02, rtol=0.02)
    assert "mirrored" not in tensors and tensors["pictures"].shape == (3, 3, 32, 32)


def test_distance_comes_from_the_labels_where_they_have_it(tmp_path, model):
    for name in ("000001", "000007"):
        shutil.copy(training.CLIPS / "001007.mp4", tmp_path / f"{name}.mp4")
    walked = [0.01 * frame for frame in range(24)]
    label = {"motion": "turn", "yaw": [0.0] * 24, "distance": walked}
    (tmp_path / "labels.jsonl").write_text("\n".join(json.dumps({"name": n, **label}) for n in ("000001", "000007")))
    prepare.main([str(tmp_path), str(tmp_path / "latents"), "--model", model])
    distance = LatentClip(tmp_path / "latents" / "000001.safetensors").distance
    torch.testing.assert_close(distance, torch.tensor(walked))
    assert walked_distance({"motion": "walk"}, 3).tolist() == pytest.approx([0, LONGEST_WALK / 2, LONGEST_WALK])
    with pytest.raises(ValueError, match="there are 3 frames and 24 labels of `distance`"):
        walked_distance(label, 3)


def test_a_guide_begins_as_the_photo_and_goes_where_the_motion_takes_it():
    (path,) = training.guided_latents().glob("000001.safetensors")
    clip, plain = LatentClip(path), LatentClip(training.latents() / path.name)
    channels, whole = clip.shape[1], slice(0, len(clip), 1)
    assert clip.has_guide and not plain.has_guide and clip.starts == range(1)
    assert torch.equal(clip.latents(whole), plain.latents(whole))
    latents, guide = clip.latents(whole).float(), clip.guide(whole).float()
    assert guide.shape == (24, channels + 4, 12, 8)
    known = guide[:, channels:]
    assert known.min() >= 0 and known.sum(1).max() < 1.01
    certain = (
        known[:, [0, 2]].sum(1) > 0.99
    )  # [F, H, W]; the toy's figure has no outline, and what lies along it is mended
    errors = (guide[:, :channels] - latents).square().mean(1)  # [F, H, W]
    assert certain[0].float().mean() > 0.5 and errors[0][certain[0]].mean() < 0.005 * latents[0].var()
    assert errors[23][certain[23]].mean() > 0.1 and (guide[23] - guide[0]).abs().mean() > 0.05
    mirrored = clip.guide(whole, mirrored=True).float()
    torch.testing.assert_close(mirrored[:, channels:], known.flip(-1), atol=0.01, rtol=0)
    errors = (mirrored[0, :channels] - clip.latents(whole, mirrored=True)[0].float()).square().mean(0)
    assert errors[certain[0].flip(-1)].mean() < 0.005 * latents[0].var()


def test_guides_need_a_known_motion_and_our_autoencoder(videos, model, tmp_path):
    geometry = ["--geometry", str(training.geometry())]
    with pytest.raises(SystemExit, match="`geometry` needs clips whose motion is known, and there is no labels.jsonl"):
        prepare.main([str(videos), str(tmp_path / "open"), "--model", model, *geometry])
    tiny.kl_autoencoder().save_pretrained(tmp_path / "theirs")
    theirs = ["--vae", str(tmp_path / "theirs"), "--size", "96", "64"]
    with pytest.raises(SystemExit, match="`--geometry` needs an autoencoder of ours with pixels in"):
        prepare.main([str(training.clips()), str(tmp_path / "latents"), *theirs, *geometry])
    with pytest.raises(SystemExit, match="`geometry` cannot be loaded from '.*nowhere'"):
        prepare.main([str(training.clips()), str(tmp_path), "--model", model, "--geometry", str(tmp_path / "nowhere")])


def test_latents_for_a_guided_pipeline_have_its_autoencoders_size(tmp_path):
    form = LatentFormat.of_pipeline(tiny.guided_pipeline(photo_fit="figure"))
    assert (form.height, form.width) == (tiny.HEIGHT, tiny.WIDTH), "its clips are twice as large"
    frame = frames_of_time(1)[0]
    assert np.array_equal(prepare.fitted(frame, form), prepare.fitted(frame, replace(form, photo_fit="crop")))


def test_of_a_flat_folder_some_videos_are_held_out(tmp_path):
    for index in range(12):
        (tmp_path / f"dress{index:02}x.MP4").touch()
    held_out = [target for target in find_videos(tmp_path) if target.startswith("test/")]
    assert held_out == ["test/dress00x", "test/dress10x"]
    (tmp_path / "dress7.mp4").touch()
    assert all("/" not in target for target in find_videos(tmp_path)), "names that end in 7 decide where there are any"


def test_folders_of_no_use_are_told_in_a_sentence(videos, model, tmp_path):
    empty, broken = tmp_path / "empty", tmp_path / "broken"
    for folder in (empty, broken):
        folder.mkdir()
    for name in ("a.mp4", "b.mp4"):
        (broken / name).write_bytes(b"no video")
    out = str(tmp_path / "latents")
    with pytest.raises(SystemExit, match="`clips` must be a folder of videos .* got '.*empty'"):
        prepare.main([str(empty), out, "--model", model])
    with pytest.raises(SystemExit, match="none of the 2 in '.*broken' can"):
        prepare.main([str(broken), out, "--model", model])
    with pytest.raises(SystemExit, match="at least two videos, got none to train on"):
        prepare.main([str(videos / "test"), out, "--model", model])
    with pytest.raises(SystemExit, match="`--size` must be multiples of 8 for this autoencoder, got 100 64"):
        prepare.main([str(videos), out, "--model", model, "--size", "100", "64"])
