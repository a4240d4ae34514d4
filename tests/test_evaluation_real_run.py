"""Making and judging clips of real photos as a whole: from a folder of photos to the table, the JSON and the page."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from fashionflow.evaluation import real
from fashionflow.evaluation.real_clips import asked_of, kept_moments, make_frames, tasks_of
from fashionflow.evaluation.real_page import sheet_frames
from fashionflow.video.io import read_frames, write_clip

from . import tiny


def test_sheets_show_the_angles_on_the_way_there():
    there_and_back = np.array([0.0, 19, 42, 60, 41, 20, 0])
    assert sheet_frames(there_and_back) == [0, 1, 2, 3, 6]
    assert sheet_frames(-np.linspace(0, 360, 37)) == [0, 2, 4, 6, 9, 18, 36]
    assert sheet_frames(np.array([0.0, 15, 0, -15, 0, 3, 2, 1])) == [0, 1, 3, 4, 6, 7]
    assert sheet_frames(np.zeros(2)) == [0, 1]


def test_kept_moments_are_whole_and_hold_both_ends():
    assert kept_moments(24, 1).tolist() == list(range(24))
    assert kept_moments(24, 6).tolist() == [0, 8, 15, 23] and kept_moments(6, 99).tolist() == [0, 5]


def test_an_asked_angle_is_that_of_the_turns_and_of_no_other_motion():
    pipe = tiny.guided_pipeline()
    photo, motions = pipe.fit_photo(tiny.photo()), ["turn-left", "turn-right", "sway", "walk"]
    asked, own = (list(tasks_of(pipe, "red", photo, motions, tiny.FRAMES, 1, angle)) for angle in (80.0, None))
    turned = [asked_of(task).turn[-1] for task in asked]
    assert turned == pytest.approx([-80, 80, 0, 0], abs=0.1)
    assert all(torch.equal(one.rows, other.rows) for one, other in zip(asked[2:], own[2:], strict=True))


def test_the_geometry_row_is_the_guide_through_the_decoder():
    pipe = tiny.guided_pipeline()
    task = next(tasks_of(pipe, "red", pipe.fit_photo(tiny.photo()), ["turn-right"], tiny.FRAMES, 1))
    frames = make_frames(pipe, "geometry", task, asked_of(task), 1, 0)
    with torch.no_grad():
        latents = pipe.encode_guide(task.guide)[:, : tiny.LATENT_CHANNELS]
    decoded = torch.cat(list(pipe.decode_guided(latents, task.guide)), dim=2)[0]  # [3, F, height, width]
    expected = (decoded.permute(1, 2, 3, 0) * 255).round().numpy()
    np.testing.assert_array_equal(frames[1:], expected[1:])
    np.testing.assert_array_equal(frames[0], np.asarray(task.photo))


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    return tiny.saved(tmp_path_factory, tiny.guided_pipeline(frame_rate=4.0))


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    tiny.photo().save(folder / "red.png")
    tiny.photo().transpose(0).save(folder / "two words.webp")
    tiny.photo().save(folder / "red.webp")  # would be called as red.png is
    (folder / "broken.jpg").write_bytes(b"no picture")
    return folder


@pytest.fixture(scope="module")
def others(tmp_path_factory) -> Path:
    """Another system's clip of one photo and one motion: half as large, twice as many frames, each greyer than the one before."""
    folder = tmp_path_factory.mktemp("others")
    photo = np.asarray(tiny.guided_pipeline().fit_photo(tiny.photo()).resize((64, 96)))
    write_clip(folder / "red-walk.mp4", [photo // (1 + index) for index in range(11)], 8, quality=4)
    return folder


@pytest.fixture(scope="module")
def out(model, photos, others, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("out") / "real"
    run(photos, folder, model, "--clips", f"before={others}")
    return folder


def run(photos: Path, out: Path, model: Path, *more: str) -> None:
    arguments = [str(photos), str(out), "--model", str(model), "--steps", "1", "--motions", "turn-right", "walk"]
    real.main([*arguments, "--device", "cpu", *more])


def test_the_program_writes_clips_sheets_scores_and_a_page(out):
    names = [f"{stem}-{motion}" for stem in ("red", "two words") for motion in ("turn-right", "walk")]
    size = (2 * tiny.HEIGHT, 2 * tiny.WIDTH)
    clips = {}
    for row in ("model", "still", "warp", "geometry"):
        assert sorted(path.stem for path in (out / "clips" / row).iterdir()) == names
        clips[row] = read_frames(out / "clips" / row / "red-turn-right.mp4")
        assert clips[row].shape == (tiny.FRAMES, *size, 3)
    photo = clips["still"][0].astype(int)
    assert all(np.abs(clips[row][0] - photo).mean() < 3 for row in ("model", "geometry"))
    assert np.abs(clips["still"][-1] - photo).mean() < 1 < np.abs(clips["warp"][-1] - photo).mean()
    assert np.abs(clips["model"][-1].astype(int) - clips["geometry"][-1]).mean() > 0.1  # the denoiser did something
    written = json.loads((out / "scores.json").read_text())
    assert list(written["rows"]) == ["model", "still", "warp", "geometry", "before"]
    of_still = written["scores"]["still"]["red"]["turn-right"]
    assert of_still["ghosts"] < 0.1 and of_still["first_step"] is None
    assert len(written["curves"]["model"]["red"]["walk"]["sharpness"]) == tiny.FRAMES
    summary = written["rows"]["model"]["haze"]
    values = [scores["haze"] for motions in written["scores"]["model"].values() for scores in motions.values()]
    assert summary["median"] == pytest.approx(np.median(values), abs=1e-4) and summary["n"] == 4
    assert summary["worst_photo"] in ("red", "two words")
    page = (out / "index.html").read_text()
    assert page.count("<img") == 17 and 'src="sheets/warp-two%20words-walk.jpg"' in page
    assert len(list((out / "sheets").iterdir())) == 17
    assert f"{summary['median']:.2f} / {summary['worst']:.2f}" in page and "http" not in page


def test_other_clips_are_taken_as_evenly_spaced_over_the_motion(out):
    written = json.loads((out / "scores.json").read_text())
    assert list(written["scores"]["before"]) == ["red"] and list(written["scores"]["before"]["red"]) == ["walk"]
    assert written["rows"]["before"]["haze"]["n"] == 1
    greyer = written["curves"]["before"]["red"]["walk"]["ghosts"]
    photo = read_frames(out / "clips" / "still" / "red-walk.mp4")[0].astype(int)
    for index, change in enumerate(greyer):  # every second of its 11 frames
        assert change == pytest.approx((photo - photo // (1 + 2 * index)).mean(), rel=0.15, abs=2)
    said = " ".join(written["remarks"])
    assert "red-turn-right was left out of before: There is no video" in said
    assert "broken.jpg was left out: The file is not a picture" in said
    assert "red.webp was left out, because red.png has the same name" in said


def test_a_run_goes_on_where_it_stopped_and_other_settings_are_refused(out, model, photos, tmp_path, capsys):
    copy = shutil.copytree(out, tmp_path / "copy")
    kept, lost = copy / "clips" / "model" / "red-walk.mp4", copy / "clips" / "model" / "red-turn-right.mp4"
    before, content = kept.stat().st_mtime_ns, read_frames(lost)
    lost.unlink()
    run(photos, copy, model, "--rows", "model")
    assert kept.stat().st_mtime_ns == before
    np.testing.assert_array_equal(read_frames(lost), content)
    table = capsys.readouterr().out.splitlines()
    assert table[0].split()[:4] == ["median", "/", "worst", "photo"] and table[1].split()[0] == "model"
    with pytest.raises(SystemExit):
        run(photos, copy, model, "--seed", "1")
    assert "holds clips made with seed 0 and not 1" in capsys.readouterr().err


def test_a_model_without_geometry_needs_one_that_says_where_the_figure_is(model, photos, tmp_path, capsys):
    plain = tmp_path / "plain"
    tiny.pipeline(frame_rate=4.0).save_pretrained(plain)
    more = ("--limit", "2", "--frame-step", "3", "--sheets-only")
    with pytest.raises(SystemExit):
        run(photos, tmp_path / "out", plain, *more, "--guide", str(plain))
    assert "`--guide` must be a model with geometry" in capsys.readouterr().err
    run(photos, tmp_path / "out", plain, *more, "--guide", str(model))
    assert sorted(path.name for path in (tmp_path / "out" / "clips").iterdir()) == ["model", "still", "warp"]
    frames = read_frames(tmp_path / "out" / "clips" / "warp" / "red-turn-right.mp4")
    assert frames.shape == (2, tiny.HEIGHT, tiny.WIDTH, 3)
    assert len(list((tmp_path / "out" / "sheets").iterdir())) == 6
    assert not (tmp_path / "out" / "scores.json").exists() and "median" not in capsys.readouterr().out


def test_mistakes_are_one_sentence(model, photos, tmp_path, capsys):
    def said(folder: Path, *more: str) -> str:
        with pytest.raises(SystemExit) as ended:
            run(folder, tmp_path / "out", model, *more)
        assert ended.value.code == 2
        return capsys.readouterr().err.splitlines()[-1]

    assert "`photos` must be a folder that holds photos" in said(tmp_path)
    assert "`photos` must be a folder that holds photos" in said(tmp_path / "nowhere")
    assert "`--clips` must be NAME=FOLDER, got 'before'" in said(photos, "--clips", "before")
    assert "'warp' is taken" in said(photos, "--clips", f"warp={tmp_path}")
    assert "there is none at 'nowhere'" in said(photos, "--clips", "before=nowhere")
    assert "`--frame-step` must be at least 1, got 0" in said(photos, "--frame-step", "0")
    assert "`--turn-angle` must be above 0 and at most 360, got -80" in said(photos, "--turn-angle", "-80")
    assert "invalid choice: 'flow'" in said(photos, "--rows", "flow")
    assert not (tmp_path / "out").exists()
