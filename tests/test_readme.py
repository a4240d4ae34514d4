"""What the README tells people to type."""

import re
import runpy
import shlex
import shutil
import tomllib
from importlib.util import find_spec
from pathlib import Path

import pytest
from transformers import HfArgumentParser

from fashionflow import __main__ as command
from fashionflow.training.autoencoder import AutoencoderConfig
from fashionflow.training.decoder import DecoderConfig
from fashionflow.training.denoiser import DenoiserConfig
from fashionflow.training.geometry import GeometryConfig
from fashionflow.training.recipes import parse_config
from fashionflow.training.synthesis import __main__ as synthesis
from fashionflow.video.io import read_frames


ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"```(\w*)\n(.*?)```", README, re.DOTALL)
COMMANDS = [
    shlex.split(line, comments=True)
    for language, block in BLOCKS
    if not language
    for line in block.replace("\\\n", " ").splitlines()
    if line
]


def test_command_line_example_parses():
    (arguments,) = [words[3:] for words in COMMANDS if words[:3] == ["python", "-m", "fashionflow"]]
    parsed = command.make_parser().parse_args(arguments)
    assert (parsed.photo, parsed.clip, parsed.motion, parsed.seed) == ("dress.jpg", "dress.mp4", "spin", 7)


@pytest.mark.parametrize(
    "program", ["geometry", "autoencoder", "denoiser", "decoder", "prepare", "export", "pack", "borrowed_gpu"]
)
def test_training_examples_name_real_programs(program):
    assert any(f"fashionflow.training.{program}" in words for words in COMMANDS)
    assert (ROOT / "fashionflow" / "training" / f"{program}.py").is_file()


@pytest.mark.parametrize(
    ("program", "config"),
    [
        ("geometry", GeometryConfig),
        ("autoencoder", AutoencoderConfig),
        ("decoder", DecoderConfig),
        ("denoiser", DenoiserConfig),
    ],
)
def test_training_examples_parse(program, config, tmp_path, monkeypatch):
    for folder, suffix in (("clips", "mp4"), ("layers", "npz")):
        (tmp_path / folder).mkdir()
        for name in ("000001", "000007"):
            (tmp_path / folder / f"{name}.{suffix}").touch()
    monkeypatch.chdir(tmp_path)
    (arguments,) = [words[4:] for words in COMMANDS if words[3:4] == [f"fashionflow.training.{program}"]]
    HfArgumentParser(config).parse_args_into_dataclasses(arguments)


def test_every_program_named_is_there():
    programs = {words[words.index("-m") + 1] for words in COMMANDS if "-m" in words}
    assert {"fashionflow.training.synthesis", "fashionflow.evaluation", "fashionflow.evaluation.sample"} <= programs
    for program in programs:
        assert find_spec(program), program


def test_synthesis_example_parses():
    examples = [words[3:] for words in COMMANDS if words[2:3] == ["fashionflow.training.synthesis"]]
    clips, layers = (synthesis.parse_args(arguments) for arguments in examples)
    assert (str(clips.out), clips.clips, clips.workers, clips.layers) == ("clips", 2000, 2, False)
    assert (str(layers.out), layers.clips, layers.layers) == ("layers", 3000, True)


def test_one_command_goes_on_from_the_shipped_weights(monkeypatch):
    monkeypatch.chdir(ROOT)
    (arguments,) = [
        words[3:] for words in COMMANDS if words[2:3] == ["fashionflow.training.denoiser"] and "--start" in words
    ]
    config = parse_config(arguments)
    assert (config.stem_channels, config.block_channels, config.num_frames) == (64, [64, 128], 12)


def test_extras_named_are_declared():
    (named,) = re.findall(r"\.\[([a-z,]+)\]", README)
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert set(named.split(",")) <= set(declared)


def test_pipeline_example_makes_a_clip(tmp_path, monkeypatch):
    (example,) = [block for language, block in BLOCKS if language == "python" and "FashionFlowPipeline" in block]
    shutil.copy(ROOT / "assets" / "examples" / "striped-dress.jpg", tmp_path / "dress.jpg")
    (tmp_path / "assets").symlink_to(ROOT / "assets")
    (tmp_path / "example.py").write_text(example)
    monkeypatch.chdir(tmp_path)
    variables = runpy.run_path("example.py")
    frames = read_frames("dress.mp4")
    assert frames.shape[1:] == (640, 512, 3)
    assert len(frames) == variables["pipe"].config.default_num_frames


def test_motions_and_linked_files_exist():
    for label in ("turn left, turn right", "turn and back", "show the back", "spin", "sway", "walk", "surprise me"):
        assert f"| {label} |" in README
    for target in re.findall(r"\]\(((?!http)[^)]+)\)", README):
        assert (ROOT / target).exists(), target
