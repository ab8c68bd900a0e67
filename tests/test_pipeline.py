import json
import pathlib
import subprocess
import sys

import pytest
import yaml
from conftest import write_idx_set
from kfp import compiler

import pipeline

ROOT = pathlib.Path(pipeline.__file__).parent
STEPS = ["ingest", "train", "evaluate", "predict"]


@pytest.mark.parametrize("name", pipeline.PIPELINES)
@pytest.mark.parametrize("target", ["gpu", "cpu"])
def test_committed_yaml_is_fresh(tmp_path, name, target):
    path = tmp_path / "compiled.yaml"
    compiler.Compiler().compile(pipeline.PIPELINES[name](pipeline.TARGETS[target]), str(path))
    assert (ROOT / pipeline.yaml_name(name, target)).read_text() == path.read_text(), "make yaml"


def test_compiling_twice_gives_the_same_bytes(tmp_path):
    command = [sys.executable, "pipeline.py", "compile", "--output"]
    for name in ("a.yaml", "b.yaml"):
        subprocess.run([*command, tmp_path / name], cwd=ROOT, check=True)
    assert (tmp_path / "a.yaml").read_bytes() == (tmp_path / "b.yaml").read_bytes()


def test_steps_and_their_order():
    spec, *_ = yaml.safe_load_all((ROOT / "pipeline.yaml").read_text())
    tasks = spec["root"]["dag"]["tasks"]
    assert sorted(tasks) == sorted(STEPS)
    assert "dependentTasks" not in tasks["ingest"]
    assert tasks["train"]["dependentTasks"] == ["ingest"]
    assert tasks["evaluate"]["dependentTasks"] == ["ingest", "train"]
    assert tasks["predict"]["dependentTasks"] == ["evaluate", "ingest", "train"]


def test_only_the_train_step_asks_for_a_gpu():
    spec, platform = yaml.safe_load_all((ROOT / "pipeline.yaml").read_text())
    executors = spec["deploymentSpec"]["executors"]
    with_gpu = {n for n, e in executors.items() if "accelerator" in str(e.get("container"))}
    accelerator = executors["exec-train"]["container"]["resources"]["accelerator"]
    assert with_gpu == {"exec-train"}
    assert accelerator["resourceType"] == "nvidia.com/gpu"
    assert accelerator["resourceCount"] == "1"
    settings = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    assert set(settings) == {"exec-train"}
    assert settings["exec-train"]["nodeSelector"]["labels"] == {"nvidia.com/gpu.present": "true"}
    assert settings["exec-train"]["tolerations"] == [
        {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}
    ]


def test_the_cpu_pipeline_asks_for_no_gpu():
    documents = list(yaml.safe_load_all((ROOT / "pipeline-cpu.yaml").read_text()))
    assert len(documents) == 1
    assert "accelerator" not in str(documents[0]["deploymentSpec"])


def test_every_step_has_the_same_image():
    spec, *_ = yaml.safe_load_all((ROOT / "pipeline.yaml").read_text())
    images = {e["container"]["image"] for e in spec["deploymentSpec"]["executors"].values()}
    assert images == {"python:3.11"}


def test_every_parameter_has_a_default():
    spec, *_ = yaml.safe_load_all((ROOT / "pipeline.yaml").read_text())
    parameters = spec["root"]["inputDefinitions"]["parameters"]
    assert [name for name, value in parameters.items() if "defaultValue" not in value] == []


def run(*arguments) -> subprocess.CompletedProcess:
    command = [sys.executable, "pipeline.py", "run", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


SMALL = [
    *("-p", "epochs=3", "-p", "batch_size=8", "-p", "kernels=[3]", "-p", "filters=[8]"),
    *("-p", "hidden_units=[16, -1]"),
]


def test_runs_the_whole_pipeline(tmp_path):
    source = write_idx_set(tmp_path / "python3 idx", train=300)
    output = tmp_path / "my python3 runs"
    done = run("--data-uri", f"file://{source}".replace(" ", "%20"), *SMALL, "--output-dir", output)
    assert done.returncode == 0, done.stdout + done.stderr
    record = json.loads((output / "latest" / "run.json").read_text())
    assert record["status"] == "SUCCEEDED"
    assert record["accuracy"] > 0.9
    assert record["seconds"] > 0
    assert record["parameters"]["kernels"] == [3]
    assert [step["name"] for step in record["steps"]] == STEPS
    assert {step["status"] for step in record["steps"]} == {"SUCCEEDED"}
    paths = {**record["steps"][0]["outputs"], **record["steps"][3]["outputs"]}
    assert pathlib.Path(paths["train_data"], "images.npy").is_file()
    assert pathlib.Path(paths["predictions"], "labels.npy").is_file()
    assert "accuracy" in done.stdout.splitlines()[-3]
    assert "train | Epoch[0] Train-accuracy=" in done.stdout


def test_a_failed_step_fails_the_run(tmp_path):
    output = tmp_path / "runs"
    done = run(
        "--data-uri", write_idx_set(tmp_path / "idx"), "-p", "epochs=0", "--output-dir", output
    )
    record = json.loads((output / "latest" / "run.json").read_text())
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == "train: epochs must be at least 1, got 0"
    assert record["status"] == "FAILED"
    assert record["error"] == "train: epochs must be at least 1, got 0"
    statuses = [step["status"] for step in record["steps"]]
    assert statuses == ["SUCCEEDED", "FAILED", "SKIPPED", "SKIPPED"]


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("epochs", "expected NAME=VALUE, got 'epochs'"),
        ("epoch=3", "no parameter 'epoch': expected one of"),
        ("epochs=many", "epochs must be of type Integer, got 'many'"),
        ("kernels=5,5", "kernels must be of type List[Integer], got '5,5'"),
    ],
)
def test_refuses_a_bad_parameter(tmp_path, assignment, message):
    done = run("-p", assignment, "--output-dir", tmp_path / "runs")
    assert done.returncode == 2
    assert message in done.stderr
    assert not (tmp_path / "runs").exists()
