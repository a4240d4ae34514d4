"""A GPU that PyTorch has no kernels for, one whose memory is taken, and one that cannot be reached: a sentence, or the processor.

Here is no GPU, so PyTorch is told that there is one, and raises at its own functions what it raises there (`Card`). Copies to the card stay
on the processor. All code of ours is real.
"""

import logging

import pytest
import torch
from torch.overrides import TorchFunctionMode

from fashionflow.__main__ import main
from fashionflow.runtime.loading import DeviceError, choose_device, device_report, load_pipeline

from . import tiny


ADVICE = (
    "\nCUDA kernel errors might be asynchronously reported at some other API call, so the stacktrace below might be incorrect.\n"
    "For debugging consider passing CUDA_LAUNCH_BLOCKING=1\n"
)
NO_KERNEL = torch.AcceleratorError(f"CUDA error: no kernel image is available for execution on the device{ADVICE}")
NO_MEMORY = torch.OutOfMemoryError(
    "CUDA out of memory. Tried to allocate 20.00 MiB. GPU 0 has a total capacity of 3.81 GiB of which 9.44 MiB is free."
)
NO_CONTEXT = torch.AcceleratorError(f"CUDA error: out of memory{ADVICE}")
BUSY = torch.AcceleratorError(f"CUDA error: CUDA-capable device(s) is/are busy or unavailable{ADVICE}")


class Card(TorchFunctionMode):
    """A CUDA GPU as PyTorch's functions see it.

    Args:
        at_first: what the first computation on it raises.
        room: how many tensors it takes before there is no memory left.
    """

    def __init__(self, at_first: Exception | None = None, room: int = 10**9):
        self.at_first, self.room, self.taken = at_first, room, 0

    def __torch_function__(self, function, types, values=(), options=None):
        options = dict(options or {})
        device = torch.device(options.get("device") or "cpu")
        if function is torch.ones and device.type == "cuda":
            if self.at_first is not None:
                raise self.at_first
            options["device"] = "cpu"
        if function is torch.Tensor.to and any(getattr(value, "type", "") == "cuda" for value in values[1:]):
            self.taken += 1
            if self.taken > self.room:
                raise NO_MEMORY
            values = (values[0], *("cpu" if getattr(value, "type", "") == "cuda" else value for value in values[1:]))
        return function(*values, **options)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    return tiny.saved(tmp_path_factory, tiny.pipeline())


@pytest.fixture
def machine_with_a_card(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)


CARDS = {
    "no kernels": (lambda: Card(NO_KERNEL), "has no kernels for the GPU cuda; install a PyTorch that is built for it"),
    "no memory at all": (lambda: Card(NO_CONTEXT), "memory of the device cuda that is free now; end other programs"),
    "busy": (lambda: Card(BUSY), "cannot be used (CUDA error: CUDA-capable device(s) is/are busy or unavailable)"),
    "memory runs out": (lambda: Card(room=5), "memory of the device cuda that is free now; end other programs"),
}


@pytest.mark.parametrize("card", CARDS)
def test_a_card_that_was_asked_for_is_refused_in_one_sentence(machine_with_a_card, saved, card):
    make, told = CARDS[card]
    with make(), pytest.raises(DeviceError) as caught:
        load_pipeline(saved, "cuda")
    sentence = str(caught.value)
    assert told in sentence and sentence.endswith("or choose the device cpu.") and "\n" not in sentence


@pytest.mark.parametrize("card", CARDS)
@pytest.mark.parametrize("device", [None, "auto"])
def test_otherwise_the_processor_is_used_and_the_log_says_why(machine_with_a_card, saved, caplog, card, device):
    make, told = CARDS[card]
    with caplog.at_level(logging.WARNING), make():
        pipe = load_pipeline(saved, device)
    (line,) = caplog.messages
    assert told in line and line.endswith("The processor is used instead.")
    expected = load_pipeline(saved, "cpu")
    assert pipe.device.type == "cpu" and pipe.unet.dtype == expected.unet.dtype
    assert torch.equal(pipe(**tiny.inputs()).frames, expected(**tiny.inputs()).frames)


def test_a_card_that_works_is_used(machine_with_a_card, caplog):
    with Card():
        assert choose_device().type == choose_device("cuda").type == "cuda"
    assert not caplog.messages


def test_the_report_is_of_the_device_that_would_be_used(machine_with_a_card):
    with Card(NO_KERNEL):
        assert device_report().startswith("Device:    cpu")


def test_the_command_line_says_it_too(machine_with_a_card, saved, dress, tmp_path, capsys):
    arguments = [str(dress), str(tmp_path / "dress.mp4"), "--model", str(saved), "--device", "cuda"]
    with Card(room=5):
        assert main(arguments) == 2
    said = capsys.readouterr().err
    assert "memory of the device cuda" in said and said.count("\n") == 1
    assert not list(tmp_path.iterdir())
