"""The steps in real containers, where a container engine and the image are at hand."""

import contextlib
import json
import shutil
import subprocess
import sys

import docker
import pytest
from conftest import ROOT, SMALL, as_options, write_idx_set

from kfp_mnist_mxnet import __version__
from kfp_mnist_mxnet.cli.local.steps import reachable
from kfp_mnist_mxnet.compiler.install import PYTHON_IMAGE

IMAGE = f"kfp-mnist-mxnet/mxnet-cpu:{__version__}"


def require(image: str) -> None:
    """Skip without a container engine that has the image.

    Another process asks, as docker-py leaves a socket open when no engine answers.
    """
    program = f"import docker; docker.from_env().images.get({image!r})"
    asked = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    if asked.returncode:
        reason = asked.stderr.splitlines()[-1]
        pytest.skip(f"no container engine with the image {image} (make images): {reason}")


def test_a_container_gets_the_directory_that_a_path_names(tmp_path):
    for name in ("run#2", "run?2", "100%25", "run"):
        (tmp_path / name).mkdir()
        assert reachable({"data_uri": f"{tmp_path}/{name}"}) == (False, [f"{tmp_path}/{name}"])
        assert reachable({"data_uri": (tmp_path / name).as_uri()}) == (
            False,
            [f"{tmp_path}/{name}"],
        )


def run(tmp_path, *options) -> tuple[subprocess.CompletedProcess, dict, str]:
    """Run the pipeline in containers; return how it ended, run.json and the log."""
    source = write_idx_set(tmp_path / "idx", train=300)
    command = [sys.executable, "pipeline.py", "run", "--runner", "docker"]
    command += ["--data-uri", str(source), "--output-dir", str(tmp_path / "runs")]
    command += [*as_options({**SMALL, "epochs": 3}), *options]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    latest = tmp_path / "runs" / "latest"
    return done, json.loads((latest / "run.json").read_text()), (latest / "log.txt").read_text()


def test_an_own_image_runs_read_only_without_network_and_root(tmp_path):
    require(IMAGE)
    done, record, log = run(tmp_path, "--image", IMAGE)
    assert done.returncode == 0, done.stdout + done.stderr
    assert record["accuracy"] > 0.9
    containers = [line for line in log.splitlines() if line.startswith("container of ")]
    ran = [step["name"] for step in record["steps"] if step["status"] == "SUCCEEDED"]
    assert sorted(ran) == ["evaluate", "export", "ingest", "predict", "train"]
    assert len(containers) == len(ran) + 1  # register, which does nothing
    for line in containers:
        assert "'network_mode': 'none', 'read_only': True" in line
        assert "'user': '0:0'" not in line
    assert "pip install" not in log


def test_training_saves_a_checkpoint_outside_the_run(tmp_path):
    require(IMAGE)
    checkpoint = tmp_path / "my checkpoint"
    done, _, _ = run(tmp_path, "--image", IMAGE, "-p", f"checkpoint_uri={checkpoint}")
    assert done.returncode == 0, done.stdout + done.stderr
    assert (checkpoint / "checkpoint.npz").is_file()


def test_predicts_with_a_model_that_lies_elsewhere(tmp_path, trained):
    require(IMAGE)
    source = write_idx_set(tmp_path / "idx")
    model = shutil.copytree(trained["model"].path, tmp_path / "my model")
    command = [sys.executable, "pipeline.py", "run", "--runner", "docker", "--image", IMAGE]
    command += [
        "--pipeline",
        "batch_predict",
        "--data-uri",
        str(source),
        "-p",
        f"model_uri={model}",
    ]
    command += ["-p", "shards=2", "-p", "batch_size=8", "--output-dir", str(tmp_path / "runs")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    record = json.loads((tmp_path / "runs" / "latest" / "run.json").read_text())
    assert record["accuracy"] > 0.9


def test_a_step_that_fails_in_a_container_fails_the_run(tmp_path):
    require(IMAGE)
    done, record, _ = run(tmp_path, "--image", IMAGE, "-p", "epochs=-2")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == "train: epochs must be at least 0, got -2"
    assert [step["status"] for step in record["steps"]][:2] == ["SUCCEEDED", "FAILED"]


def test_the_public_python_image_installs_what_it_needs(tmp_path):
    require(PYTHON_IMAGE)
    done, record, _ = run(tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert record["accuracy"] > 0.9


def test_the_image_carries_the_training_command():
    require(IMAGE)
    command = ["python3", "-m", "kfp_mnist_mxnet.components", "train", "--help"]
    with contextlib.closing(docker.from_env()) as client:
        help_text = client.containers.run(IMAGE, command, read_only=True, remove=True)
    assert b"--learning-rate" in help_text


def test_an_engine_that_does_not_answer_is_one_sentence(tmp_path, monkeypatch):
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/no.sock")
    done, record, _ = run(tmp_path, "--image", IMAGE)
    assert done.returncode == 1
    assert done.stderr.startswith(f"no container engine answers at unix://{tmp_path}/no.sock:")
    assert record["status"] == "FAILED"
