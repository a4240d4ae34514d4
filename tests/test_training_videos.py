"""Videos as phones and file managers leave them in a folder: each is read as a person would see it, or left out with a reason."""

import subprocess
from pathlib import Path

import numpy as np
import pytest
from moviepy.config import FFMPEG_BINARY

from fashionflow.training import prepare
from fashionflow.training.latents import read_clips
from fashionflow.training.videos import find_videos, read_frames_at
from fashionflow.video.io import write_clip

from . import tiny


RATE = 6.0
GREY_CARD = 0.38  # of the signal, in HLG and in PQ (BT.2408)
WHITE = {"arib-std-b67": 0.75, "smpte2084": 0.58}


def ffmpeg(*arguments: object) -> None:
    subprocess.run([FFMPEG_BINARY, "-v", "error", "-y", *map(str, arguments)], check=True)


def frames_of_time(num_frames: int, height: int = 96, width: int = 72) -> np.ndarray:
    """Frames whose brightness rises by 4 a frame, so that a frame's time can be read from it; their upper half is red."""
    shades = np.arange(num_frames, dtype=np.uint8) * 4 + 40
    frames = np.broadcast_to(shades[:, None, None, None], (num_frames, height, width, 3)).copy()
    frames[:, : height // 2, :, 1:] = 0
    return frames


@pytest.fixture
def video(tmp_path) -> Path:
    """Two seconds of 24 frames, 72 x 96."""
    return write_clip(tmp_path / "plain.mp4", frames_of_time(48), fps=24)


def read(path: Path, seconds: float = 60) -> np.ndarray:
    return np.stack(list(read_frames_at(path, RATE, seconds)))


def test_pixels_that_are_not_square_become_square(video, tmp_path):
    wide = tmp_path / "wide.mp4"
    ffmpeg("-i", video, "-c", "copy", "-bsf:v", "h264_metadata=sample_aspect_ratio=4/3", wide)
    assert read(video).shape[1:3] == (96, 72) and read(wide).shape[1:3] == (96, 96)


def test_a_rotated_video_is_upright(video, tmp_path):
    rotated = tmp_path / "rotated.mp4"
    ffmpeg("-display_rotation", 90, "-i", video, "-c", "copy", rotated)
    frame = read(rotated)[0].astype(int)
    assert frame.shape == (72, 96, 3)
    red = frame[..., 0] - frame[..., 1] > 20
    assert red[:, :40].all() and not red[:, 56:].any()  # what was above is at the left


def test_a_variable_frame_rate_does_not_bend_time(video, tmp_path):
    slower = "setpts='if(lt(N,24),N/24,1+(N-24)/12)/TB'"  # 24 frames a second, and then 12
    ffmpeg("-i", video, "-vf", slower, "-fps_mode", "vfr", "-c:v", "libx264", "-crf", 10, tmp_path / "varying.mp4")
    shown = (read(tmp_path / "varying.mp4")[:, 60:].mean((1, 2, 3)) - 40) / 4  # which frame
    times = np.where(shown < 24, shown / 24, 1 + (shown - 24) / 12)
    assert len(times) == 18 and np.abs(times - np.arange(18) / RATE).max() < 0.1


@pytest.mark.parametrize("transfer", WHITE)
def test_hdr_keeps_the_grey_card_grey_and_white_white(tmp_path, transfer):
    """A grey card is 104 in ordinary video (BT.709). Read as if it were that, HDR is dark and pale: 95 and, for white, at most 190."""
    levels = [round(64 + 876 * signal) for signal in (GREY_CARD, WHITE[transfer])]
    tags = {"-color_primaries": "bt2020", "-color_trc": transfer, "-colorspace": "bt2020nc", "-color_range": "tv"}
    bars = f"color=black:s=64x64:r=6:d=0.5,format=yuv420p10le,geq=lum='if(lt(X,32),{levels[0]},{levels[1]})':cb=512:cr=512"
    params = f"log-level=none:colorprim=bt2020:transfer={transfer}:colormatrix=bt2020nc:range=limited"
    options = [word for pair in tags.items() for word in pair]
    ffmpeg("-f", "lavfi", "-i", bars, "-c:v", "libx265", "-x265-params", params, *options, tmp_path / "phone.mov")
    frame = read(tmp_path / "phone.mov")[0]
    grey, white = frame[32, 16].astype(int), frame[32, 48].astype(int)
    assert np.abs(grey - 104).max() <= 8 and white.min() >= 235, (grey, white)


def test_interlaced_pictures_have_no_combs(tmp_path):
    """A bar that moves between the two fields of a frame."""
    moving = "color=black:s=96x96:r=50:d=1,geq=lum='if(between(X,N,N+20),235,16)':cb=128:cr=128,interlace"
    flags = ("-flags", "+ildct+ilme", "-c:v", "mpeg2video", "-q:v", 2)
    ffmpeg("-f", "lavfi", "-i", moving, *flags, tmp_path / "camera.mkv")
    frames = read(tmp_path / "camera.mkv")[1:-1, 8:-8].astype(int)
    neighbours = (frames[:, :-2] + frames[:, 2:]) / 2
    assert np.abs(frames[:, 1:-1] - neighbours).max() < 60


def test_sound_alone_no_frames_and_text_are_said(tmp_path):
    ffmpeg("-f", "lavfi", "-i", "sine=duration=0.5", tmp_path / "sound.mp4")
    ffmpeg("-f", "lavfi", "-i", "color=red:s=64x64:d=0.5", "-frames:v", 0, tmp_path / "none.avi")
    (tmp_path / "text.mov").write_text("This is a letter.", encoding="utf-8")
    with pytest.raises(ValueError, match=r"^there is sound in it, and no picture\.$"):
        read(tmp_path / "sound.mp4")
    with pytest.raises(ValueError, match="ffmpeg cannot read it"):
        read(tmp_path / "text.mov")
    with pytest.raises(ValueError):
        read(tmp_path / "none.avi")


def test_hidden_files_are_no_videos_and_two_of_one_name_both_are(tmp_path):
    for name in ("._dress.mp4", ".fashionflow-0.mp4", "dress.mov", "dress.mp4", "shirt.mp4", "notes.txt"):
        (tmp_path / name).touch()
    videos = find_videos(tmp_path)
    assert {target: path.name for target, path in videos.items()} == {
        "test/dress.mov": "dress.mov",
        "train/dress.mp4": "dress.mp4",
        "train/shirt": "shirt.mp4",
    }


@pytest.mark.parametrize("broken", ["a.mp4", "b7.mp4"])
def test_a_broken_file_is_never_the_only_one_held_out(tmp_path, tmp_path_factory, broken):
    """Without a name that ends in 7 it would be the first one."""
    for name in ("b.mp4", "c.mp4", "c.mov"):
        write_clip(tmp_path / "clip.mp4", frames_of_time(24), fps=24).rename(tmp_path / name)
    (tmp_path / broken).write_bytes(b"not a video")
    model, latents = tiny.saved(tmp_path_factory, tiny.pipeline(frame_rate=RATE)), tmp_path / "latents"
    prepare.main([str(tmp_path), str(latents), "--model", str(model)])
    assert {clip.name: clip.held_out for clip in read_clips(latents)} == {"b": True, "c.mov": False, "c.mp4": False}
