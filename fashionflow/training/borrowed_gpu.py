"""Trains on a GPU that is available for minutes only: continues from earlier weights, trains, evaluates, and writes small files to take
home.

    python -m fashionflow.training.borrowed_gpu --latents packed --start assets/models/fashionflow-mini --out OUT --time_limit 8

Takes every flag of `fashionflow.training.denoiser`. `--latents` may be a pack (`fashionflow.training.pack`). `--start` is a pipeline
folder, or the OUT of an earlier visit, whose step count and learning rate are continued. Latents with guides need `--geometry`, the
folder of the network that made the guides, unless `--start` has one. `--run` (runs/borrowed by default) is the working folder: a second
call on the same machine finds its checkpoint there and continues exactly. OUT receives a few small files:

    pipeline.tar.00, .01 ...   the pipeline in half precision, in parts under 10 MB: cat OUT/pipeline.tar.* | tar x
    report.json                step, time, losses and held-out errors
    samples.png                true and sampled frames of held-out clips

The machine needs torch, transformers, accelerate, safetensors, Pillow and tqdm. If diffusers is missing and nothing can be downloaded
there, bring its wheel:

    pip download --no-deps --dest wheels diffusers importlib_metadata zipp             (at home)
    pip install --no-index --no-deps --target site wheels/*.whl; export PYTHONPATH=site     (there)
"""

import io
import json
import shutil
import sys
import tarfile
from dataclasses import asdict, replace
from pathlib import Path

from ..evaluation.files import write_whole
from . import denoiser
from .export import export
from .recipes import DenoiserConfig, parse_config


PART_BYTES = 9_500_000
PARTS = "pipeline.tar."


def write_parts(folder: Path, out: Path, part_bytes: int = PART_BYTES) -> list[Path]:
    """Writes a folder as a tar archive called `pipeline`, split into parts of at most `part_bytes` bytes. Older parts are removed."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        tar.add(folder, arcname="pipeline")
    data = archive.getvalue()
    parts = [data[start : start + part_bytes] for start in range(0, len(data), part_bytes)]
    paths = [out / f"{PARTS}{index:02}" for index in range(len(parts))]
    fresh = [path.with_name(f"new.{path.name}") for path in paths]
    try:
        for path, part in zip(fresh, parts, strict=True):
            path.write_bytes(part)
    except OSError:  # such as a full disk; the previous parts are kept
        for path in fresh:
            path.unlink(missing_ok=True)
        raise
    for old in out.glob(f"{PARTS}*"):
        old.unlink()
    return [path.rename(target) for path, target in zip(fresh, paths, strict=True)]


def join_parts(out: Path, folder: Path) -> None:
    """Reverses `write_parts`. The pipeline is then in `folder` / pipeline.

    Raises:
        ValueError: if a part is missing or damaged.
    """
    data = b"".join(part.read_bytes() for part in sorted(out.glob(f"{PARTS}*")))
    shutil.rmtree(folder, ignore_errors=True)
    try:
        with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as tar:
            tar.extractall(folder, filter="data")
    except tarfile.TarError as error:
        raise ValueError(
            f"The parts in {str(out)!r} are damaged, or one is missing ({error}); copy them again."
        ) from error


def read_report(run: Path, step: int, config: DenoiserConfig) -> dict:
    """A summary of the `log.jsonl` of a run."""
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    scores = [line for line in lines if any(name.startswith("held_out") for name in line)]
    return {
        "step": step,
        "seconds": lines[-1]["seconds"],
        "held_out": scores[-1],
        "losses": [[line["step"], line["loss"]] for line in lines if "loss" in line],
        "settings": asdict(config),
    }


def visit(config: DenoiserConfig, run: Path) -> dict:
    """Trains in `run` until the steps are done or the time limit ends it, and writes the results to `config.out`.

    Returns:
        the report.
    """
    out = Path(config.out)
    out.mkdir(parents=True, exist_ok=True)  # a failure must come before minutes are spent
    denoiser.main(replace(config, out=str(run)))
    step = json.loads((run / "log.jsonl").read_text(encoding="utf-8").splitlines()[-1])["step"]
    export(run / "pipeline", run / "half")
    write_parts(run / "half", out)
    shutil.copy(run / "samples.png", out)
    report = read_report(run, step, config)
    write_whole(out / "report.json", json.dumps(report, indent=1))
    return report


def main(argv: list[str] | None = None) -> None:
    argv = list(sys.argv[1:] if argv is None else argv)
    if not argv or "-h" in argv or "--help" in argv:
        print(__doc__)
        return
    run = Path("runs/borrowed")
    if "--run" in argv:
        position = argv.index("--run")
        if position + 1 == len(argv):
            sys.exit("`--run` must be followed by a folder.")
        run = Path(argv[position + 1])
        del argv[position : position + 2]
    try:
        report = visit(parse_config(unpack_start(argv, run)), run)
    except (ValueError, OSError) as error:
        sys.exit(str(error))
    print(json.dumps({name: report[name] for name in ("step", "seconds", "held_out")}))


def unpack_start(argv: list[str], run: Path) -> list[str]:
    """If `--start` is an earlier visit's OUT, unpacks it, and returns the flags with its pipeline folder and its step count."""
    if "--start" not in argv[:-1]:
        return argv
    position = argv.index("--start") + 1
    earlier = Path(argv[position])
    if not (earlier / "report.json").is_file():
        return argv
    join_parts(earlier, run / "start")
    step = json.loads((earlier / "report.json").read_text(encoding="utf-8"))["step"]
    return [*argv[:position], str(run / "start" / "pipeline"), *argv[position + 1 :], "--first_step", str(step)]


if __name__ == "__main__":
    main()
