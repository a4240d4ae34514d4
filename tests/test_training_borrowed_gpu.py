import json
import tarfile
from pathlib import Path

import pytest
import torch

from fashionflow import FashionFlowPipeline
from fashionflow.training import borrowed_gpu, pack

from . import tiny, training
from .test_training_loop import room_for


def train_first(folder: Path, *flags: str, steps: int) -> None:
    """A first run on the pack in `folder`, into `folder`/first."""
    flags = list(flags)
    for name, value in training.tiny_settings(folder / "first", latents=str(folder / "packed"), steps=steps).items():
        flags += [f"--{name}", *map(str, value if isinstance(value, list) else [value])]
    borrowed_gpu.main([*flags, "--run", str(folder / "run")])


def train_again(folder: Path, steps: int) -> None:
    """The same run continued elsewhere, up to `steps`, into `folder`/second."""
    flags = ["--latents", str(folder / "packed"), "--start", str(folder / "first"), "--out", str(folder / "second")]
    flags += ["--steps", str(steps), "--batch_size", "2", "--mixed_precision", "no", "--warmup", "1"]
    borrowed_gpu.main([*flags, "--run", str(folder / "another machine")])


def test_one_visit_takes_up_where_another_left_and_brings_small_parts_home(tmp_path, capsys):
    pack.main([str(training.latents()), str(tmp_path / "packed")])
    capsys.readouterr()
    train_first(tmp_path, steps=3)
    report = json.loads((tmp_path / "first" / "report.json").read_text())
    assert report["step"] == 3 and report["held_out"]["step"] == 3
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["step"] == 3
    assert (tmp_path / "first" / "samples.png").is_file()

    train_again(tmp_path, steps=5)
    state = torch.load(tmp_path / "another machine" / "checkpoint" / "custom_checkpoint_1.pkl")
    assert state["step"] == 5 and len(state["losses"]) == 2, "steps 4 and 5 alone were done"
    parts = b"".join(part.read_bytes() for part in sorted((tmp_path / "second").glob("pipeline.tar.*")))
    (tmp_path / "whole.tar").write_bytes(parts)
    with tarfile.open(tmp_path / "whole.tar") as tar:
        tar.extractall(tmp_path / "home", filter="data")
    start, end = (
        FashionFlowPipeline.from_pretrained(folder / "pipeline").unet.conv_in.spatial.weight.float()
        for folder in (tmp_path / "another machine" / "start", tmp_path / "home")
    )
    assert 0 < (start - end).abs().max() < 0.02


def test_guides_travel_in_a_pack_and_the_geometry_in_the_pipeline(tmp_path):
    pack.main([str(training.guided_latents()), str(tmp_path / "packed")])
    train_first(tmp_path, "--geometry", str(training.geometry()), steps=1)
    train_again(tmp_path, steps=2)
    borrowed_gpu.join_parts(tmp_path / "second", tmp_path / "home")
    pipe = FashionFlowPipeline.from_pretrained(tmp_path / "home" / "pipeline")
    assert pipe.has_geometry and pipe.unet.config.guide_channels == 20


def test_parts_keep_to_their_size_and_a_missing_one_is_told(tmp_path):
    tiny.pipeline().save_pretrained(tmp_path / "model")
    out = tmp_path / "out"
    out.mkdir()
    parts = borrowed_gpu.write_parts(tmp_path / "model", out, part_bytes=200_000)
    assert len(parts) > 2 and max(part.stat().st_size for part in parts) <= 200_000
    borrowed_gpu.join_parts(out, tmp_path / "joined")
    loaded = FashionFlowPipeline.from_pretrained(tmp_path / "joined" / "pipeline")
    assert torch.equal(loaded.unet.conv_in.spatial.weight, tiny.pipeline().unet.conv_in.spatial.weight)
    before = [part.read_bytes() for part in parts]
    with room_for(1000), pytest.raises(OSError):
        borrowed_gpu.write_parts(tmp_path / "model", out, part_bytes=100_000)
    assert [part.read_bytes() for part in sorted(out.iterdir())] == before, "a full disk leaves the parts before"
    parts[0].unlink()
    with pytest.raises(ValueError, match="are damaged, or one is missing .* copy them again"):
        borrowed_gpu.join_parts(out, tmp_path / "joined")
