"""The columns of the table: the ways in which the code is run."""

from collections.abc import Iterable
from dataclasses import dataclass, fields, replace

import torch

from fashionflow.runtime.acceleration import PLAIN, Switches, number_format
from fashionflow.runtime.loading import choose_device

from .rows import ALL, FORMATS, TWO, Row


BASELINE, DEFAULT, PLAIN_COLUMN, EVERYTHING = "baseline", "default", "all-off", "all-on"
QUICK = (BASELINE, DEFAULT, PLAIN_COLUMN)


@dataclass(frozen=True)
class Column:
    """One column of the table.

    Args:
        name: its name for `--columns`.
        title: its title in the table.
        switches: the way in which our own code is run; `PLAIN` for the baseline, which is not our own code.
        has_all: whether it has every row; otherwise only those of `rows.ALL`.
    """

    name: str
    title: str
    switches: Switches
    has_all: bool = False

    def has(self, row: Row) -> bool:
        """Whether the row is measured in this column."""
        wanted = {ALL: True, FORMATS: self.has_all, TWO: self.name in (BASELINE, DEFAULT)}
        return wanted.get(row.columns, self.name == DEFAULT)


def short_format(device: torch.device) -> str:
    """The 16-bit number format that is usual on the device."""
    return "bfloat16" if device.type == "cpu" else "float16"


def columns_of(device: torch.device) -> dict[str, Column]:
    """Every column that can be measured on the device, by name; the slowest columns come last. Two columns that would be run in the same
    way become one."""
    short, on_off = short_format(device), [field.name for field in fields(Switches) if field.name != "number_format"]
    default = replace(Switches(), number_format=str(number_format(device)).removeprefix("torch."))
    alone = {name: replace(PLAIN, **{name: True}) for name in on_off}
    if device.type != "cuda":
        del alone["xformers"], alone["cuda_graphs"]
    ours = [
        Column(DEFAULT, f"ours ({default.number_format})", default, has_all=True),
        Column("float32", "ours in float32", replace(default, number_format="float32"), has_all=True),
        Column(short, f"ours in {short}", replace(default, number_format=short), has_all=True),
        Column(PLAIN_COLUMN, "ours, all off", PLAIN),
        Column(f"only-{short}", f"only {short}", replace(PLAIN, number_format=short)),
        *(
            Column(f"only-{name}".replace("_", "-"), f"only {name}".replace("_", " "), switches)
            for name, switches in sorted(alone.items(), key=lambda item: item[0] == "compile")
        ),
        Column(
            EVERYTHING, "ours, all on", Switches(short, **dict.fromkeys(on_off, True)), has_all=device.type == "cuda"
        ),
    ]
    different = {}
    for column in ours:
        different.setdefault(column.switches, column)
    return {column.name: column for column in (Column(BASELINE, "baseline", PLAIN, has_all=True), *different.values())}


def choose_columns(names: Iterable[str] | None, quick: bool, device: str | None) -> list[Column]:
    """The columns of these names, in the order of the table; without names all of them, or those of `--quick`.

    Raises:
        ValueError: if there is no such column on the device, or no such device.
    """
    columns = columns_of(choose_device(device))
    wanted = names or (QUICK if quick else columns)
    for name in wanted:
        if name not in columns:
            raise ValueError(f"There is no column {name!r} on this device; choose from {', '.join(columns)}.")
    return [column for column in columns.values() if column.name in wanted]
