"""python -m fashionflow photo.jpg clip.mp4"""

import json
import os
import signal
import subprocess
import sys
import threading

import numpy as np
import pytest
import torch
from moviepy.config import FFMPEG_BINARY
from PIL import Image
from tqdm import TMonitor

from fashionflow.__main__ import main
from fashionflow.generation.renderer import ClipRenderer
from fashionflow.generation.request import ClipRequest
from fashionflow.generation.settings import DEFAULT_STEPS
from fashionflow.models import GarmentGeometry
from fashionflow.video.io import read_frames, read_rate, read_settings
from fashionflow.video.playing_rate import frames_shown_for_each

from . import tiny


@pytest.fixture
def photo(tmp_path):
    path = tmp_path / "dress.jpg"
    tiny.photo().save(path, quality=95)
    return path


@pytest.fixture
def run(model, photo, tmp_path, capsys):
    """Runs the command on the photo; gives the exit status, what it printed, and the clip's path."""

    def run(*options, source=photo, clip=tmp_path / "dress.mp4", fast=True):
        options = ("--steps", "2", *options) if fast else options
        try:
            status = main([str(source), str(clip), "--model", str(model), "--device", "cpu", *map(str, options)])
        except SystemExit as ended:  # argparse's own way out
            status = ended.code
        return status, capsys.readouterr(), clip

    return run


def test_the_seed_minus_1_draws_one_and_says_which(run):
    status, said, clip = run("--seed", "-1")
    seed = read_settings(clip)["seed"]
    assert status == 0 and seed >= 0 and f"Seed {seed}\n" in said.err


def test_python_m_makes_a_clip_that_browsers_play(model, photo, tmp_path):
    clip = tmp_path / "dress.mp4"
    command = [sys.executable, "-W", "error::FutureWarning", "-m", "fashionflow", photo, clip]
    command += ["--model", model, "--steps", "2", "--device", "cpu"]
    result = subprocess.run([*map(str, command)], capture_output=True, text=True, check=True)
    assert result.stdout == f"{clip}\n"
    assert "Denoising: 100%" in result.stderr
    if not torch.cuda.is_available():  # where there is CUDA, xFormers may speak
        said = {line.split()[0] for line in result.stderr.splitlines() if line}
        assert said == {"Seed", "Denoising:", "Writing:"}, "the libraries say nothing"

    probe = subprocess.run(
        [FFMPEG_BINARY, "-hide_banner", "-i", str(clip)], capture_output=True, text=True, check=False
    )
    assert "Video: h264" in probe.stderr and "yuv420p" in probe.stderr and "64x96" in probe.stderr
    content = clip.read_bytes()
    assert 0 < content.index(b"moov") < content.index(b"mdat")  # so that playing starts before all has arrived
    seed = read_settings(clip)["seed"]
    assert f"Seed {seed}\n" in result.stderr


def test_the_clip_starts_with_the_photo_and_plays_at_the_playing_rate(run):
    status, _, clip = run("--seed", 3)
    assert status == 0
    frames = read_frames(clip)
    pipe = tiny.pipeline()
    factor = frames_shown_for_each(pipe.config.frame_rate)
    fps = pipe.config.frame_rate * factor
    assert (factor, fps) == (3, 24)
    assert len(frames) > tiny.FRAMES
    shown = np.array(pipe.fit_photo(tiny.photo()), dtype=float)
    assert np.abs(frames[0] - shown).mean() < 8  # what compression leaves of it


def test_the_settings_are_in_the_file_and_make_the_same_clip_again(run, tmp_path):
    _, _, first = run("--motion", "sway", "--turn-angle", 20, "--sampler", "euler", "--frames", 4, "--quality", 10)
    settings = read_settings(first)
    assert settings | {"seed": 0, "date": "", "model_hash": ""} == {
        "motion": "sway",
        "turn_angle": 20.0,
        "frames": 4,
        "steps": 2,
        "seed": 0,
        "sampler": "euler",
        "guidance": 1.0,
        "frame_rate": None,
        "interpolation": None,
        "quality": 10,
        "memory": "auto",
        "model": "tiny",
        "model_hash": "",
        "version": "0.1.0",
        "date": "",
        "generator": "FashionFlow",
        "ai_generated": True,
        "digital_source_type": "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia",
    }
    assert len(settings["model_hash"]) == 16
    assert settings["date"].startswith("20") and settings["date"].endswith("+00:00")
    options = [
        f"--{name.replace('_', '-')}={settings[name]}"
        for name in ("motion", "turn_angle", "frames", "sampler", "seed")
    ]
    _, _, again = run(*options, "--quality", 10, clip=tmp_path / "again.mp4")
    assert np.array_equal(read_frames(first), read_frames(again))
    _, _, other = run(*options, "--seed", 1, "--quality", 10, clip=tmp_path / "other.mp4")
    assert not np.array_equal(read_frames(first), read_frames(other))


def test_the_environment_variable_names_the_model(photo, model, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("FASHIONFLOW_MODEL", str(model))
    assert main([str(photo), str(tmp_path / "a.mp4"), "--steps", "1", "--frames", "2", "--device", "cpu"]) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'a.mp4'}\n"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--frames", 1], "`frames` must be a whole number from 2 to 280, got 1."),
        (["--frames", 281], "`frames` must be a whole number from 2 to 280, got 281."),
        (["--steps", 0], "`steps` must be a whole number from 1 to 1000, got 0."),
        (["--steps", 1001], "`steps` must be a whole number from 1 to 1000, got 1001."),
        (["--steps", "many"], "Argument --steps: invalid int value: 'many'; see --help."),
        (["--seed", -2], "`seed` must be a whole number from 0 to 4294967295, got -2."),
        (["--seed", 2**32], "`seed` must be a whole number from 0 to 4294967295, got 4294967296."),
        (["--motion", "fly"], "Argument --motion: invalid choice: 'fly'"),
        (["--turn-angle", 361], "`turn_angle` must be between -360 and 360 degrees, got 361.0."),
        (["--turn-angle", "nan"], "`turn_angle` must be between -360 and 360 degrees, got nan."),
        (["--sampler", "fast"], "Argument --sampler: invalid choice: 'fast'"),
        (["--quality", 0], "`quality` must be a whole number from 1 to 51, got 0."),
        (["--device", "gpu"], "`device` must be auto, cuda, mps or cpu, got 'gpu'."),
        (["--model", "/absent"], "There is no model folder at '/absent'"),
    ],
)
def test_a_wrong_option_gets_one_sentence_and_no_clip(run, options, message):
    status, printed, clip = run(*options)
    assert status == 2
    assert printed.err.startswith(message) and printed.err.count("\n") == 1
    assert printed.out == "" and not clip.exists()


def test_a_wrong_photo_or_name_gets_one_sentence_and_leaves_nothing(run, tmp_path):
    text = tmp_path / "notes.jpg"
    text.write_text("no picture")
    small = tmp_path / "small.png"
    Image.new("RGB", (1, 1)).save(small)
    before = sorted(tmp_path.iterdir())
    for options, message in (
        ({"source": tmp_path / "absent.jpg"}, "There is no photo at"),
        ({"source": text}, "The file is not a picture"),
        ({"source": small}, "too small"),
        ({"clip": tmp_path / "dress.gif"}, "must end in .mp4"),
        ({"clip": tmp_path / "absent" / "dress.mp4"}, "The clip's folder must exist"),
        ({"clip": tmp_path / ("x" * 300 + ".mp4")}, "(file name too long); choose another place or name."),
        ({"clip": f"{tmp_path}/zero\0byte.mp4"}, "is not possible for a file"),
        ({"clip": "/proc/dress.mp4"}, "Nothing can be written to '/proc/dress.mp4'"),
    ):
        status, printed, _ = run(**options)
        assert status == 2
        assert message in printed.err and printed.err.count("\n") == 1
    assert sorted(tmp_path.iterdir()) == before


def test_a_model_that_is_half_there_gets_one_sentence(run, model, tmp_path):
    half = tmp_path / "half"
    half.mkdir()
    (half / "model_index.json").write_text(json.dumps({"_class_name": "FashionFlowPipeline"}))
    status, printed, _ = run("--model", half)
    assert status == 2 and str(half) in printed.err and printed.err.count("\n") == 1


def test_an_error_of_the_device_gets_one_sentence(run, monkeypatch):
    def fail(*_, **__):
        raise RuntimeError("CUDA error: unspecified launch failure\nCUDA kernel errors might be reported later.")

    monkeypatch.setattr(ClipRequest, "denoise", fail)
    status, printed, clip = run("--seed", 1)
    assert status == 2 and not clip.exists()
    assert printed.err == "The clip could not be made: CUDA error: unspecified launch failure.\n"


def our_threads() -> int:
    return sum(
        not isinstance(thread, TMonitor) for thread in threading.enumerate()
    )  # which the first progress bar starts


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGHUP])
def test_a_command_that_is_ended_leaves_nothing(run, tmp_path, monkeypatch, sent):
    """Another program asks it to end while it writes the clip, or its terminal is closed."""

    def frames(*arguments, make=ClipRenderer.frames):
        for index, frame in enumerate(make(*arguments)):
            if index == 3:
                os.kill(os.getpid(), sent)
            yield frame

    monkeypatch.setattr(ClipRenderer, "frames", frames)
    files, threads = sorted(tmp_path.iterdir()), our_threads()
    before = signal.signal(sent, lambda *_: pytest.fail("The command leaves the signal to others."))
    try:
        status, printed, _ = run()
    finally:
        signal.signal(sent, before)
    assert status == 130 and printed.err.endswith("Stopped; no clip was written.\n")
    assert sorted(tmp_path.iterdir()) == files and our_threads() == threads


def test_the_signal_means_what_it_did_once_the_command_has_ended(run):
    handler = signal.getsignal(signal.SIGTERM)
    run("--frames", 1)
    assert signal.getsignal(signal.SIGTERM) == handler


def test_without_a_photo_the_command_says_what_it_needs(capsys):
    with pytest.raises(SystemExit) as ended:
        main([])
    assert ended.value.code == 2
    assert capsys.readouterr().err == "A photo and a name for the clip are needed; see --help.\n"


def test_the_device_report_needs_no_photo(capsys):
    assert main(["--device-report", "--device", "cpu"]) == 0
    assert "Attention:" in capsys.readouterr().out


@pytest.fixture(scope="module")
def model_with_geometry(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "guided"
    tiny.guided_pipeline().save_pretrained(folder)
    return folder


def test_the_back_is_that_of_its_own_photo(run, model_with_geometry, tmp_path):
    back = tmp_path / "back.jpg"
    Image.new("RGB", (300, 400), (0, 255, 0)).save(back)
    options = ("--model", model_with_geometry, "--motion", "show-the-back", "--frames", 4, "--seed", 3)
    status, _, clip = run(*options, "--back", back)
    last = read_frames(clip)[-1]
    red, green, blue = last[len(last) // 2, last.shape[1] // 2]
    assert status == 0 and green > 200 and max(red, blue) < 60
    assert read_settings(clip)["with_back_photo"] is True and "back_photo" not in read_settings(clip)


def test_a_back_that_cannot_be_used_gets_one_sentence(run, tmp_path):
    status, printed, clip = run("--back", tmp_path / "absent.jpg")
    assert status == 2 and printed.err.startswith("Argument --back: There is no photo at")
    Image.new("RGB", (300, 400)).save(tmp_path / "back.png")
    status, printed, _ = run("--back", tmp_path / "back.png")
    assert status == 2 and printed.err.startswith("`back_photo` must be empty for this model")
    assert printed.err.count("\n") == 1 and not clip.exists()


def test_what_will_make_a_bad_clip_is_said_before_it_is_made(run, model_with_geometry):
    options = ("--model", model_with_geometry, "--motion", "sway", "--frames", 4, "--seed", 3)
    status, printed, _ = run(*options)
    assert status == 0
    assert printed.err.startswith("Only 85 x 128 pixels are seen of the photo"), printed.err
    assert printed.err.index("seen of the photo") < printed.err.index("Denoising")


def test_the_figure_is_searched_for_once_in_the_photo_and_once_in_the_crop(run, tmp_path_factory, monkeypatch):
    model = tiny.saved(tmp_path_factory, tiny.guided_pipeline(photo_fit="figure"))
    predict, searched = GarmentGeometry.predict, []
    monkeypatch.setattr(GarmentGeometry, "predict", lambda *given: searched.append(1) or predict(*given))
    assert run("--model", model, "--motion", "sway", "--frames", 4, "--seed", 3)[0] == 0
    assert len(searched) == 2


def test_help_tells_the_defaults(capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    text = " ".join(capsys.readouterr().out.split())
    assert all(
        default in text
        for default in (f"by default {DEFAULT_STEPS}", "dpm++", "turn-left", "fashionflow", "FASHIONFLOW_MODEL")
    )


def test_rate_interpolation_and_memory_are_obeyed(run):
    _, _, clip = run("--frame-rate", 5, "--interpolation", 2, "--memory", "lean", "--guidance", 2, "--seed", 1)
    assert len(read_frames(clip)) == 2 * (tiny.FRAMES - 1) + 1 and read_rate(clip) == 10
    assert read_settings(clip)["memory"] == "lean" and read_settings(clip)["guidance"] == 2
