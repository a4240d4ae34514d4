"""Small plots as SVG text, which a page can contain without any other file or program."""

import math
from collections.abc import Sequence
from html import escape

import numpy as np


COLOURS = {"model": "#c2185b", "still": "#8a8a8a", "autoencoder": "#1976d2", "truth": "#2e7d32"}
WIDTH, HEIGHT = 460, 250
LEFT, RIGHT, TOP, BOTTOM = 52, 14, 14, 38


def curves(series: dict[str, np.ndarray], across: str, up: str) -> str:
    """One line per column: the median over clips at each frame, with a band that holds the middle half of the clips.

    Args:
        series: by column, [clips, F]; NaN where a clip has no value.
        across, up: the titles of the axes.
    """
    # Frames without a value in any clip are left out, and the others keep their place.
    known = {column: np.flatnonzero(np.isfinite(values).any(axis=0)) for column, values in series.items()}
    known = {column: frames for column, frames in known.items() if len(frames)}
    if not known:
        return ""
    bands = {column: np.nanpercentile(series[column][:, known[column]], (25, 50, 75), axis=0) for column in known}
    highest = max(float(band.max()) for band in bands.values()) * 1.05 or 1.0
    longest = max(1, *(int(frames[-1]) for frames in known.values()))
    x, y = _scale(0, longest, LEFT, WIDTH - RIGHT), _scale(0, highest, HEIGHT - BOTTOM, TOP)
    parts = [_axes(0, longest, 0, highest, across, up)]
    for column, (low, middle, high) in bands.items():
        colour, frames = COLOURS[column], known[column]
        outline = _points(np.concatenate([frames, frames[::-1]]), np.concatenate([high, low[::-1]]), x, y)
        parts.append(f'<polygon points="{outline}" fill="{colour}" opacity="0.13"/>')
        parts.append(
            f'<polyline points="{_points(frames, middle, x, y)}" fill="none" stroke="{colour}" stroke-width="2"/>'
        )
    return _picture(parts)


def dots(series: dict[str, np.ndarray], labels: dict[str, str], along: str) -> str:
    """One dot per clip, one line of dots per column, and a bar at the median.

    Args:
        series: by column, [clips], all numbers.
        labels: the names of the columns.
        along: the title of the axis.
    """
    series = {column: values for column, values in series.items() if len(values)}
    if not series:
        return ""
    lowest, highest = min(0.0, *(values.min() for values in series.values())), max(v.max() for v in series.values())
    highest = highest if highest > lowest else lowest + 1.0
    left, height = LEFT + 50, TOP + BOTTOM + 44 * len(series)
    x = _scale(lowest, highest, left, WIDTH - RIGHT)
    parts = [_ticks_across(lowest, highest, x, height, along)]
    jitter = np.random.default_rng(0).uniform(-12, 12, max(len(values) for values in series.values()))
    for line, (column, values) in enumerate(series.items()):
        middle, colour = TOP + 22 + 44 * line, COLOURS[column]
        parts.append(f'<text x="{left - 8}" y="{middle + 4}" text-anchor="end">{escape(labels[column])}</text>')
        parts += [
            f'<circle cx="{x(value):.1f}" cy="{middle + shift:.1f}" r="3" fill="{colour}" opacity="0.5"/>'
            for value, shift in zip(values, jitter, strict=False)
        ]
        at = x(np.median(values))
        parts.append(f'<path d="M{at:.1f} {middle - 16}v32" stroke="{colour}" stroke-width="3"/>')
    return _picture(parts, height)


def scatter(series: dict[str, tuple[np.ndarray, np.ndarray]], across: str, up: str) -> str:
    """Points in one colour per column, with the line on which both axes are equal.

    Args:
        series: by column, the points' two coordinates, [N] each.
        across, up: the titles of the axes.
    """
    values = np.concatenate([np.concatenate(points) for points in series.values()]) if series else np.empty(0)
    if not len(values):
        return ""
    low, high = float(values.min()), float(max(values.max(), values.min() + 1))
    x, y = _scale(low, high, LEFT, WIDTH - RIGHT), _scale(low, high, HEIGHT - BOTTOM, TOP)
    parts = [_axes(low, high, low, high, across, up)]
    parts.append(f'<path d="M{x(low)} {y(low)}L{x(high)} {y(high)}" stroke="#999" stroke-dasharray="4 4"/>')
    for column, points in series.items():
        parts += [
            f'<circle cx="{x(first):.1f}" cy="{y(second):.1f}" r="1.8" fill="{COLOURS[column]}" opacity="0.45"/>'
            for first, second in zip(*points, strict=True)
        ]
    return _picture(parts)


def legend(labels: dict[str, str]) -> str:
    """The legend of the colours."""
    return " ".join(
        f'<span style="color:{COLOURS[column]}">● {escape(name)}</span>' for column, name in labels.items()
    )


def _scale(low: float, high: float, start: float, end: float):
    return lambda value: start + (end - start) * (float(value) - low) / ((high - low) or 1.0)


def _points(first: Sequence[float], second: Sequence[float], x, y) -> str:
    return " ".join(f"{x(a):.1f},{y(b):.1f}" for a, b in zip(first, second, strict=True))


def _axes(left: float, right: float, low: float, high: float, across: str, up: str) -> str:
    y = _scale(low, high, HEIGHT - BOTTOM, TOP)
    parts = [_ticks_across(left, right, _scale(left, right, LEFT, WIDTH - RIGHT), HEIGHT, across)]
    for value in _ticks(low, high):
        parts.append(f'<path d="M{LEFT} {y(value):.1f}H{WIDTH - RIGHT}" stroke="#ddd"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{y(value) + 4:.1f}" text-anchor="end">{value:.3g}</text>')
    parts.append(f'<text transform="translate(11 {HEIGHT // 2}) rotate(-90)" text-anchor="middle">{escape(up)}</text>')
    return "".join(parts)


def _ticks_across(low: float, high: float, x, height: int, title: str) -> str:
    parts = [
        f'<text x="{x(value):.1f}" y="{height - BOTTOM + 15}" text-anchor="middle">{value:.3g}</text>'
        for value in _ticks(low, high)
    ]
    parts.append(f'<text x="{(LEFT + WIDTH) // 2}" y="{height - 5}" text-anchor="middle">{escape(title)}</text>')
    return "".join(parts)


def _ticks(low: float, high: float) -> np.ndarray:
    """Round numbers between two others, three to seven of them."""
    rough = (high - low) / 5
    size = 10 ** math.floor(math.log10(rough))
    step = next(factor * size for factor in (1, 2, 2.5, 5, 10) if factor * size >= rough)
    return np.arange(math.ceil(low / step), math.floor(high / step) + 1) * step


def _picture(parts: Sequence[str], height: int = HEIGHT) -> str:
    return f'<svg viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" role="img">{"".join(parts)}</svg>'
