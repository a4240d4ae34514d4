"""The results as a picture: the speed relative to the baseline, and how the times grow."""

from pathlib import Path
from textwrap import fill

from .columns import BASELINE


def write_plot(path: Path, results: dict) -> None:
    """Writes a PNG: bars for every row that the baseline has too, and a panel for every axis along which a time grows.

    Raises:
        ValueError: if matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ValueError("The plot needs matplotlib; install it with: pip install matplotlib") from error
    rows = results["rows"].values()
    axes = list(dict.fromkeys(row["curve"][1] for row in rows if row["curve"] and row["cells"]))
    figure = Figure(figsize=(13, 6 + 4 * ((len(axes) + 1) // 2)), layout="constrained")
    grid = figure.add_gridspec(1 + (len(axes) + 1) // 2, 2, height_ratios=[1.5] + [1] * ((len(axes) + 1) // 2))
    _draw_bars(figure.add_subplot(grid[0, :]), results)
    for index, axis in enumerate(axes):
        _draw_curves(figure.add_subplot(grid[1 + index // 2, index % 2]), results, axis)
    figure.savefig(path, dpi=110)


def _draw_bars(panel, results: dict) -> None:
    rows = [
        row
        for row in results["rows"].values()
        if row["curve"] is None and row["unit"] == "s" and "value" in row["cells"].get(BASELINE, {})
    ]
    columns = [name for name in results["columns"] if name != BASELINE]
    width = 0.8 / max(1, len(columns))
    for index, name in enumerate(columns):
        places = [place - 0.4 + (index + 0.5) * width for place in range(len(rows))]
        heights = [row["cells"].get(name, {}).get("times_baseline", 0) for row in rows]
        panel.bar(places, heights, width, label=results["columns"][name]["title"])
    for place, row in enumerate(rows):
        seconds = row.get("roofline", {}).get("seconds", {})
        for number_format, style in zip(seconds, ("-", ":"), strict=False):
            limit = row["cells"][BASELINE]["value"] / seconds[number_format]
            panel.hlines(
                limit, place - 0.4, place + 0.4, "black", style, label=None if place else f"roofline, {number_format}"
            )
    panel.axhline(1, color="grey", linewidth=0.8)
    panel.set_xticks(range(len(rows)), [fill(row["title"], 16) for row in rows], fontsize=8)
    panel.set_ylabel("times as fast as the baseline")
    if rows:
        panel.legend(fontsize=8, ncols=2)


def _draw_curves(panel, results: dict, axis: str) -> None:
    curves: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for row in results["rows"].values():
        if row["curve"] and row["curve"][1] == axis:
            for name, cell in row["cells"].items():
                if "value" in cell:
                    curves.setdefault((row["curve"][0], name), []).append((row["curve"][2], cell["value"]))
    for (what, name), points in curves.items():
        panel.plot(*zip(*points, strict=True), marker="o", label=f"{what}, {results['columns'][name]['title']}")
    panel.set_xlabel(axis)
    panel.set_ylabel("seconds")
    panel.set_xlim(left=0)
    panel.set_ylim(bottom=0)
    if curves:
        panel.legend(fontsize=8)
