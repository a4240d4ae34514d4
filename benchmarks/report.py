"""The results as a table, for the terminal, a file and the README."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

from .columns import BASELINE, DEFAULT
from .machine import in_words


START, END = "<!-- benchmark -->", "<!-- /benchmark -->"
NOTHING = "–"
BRIEF = (BASELINE, DEFAULT, "float32")
"""The columns of the table in the README."""


def table(results: dict, whole: bool = True) -> str:
    """The results in Markdown: one line per row, one line for its errors if it has some, and a list of failures below.

    Args:
        results: what `run.run` returned.
        whole: whether everything is shown; otherwise only `BRIEF` columns, no errors, and no rows of curves.
    """
    columns = {name: column["title"] for name, column in results["columns"].items() if whole or name in BRIEF}
    head = ["", *columns.values()]
    compares = BASELINE in columns and DEFAULT in columns
    head += ["times as fast"] * compares + ["roofline", "ours / roofline"] * (DEFAULT in columns)
    lines, failures = [head, ["---", *["---:"] * (len(head) - 1)]], []
    for row in results["rows"].values():
        if (row["curve"] is not None or "skipped" in row) and not whole:
            continue
        cells = {name: row["cells"].get(name, {}) for name in columns}
        for name, cell in cells.items():
            if "failed" in cell:
                failures.append(f"{row['title']}, {columns[name]}: {cell['failed']}")
        texts = [_value(cell, row["unit"]) for cell in cells.values()]
        if "skipped" in row:
            texts = [row["skipped"], *[NOTHING] * (len(columns) - 1)]
        lines.append([row["title"], *texts, *_ratios(row, results, compares)])
        if whole and any("error" in cell for cell in cells.values()):
            texts = [_error(cell) for cell in cells.values()]
            lines.append(["· largest error (relative)", *texts, *[NOTHING] * (len(head) - 1 - len(texts))])
    text = "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"
    if failures and whole:
        text += "\n" + "\n".join(f"- {failure}" for failure in failures) + "\n"
    return text


def summary(results: dict) -> str:
    """The machine, its rates and the date, in two sentences."""
    rates = results["rates"]
    products = " and ".join(f"{rate / 1e9:,.0f} in {name}" for name, rate in rates["operations"].items())
    return (
        f"{in_words(results['machine'])}. Matrix products: {products} (thousand million operations a second); "
        f"copying: {rates['bytes'] / 1e9:,.0f} GB/s. Measured in {results['settings']['seconds']} s, "
        f"{results['settings']['date'][:10]}."
    )


def write_results(folder: Path, results: dict) -> None:
    """Writes results.json and table.md."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "results.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    (folder / "table.md").write_text(f"{summary(results)}\n\n{table(results)}", encoding="utf-8")


def write_readme(readme: Path, results: dict, folder: Path) -> None:
    """Replaces the text between the two markers with the summary, the brief table, and the plot.

    Raises:
        ValueError: if the file lacks the markers.
    """
    check_readme(readme)
    before, rest = readme.read_text(encoding="utf-8").split(START)
    after = rest.split(END)[1]
    plot = Path(os.path.relpath(folder / "plot.png", readme.parent))
    picture = f"\n![How fast, and how it grows]({plot.as_posix()})\n" if ".." not in plot.parts else ""
    block = f"{START}\n{summary(results)}\n\n{table(results, whole=False)}{picture}{END}"
    readme.write_text(before + block + after, encoding="utf-8")


def check_readme(readme: Path) -> None:
    """Raises a `ValueError` of one sentence if the table cannot go into the file."""
    text = readme.read_text(encoding="utf-8") if readme.is_file() else ""
    if text.count(START) != 1 or text.count(END) != 1 or text.index(START) > text.index(END):
        raise ValueError(
            f"{str(readme)!r} must have one line {START} and one line {END} below it, where the table goes."
        )


def _ratios(row: dict, results: dict, compares: bool) -> Iterator[str]:
    """The texts to the right of the columns."""
    ours = row["cells"].get(DEFAULT, {})
    if compares:
        yield _number(ours.get("times_baseline") if row["unit"] == "s" else None)
    if DEFAULT in results["columns"]:
        number_format = results["columns"][DEFAULT]["switches"]["number_format"]
        yield _number(row.get("roofline", {}).get("seconds", {}).get(number_format), " s")
        yield _number(ours.get("times_roofline"))


def _value(cell: dict, unit: str) -> str:
    if "failed" in cell:
        return "failed"
    if "value" not in cell:
        return NOTHING
    return _number(cell["value"], f" {unit}") + (f" ({cell['note']})" if "note" in cell else "")


def _error(cell: dict) -> str:
    return f"{cell['error']['largest']:.0e} ({cell['error']['relative']:.0e})" if "error" in cell else NOTHING


def _number(value: float | None, unit: str = "") -> str:
    """A number with three significant digits."""
    if value is None:
        return NOTHING
    return (f"{value:,.0f}" if value >= 100 else f"{value:#.3g}".rstrip(".")) + unit
