"""Each test names, in its docstring or its name, what it would notice breaking."""

import json
import os
import shutil
import struct
import zipfile
from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from fashionflow.generation.saved_settings import first_frame, read_provenance
from fashionflow.video import export as export_module
from fashionflow.video.export import FORMATS, PLAYS, SHAPES, Export, arrange, export
from fashionflow.video.io import read_frames, read_rate, read_settings, write_clip
from fashionflow.video.metadata import SOURCE_TYPE
from fashionflow.video.shapes import place, reshape


CLIPS = Path(__file__).parent / "data" / "clips"
SETTINGS = {"motion": "turn-left", "turn_angle": -40.5, "frames": 12, "steps": 4, "seed": 7, "sampler": "dpm++"}
FPS = 24


@pytest.fixture(scope="module")
def clip(tmp_path_factory) -> Path:
    """The first twelve frames of a rendered clip, 320 x 256 pixels."""
    path = tmp_path_factory.mktemp("clips") / "dress.mp4"
    return write_clip(path, read_frames(CLIPS / "001167.mp4")[:12], FPS, settings=SETTINGS)


@pytest.fixture(scope="module")
def made(clip) -> dict[str, Path]:
    """One file of every format."""
    return {name: export(clip, Export(name, play="boomerang"), clip.parent) for name in FORMATS}


def levels(*greys: int) -> np.ndarray:
    """One evenly grey frame for each level, [F, 16, 16, 3]."""
    return np.stack([np.full((16, 16, 3), grey, np.uint8) for grey in greys])


def greys(frames) -> list[int]:
    return [int(frame[0, 0, 0]) for frame in frames]


def animation(path: Path) -> tuple[list[np.ndarray], list[int]]:
    """The frames of a GIF or WebP and their durations in milliseconds."""
    frames, durations = [], []
    with Image.open(path) as picture:
        for index in range(picture.n_frames):
            picture.seek(index)
            frames.append(np.asarray(picture.convert("RGB")))
            durations.append(picture.info["duration"])
    return frames, durations


def test_boomerang_shows_no_frame_twice_in_a_row_also_where_it_begins_again():
    assert greys(arrange(levels(0, 50, 100, 150), FPS, "boomerang")) == [0, 50, 100, 150, 100, 50]
    assert greys(arrange(levels(0, 50), FPS, "boomerang")) == [0, 50]
    assert greys(arrange(levels(0, 50, 100), FPS, "once")) == [0, 50, 100]


def test_loop_fades_into_its_first_frame_without_a_jump():
    frames = levels(*range(0, 240, 10))
    shown = greys(arrange(frames, FPS, "loop"))
    assert len(shown) == 24 and shown[:14] == greys(frames)[:14]
    round_about = np.abs(np.diff([*shown, shown[0]]))
    assert round_about.max() <= 45  # it was 230


def test_a_clip_that_comes_back_hardly_fades():
    there_and_back = [*range(0, 120, 10), *range(110, 0, -10)]
    assert greys(arrange(levels(*there_and_back), FPS, "loop")) == there_and_back
    nearly_back = there_and_back[:-2]  # ends at 30, three steps away: two frames are enough
    shown = greys(arrange(levels(*nearly_back), FPS, "loop"))
    assert shown[:-2] == nearly_back[:-2] and shown[-1] < 20


def test_still_clips_and_shortest_clips_can_be_looped():
    assert greys(arrange(levels(9, 9, 9), FPS, "loop")) == [9, 9, 9]
    assert len(greys(arrange(levels(9), FPS, "loop"))) == 1
    assert len(greys(arrange(levels(9), FPS, "boomerang"))) == 1


@pytest.mark.parametrize(
    "shape, box", [("9:16", (0, 285, 1080, 1635)), ("1:1", (108, 0, 972, 1080))], ids=["upright", "square"]
)
def test_shapes_hold_the_whole_clip_and_meet_it_without_a_seam(shape, box):
    frame = read_frames(CLIPS / "001007.mp4")[12]
    shaped = reshape(frame, place(frame[None], SHAPES[shape]))
    assert shaped.shape == (SHAPES[shape][1], SHAPES[shape][0], 3) and shaped.flags.c_contiguous
    left, top, right, bottom = box
    fitted = Image.fromarray(frame).resize((right - left, bottom - top), Image.Resampling.LANCZOS)
    np.testing.assert_array_equal(shaped[top:bottom, left:right], np.asarray(fitted))
    lines = shaped.astype(int) if shape == "9:16" else shaped.transpose(1, 0, 2).astype(int)
    for seam in (top or left, bottom if top else right):
        assert np.abs(lines[seam] - lines[seam - 1]).mean() < 1.5
    assert np.abs(lines[0] - lines[top or left]).mean() < 6  # a studio's wall stays the same wall


def cut_off(*, above: bool, below: bool) -> np.ndarray:
    """A red figure, [320, 256, 3], that leaves the picture; to the right a darker wall begins."""
    frame = np.full((320, 256, 3), 230, np.uint8)
    frame[:, 200:] = 190
    frame[0 if above else 40 : 320 if below else 280, 120:136] = (200, 20, 30)
    return frame


def test_what_touches_the_edge_fades_into_the_wall_behind_it():
    """Blurred alone, a red leg at the lower edge would become a stripe or a cloud of red."""
    frame = cut_off(above=True, below=True)
    shaped = reshape(frame, place(frame[None], SHAPES["9:16"])).astype(int)
    below = shaped[1350:, 540, 1]  # green through the leg's middle
    assert below[0] < 60 and below[200] > 220 and np.abs(np.diff(below[4:])).max() < 15
    assert np.abs(shaped[1650:, :, 0] - shaped[1650:, :, 1]).max() <= 1  # no red further away
    assert abs(shaped[1400, 1060, 1] - 190) <= 4  # the other wall stays behind


@pytest.mark.parametrize("above, below, top", [(0, 0, 285), (1, 0, 0), (0, 1, 570), (1, 1, 0)])
def test_a_figure_that_is_cut_off_ends_at_the_edge_of_the_picture(tmp_path, above, below, top):
    frame = cut_off(above=above, below=below)
    shaped = reshape(frame, place(frame[None], SHAPES["9:16"]))
    fitted = np.asarray(Image.fromarray(frame).resize((1080, 1350), Image.Resampling.LANCZOS))
    np.testing.assert_array_equal(shaped[top : top + 1350], fitted)
    clip = write_clip(tmp_path / "clip.mp4", frame[None], FPS, settings=SETTINGS)
    photo = first_frame(export(clip, Export("webp", "9:16"), tmp_path))
    difference = np.asarray(photo.resize((256, 320))).astype(int) - frame
    assert np.abs(difference[:, 120:136]).mean() < 10  # where the figure is


def test_the_extended_wall_stays_still_while_the_figure_moves():
    standing = cut_off(above=True, below=False)
    frames = np.stack([standing, np.roll(standing, 40, axis=1)])
    placement = place(frames, SHAPES["9:16"])
    shown = [reshape(frame, placement).astype(int) for frame in frames]
    assert np.abs(shown[0][-100:] - shown[1][-100:]).max() <= 1


@pytest.mark.parametrize("name", FORMATS)
def test_settings_and_the_first_frame_come_back(clip, made, name):
    assert read_provenance(made[name]) == SETTINGS
    difference = np.asarray(first_frame(made[name])).astype(int) - read_frames(clip)[0]
    assert np.abs(difference).mean() < 4


def test_settings_say_that_a_model_made_it(made):
    with Image.open(made["gif"]) as gif, Image.open(made["webp"]) as webp, zipfile.ZipFile(made["zip"]) as archive:
        comments = [gif.info["comment"], archive.read("settings.json"), json.dumps(read_settings(made["mp4"]))]
        exif, xmp = webp.getexif(), webp.info["xmp"].decode()
    assert len(comments[0]) > 255  # more than one block of a GIF's comment
    for comment in comments:
        settings = json.loads(comment)
        assert settings["ai_generated"] is True and settings["digital_source_type"] == SOURCE_TYPE
        assert settings["generator"] == "FashionFlow" and settings["play"] == "boomerang"
    assert exif[0x010E] == "AI-generated with FashionFlow"
    assert f"DigitalSourceType>{SOURCE_TYPE}<" in xmp


def test_every_format_holds_every_frame(clip, made):
    shown = len(read_frames(clip)) * 2 - 2
    assert len(read_frames(made["mp4"])) == 5 * shown and read_rate(made["mp4"]) == FPS  # 4 seconds
    with zipfile.ZipFile(made["zip"]) as archive:
        assert archive.namelist() == ["settings.json", *(f"{number:04}.png" for number in range(1, shown + 1))]
        assert json.loads(archive.read("settings.json"))["fps"] == FPS
        with Image.open(BytesIO(archive.read("0012.png"))) as picture:
            np.testing.assert_array_equal(np.asarray(picture), read_frames(clip)[11])
            assert picture.text["Description"] == "AI-generated with FashionFlow"
    frames, durations = animation(made["webp"])
    assert len(frames) == shown and sum(durations) == pytest.approx(1000 * shown / FPS, abs=2)
    difference = np.stack(frames)[11].astype(int) - read_frames(clip)[11]
    assert np.abs(difference).mean() < 2


@pytest.mark.parametrize(
    "shape, play, fps, count, shown, rate",
    [
        ("1:1", "once", 24, 50, 100, 24),  # 4.2 seconds
        ("1:1", "once", 24, 96, 96, 24),  # exactly 4 seconds
        ("as-made", "loop", 24, 95, 190, 24),
        ("as-made", "boomerang", 24, 12, 110, 24),
        ("1:1", "once", 8, 20, 120, 24),  # twice, and each frame three times
        ("as-made", "once", 8, 20, 20, 8),
    ],
)
def test_social_media_get_at_least_4_seconds_in_whole_repetitions(
    tmp_path, monkeypatch, shape, play, fps, count, shown, rate
):
    monkeypatch.setitem(export_module.SHAPES, "1:1", (32, 32))
    frames = np.stack([np.full((32, 16, 3), 2 * index, np.uint8) for index in range(count)])
    clip = write_clip(tmp_path / "clip.mp4", frames, fps)
    path = export(clip, Export("mp4", shape, play, mark=shape == "as-made"), tmp_path)
    levels = read_frames(path)[:, 20:, 8:].mean(axis=(1, 2, 3))
    assert len(levels) == shown and read_rate(path) == rate
    each, once = rate // fps, 2 * count - 2 if play == "boomerang" else count
    np.testing.assert_allclose(levels[::each], np.resize(levels[::each][:once], len(levels) // each), atol=3)
    assert np.abs(levels[:each] - levels[0]).max() < 1.5 and levels[each] > levels[0] + 1


def boxes(path: Path) -> dict[str, bytes]:
    """The boxes of an mp4 file by name, in their order. Boxes inside of boxes follow the box around them."""
    found, content = {}, path.read_bytes()

    def read(start: int, end: int) -> None:
        while start < end:
            size, name = struct.unpack_from(">I4s", content, start)
            found[name.decode("latin-1")] = content[start + 8 : start + size]
            if name in (b"moov", b"trak", b"edts", b"mdia", b"minf", b"stbl"):
                read(start + 8, start + size)
            start += size

    read(0, len(content))
    return found


def test_mp4_files_have_no_edit_list_and_one_frame_rate_and_start_at_once(clip, made):
    for path in (clip, made["mp4"]):
        found = boxes(path)
        assert "elst" not in found and "edts" not in found
        assert struct.unpack_from(">I", found["stts"], 4) == (1,)  # all frames take the same time
        assert list(found).index("moov") < list(found).index("mdat")
        # The first frame is shown at 0, although later ones are decoded in another order.
        version, _, _, offset = struct.unpack_from(">iIIi", found["ctts"])
        assert version == 1 << 24 and offset == 0
        assert b"avc1" in found["stsd"]


@pytest.mark.parametrize("fps", [30, 50, 60])
def test_webp_shows_no_frame_for_less_than_20_ms(tmp_path, fps):
    frames = np.stack([np.full((32, 32, 3), 8 * index, np.uint8) for index in range(30)])
    path = export(write_clip(tmp_path / "clip.mp4", frames, fps), Export("webp"), tmp_path)
    shown, durations = animation(path)
    assert len(shown) == (15 if fps == 60 else 30) and min(durations) >= 20
    assert sum(durations) == pytest.approx(1000 * 30 / fps, abs=2)
    assert all(abs(int(frame.mean()) - 8 * index * 30 / len(shown)) < 4 for index, frame in enumerate(shown))


@pytest.mark.parametrize("fps", [8, 24, 30])
def test_gif_takes_as_long_as_the_clip_in_at_most_12_frames_a_second(tmp_path, fps):
    frames = np.stack([np.full((32, 32, 3), 8 * index, np.uint8) for index in range(30)])
    path = export(write_clip(tmp_path / "clip.mp4", frames, fps), Export("gif"), tmp_path)
    shown, durations = animation(path)
    assert min(durations) >= 80 and len(set(durations)) <= 2
    assert sum(durations) == pytest.approx(1000 * 30 / fps, abs=25)
    assert [abs(int(frame.mean()) - 8 * index * 30 / len(shown)) < 4 for index, frame in enumerate(shown)]


def test_gif_keeps_colours(made, clip):
    """Seen from where the dither's dots melt; ffmpeg's palette for everybody is off by more than 4."""
    frames, _ = animation(made["gif"])
    truth = read_frames(clip)[::2]
    for shown, frame in zip(frames, truth, strict=False):
        soft = [cv2.GaussianBlur(picture.astype(np.float32), (0, 0), 2) for picture in (shown, frame)]
        assert np.abs(soft[0] - soft[1]).mean() < 1.5


def test_gif_dithers_what_has_more_colours_than_it_holds(tmp_path):
    """The difference is 2.2, and 3.4 without error diffusion: bands."""
    few = np.random.default_rng(0).integers(0, 256, (5, 4, 3), np.uint8)
    frame = np.asarray(Image.fromarray(few).resize((256, 320), Image.Resampling.BICUBIC))
    clip = write_clip(tmp_path / "clip.mp4", np.stack([frame, frame]), 8)
    shown = animation(export(clip, Export("gif"), tmp_path))[0][0]
    soft = [cv2.GaussianBlur(picture.astype(np.float32), (0, 0), 3) for picture in (shown, read_frames(clip)[0])]
    assert np.abs(soft[0] - soft[1]).mean() < 2.8


@pytest.mark.parametrize("name, once", [("gif", None), ("webp", 1)])
def test_only_what_is_asked_to_plays_again(clip, made, name, once):
    with Image.open(made[name]) as again, Image.open(export(clip, Export(name), clip.parent)) as single:
        assert again.info["loop"] == 0 and single.info.get("loop") == once


def test_shapes_have_their_sizes_in_files_and_the_photo_is_found_in_them(tmp_path, clip, monkeypatch):
    monkeypatch.setattr(export_module, "LEAST_SECONDS", 0.01)  # large frames take long
    frames = read_frames(clip)
    short = write_clip(tmp_path / "short.mp4", frames[:2], FPS, settings=SETTINGS)
    for wanted, size in (
        (Export("mp4", "9:16"), (1080, 1920)),
        (Export("webp", "1:1"), (1080, 1080)),
        (Export("gif", "9:16"), (540, 960)),
    ):
        path = export(short, wanted, tmp_path)
        shown = read_frames(path)[0] if path.suffix == ".mp4" else animation(path)[0][0]
        assert shown.shape[1::-1] == size
        photo = first_frame(path)
        assert photo.width / photo.height == pytest.approx(256 / 320, abs=0.002)
        difference = np.asarray(photo.resize((256, 320))).astype(int) - frames[0]
        assert np.abs(difference).mean() < 5


def test_a_still_clip_becomes_a_webp_with_its_settings(tmp_path):
    """ffmpeg writes no animation then, and its file has no room for metadata before it is made."""
    clip = write_clip(tmp_path / "clip.mp4", np.full((3, 32, 48, 3), 128, np.uint8), FPS, settings=SETTINGS)
    path = export(clip, Export("webp"), tmp_path)
    assert read_provenance(path) == SETTINGS and first_frame(path).size == (48, 32)


def test_names_tell_files_apart(clip):
    names = {
        Export(name, shape, play, mark).file_name("a/dress.mp4")
        for name in FORMATS
        for shape in SHAPES
        for play in PLAYS
        for mark in (False, True)
    }
    assert len(names) == 4 * 3 * 3 * 2
    assert {"dress.mp4", "dress-9x16-loop.gif", "dress-1x1-boomerang.webp", "dress-marked.zip"} <= names


def test_the_clip_as_made_is_not_encoded_again(clip, tmp_path):
    assert export(clip, Export("mp4"), clip.parent) == clip
    assert export(clip, Export("mp4"), tmp_path).read_bytes() == clip.read_bytes()


def test_mark_is_seen(clip, tmp_path):
    marked = read_frames(export(clip, Export("mp4", mark=True), tmp_path))[0].astype(int)
    assert np.abs(marked - read_frames(clip)[0])[:30, :100].max() > 100


def test_a_file_is_made_once_and_again_for_a_newer_clip(clip, tmp_path):
    copy = Path(shutil.copy2(clip, tmp_path / "dress.mp4"))
    path = export(copy, Export("gif"), tmp_path)
    os.utime(path, (0, copy.stat().st_mtime))
    before = path.stat()
    assert export(copy, Export("gif"), tmp_path).stat() == before
    os.utime(copy, (0, before.st_mtime + 1))
    assert export(copy, Export("gif"), tmp_path).stat().st_ino != before.st_ino


def test_nothing_is_left_when_writing_fails(clip, tmp_path, monkeypatch):
    monkeypatch.setitem(export_module.SHAPES, "1:1", (1081, 1081))  # which H.264 cannot hold
    with pytest.raises(ValueError, match="must have an even width and height"):
        export(clip, Export("mp4", "1:1"), tmp_path)
    monkeypatch.setattr(export_module, "WEBP_QUALITY", "good")
    with pytest.raises(OSError, match=r"^ffmpeg cannot write a webp file in '.*'\.$"):
        export(clip, Export("webp"), tmp_path)
    monkeypatch.setattr(export_module, "reshape", lambda frame, _: frame / 2)  # found out when the zip file is begun
    with pytest.raises(TypeError, match="Cannot handle this data type"):
        export(clip, Export("zip", "1:1"), tmp_path)
    assert not list(tmp_path.iterdir())


def test_wrong_wishes_are_refused(clip, tmp_path):
    for wanted, message in (
        (Export("avi"), "`format` must be one of mp4, gif, webp, zip, got 'avi'"),
        (Export("gif", "4:3"), "`shape` must be one of as-made, 9:16, 1:1, got '4:3'"),
        (Export("gif", play="twice"), "`play` must be one of once, loop, boomerang, got 'twice'"),
        (Export("gif", mark="yes"), "`mark` must be true or false, got 'yes'"),
    ):
        with pytest.raises(ValueError, match=message):
            export(clip, wanted, tmp_path)
    with pytest.raises(ValueError, match="There is no video at"):
        export(tmp_path / "none.mp4", Export("gif"), tmp_path)
