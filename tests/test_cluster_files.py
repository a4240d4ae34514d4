"""What docs/catalogue.md gives people for a cluster: the files are what KubeRay, Slurm and Ray ask for, and run our command rightly."""

import re
import shlex
import subprocess

import pytest
import yaml
from packaging.requirements import Requirement

from fashionflow import catalogue

from .test_repository import ROOT


CLUSTER = ROOT / "docs" / "cluster"
RAY = (ROOT / "requirements-ray.txt").read_text().splitlines()[-1]


def our_arguments(command: str) -> list[str]:
    return shlex.split(command.partition("-m fashionflow.catalogue")[2])


def test_kuberay_gets_what_a_rayjob_needs():
    job = yaml.safe_load((CLUSTER / "catalogue.yaml").read_text())
    assert (job["apiVersion"], job["kind"]) == ("ray.io/v1", "RayJob") and re.fullmatch(
        "[a-z0-9-]+", job["metadata"]["name"]
    )
    fields = {"entrypoint", "shutdownAfterJobFinishes", "ttlSecondsAfterFinished", "backoffLimit", "rayClusterSpec"}
    assert set(job["spec"]) == fields and job["spec"]["shutdownAfterJobFinishes"] is True
    cluster = job["spec"]["rayClusterSpec"]
    assert set(cluster) == {"rayVersion", "headGroupSpec", "workerGroupSpecs"}
    assert f"ray=={cluster['rayVersion']}" in (ROOT / "constraints.txt").read_text().splitlines()
    (group,) = cluster["workerGroupSpecs"]
    assert set(group) == {"groupName", "replicas", "minReplicas", "maxReplicas", "rayStartParams", "template"}
    for part in (cluster["headGroupSpec"], group):
        assert all(isinstance(value, str) for value in part["rayStartParams"].values())
        (container,) = part["template"]["spec"]["containers"]
        assert {"name", "image", "resources"} <= set(container)
        assert {"name": "RAY_USAGE_STATS_ENABLED", "value": "0"} in container["env"]
        assert container["resources"]["requests"] == container["resources"]["limits"]
    arguments = catalogue.make_parser().parse_args(our_arguments(job["spec"]["entrypoint"]))
    assert arguments.ray == "auto"  # the job runs on a machine of the cluster
    cards = int(group["template"]["spec"]["containers"][0]["resources"]["limits"]["nvidia.com/gpu"])
    assert arguments.workers == cards * group["replicas"]


def test_slurm_gets_a_script_of_bash_and_ray_the_options_that_it_has():
    script = CLUSTER / "catalogue.sbatch"
    subprocess.run(["bash", "-n", str(script)], check=True)
    text = script.read_text()
    lines = text.splitlines()
    last = max(number for number, line in enumerate(lines) if line.startswith("#SBATCH"))
    assert all(line.startswith("#") for line in lines[:last])  # Slurm reads no option after the first command
    assert re.search(r"^#SBATCH --ntasks-per-node=1$", text, re.MULTILINE)
    arguments = our_arguments(text.split("-- \\\n")[1])
    assert catalogue.make_parser().parse_args(arguments).ray == "auto"
    options = set(re.findall(r"(--[\w-]+)", text.partition("symmetric-run")[2].partition("-- \\\n")[0]))
    scripts = pytest.importorskip("ray.scripts.symmetric_run", reason="Ray is not installed.")
    start = pytest.importorskip("ray.scripts.scripts")
    known = {
        name for command in (scripts.symmetric_run, start.start) for option in command.params for name in option.opts
    }
    assert {"--address", "--min-nodes", "--num-gpus"} <= options <= known


def test_the_image_copies_what_is_there_and_the_extra_is_the_list():
    text = (CLUSTER / "Dockerfile").read_text()
    (copied,) = re.findall(r"^COPY --chown=user (.+) \./$", text, re.MULTILINE)
    needed = re.findall(r"--(?:constraint|requirement) (\S+)", text)
    assert sorted(copied.split()) == sorted(needed)
    for source in needed:
        assert (ROOT / source).is_file() and f"!{source}" in (ROOT / ".dockerignore").read_text().split()
    assert Requirement(RAY).name == "ray" and f'ray = ["{RAY}"]' in (ROOT / "pyproject.toml").read_text()
