"""Convolutions with fewer multiplications give what PyTorch's give, and run where they should and nowhere else."""

import pytest
import torch
import torch.nn.functional as F

from fashionflow.models import winograd
from fashionflow.models.layers import GroupNormSiLU, PseudoConv3d
from fashionflow.runtime.acceleration import PLAIN, Switches, prepare


def error(result: torch.Tensor, expected: torch.Tensor) -> float:
    """The root of the mean squared difference, relative to that of what is expected."""
    return ((result.double() - expected).norm() / expected.norm()).item()


@pytest.mark.parametrize(("pictures", "height", "width"), [(1, 4, 4), (3, 10, 7), (2, 1, 9), (5, 8, 13)])
@pytest.mark.parametrize("numbers_at_once", [1, 2**23])
def test_pictures_are_convolved_as_by_pytorch(monkeypatch, pictures, height, width, numbers_at_once):
    monkeypatch.setattr(winograd, "NUMBERS_AT_ONCE", numbers_at_once)
    conv = torch.nn.Conv2d(6, 5, 3, padding=1).requires_grad_(False).to(memory_format=torch.channels_last)
    features = torch.randn(pictures, height, width, 6)
    expected = F.conv2d(features.permute(0, 3, 1, 2).double(), conv.weight.double(), conv.bias.double(), padding=1)
    result = winograd.conv_space(features, conv.weight, conv.bias)
    assert error(result, expected.permute(0, 2, 3, 1)) < 3e-6


@pytest.mark.parametrize("frames", [1, 2, 4, 5, 8, 11])
def test_frames_are_convolved_as_by_pytorch(frames):
    conv = torch.nn.Conv2d(6, 5, (3, 1), padding=(1, 0)).requires_grad_(False)
    features = torch.randn(2, frames, 7, 6)
    expected = F.conv2d(
        features.permute(0, 3, 1, 2).double(), conv.weight.double(), conv.bias.double(), padding=(1, 0)
    )
    result = winograd.conv_time(features, conv.weight, conv.bias)
    assert error(result, expected.permute(0, 2, 3, 1)) < 3e-6


@pytest.fixture
def used(winograd_used, monkeypatch) -> list[str]:
    """The same for layers of any width."""
    monkeypatch.setattr(winograd, "FEWEST_PAIRS", 1)
    return winograd_used


@torch.no_grad()
def test_the_switch_gives_the_same_layer(used):
    layer = prepare(PseudoConv3d(4, 6), PLAIN)
    torch.nn.init.normal_(layer.temporal.weight)
    features = torch.randn(2, 5, 6, 8, 4)
    expected = layer(features)
    assert used == []
    result = prepare(layer, Switches(number_format="float32"))(features)
    assert used == ["conv_space", "conv_time"]
    assert error(result, expected.double()) < 3e-6


def test_it_is_left_alone_where_it_would_not_pay_or_not_learn(used):
    layer = prepare(PseudoConv3d(4, 6), Switches(number_format="float32"))
    features = torch.randn(1, 2, 4, 4, 4)
    layer(features).sum().backward()
    assert layer.spatial.weight.grad is not None
    with torch.no_grad():
        layer.to(torch.bfloat16)(features.bfloat16())
        stem = prepare(PseudoConv3d(4, 6, kernel_size=7, temporal_kernel_size=5), Switches(number_format="float32"))
        stem(features)
    assert used == []


def test_narrow_layers_and_few_tiles_do_not_pay():
    features = torch.empty(70, 20, 16, 256)
    with torch.no_grad():
        wide, narrow = (torch.nn.Conv2d(256, channels, 3, padding=1) for channels in (256, 64))
        assert winograd.pays_in_space(wide, features)
        assert not winograd.pays_in_space(narrow, features)
        assert not winograd.pays_in_space(wide, features[:2])


@pytest.mark.parametrize("per_frame", [False, True])
@pytest.mark.parametrize("size", [(2, 10, 40, 30), (1, 3, 80, 64), (1, 24, 5, 4)])
@torch.no_grad()
def test_the_norm_in_parts_is_exact(size, per_frame):
    batch, frames = size[:2]
    norm = GroupNormSiLU(4, 8)
    norm.weight.normal_()
    norm.bias.normal_()
    features = 5 + torch.randn(*size, 8) * torch.linspace(0.5, 2, frames)[:, None, None, None]
    scale, shift = torch.randn(2, batch, frames if per_frame else 1, 1, 1, 8)
    expected = F.group_norm(
        features.permute(0, 4, 1, 2, 3).double(), 4, norm.weight.double(), norm.bias.double(), norm.eps
    ).permute(0, 2, 3, 4, 1)
    assert error(norm(features.clone()), F.silu(expected)) < 3e-6
    assert error(norm(features.clone(), scale, shift), F.silu(expected * (scale.double() + 1) + shift)) < 3e-6


def test_the_norm_learns_and_leaves_its_input_alone_then():
    norm = GroupNormSiLU(2, 4)
    features = torch.randn(1, 3, 4, 4, 4, requires_grad=True)
    with torch.no_grad():
        in_parts = norm(features.detach().clone())
    result = norm(features)
    result.sum().backward()
    assert features.grad is not None and norm.weight.grad is not None
    torch.testing.assert_close(result, in_parts, atol=1e-5, rtol=1e-5)
