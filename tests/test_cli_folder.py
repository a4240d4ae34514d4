"""python -m fashionflow photos clips"""

import os

import pytest
from PIL import Image

from fashionflow.__main__ import main
from fashionflow.generation import command
from fashionflow.video.io import read_frames, read_settings

from . import tiny


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    tiny.photo().save(folder / "blue dress.jpg", quality=95)
    tiny.photo().transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(folder / "red.PNG")
    (folder / "notes.txt").write_text("not a photo")
    (folder / "._red.PNG").write_bytes(b"macOS")
    (folder / "more.png").mkdir()
    return folder


@pytest.fixture
def run(model, photos, tmp_path, capsys):
    def run(*options, source=photos, out=tmp_path / "new" / "clips"):
        status = main([str(source), str(out), "--model", str(model), "--device", "cpu", "--steps", "1", *options])
        return status, capsys.readouterr(), out

    return run


def test_every_photo_of_a_folder_becomes_a_clip_with_one_model_and_one_seed(run, photos, monkeypatch):
    loaded = []
    monkeypatch.setattr(command, "load_pipeline", lambda *a, load=command.load_pipeline: loaded.append(a) or load(*a))
    status, printed, out = run("--frames", "8")
    assert status == 0 and len(loaded) == 1
    clips = [out / "blue dress.mp4", out / "red.mp4"]
    assert printed.out.splitlines() == [str(clip) for clip in clips] and sorted(out.iterdir()) == clips
    seeds = {read_settings(clip)["seed"] for clip in clips}
    assert [f"Seed {seed}" for seed in seeds] == [line for line in printed.err.splitlines() if line.startswith("Seed")]
    first, second = (read_frames(clip)[0].astype(int) for clip in clips)
    assert abs(first - second[:, ::-1]).mean() < 4 < abs(first - second).mean()  # each begins as its own photo


def test_the_same_command_goes_on_where_it_was_interrupted(run, photos):
    status, _, out = run("--seed", "3", "--frames", "8")
    (out / "red.mp4").unlink()
    before = (out / "blue dress.mp4").stat().st_mtime_ns
    status, printed, _ = run("--seed", "3", "--frames", "8")
    assert (
        status == 0 and printed.out == f"{out / 'red.mp4'}\n" and (out / "blue dress.mp4").stat().st_mtime_ns == before
    )
    assert "1 of 2 clips are there already; delete them to make them again.\n" in printed.err
    status, printed, _ = run(source=photos)
    assert status == 0 and printed.out == ""


def test_a_broken_photo_is_named_and_the_others_are_animated(run, photos):
    (photos / "a broken one.jpg").write_bytes(b"no picture")
    status, printed, out = run("--seed", "3", "--frames", "8")
    assert status == 1 and {clip.name for clip in out.iterdir()} == {"blue dress.mp4", "red.mp4"}
    assert "a broken one.jpg was left out: The file is not a picture" in printed.err
    assert printed.err.endswith("1 of 3 photos were left out.\n") and "Traceback" not in printed.err


def test_photos_of_the_same_name_have_clips_of_their_own(photos, tmp_path):
    tiny.photo().save(photos / "red.jpg")
    names = {photo.name: clip.name for photo, clip in command.clips_of(photos, tmp_path).items()}
    assert names == {"blue dress.jpg": "blue dress.mp4", "red.PNG": "red.PNG.mp4", "red.jpg": "red.jpg.mp4"}


def test_what_is_wrong_is_said_before_a_model_is_loaded(run, photos, tmp_path, monkeypatch):
    monkeypatch.setattr(command, "load_pipeline", lambda *_: pytest.fail("loaded"))
    empty = tmp_path / "empty"
    empty.mkdir()
    for options, places, message in (
        ((), {"source": empty}, "There is no photo in"),
        ((), {"out": tmp_path / "clip.mp4"}, "A folder of photos needs a folder for its clips"),
        (("--back", str(photos / "red.PNG")), {}, "`--back` belongs to one photo"),
        (("--frames", "0"), {}, "`frames` must be"),
        ((), {"out": "/proc/clips"}, "/proc/clips"),
        (("--turn-angle", "30", "--guidance", "9"), {}, "`guidance` must be"),
    ):
        status, printed, _ = run(*options, **places)
        assert status == 2 and message in printed.err and printed.err.count("\n") == 1
    assert sorted(os.listdir(tmp_path)) == ["empty", "photos"]


def test_a_setting_that_the_model_does_not_have_ends_the_command_and_blames_no_photo(
    run, tmp_path_factory, monkeypatch, capsys
):
    still = tiny.saved(tmp_path_factory, tiny.released_pipeline())
    capsys.readouterr()
    monkeypatch.setattr(command, "load_pipeline", lambda *_: pytest.fail("loaded"))
    for option, message in ((("--motion", "spin"), "`motion` must be empty"), (("--frames", "7"), "a multiple of 2")):
        status, printed, _ = run("--model", str(still), *option)
        assert status == 2 and message in printed.err and printed.err.count("\n") == 1
