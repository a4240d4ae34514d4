"""Sampling and judging as a whole: from clips to the table, the JSON and the page."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fashionflow.evaluation import __main__ as program
from fashionflow.evaluation import sample
from fashionflow.evaluation.clips import compare
from fashionflow.evaluation.metrics import METRICS
from fashionflow.evaluation.plots import RIGHT, WIDTH, curves
from fashionflow.evaluation.quick import evaluate_clip
from fashionflow.evaluation.report import write_whole
from fashionflow.evaluation.scoring import check_names, score
from fashionflow.video.io import read_frames, write_clip

from . import tiny


CLIPS = Path(__file__).parent / "data" / "clips"
NAMES = ["001007", "001067", "001167"]
OFFLINE = ["psnr", "ssim", "first_frame", "colour", "step", "flicker", "motion"]


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    return tiny.saved(tmp_path_factory, tiny.pipeline(frame_rate=4.0))


@pytest.fixture(scope="module")
def samples(model, tmp_path_factory) -> Path:
    clips, out = tmp_path_factory.mktemp("clips"), tmp_path_factory.mktemp("samples") / "out"
    for path in CLIPS.iterdir():
        shutil.copy(path, clips)
    shutil.copy(clips / "001007.mp4", clips / "001000.mp4")  # not held out: must not be sampled
    sample.main([str(clips), str(out), "--model", str(model), "--steps", "1"])
    return out


@pytest.fixture
def copy(samples, tmp_path) -> Path:
    return Path(shutil.copytree(samples, tmp_path / "copy"))


def test_samples_lie_beside_their_truth_and_baselines(samples):
    for folder in (samples, samples / "truth", samples / "still", samples / "autoencoder"):
        assert sorted(path.stem for path in folder.glob("*.mp4")) == NAMES
    shape = (tiny.FRAMES, tiny.HEIGHT, tiny.WIDTH, 3)
    for name in NAMES:
        source = read_frames(CLIPS / f"{name}.mp4")
        clip, truth, still = (read_frames(samples / part / f"{name}.mp4") for part in ("", "truth", "still"))
        assert clip.shape == truth.shape == still.shape == shape
        # The model has half of the clips' frame rate, so every second frame is its truth.
        fitted = np.asarray(tiny.pipeline().fit_photo(Image.fromarray(source[4])))
        assert np.abs(truth[2].astype(int) - fitted).mean() < 3
        assert np.abs(still[-1].astype(int) - truth[0]).mean() < 3
        assert np.abs(clip[0].astype(int) - truth[0]).mean() < 3  # frame 0 is the photo
    labels = {label["name"]: label for label in map(json.loads, (samples / "labels.jsonl").read_text().splitlines())}
    yaw = {label["name"]: label["yaw"] for label in map(json.loads, (CLIPS / "labels.jsonl").read_text().splitlines())}
    assert {name: label["yaw"] for name, label in labels.items()} == {name: yaw[name][:12:2] for name in NAMES}
    assert json.loads((samples / "settings.json").read_text())["steps"] == 1


def test_a_stopped_run_goes_on_and_other_settings_are_refused(copy, model, capsys):
    reference = json.loads((copy / "settings.json").read_text())["reference"]
    kept, lost = copy / "001007.mp4", copy / "001067.mp4"
    before, content = kept.stat().st_mtime_ns, read_frames(lost)
    lost.unlink()
    sample.main([reference, str(copy), "--model", str(model), "--steps", "1"])
    assert kept.stat().st_mtime_ns == before
    np.testing.assert_array_equal(read_frames(lost), content)
    assert len((copy / "labels.jsonl").read_text().splitlines()) == 3
    with pytest.raises(SystemExit):
        sample.main([reference, str(copy), "--model", str(model), "--steps", "2"])
    assert "holds clips made with steps 1 and not 2" in capsys.readouterr().err


def test_table_json_and_page_agree(samples, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("FASHIONFLOW_CACHE", str(tmp_path / "empty"))
    out = tmp_path / "scores"
    program.main([str(samples), "--metrics", *OFFLINE, "lpips", "fvd", "--out", str(out)])
    printed = capsys.readouterr().out
    header = next(line for line in printed.splitlines() if "still photo" in line)
    assert header.split() == ["tiny", "still", "photo", "autoencoder", "true", "clip", "n", "better"]
    assert "lpips was left out: The weights 'lpips-alexnet'" in printed and "fvd was left out" in printed
    written = json.loads((out / "scores.json").read_text())
    psnr = written["rows"]["psnr"]
    values = [scores["psnr"] for scores in written["scores"]["model"].values()]
    assert psnr["model"] == pytest.approx(np.mean(values), abs=1e-4) and psnr["n"] == 3 and psnr["truth"] is None
    assert f"{psnr['model']:.2f}" in next(line for line in printed.splitlines() if line.startswith("PSNR"))
    rows = written["rows"]
    assert rows["motion"]["still"] < 0.1 < rows["motion"]["truth"] and rows["drift"]["still"] < 0.3
    assert rows["psnr"]["autoencoder"] != rows["psnr"]["still"] and rows["first_step"]["still"] is None
    page = (out / "index.html").read_text()
    assert page.count("data:image/jpeg") == 3 and "<svg" in page and f"{psnr['model']:.2f}" in page
    assert "http://" not in page and "https://" not in page


def test_true_clips_judged_as_samples_are_perfect(samples):
    scores = score(compare(samples / "truth", samples / "truth"), OFFLINE)
    rows = {row.key: row for row in scores.rows}
    expected = {"psnr": 99, "ssim": 1, "first_frame_psnr": 99, "colour_error": 0, "drift_excess": 0}
    for key, value in expected.items():
        assert scores.summary("model", rows[key]) == pytest.approx(value)
    assert scores.summary("model", rows["flicker"]) == scores.summary("truth", rows["flicker"])
    assert scores.columns == ["model", "still", "truth"]  # the still photo needs no files
    assert scores.summary("still", rows["psnr"]) < 35


def test_clips_without_truth_get_the_metrics_that_need_none(model, tmp_path, capsys):
    photos = tmp_path / "photos"
    photos.mkdir()
    tiny.photo().save(photos / "red.png")
    (photos / "broken.jpg").write_bytes(b"no picture")
    tiny.photo().save(photos / "red.webp")  # would be called as red.png is
    out = tmp_path / "out"
    asked = ["--photos", "--model", str(model), "--steps", "1", "--motions", "turn-right", "walk"]
    sample.main([str(photos), str(out), *asked])
    printed = capsys.readouterr().out
    assert printed.count("broken.jpg was left out") == 1 and "red.webp was left out, because red.png" in printed
    assert "2 clips of tiny" in printed
    program.main([str(out), "--metrics", *OFFLINE])
    printed = capsys.readouterr().out
    assert "psnr was left out: there are no true clips" in printed and "motion, pixels a frame" in printed
    yaw = compare(out).yaw
    assert yaw["red-turn-right"][-1] == pytest.approx(45) and np.abs(yaw["red-walk"]).max() == 0
    assert (out / "scores" / "index.html").is_file()


def rewrite(path: Path, frames: np.ndarray) -> None:
    path.unlink()
    write_clip(path, frames, 8)


def test_folders_that_cannot_be_compared_are_one_sentence(copy, tmp_path, capsys):
    clip = copy / "001067.mp4"
    frames = read_frames(clip)

    def said(*arguments: str) -> str:
        with pytest.raises(SystemExit) as ended:
            program.main([str(copy), *arguments])
        assert ended.value.code == 2
        return capsys.readouterr().err.splitlines()[-1]

    assert "got 'flow'" in said("--metrics", "flow") and not (copy / "scores").exists()
    assert "`limit` must be 0" in said("--limit", "-1")
    assert "cannot be written" in said("--out", str(clip), "--metrics", "psnr")
    labels, settings = (copy / name for name in ("labels.jsonl", "settings.json"))
    before = labels.read_text(), settings.read_text()
    labels.write_text(before[0].replace('"yaw": [', '"yaw": [0, '))
    assert "one angle per frame, and it gives 7 for 6 frames" in said()
    settings.write_text("{")
    labels.write_text(before[0])
    assert "settings.json' must hold one JSON object" in said()
    settings.write_text(before[1])
    assert "holds none" in said("--reference", str(copy.parent))
    assert "there is none at" in said("--reference", str(tmp_path / "nowhere"))
    rewrite(clip, frames[:4])
    assert "001067.mp4 has 4 frames of 64 x 96" in said()
    rewrite(clip, frames[:, :48])
    assert "6 frames of 64 x 48" in said()
    clip.write_bytes(b"no video")
    assert "is not a video" in said()
    clip.unlink()
    (copy / "truth" / "001007.mp4").unlink()
    assert "001007 has none" in said()
    for path in copy.glob("*.mp4"):
        path.unlink()
    assert "holds none" in said()


def test_nothing_to_sample_is_said(tmp_path, capsys):
    for arguments, sentence in (([], "whose name ends in 7"), (["--photos"], "must hold photos")):
        with pytest.raises(SystemExit):
            sample.main([str(tmp_path), str(tmp_path / "out"), *arguments])
        assert sentence in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    for arguments, sentence in (
        ([str(tmp_path / "nowhere")], "there is none at"),
        ([str(CLIPS), "--clip-rate", "0"], "`--clip-rate` must be above 0"),
        ([str(CLIPS), "--limit", "-1"], "`--limit` must be 0"),
    ):
        with pytest.raises(SystemExit):
            sample.main([arguments[0], str(tmp_path / "out"), *arguments[1:]])
        assert sentence in capsys.readouterr().err


def test_a_mistaken_setting_does_not_keep_the_right_one_out(tmp_path):
    """A folder without clips takes new settings; one with clips does not, and says nothing of what it never wrote down."""
    sample.start_folder(tmp_path, {"photos": False, "sampler": "mistaken"})
    sample.start_folder(tmp_path, {"photos": False, "sampler": "euler"})
    (tmp_path / "a.mp4").touch()
    sample.start_folder(tmp_path, {"photos": False, "sampler": "euler", "clip_rate": 8.0})
    with pytest.raises(ValueError, match="clip_rate 8.0 and not 4.0"):
        sample.start_folder(tmp_path, {"photos": False, "sampler": "euler", "clip_rate": 4.0})


def test_a_metric_named_twice_counts_once_and_a_gap_keeps_its_place():
    assert check_names(["fid", "psnr", "fid"]) == ["fid", "psnr"]
    line = curves({"model": np.array([[0.0, np.nan, 1.0]])}, "frame", "LPIPS")
    right = max(float(point.split(",")[0]) for point in line.split('points="')[2].split('"')[0].split())
    assert right == WIDTH - RIGHT and ">2<" in line  # frame 2 is at the right end, and the axis says so
    assert curves({"model": np.array([[0.0, np.nan]])}, "frame", "LPIPS")  # one value alone


def test_a_file_is_written_whole_or_not_at_all(tmp_path):
    path = tmp_path / "scores.json"
    path.write_text("before")
    with pytest.raises(UnicodeEncodeError):
        write_whole(path, "half \ud800")
    assert path.read_text() == "before" and list(tmp_path.iterdir()) == [path]


def test_a_label_that_does_not_fit_leaves_its_clip_out(model, tmp_path, capsys):
    shutil.copy(CLIPS / "001007.mp4", tmp_path)
    (tmp_path / "labels.jsonl").write_text(json.dumps({"name": "001007", "motion": "turn", "yaw": [0, 1]}))
    sample.main([str(tmp_path), str(tmp_path / "out"), "--model", str(model), "--steps", "1"])
    printed = capsys.readouterr().out
    assert "001007.mp4 was left out, because there are 24 frames and 2 angles in its label." in printed
    assert "0 clips" in printed


def test_a_quick_look_needs_no_files():
    frame = read_frames(CLIPS / "001007.mp4")[0]
    frames = np.stack([np.asarray(Image.fromarray(frame).resize((tiny.WIDTH, tiny.HEIGHT)))] * 6)
    label = {"name": "x", "motion": "turn", "yaw": [0.0] * 6}
    scores, truth, sampled = evaluate_clip(tiny.pipeline(), frames, label, 8.0, 2, None)
    assert sampled.shape == truth.shape == frames.shape
    assert scores["psnr_still_photo"] == 99  # nothing moves in this clip
    assert 5 < scores["autoencoder_first_frame_psnr"] < 99


def test_every_row_has_its_own_key():
    keys = [row.key for metric in METRICS.values() for row in metric.rows]
    assert len(keys) == len(set(keys))
