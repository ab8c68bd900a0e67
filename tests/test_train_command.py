"""Training as a plain command, for Katib and for anyone."""

import inspect
import json
import os
import pathlib
import re
import string
import subprocess
import sys

import pytest
import yaml
from click.testing import CliRunner
from conftest import ROOT, write_idx_set

from kfp_mnist_mxnet.cli.train import command
from kfp_mnist_mxnet.components.train import train
from kfp_mnist_mxnet.model.hyperparameters import DESCRIPTIONS, RULES, choose_hyperparameters

KATIB = yaml.safe_load((ROOT / "docs" / "katib-experiment.yaml").read_text())["spec"]
SMALL = ["--kernels", "3", "--filters", "8", "--hidden-units", "16,-1", "--batch-size", "8"]


def arguments(data: dict, model: pathlib.Path) -> list[str]:
    names = ("train_data", "validation_data")
    inputs = [f"--{name.replace('_', '-')}={data[name].path}" for name in names]
    return [*inputs, f"--model={model}", *SMALL]


def parameter_bytes(model: pathlib.Path) -> bytes:
    return (model / "model-0000.params").read_bytes()


def start(options: list[str]) -> subprocess.Popen:
    program = [sys.executable, "-m", "kfp_mnist_mxnet.cli.train", *options]
    return subprocess.Popen(
        program, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )


def test_has_the_defaults_of_the_component():
    options = {
        option.name: option.default for option in command(train, descriptions=DESCRIPTIONS).params
    }
    assert "hyperparameters" not in options  # each has an option of its own
    for name, parameter in inspect.signature(train.python_func).parameters.items():
        if parameter.default is not inspect.Parameter.empty:
            assert options.get(name, {}) == parameter.default, name


def test_killed_in_an_epoch_it_goes_on_to_the_same_parameters(tmp_path, artifacts):
    data = artifacts.ingest(write_idx_set(tmp_path / "idx", train=600))
    whole = artifacts.train(data, epochs=3, dropout=0.2)["model"]
    model, checkpoint = tmp_path / "model", tmp_path / "checkpoint"
    options = [*arguments(data, model), "--epochs=3", "--dropout=0.2"]
    options += [f"--checkpoint-uri={checkpoint}", f"--metrics={tmp_path / 'metrics.json'}"]
    with start(options) as killed:
        for line in killed.stdout or ():
            if line.startswith("Epoch[1] Batch"):
                killed.kill()
                break
    assert killed.wait() == -9
    assert not model.exists()
    with start(options) as resumed:
        log = resumed.communicate()[0]
    assert resumed.returncode == 0
    assert f"Going on after epoch 0 of {checkpoint}" in log
    assert "Epoch[0] Train-accuracy" not in log
    assert parameter_bytes(model) == parameter_bytes(pathlib.Path(whole.path))
    assert json.loads((tmp_path / "metrics.json").read_text())["validation_accuracy"] > 0.9


def test_starts_without_the_compiler_of_kfp():
    program = [sys.executable, "-m", "kfp_mnist_mxnet.cli.train", "--help"]
    environment = {**os.environ, "_KFP_RUNTIME": "true"}
    done = subprocess.run(program, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "--learning-rate FLOAT" in done.stdout
    assert "Learning rate, the highest of the schedule." in done.stdout


def test_says_what_is_wrong_in_one_sentence(tmp_path, artifacts):
    data = artifacts.ingest(write_idx_set(tmp_path / "idx"))
    options = [*arguments(data, tmp_path / "model"), "--epochs=-2"]
    done = CliRunner().invoke(command(train, descriptions=DESCRIPTIONS), options)
    assert done.exit_code == 1
    assert done.output == "Error: epochs must be at least 0, got -2\n"


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("--kernels=3,x", "'3,x' is not a list of whole numbers like 5,5"),
        ("--epochs=many", "'many' is not a valid integer"),
        ("--no-such=1", "No such option"),
        ("--train-data=/no/such/place", "does not exist"),
    ],
)
def test_refuses_a_bad_option(tmp_path, option, message):
    options = [f"--train-data={tmp_path}", f"--model={tmp_path / 'model'}", option]
    done = CliRunner().invoke(
        command(train, optional=("validation_data",), descriptions=DESCRIPTIONS), options
    )
    assert done.exit_code == 2
    assert message in done.output


def trial_command(choose) -> list[str]:
    """The command of a trial, with the value of each parameter that `choose` takes."""
    spaces = {p["name"]: p["feasibleSpace"] for p in KATIB["parameters"]}
    template = KATIB["trialTemplate"]
    values = {
        f"trialParameters.{p['name']}": choose(spaces[p["reference"]])
        for p in template["trialParameters"]
    }

    class Template(string.Template):
        braceidpattern = r"[\w.]+"

    pod = template["trialSpec"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert container["name"] == template["primaryContainerName"]
    return [Template(text).substitute(values) for text in container["command"]]


@pytest.mark.parametrize("end", [0, -1])
def test_katib_experiment_gives_options_that_exist(end):
    def choose(space: dict) -> str:
        return space["list"][end] if "list" in space else (space["min"], space["max"])[end]

    program = trial_command(choose)
    assert program[:3] == ["python3", "-m", "kfp_mnist_mxnet.cli.train"]
    options = [text.partition("=")[0] for text in program[3:]]
    assert set(options) <= {
        option.opts[0] for option in command(train, descriptions=DESCRIPTIONS).params
    }
    given = [text for text in program[3:] if "-data=" not in text]
    made = command(train, optional=("validation_data",), descriptions=DESCRIPTIONS)
    with made.make_context("train", [*given, f"--train-data={ROOT}"]) as context:
        hyperparameters = {name: value for name, value in context.params.items() if name in RULES}
    choose_hyperparameters("default", hyperparameters)
    assert hyperparameters["epochs"] == 3


def test_katib_reads_its_metrics_from_the_log(tmp_path, artifacts, caplog):
    data = artifacts.ingest(write_idx_set(tmp_path / "idx"))
    with caplog.at_level("INFO"):
        trained = artifacts.train(data, epochs=2)
    # Source: DefaultFilter in kubeflow/katib, pkg/metricscollector/v1beta1/common/const.go
    default_filter = re.compile(r"([\w|-]+)\s*=\s*([+-]?\d*(\.\d+)?([Ee][+-]?\d+)?)")
    found: dict[str, list[float]] = {}
    for message in caplog.messages:
        for name, value, *_ in default_filter.findall(message):
            found.setdefault(name, []).append(float(value))
    objective = KATIB["objective"]
    names = [objective["objectiveMetricName"], *objective["additionalMetricNames"]]
    assert [len(found[name]) for name in names] == [2, 2]
    metadata = trained["metrics"].metadata
    assert found["Validation-accuracy"][-1] == pytest.approx(metadata["validation_accuracy"])
