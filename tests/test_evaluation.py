import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fashionflow import evaluation
from fashionflow.video import read_frames

from . import tiny


CLIPS = Path(__file__).parent / "data" / "clips"


@pytest.fixture(scope="module")
def frame() -> np.ndarray:
    return read_frames(sorted(CLIPS.glob("*7.mp4"))[0])[0]


def recoloured(frame: np.ndarray, region: np.ndarray, factors: tuple[float, float, float]) -> np.ndarray:
    changed = frame.astype(np.float32)
    changed[region] *= factors
    return changed.clip(0, 255).astype(np.uint8)


def test_garment_region_is_on_the_body_and_not_on_the_background():
    picture = np.full((320, 256, 3), 240, np.uint8)
    picture[20:300, 100:160] = (200, 30, 30)
    region = evaluation.garment_region(picture)
    rows, columns = np.flatnonzero(region.any(1)), np.flatnonzero(region.any(0))
    assert 75 <= rows[0] <= 90 and 135 <= rows[-1] <= 150
    assert 110 <= columns[0] <= 120 and 140 <= columns[-1] <= 150
    assert not evaluation.garment_region(np.full((320, 256, 3), 240, np.uint8)).any()


def test_colour_difference_sees_the_garment_alone(frame):
    region = evaluation.garment_region(frame)
    assert region.sum() > 500
    assert evaluation.colour_difference(frame, frame) == 0
    greyer = recoloured(frame, region, (0.7, 1.0, 0.8))
    assert evaluation.colour_difference(greyer, frame) > 3
    assert evaluation.pixel_colour_difference(greyer, frame) > 3
    hat = frame.copy()
    hat[:15] = (255, 0, 0)
    hat[:15, :6] = hat[:15, -6:] = frame[:15, :6]
    assert evaluation.pixel_colour_difference(hat, frame) == 0


def test_psnr_of_a_known_error():
    reference = np.full((2, 8, 8, 3), 100, np.uint8)
    assert evaluation.mean_psnr(reference + np.uint8(10), reference) == pytest.approx(20 * np.log10(25.5), abs=1e-6)


def test_scores_of_a_real_run_are_written_and_printed(tmp_path, capsys):
    for clip in CLIPS.glob("*.mp4"):
        shutil.copy(clip, tmp_path)
    names = sorted(clip.stem for clip in CLIPS.glob("*.mp4"))
    (tmp_path / "labels.jsonl").write_text(
        "\n".join(json.dumps({"name": name, "motion": "turn", "yaw": list(range(24))}) for name in names)
    )
    shutil.copy(tmp_path / f"{names[0]}.mp4", tmp_path / "000001.mp4")  # not held out: must not be scored
    tiny.pipeline(frame_rate=4.0).save_pretrained(tmp_path / "model")
    out = tmp_path / "scores"
    evaluation.main([str(tmp_path), "--model", str(tmp_path / "model"), "--steps", "1", "--out", str(out)])
    printed = capsys.readouterr().out
    assert f"{len(names)} held-out clips, 1 steps" in printed and "psnr_still_photo" in printed
    written = json.loads((out / "scores.json").read_text())
    assert sorted(written["clips"]) == names
    values = [scores["psnr"] for scores in written["clips"].values()]
    assert written["summary"]["psnr"]["median"] == pytest.approx(np.median(values), abs=0.01)
    assert Image.open(out / "contact_sheet.jpg").size[1] == 2 * len(names) * tiny.HEIGHT


def test_no_held_out_clip_is_said(tmp_path, capsys):
    with pytest.raises(SystemExit):
        evaluation.main([str(tmp_path)])
    assert "whose name ends in 7" in capsys.readouterr().err


def test_autoencoder_alone_is_measured_beside_the_model(frame):
    pipe = tiny.pipeline(frame_rate=8.0)
    frames = np.stack([np.asarray(Image.fromarray(frame).resize((tiny.WIDTH, tiny.HEIGHT)))] * 6)
    label = {"name": "x", "motion": "turn", "yaw": [0.0] * 6}
    scores, truth, sampled = evaluation.evaluate_clip(pipe, frames, label, 8.0, 2, None)
    assert sampled.shape == truth.shape == frames.shape
    assert scores["psnr_still_photo"] == np.inf  # nothing moves in this clip
    assert scores["psnr_autoencoder"] == pytest.approx(scores["autoencoder_first_frame_psnr"], abs=1e-3)
