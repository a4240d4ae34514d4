"""compose.yaml and the Makefile's GPU check fit the image and the programs that they start."""

import re

import pytest
import yaml

from benchmarks.columns import choose_columns
from benchmarks.rows import choose_rows

from .test_repository import ROOT


@pytest.fixture(scope="module")
def services() -> dict:
    return yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]


def test_the_services_differ_only_in_the_gpu(services):
    page, processor = services["page"], services["page-on-processor"]
    (device,) = page["deploy"]["resources"]["reservations"]["devices"]
    assert device["driver"] == "nvidia" and device["capabilities"] == ["gpu"]
    assert processor["deploy"] == {} and processor["profiles"]
    assert {key: processor[key] for key in page if key != "deploy"} == {
        key: page[key] for key in page if key != "deploy"
    }


def test_the_ports_and_writable_folders_are_those_of_the_image(services):
    page, dockerfile = services["page"], (ROOT / "Dockerfile").read_text()
    home = re.search(r"HOME=(\S+)", dockerfile)[1]
    (volume,) = page["volumes"]
    name, folder = volume.split(":")
    # A new volume has the owner and the rights of the image's folder, so it must be there.
    assert folder == f"{home}/.cache/huggingface" and re.search(rf"mkdir --parents .*{folder}", dockerfile)
    assert name in yaml.safe_load((ROOT / "compose.yaml").read_text())["volumes"]
    assert page["ports"] == [f"{port}:{port}" for port in re.findall(r"^EXPOSE (\d+)", dockerfile, re.MULTILINE)]
    assert page["read_only"] and page["tmpfs"] == ["/tmp:mode=1777"]


def test_the_gpu_check_names_rows_and_columns_that_there_are():
    recipe = re.search(r"^gpu-check:.*?\n\n", (ROOT / "Makefile").read_text(), re.MULTILINE | re.DOTALL)[0]
    rows = choose_rows(re.search(r"--rows ([a-z -]+?) &&", recipe)[1].split(), quick=True)
    assert len(choose_columns(re.search(r"--columns ([a-z ]+)", recipe)[1].split(), quick=True, device="cpu")) == 2
    assert any(row.needs_gpu for row in rows) and "-m gpu" in recipe
