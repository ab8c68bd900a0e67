"""How many CPUs there are: it changes the time, not a bit of what comes out."""

import json
import os
import pathlib
import subprocess
import sys

import pytest
from conftest import write_idx_set

from kfp_mnist_mxnet.runtime.cpus import available_cpus

RUN = """
import json, os, pathlib, sys
os.sched_setaffinity(0, json.loads(sys.argv[1]))
from conftest import Artifacts
from kfp_mnist_mxnet.components.predict import predict
root = pathlib.Path(sys.argv[3])
artifacts = Artifacts(root)
data = artifacts.ingest(pathlib.Path(sys.argv[2]))
model = artifacts.train(data, batch_size=64, epochs=2, dropout=0.2)["model"]
artifacts.run(predict, model=model, data=data["test_data"], batch_size=5)
"""


def made_on(cpus: list[int], source: pathlib.Path, root: pathlib.Path) -> dict[str, bytes]:
    """Train and predict with the CPUs of these numbers; return file name to content."""
    command = [sys.executable, "-c", RUN, json.dumps(cpus), str(source), str(root)]
    tests = str(pathlib.Path(__file__).parent)
    subprocess.run(command, check=True, env={**os.environ, "PYTHONPATH": tests}, cwd=".")
    files = [*root.glob("model/*"), *root.glob("predictions/*")]
    return {path.name: path.read_bytes() for path in files}


def test_one_cpu_and_two_give_the_same_bytes(tmp_path):
    cpus = sorted(os.sched_getaffinity(0))
    if len(cpus) < 2:
        pytest.skip("there is one CPU only")
    source = write_idx_set(tmp_path / "idx", train=300)
    one, two = (made_on(cpus[:n], source, tmp_path / str(n)) for n in (1, 2))
    assert {"model-0000.params", "model.json", "probabilities.npy"} <= one.keys()
    assert one == two


@pytest.mark.parametrize(
    ("files", "cpus"),
    [
        ({"cpu.max": "150000 100000"}, 1),
        ({"cpu.max": "10000 100000"}, 1),
        ({"cpu.max": "max 100000"}, None),
        ({"cpu/cpu.cfs_quota_us": "100000", "cpu/cpu.cfs_period_us": "100000"}, 1),
        ({"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, None),
        ({}, None),
    ],
)
def test_cpus_are_those_of_the_container(tmp_path, files, cpus):
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text + "\n")
    assert available_cpus(str(tmp_path)) == (cpus or len(os.sched_getaffinity(0)))
