"""Each test names, in its docstring or its name, what it would notice breaking."""

import json
import re
import subprocess
from pathlib import Path

import numpy as np
import pytest
from moviepy.config import FFMPEG_BINARY
from PIL import Image

from fashionflow.video.io import (
    contact_sheet,
    ffmpeg_on_path,
    read_frames,
    read_rate,
    read_settings,
    write_clip,
    write_segment,
)


CLIPS = Path(__file__).parent / "data" / "clips"
COLOURS = ("red", "lime", "blue", "yellow", "cyan", "magenta", "white", "black")
PATCH = 32


def patches(num_frames: int = 6) -> np.ndarray:
    """Saturated squares in a row, [F, 32, 256, 3]."""
    row = Image.new("RGB", (PATCH * len(COLOURS), PATCH))
    for index, colour in enumerate(COLOURS):
        row.paste(colour, (index * PATCH, 0, (index + 1) * PATCH, PATCH))
    return np.repeat(np.asarray(row)[None], num_frames, axis=0)


def numbered(num_frames: int) -> np.ndarray:
    """Frame i is grey level 10 * i, [F, 32, 32, 3]."""
    return np.stack([np.full((32, 32, 3), 10 * index, np.uint8) for index in range(num_frames)])


def centres(frames: np.ndarray) -> np.ndarray:
    """The mean colour of each square's middle, away from the neighbours that share its chroma samples, [F, patch, 3]."""
    squares = frames.reshape(len(frames), PATCH, len(COLOURS), PATCH, 3)
    return squares[:, 8:-8, :, 8:-8].mean(axis=(1, 3))


def report(path: Path) -> str:
    """What ffmpeg says about a file and each of its frames."""
    command = [FFMPEG_BINARY, "-hide_banner", "-i", str(path), "-vf", "showinfo", "-f", "null", "-"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stderr


def frame_types(path: Path) -> str:
    return "".join(re.findall(r" type:([IPB]) ", report(path)))


@pytest.mark.parametrize("suffix", [".mp4", ".ts"])
def test_colours_come_back_as_they_were_written(tmp_path, suffix):
    write = write_clip if suffix == ".mp4" else write_segment
    read = read_frames(write(tmp_path / f"clip{suffix}", patches(), fps=8))
    np.testing.assert_allclose(centres(read), centres(patches(len(read))), atol=4)


def test_file_says_how_browsers_must_read_its_colours(tmp_path):
    for path in (
        write_clip(tmp_path / "clip.mp4", patches(), fps=8),
        write_segment(tmp_path / "piece.ts", patches(), fps=8),
    ):
        assert re.search(r"Video: h264 .*yuv420p\(tv, bt709(, progressive)?\)", report(path)), report(path)


def test_untagged_files_are_read_by_the_usual_matrix(tmp_path):
    """Our own renders and most clips from elsewhere have no tags; ffmpeg wrote them by the matrix of BT.601."""
    path = tmp_path / "untagged.mp4"
    frames = patches()
    size = f"{frames.shape[2]}x{frames.shape[1]}"
    command = [FFMPEG_BINARY, "-v", "error", "-f", "rawvideo", "-pix_fmt", "rgb24", "-s", size, "-r", "8", "-i", "-"]
    subprocess.run([*command, "-pix_fmt", "yuv420p", str(path)], input=frames.tobytes(), check=True)
    np.testing.assert_allclose(centres(read_frames(path)), centres(frames), atol=6)


@pytest.mark.parametrize("num_frames, fps", [(1, 8), (1, 30), (24, 8), (25, 30), (25, 23.976)])
def test_every_frame_comes_back_in_order(tmp_path, num_frames, fps):
    frames = numbered(num_frames)
    read = read_frames(write_clip(tmp_path / "clip.mp4", frames, fps))
    assert read.shape == frames.shape
    np.testing.assert_allclose(read.mean(axis=(1, 2, 3)), frames.mean(axis=(1, 2, 3)), atol=3)


def test_a_rendered_clip_has_its_24_frames():
    frames = read_frames(CLIPS / "001007.mp4")
    assert frames.shape == (24, 320, 256, 3) and frames.dtype == np.uint8


def test_clip_can_start_before_it_is_all_there(tmp_path):
    content = write_clip(tmp_path / "clip.mp4", patches(), fps=8).read_bytes()
    assert content.index(b"moov") < content.index(b"mdat")


def test_quality_decides_the_size(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (4, 64, 64, 3), np.uint8)
    good = write_clip(tmp_path / "good.mp4", noise, fps=8, quality=5)
    poor = write_clip(tmp_path / "poor.mp4", noise, fps=8, quality=45)
    assert good.stat().st_size > 4 * poor.stat().st_size


def test_frames_are_taken_one_at_a_time(tmp_path):
    """A list made of the frames first would keep them all alive."""
    alive = []

    def frames():
        for _ in range(8):
            alive.append(sum(frame() is not None for frame in references))
            frame = np.zeros((32, 32, 3), np.uint8)
            references.append(__import__("weakref").ref(frame))
            yield frame

    references = []
    write_clip(tmp_path / "clip.mp4", frames(), fps=8)
    assert max(alive) <= 3


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"motion": "turn left", "seed": 7, "angles": [0.5, -3.0], "photo": None},
        {"name": "a \"quoted\" 'name'; key=value # not a comment \\ and \\n, C:\\clips\\=;"},
        {"name": "line one\nline two\r\n\ttab \u2028 \x00 \x85 end"},
        {"name": "Größe 38 – 裙子 👗"},
        {"long": "x;=\\\n" * 500},
    ],
)
def test_settings_come_back(tmp_path, settings):
    assert read_settings(write_clip(tmp_path / "clip.mp4", patches(1), fps=8, settings=settings)) == settings


def test_settings_can_be_read_by_eye(tmp_path):
    path = write_clip(tmp_path / "clip.mp4", patches(1), fps=8, settings={"motion": "turn left"})
    assert json.dumps({"motion": "turn left"}) in report(path)
    assert "FashionFlow" in report(path) and "AI-generated" in report(path)


def test_settings_are_found_without_programs_on_path(tmp_path, monkeypatch):
    path = write_clip(tmp_path / "clip.mp4", patches(1), fps=8, settings={"seed": 1})
    monkeypatch.setenv("PATH", str(tmp_path))
    assert not ffmpeg_on_path()
    assert read_settings(path) == {"seed": 1}


def test_streaming_needs_both_programs(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    for program in ("ffmpeg", "ffprobe"):
        assert not ffmpeg_on_path()
        (tmp_path / program).touch(mode=0o755)
    assert ffmpeg_on_path()


@pytest.mark.parametrize("comment", [None, "made by hand", "[1, 2]", "{half"])
def test_other_peoples_clips_have_no_settings(tmp_path, comment):
    path = tmp_path / "clip.mp4"
    tag = [] if comment is None else ["-metadata", f"comment={comment}"]
    command = [FFMPEG_BINARY, "-v", "error", "-i", str(CLIPS / "001007.mp4"), "-c", "copy", *tag, str(path)]
    subprocess.run(command, check=True)
    assert read_settings(path) is None


def test_segment_is_one_keyframe_and_no_frame_needs_a_later_one(tmp_path):
    frames = read_frames(CLIPS / "001167.mp4")[:12]
    assert "B" in frame_types(write_clip(tmp_path / "clip.mp4", frames, fps=8))
    for suffix in (".mp4", ".ts"):
        types = frame_types(write_segment(tmp_path / f"piece{suffix}", frames, fps=8))
        assert len(types) == 12 and types[0] == "I" and "B" not in types


def test_nothing_is_left_when_the_frames_fail(tmp_path):
    old = write_clip(tmp_path / "clip.mp4", numbered(3), fps=8).read_bytes()

    def frames():
        yield from patches(120)  # enough for ffmpeg to have begun the file
        raise RuntimeError("out of memory")

    with pytest.raises(RuntimeError, match="out of memory"):
        write_clip(tmp_path / "clip.mp4", frames(), fps=8)
    assert [path.name for path in tmp_path.iterdir()] == ["clip.mp4"]
    assert (tmp_path / "clip.mp4").read_bytes() == old


def test_nothing_is_left_when_ffmpeg_fails(tmp_path):
    with pytest.raises(OSError, match=r"^ffmpeg cannot write '.*clip\.mp4'\.$"):
        write_clip(tmp_path / "clip.mp4", patches(1), fps=8, quality="good")
    with pytest.raises(OSError, match=r"^ffmpeg cannot write '.*clip\.mp4' \(no such file or directory\)\.$"):
        write_clip(tmp_path / "nowhere" / "clip.mp4", patches(200), fps=8)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "frames, message",
    [
        ([], "must hold at least one frame, got none"),
        (np.zeros((2, 33, 32, 3), np.uint8), "must have an even width and height, got 32 x 33"),
        (np.zeros((2, 32, 31, 3), np.uint8), "must have an even width and height, got 31 x 32"),
        (np.zeros((2, 32, 32, 3), np.float32), "must all be uint8 .*, got float32"),
        (
            [np.zeros((32, 32, 3), np.uint8), np.zeros((32, 64, 3), np.uint8)],
            r"must all be .*, got uint8 \[32, 64, 3\]",
        ),
    ],
)
def test_wrong_frames_are_refused(tmp_path, frames, message):
    for write, name in ((write_clip, "clip.mp4"), (write_segment, "piece.ts")):
        with pytest.raises(ValueError, match=message):
            write(tmp_path / name, frames, fps=8)
    assert not list(tmp_path.iterdir())


def test_wrong_names_are_refused(tmp_path):
    with pytest.raises(ValueError, match="must end in .mp4, got 'clip.avi'"):
        write_clip(tmp_path / "clip.avi", patches(1), fps=8)
    with pytest.raises(ValueError, match="must end in .mp4 or .ts, got 'clip.webm'"):
        write_segment(tmp_path / "clip.webm", patches(1), fps=8)


@pytest.mark.parametrize("content", [b"", b"plain text", b"\x00\x00\x00\x18ftypmp42 and then nothing"])
def test_no_video_is_one_sentence(tmp_path, content):
    path = tmp_path / "clip.mp4"
    for read in (read_frames, read_settings):
        with pytest.raises(ValueError, match="There is no video at"):
            read(path)
    path.write_bytes(content)
    for read in (read_frames, read_settings):
        with pytest.raises(ValueError, match=r"^'.*clip\.mp4' is not a video that ffmpeg can read\.$"):
            read(path)


def test_contact_sheet_shows_the_first_and_the_last_frame():
    sheet = np.asarray(contact_sheet(numbered(9), columns=3))
    assert sheet.shape == (32, 96, 3)
    assert sheet[0, ::32, 0].tolist() == [0, 40, 80]
    assert contact_sheet(numbered(2), columns=5).width == 64
    with pytest.raises(ValueError, match="`columns` must be at least 1, got 0"):
        contact_sheet(numbered(2), columns=0)


@pytest.mark.parametrize("fps", [8, 24, 30, 23.976])
def test_rate_comes_back(tmp_path, fps):
    assert read_rate(write_clip(tmp_path / "clip.mp4", patches(3), fps)) == pytest.approx(fps, abs=0.001)


def test_players_show_that_it_is_generated(tmp_path):
    said = report(write_clip(tmp_path / "clip.mp4", patches(1), fps=8))
    for tag in ("title", "description"):
        assert re.search(rf"^ +{tag} +: AI-generated with FashionFlow$", said, re.MULTILINE), said


def test_a_comment_of_megabytes_is_not_ours(tmp_path):
    """It is not held in memory either."""
    path = tmp_path / "clip.mp4"
    (tmp_path / "tags.txt").write_text(";FFMETADATA1\ncomment={" + " " * 2**21 + "}\n")
    command = [FFMPEG_BINARY, "-v", "error", "-i", str(CLIPS / "001007.mp4"), "-i", str(tmp_path / "tags.txt")]
    subprocess.run([*command, "-map_metadata", "1", "-c", "copy", str(path)], check=True)
    assert read_settings(path) is None
    assert path.stat().st_size > 2**21
