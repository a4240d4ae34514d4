"""The rows of the table: the things that are measured."""

from dataclasses import dataclass


FULL_SIZE = "640 x 512 x 70"
FRAME_COUNTS = (10, 24, 70, 140, 280)
CLIP_FRAME_COUNTS = (10, 24, 70, 280)
SIDE_FACTORS = (1, 2, 3, 4)
BATCHES = (1, 2, 4)
DECODED_TOGETHER = (1, 4, 16)
VISITORS = (1, 2, 4, 8)

SECONDS, MEGABYTES = "s", "MB"

ALL, FORMATS, TWO, DEFAULT = "all", "formats", "two", "default"
"""The columns in which a row is measured. `ALL`: all columns. `FORMATS`: baseline, default, and the columns that differ from default in
the number format. `TWO`: baseline and default. `DEFAULT`: default."""


@dataclass(frozen=True)
class Row:
    """One row of the table.

    Args:
        name: its name for `--rows`.
        title: its title in the table.
        group: rows of one group are measured one after another in one process, and `--rows` takes the group's name too.
        columns: `ALL`, `FORMATS`, `TWO` or `DEFAULT`.
        unit: `SECONDS` or `MEGABYTES`.
        quick: whether `--quick` measures it.
        needs_gpu: whether it is left out without a CUDA GPU.
        curve: the quantity that grows, its axis, and the place of this row on the axis; `None` for a row that belongs to no curve.
    """

    name: str
    title: str
    group: str
    columns: str = ALL
    unit: str = SECONDS
    quick: bool = False
    needs_gpu: bool = False
    curve: tuple[str, str, float] | None = None


ROWS = {
    row.name: row
    for row in (
        Row("step-full", f"U-Net step, {FULL_SIZE}", "full"),
        Row("memory-full", f"peak memory of a step, {FULL_SIZE}", "full", unit=MEGABYTES),
        Row("step", "U-Net step, shipped size", "parts", quick=True),
        Row("encode", "encode the photo", "parts", quick=True),
        Row("decode", "decode a frame", "parts", quick=True),
        Row("preview", "first preview", "clip", quick=True),
        Row("segment", "first streamed segment", "clip", quick=True),
        Row("clip", "finished clip", "clip", quick=True),
        Row("memory", "peak memory of a clip", "memory", unit=MEGABYTES, quick=True),
        Row("start-page", "start of the page to ready", "start", DEFAULT, quick=True),
        Row("start-command", "start of the command line to loaded", "start", DEFAULT, quick=True),
        Row("sd-encode", "SD VAE: encode 640 x 512", "sd", FORMATS),
        Row("sd-decode", "SD VAE: decode a frame of 640 x 512", "sd", FORMATS),
        Row("tiny-decode", "tiny decoder: decode a frame of 640 x 512", "sd", FORMATS),
        Row("preview-full", f"first preview, {FULL_SIZE}", "clip-full", FORMATS, needs_gpu=True),
        Row("clip-full", f"finished clip, {FULL_SIZE}, 20 steps", "clip-full", FORMATS, needs_gpu=True),
        Row(
            "memory-lean",
            f"peak memory of a clip, {FULL_SIZE}, lean",
            "memory-lean",
            FORMATS,
            unit=MEGABYTES,
            needs_gpu=True,
        ),
        *(
            Row(f"frames-{count}", f"U-Net step, {count} frames", "frames", TWO, curve=("U-Net step", "frames", count))
            for count in FRAME_COUNTS
        ),
        *(
            Row(
                f"clip-frames-{count}",
                f"finished clip, {count} frames",
                "clip-frames",
                DEFAULT,
                curve=("finished clip", "frames", count),
            )
            for count in CLIP_FRAME_COUNTS
        ),
        *(
            Row(
                f"size-{factor:g}",
                f"U-Net step, sides x {factor:g}",
                "sizes",
                TWO,
                curve=("U-Net step", "sides, times the shipped ones", factor),
            )
            for factor in SIDE_FACTORS
        ),
        *(
            Row(
                f"batch-{batch}", f"U-Net step, batch of {batch}", "batches", TWO, curve=("U-Net step", "batch", batch)
            )
            for batch in BATCHES
        ),
        *(
            Row(
                f"decode-{count}",
                f"decode {count} frames at once",
                "batches",
                TWO,
                curve=("decode frames at once", "batch", count),
            )
            for count in DECODED_TOGETHER
        ),
        *(
            Row(
                f"visitors-{count}",
                f"{count} visitors at once, until the last clip" if count > 1 else "1 visitor, until the clip",
                "visitors",
                DEFAULT,
                curve=("until the last clip", "visitors", count),
            )
            for count in VISITORS
        ),
    )
}


def choose_rows(names: list[str] | None, quick: bool) -> list[Row]:
    """The rows of these names or groups, in the order of the table; without names all of them, or those of `--quick`.

    Raises:
        ValueError: if there is no such row.
    """
    if names is None:
        return [row for row in ROWS.values() if row.quick or not quick]
    groups = {row.group for row in ROWS.values()}
    for name in names:
        if name not in ROWS and name not in groups:
            raise ValueError(
                f"There is no row {name!r}; choose from {', '.join(ROWS)}, or a group of them: {', '.join(sorted(groups))}."
            )
    return [row for row in ROWS.values() if row.name in names or row.group in names]
