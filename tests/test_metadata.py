"""What a clip's file says of itself, and how models are named. Each test names, in its docstring or its name, what it would notice
breaking."""

import json
import shutil
import subprocess
import time
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest
from moviepy.config import FFMPEG_BINARY
from PIL import Image

from fashionflow.generation.saved_settings import NOT_OURS, first_frame, read_provenance
from fashionflow.runtime.model_folder import SHIPPED_MODEL
from fashionflow.video.metadata import SOURCE_TYPE, describe, mark, model_hash

from .saved_clips import SETTINGS, clip


def write_zip(path: Path, content: bytes, name: str = "settings.json") -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, content)
    return path


def test_files_say_where_they_come_from(tmp_path):
    described = describe(SETTINGS)
    assert described["ai_generated"] is True and described["digital_source_type"] == SOURCE_TYPE
    assert SETTINGS.items() <= described.items() and describe(described) == described
    assert read_provenance(clip(tmp_path / "clip.mp4", described)) == SETTINGS


def test_clips_of_older_versions_are_read(tmp_path):
    old = {name: SETTINGS[name] for name in ("motion", "turn_angle", "frames", "steps", "seed", "sampler", "model")}
    path = clip(tmp_path / "clip.mp4", old)
    assert read_provenance(path) == old
    assert read_provenance(path.rename(tmp_path / "IMG 0001")) == old  # whatever it is called now


def test_a_clip_with_a_back_says_so(tmp_path):
    with_back = SETTINGS | {"with_back_photo": True}
    assert read_provenance(clip(tmp_path / "clip.mp4", with_back)) == with_back


def test_what_nobody_knows_is_left_out(tmp_path):
    assert read_provenance(clip(tmp_path / "clip.mp4", SETTINGS | {"script": "<script>"})) == SETTINGS


@pytest.mark.parametrize(
    "name, value",
    [
        ("motion", "fly"),
        ("motion", ["spin"]),
        ("turn_angle", 361),
        ("turn_angle", float("nan")),
        ("frames", 1),
        ("frames", 24.0),
        ("steps", 10**6),
        ("seed", -1),
        ("seed", True),
        ("sampler", "magic"),
        ("guidance", 99),
        ("interpolation", 0),
        ("quality", 52),
        ("memory", "all"),
        ("with_back_photo", "back.jpg"),
        ("model", "<img src=x>"),
        ("model_hash", "xyz"),
        ("version", {}),
        ("date", "\n"),
    ],
)
def test_values_out_of_range_are_refused(tmp_path, name, value):
    path = write_zip(tmp_path / "clip.zip", json.dumps(SETTINGS | {name: value}).encode())
    with pytest.raises(
        ValueError, match=rf"^This clip's settings were changed: its `{name}` is .*; set them by hand\.$"
    ):
        read_provenance(path)


@pytest.mark.parametrize("settings", [None, {}, {"seed": 1}, SETTINGS | {"generator": "somebody else"}])
def test_other_peoples_clips_are_refused(tmp_path, settings):
    with pytest.raises(ValueError) as error:
        read_provenance(clip(tmp_path / "clip.mp4", settings))
    assert str(error.value) == NOT_OURS


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"plain text",
        b"\x00\x00\x00\x18ftypmp42 and then nothing",
        b"GIF89a",
        b"GIF89a\xff\xff\xff\xff\x80\x00\x00",
        b"RIFF\x04\x00\x00\x00WEBP",
        b"RIFF\xff\xff\xff\xffWEBPVP8X\x0a\x00\x00\x00\x0c\x00\x00\x00\xff\xff\xff\xff\xff\xff",
        b"PK\x03\x04 and then nothing",
        b"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\nfile:///etc/passwd\n",
    ],
)
def test_garbage_is_one_sentence(tmp_path, content):
    for suffix in (".mp4", ".gif"):
        path = tmp_path / f"clip{suffix}"
        path.write_bytes(content)
        for read in (read_provenance, first_frame):
            with pytest.raises(ValueError) as error:
                read(path)
            assert str(error.value) == NOT_OURS
    with pytest.raises(ValueError):
        read_provenance(tmp_path / "absent.mp4")


@pytest.mark.parametrize("content", [b"[1]", b"null", b"{", b"[" * 50_000, b"1" * 60_000, b"\xff\xfe"])
def test_foreign_json_is_one_sentence(tmp_path, content):
    with pytest.raises(ValueError) as error:
        read_provenance(write_zip(tmp_path / "clip.zip", content))
    assert str(error.value) == NOT_OURS


def test_a_zip_bomb_is_not_unpacked(tmp_path):
    path = write_zip(tmp_path / "bomb.zip", json.dumps(SETTINGS).encode() + b" " * 2**26)
    tracemalloc.start()
    try:
        with pytest.raises(ValueError):
            read_provenance(path)
        assert tracemalloc.get_traced_memory()[1] < 2**22
    finally:
        tracemalloc.stop()


def test_a_picture_bomb_is_not_opened(tmp_path):
    """24 million pixels in a few kilobytes, where ours have two."""
    huge = np.zeros((6000, 4000, 3), np.uint8)
    video = clip(tmp_path / "clip.mp4", None)
    command = [FFMPEG_BINARY, "-v", "error", "-f", "lavfi", "-i", "color=s=6000x4000:r=1", "-frames:v", "1", "-y"]
    subprocess.run([*command, "-preset", "ultrafast", str(video)], check=True)
    Image.fromarray(huge).quantize(2).save(tmp_path / "huge.gif", comment=json.dumps(SETTINGS))
    Image.fromarray(huge).save(tmp_path / "0001.png")
    with zipfile.ZipFile(tmp_path / "huge.zip", "w") as archive:
        archive.writestr("settings.json", json.dumps(SETTINGS))
        archive.write(tmp_path / "0001.png", "0001.png")
    for path in (video, tmp_path / "huge.gif", tmp_path / "huge.zip"):
        with pytest.raises(ValueError):
            first_frame(path)


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "copy"
    shutil.copytree(SHIPPED_MODEL, folder)
    return folder


def test_a_model_is_named_by_its_contents_in_a_moment(model):
    started = time.perf_counter()
    name = model_hash(SHIPPED_MODEL)
    assert time.perf_counter() - started < 1  # 0.1 s with a processor of one's own
    assert len(name) == 16 and int(name, 16) >= 0
    (model / "README.md").write_text("changed")
    assert model_hash(model) == name  # wherever it lies, whatever its card says


def test_any_changed_weight_changes_the_name(model, tmp_path):
    names = {model_hash(SHIPPED_MODEL)}
    files = sorted(model.rglob("*.safetensors")) + [model / "unet" / "config.json"]
    for number, file in enumerate(files):
        folder = tmp_path / str(number)
        shutil.copytree(model, folder, copy_function=shutil.copyfile)
        with (folder / file.relative_to(model)).open("r+b") as content:
            position = file.stat().st_size * 2 // 3
            content.seek(position)
            byte = content.read(1)[0]
            content.seek(position)
            content.write(bytes([byte ^ 1]))
        names.add(model_hash(folder))
        shutil.rmtree(folder)
    assert len(names) == len(files) + 1


def test_large_weights_are_sampled_from_head_to_tail(tmp_path):
    names = []
    for number, (position, byte) in enumerate(
        [(0, b"\0"), (50, b"x"), (40_000_000 - 1, b"x"), (20_000_000, b"x" * 999_999)]
    ):
        folder = tmp_path / str(number)
        folder.mkdir()
        with (folder / "model.safetensors").open("wb") as file:
            file.truncate(40_000_000)
            file.seek(position)
            file.write(byte)
        names.append(model_hash(folder))
    assert len(set(names)) == 4


def test_a_model_is_read_once(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    name = model_hash(tmp_path)
    (tmp_path / "config.json").write_text("[]")
    assert model_hash(str(tmp_path)) == name
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="There is no model in the folder"):
        model_hash(tmp_path / "empty")


@pytest.mark.parametrize("size", [(256, 320), (1080, 1920), (1080, 1080), (64, 96), (800, 240)])
@pytest.mark.parametrize("grey", [0, 128, 255])
def test_mark_is_small_and_legible_on_light_and_dark(size, grey):
    frame = np.full((size[1], size[0], 3), grey, np.uint8)
    first, second = mark([frame, frame])
    np.testing.assert_array_equal(first, second)
    changed = (first != frame).any(axis=2)
    assert 0 < changed.mean() <= 0.03
    assert changed[: size[1] // 4, : size[0] // 2].sum() == changed.sum()  # in its corner
    rows, columns = np.flatnonzero(changed.any(axis=1)), np.flatnonzero(changed.any(axis=0))
    plate = first[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].astype(int)
    assert plate.max() - np.median(plate) > (100 if size[0] > 64 else 60)
    assert frame.max() == grey  # the frame that was given is as it was
