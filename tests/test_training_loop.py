import os
import resource
import signal
from contextlib import contextmanager

import pytest
import torch
from accelerate import Accelerator

from fashionflow import GarmentConditioner
from fashionflow.training.latents import write_clip_latents
from fashionflow.training.loop import TrainingLoop, learning_rate_factor, save_whole


def test_learning_rate_warms_up_stays_and_falls():
    factors = [learning_rate_factor(step, 100, 10, 0.4) for step in range(101)]
    assert factors[0] == pytest.approx(0.1) and factors[9:60] == [1] * 51
    assert factors[80] == pytest.approx(0.5) and factors[100] == 0
    assert all(left >= right for left, right in zip(factors[60:], factors[61:], strict=False))


def test_sigterm_ends_after_the_step_with_a_checkpoint(tmp_path):
    def loop() -> TrainingLoop:
        return TrainingLoop(Accelerator(), tmp_path, steps=100, time_limit=0, save_every=1000)

    first = loop()
    for step in first:
        if step == 3:
            os.kill(os.getpid(), signal.SIGTERM)
    assert first.step == 3
    second = loop()
    assert second.resume() and second.step == 3
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def test_a_run_killed_between_two_checkpoints_resumes_and_saves_again(tmp_path):
    def loop() -> TrainingLoop:
        return TrainingLoop(Accelerator(), tmp_path, steps=3, time_limit=0, save_every=1000)

    assert list(loop()) == [1, 2, 3]
    (tmp_path / "checkpoint").rename(tmp_path / "checkpoint.old")
    resumed = loop()
    assert resumed.resume() and resumed.step == 3
    resumed.save()
    (tmp_path / "checkpoint.old").mkdir()
    (tmp_path / "checkpoint.old" / "left").touch()
    resumed.save()
    assert (tmp_path / "checkpoint").is_dir() and not (tmp_path / "checkpoint.old").exists()


def test_time_limit_ends_the_run(tmp_path):
    loop = TrainingLoop(Accelerator(), tmp_path, steps=10**9, time_limit=1 / 600, save_every=10**9)
    steps = list(loop)
    assert 0 < len(steps) < 10**9 and (tmp_path / "checkpoint").is_dir()


@contextmanager
def room_for(num_bytes: int):
    """A limit on the size of a file makes the system refuse to write more, as it does on a full disk."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@pytest.mark.parametrize("room", [0, 2000])
def test_a_full_disk_leaves_the_checkpoint_before_and_is_told(room, tmp_path, capsys):
    accelerator = Accelerator()
    model = accelerator.prepare(torch.nn.Linear(100, 100))
    loop = TrainingLoop(accelerator, tmp_path, steps=3, time_limit=0, save_every=1000, settings={"seed": 0})
    assert loop.save()
    before = (tmp_path / "checkpoint" / "model.safetensors").read_bytes()
    model.weight.data += 1
    with room_for(room):
        saved = loop.save()
        with pytest.raises(OSError, match="The last steps could not be saved in"):
            list(loop)
    assert not saved and (tmp_path / "checkpoint" / "model.safetensors").read_bytes() == before
    assert not (tmp_path / "checkpoint.new").exists()
    said = capsys.readouterr().out
    assert "The checkpoint of step 0 cannot be written" in said and "the one before is kept. Free some space." in said
    assert loop.save() and (tmp_path / "checkpoint" / "model.safetensors").read_bytes() != before


def test_a_checkpoint_of_other_sizes_is_told(tmp_path):
    for size in (4, 5):
        accelerator = Accelerator()
        accelerator.prepare(torch.nn.Linear(size, size))
        loop = TrainingLoop(accelerator, tmp_path, steps=1, time_limit=0, save_every=1000)
        if size == 4:
            loop.save()
    with pytest.raises(ValueError, match="is damaged or of a model with other sizes .* or another `--out`"):
        loop.resume()


def test_a_full_disk_leaves_the_weights_and_latents_before(tmp_path):
    model = GarmentConditioner(5, 16, 4, (8, 8))
    save_whole(model, tmp_path / "model")
    before = (tmp_path / "model" / "diffusion_pytorch_model.safetensors").read_bytes()
    model.token_mix.weight.data += 1
    with room_for(1000):
        with pytest.raises(OSError, match="model' cannot be written .* free some space, the one before is kept"):
            save_whole(model, tmp_path / "model")
        with pytest.raises(OSError, match="a.safetensors' cannot be written .* free some space and run again"):
            write_clip_latents(tmp_path / "a.safetensors", {"latents": torch.zeros(1000)})
    assert (tmp_path / "model" / "diffusion_pytorch_model.safetensors").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
