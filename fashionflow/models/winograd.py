"""Convolutions with fewer multiplications: Winograd's, F(4, 3) (Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks",
arXiv 1509.09308, section 4).

Shape letters used in this file:
    N pictures, or clips   F frames   P pixels of a frame   H, W height and width   I, O channels in and out
    A, B positions inside a tile along an axis, 6 each   h, w tiles along height and width, 4 outputs each

A kernel of 3 makes 4 neighbouring outputs from 6 inputs with 12 products for each pair of channels. Transformed, 6 products suffice,
so a 3 x 3 kernel needs 36 instead of 144. The transforms along an axis are one matrix each, zeros at the border included, so all work
is in matrix products, and features stay as they lie, channels last.
"""

from functools import lru_cache
from math import ceil

import torch
import torch.nn.functional as F


OUTPUTS = 4
"""Outputs of a tile along an axis."""

TO_INPUTS = (
    (4, 0, -5, 0, 1, 0),
    (0, -4, -4, 1, 1, 0),
    (0, 4, -4, -1, 1, 0),
    (0, -2, -1, 2, 1, 0),
    (0, 2, -1, -2, 1, 0),
    (0, 4, 0, -5, 0, 1),
)
TO_KERNEL = (
    (1 / 4, 0, 0),
    (-1 / 6, -1 / 6, -1 / 6),
    (-1 / 6, 1 / 6, -1 / 6),
    (1 / 24, 1 / 12, 1 / 6),
    (1 / 24, -1 / 12, 1 / 6),
    (0, 0, 1),
)
FROM_PRODUCTS = ((1, 1, 1, 1, 1, 0), (0, 1, -1, 2, -2, 0), (0, 1, 1, 4, 4, 0), (0, 1, -1, 8, -8, 1))

FEWEST_PAIRS = 2**15
"""Channels in times channels out; with fewer, the transforms cost more than they save."""
FEWEST_TILES = 256
"""With fewer, the transform of the kernel does."""
NUMBERS_AT_ONCE = 2**23
"""In the transformed features of one part of the pictures, so that it stays near the processor's caches."""


def pays_in_space(conv: torch.nn.Conv2d, hidden_states: torch.Tensor) -> bool:
    """Whether `conv_space` is faster than a convolution of pictures, [N, H, W, I]."""
    pictures, height, width, _ = hidden_states.shape
    return conv.kernel_size == (3, 3) and _pays(conv, hidden_states, pictures * tiles(height) * tiles(width))


def pays_in_time(conv: torch.nn.Conv2d, hidden_states: torch.Tensor) -> bool:
    """Whether `conv_time` is faster than a convolution over the frames of clips, [N, F, P, I]."""
    _, frames, pixels, _ = hidden_states.shape
    return conv.kernel_size == (3, 1) and _pays(conv, hidden_states, tiles(frames) * pixels)


def _pays(conv: torch.nn.Conv2d, hidden_states: torch.Tensor, number: int) -> bool:
    """In float32 on a processor, where nobody wants gradients, with channels and tiles (their `number`) enough."""
    return (
        conv.in_channels * conv.out_channels >= FEWEST_PAIRS
        and number >= FEWEST_TILES
        and hidden_states.dtype == conv.weight.dtype == torch.float32
        and not torch.is_autocast_enabled("cpu")
        and hidden_states.device.type == "cpu"
        and not torch.is_grad_enabled()
        and not torch.compiler.is_compiling()
    )


def tiles(size: int) -> int:
    """How many tiles cover `size` outputs."""
    return ceil(size / OUTPUTS)


def conv_space(hidden_states: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    """A 3 x 3 convolution of every picture, zeros around it.

    Args:
        hidden_states: [N, H, W, I].
        weight: [O, I, 3, 3].
        bias: [O].

    Returns:
        [N, H, W, O].
    """
    pictures, height, width, _ = hidden_states.shape
    out_channels, in_channels = weight.shape[:2]
    down, right = tiles(height), tiles(width)
    to_rows, from_rows = _transforms(height)
    to_columns, from_columns = _transforms(width)
    kernel = _matrix(TO_KERNEL)
    kernel = torch.kron(kernel, kernel) @ weight.permute(2, 3, 0, 1).flatten(2).flatten(0, 1)  # [A*B, O*I]
    kernel = kernel.view(36 * out_channels, in_channels, 1, 1)
    output = hidden_states.new_empty(pictures, height, width, out_channels)
    at_once = max(1, NUMBERS_AT_ONCE // (36 * down * right * in_channels))
    for part, result in zip(hidden_states.split(at_once), output.split(at_once), strict=True):
        part = to_columns @ part  # [N, H, B*w, I]
        part = to_rows @ part.flatten(2)  # [N, A*h, B*w*I]
        part = part.view(-1, 6, down, 6, right, in_channels).permute(0, 2, 4, 1, 3, 5)  # [N, h, w, A, B, I]
        part = part.reshape(1, -1, 1, 36 * in_channels).permute(0, 3, 1, 2)  # [1, A*B*I, N*h*w, 1]
        # The 36 matrix products as one convolution in groups, whose kernels are faster than those of `torch.bmm`.
        part = F.conv2d(part, kernel, groups=36).permute(0, 2, 3, 1)  # [1, N*h*w, 1, A*B*O]
        part = part.reshape(-1, down, right, 6, 6, out_channels).permute(0, 3, 1, 4, 2, 5)  # [N, A, h, B, w, O]
        part = part.reshape(-1, 6 * down, 6 * right * out_channels)
        part = from_rows @ part  # [N, H, B*w*O]
        torch.add(from_columns @ part.unflatten(2, (-1, out_channels)), bias, out=result)  # [N, H, W, O]
    return output


def conv_time(hidden_states: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    """A convolution of 3 frames at each pixel, zeros before and behind the clip.

    Args:
        hidden_states: [N, F, P, I].
        weight: [O, I, 3, 1].
        bias: [O].

    Returns:
        [N, F, P, O].
    """
    clips, frames, pixels, in_channels = hidden_states.shape
    out_channels = weight.shape[0]
    kernel = _matrix(TO_KERNEL) @ weight.permute(2, 3, 0, 1).flatten(1)  # [A, O*I]
    kernel = kernel.view(6, out_channels, in_channels).transpose(1, 2)  # [A, I, O]
    output = hidden_states.new_empty(clips, frames, pixels, out_channels)
    for clip, result in zip(hidden_states, output, strict=True):
        for start in range(0, frames, OUTPUTS):  # one tile at a time stays in the processor's caches
            made = result[start : start + OUTPUTS]
            before, behind = min(start, 1), min(frames - start - len(made), 1)
            to_tile, from_tile = _transforms(len(made), before, behind)
            part = to_tile @ clip[start - before : start + len(made) + behind].flatten(1)  # [A, P*I]
            part = torch.bmm(part.view(6, pixels, in_channels), kernel)  # [A, P, O]
            torch.mm(from_tile, part.flatten(1), out=made.flatten(1))  # [up to 4 frames, P*O]
            made.add_(bias)
    return output


@lru_cache(maxsize=64)
def _transforms(size: int, before: int = 0, behind: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """The matrices along one axis: from inputs to positions in tiles, [A*t, before + size + behind], and from their products to
    outputs, [size, A*t]. `before` and `behind` say whether there is one more input on that side, rather than a zero."""
    number = tiles(size)
    to_tiles = torch.zeros(6, number, OUTPUTS * number + 2)
    from_tiles = torch.zeros(OUTPUTS * number, 6, number)
    for tile in range(number):
        first = OUTPUTS * tile
        to_tiles[:, tile, first : first + 6] = _matrix(TO_INPUTS)
        from_tiles[first : first + OUTPUTS, :, tile] = _matrix(FROM_PRODUCTS)
    to_tiles = to_tiles[:, :, 1 - before : size + 1 + behind]
    return to_tiles.flatten(0, 1).contiguous(), from_tiles[:size].flatten(1).contiguous()


@lru_cache
def _matrix(rows: tuple[tuple[float, ...], ...]) -> torch.Tensor:
    return torch.tensor(rows, dtype=torch.float32)
