"""Components as plain commands, for Katib and for anyone."""

import datetime
import inspect
import itertools
import json
import os
import pathlib
import re
import shlex
import string
import subprocess
import sys

import pytest
import yaml
from click.testing import CliRunner
from conftest import ROOT, write_idx_set

from kfp_mnist_mxnet.cli.component_command import command
from kfp_mnist_mxnet.components import COMPONENTS
from kfp_mnist_mxnet.components.__main__ import main
from kfp_mnist_mxnet.components.train import train
from kfp_mnist_mxnet.model.hyperparameters import RULES
from kfp_mnist_mxnet.model.recipes import choose_hyperparameters

KATIB = yaml.safe_load((ROOT / "docs" / "katib-experiment.yaml").read_text())["spec"]
NETWORK = ["--kernels", "3", "--filters", "8", "--hidden-units", "16,-1", "--batch-size", "8"]


def arguments(data: dict, model: pathlib.Path) -> list[str]:
    names = ("train_data", "validation_data")
    inputs = [f"--{name.replace('_', '-')}={data[name].path}" for name in names]
    return [*inputs, f"--model={model}", *NETWORK]


def parameter_bytes(model: pathlib.Path) -> bytes:
    return (model / "model-0000.params").read_bytes()


def start(options: list[str]) -> subprocess.Popen:
    program = [sys.executable, "-m", "kfp_mnist_mxnet.components", "train", *options]
    return subprocess.Popen(
        program, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )


def test_has_the_defaults_of_the_component():
    options = {option.name: option.default for option in command(train).params}
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
    assert f"Resuming after epoch 1 of {checkpoint}" in log
    assert "Epoch[0] Train-accuracy" not in log
    assert parameter_bytes(model) == parameter_bytes(pathlib.Path(whole.path))
    assert json.loads((tmp_path / "metrics.json").read_text())["validation_accuracy"] > 0.9


def test_starts_without_the_compiler_of_kfp():
    program = [sys.executable, "-m", "kfp_mnist_mxnet.components", "train", "--help"]
    environment = {**os.environ, "_KFP_RUNTIME": "true"}
    done = subprocess.run(program, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "--learning-rate FLOAT" in done.stdout
    assert "Peak learning rate of the schedule." in done.stdout


def test_says_what_is_wrong_in_one_sentence(tmp_path, artifacts):
    data = artifacts.ingest(write_idx_set(tmp_path / "idx"))
    options = [*arguments(data, tmp_path / "model"), "--epochs=-2"]
    done = CliRunner().invoke(command(train), options)
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
    done = CliRunner().invoke(command(train), options)
    assert done.exit_code == 2
    assert message in done.output


def trial_command(choose) -> list[str]:
    """The words of a trial's command, with the value of each parameter that `choose` takes."""
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
    shell, option, line = container["command"]
    assert (shell, option) == ("sh", "-c")  # else Katib would join the words without quotes
    return shlex.split(Template(line).substitute(values))


@pytest.mark.parametrize("end", [0, -1])
def test_katib_experiment_gives_options_that_exist(end):
    def choose(space: dict) -> str:
        return space["list"][end] if "list" in space else (space["min"], space["max"])[end]

    words = trial_command(choose)
    both = {"ingest": words[: words.index("&&")], "train": words[words.index("&&") + 1 :]}
    for name, program in both.items():
        assert program[:4] == ["python3", "-m", "kfp_mnist_mxnet.components", name]
        options = {text.partition("=")[0] for text in program[4:]}
        assert options <= {option.opts[0] for option in command(COMPONENTS[name]).params}
    given = [text for text in both["train"][4:] if "-data=" not in text]
    made = command(train)
    with made.make_context("train", [*given, f"--train-data={ROOT}"]) as context:
        hyperparameters = {name: value for name, value in context.params.items() if name in RULES}
    choose_hyperparameters("default", hyperparameters)
    assert hyperparameters["epochs"] == 3


def test_a_line_has_its_time_in_a_trial_of_katib(tmp_path, artifacts):
    data = artifacts.ingest(write_idx_set(tmp_path / "idx"))
    program = [sys.executable, "-m", "kfp_mnist_mxnet.components", "train"]
    done = subprocess.run(
        [*program, *arguments(data, tmp_path / "model"), "--epochs=1"],
        cwd=ROOT,
        env={**os.environ, "KATIB_TRIAL_NAME": "a"},
        capture_output=True,
        text=True,
        check=True,
    )
    [line] = [line for line in done.stdout.splitlines() if "Validation-accuracy=" in line]
    # Source: parseLogs in kubeflow/katib, pkg/metricscollector/v1beta1/file-metricscollector
    told = datetime.datetime.fromisoformat(line.split(" ", 1)[0])
    assert abs((datetime.datetime.now(datetime.UTC) - told).total_seconds()) < 3600


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


def invoke(*arguments: object) -> tuple[int, str]:
    done = CliRunner().invoke(main, [str(argument) for argument in arguments])
    return done.exit_code, done.output


@pytest.mark.parametrize("name", COMPONENTS)
def test_every_component_is_a_command_with_all_that_it_takes(name):
    code, output = invoke(name, "--help")
    assert code == 0
    parameters = inspect.signature(COMPONENTS[name].python_func).parameters
    for parameter in set(parameters) - {"hyperparameters"}:
        assert f"--{parameter.replace('_', '-')}" in output


def test_a_sweep_by_commands(tmp_path):
    """Each kind of option: lists of artifacts, JSON, metrics in and out, a result."""
    source = write_idx_set(tmp_path / "idx", train=300)
    splits = {f"--{split}-data": tmp_path / split for split in ("train", "validation", "test")}
    both = [text for option in list(splits.items())[:2] for text in option]
    code, output = invoke("ingest", "--data-uri", source, *itertools.chain(*splits.items()))
    assert code == 0, output
    small = {"kernels": [3], "hidden_units": [16, -1], "batch_size": 8}
    trials = [{"filters": [filters], **small} for filters in (4, 8)]
    code, output = invoke("plan", *both, "--trials", json.dumps(trials))
    assert code == 0, output
    assert len(json.loads(output.splitlines()[-1])) == 2
    for i in range(2):
        model = ["--model", tmp_path / f"model-{i}", *NETWORK, "--epochs", 2, "--seed", i]
        code, output = invoke("train", *both, *model)
        assert code == 0, output
    models = [text for i in range(2) for text in ("--models", tmp_path / f"model-{i}")]
    code, output = invoke("compare", *models, "--best-model", tmp_path / "best")
    assert code == 0, output
    judged = ["--model", tmp_path / "best", "--data", tmp_path / "test"]
    names = ["--class-names", '["a", "b", "c"]']
    code, output = invoke("evaluate", *judged, *names, "--metrics", tmp_path / "metrics.json")
    assert code == 0, output
    accuracy = json.loads(output.splitlines()[-1])
    assert json.loads((tmp_path / "metrics.json").read_text())["accuracy"] == accuracy
    code, output = invoke("predict", *judged, "--predictions", tmp_path / "predictions")
    assert code == 0, output
    assert (tmp_path / "predictions" / "predictions.csv").is_file()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["plan", "--trials", "{}"], '\'{}\' is not a list in JSON like ["a", "b"]'),
        (["evaluate", "--class-names", "a,b"], "'a,b' is not a list in JSON"),
        (["evaluate"], "Missing option '--model'"),
        (["no-such"], "No such command 'no-such'"),
    ],
)
def test_commands_refuse_bad_options(arguments, message):
    code, output = invoke(*arguments)
    assert code == 2
    assert message in output


def test_metrics_that_are_not_json_are_refused(tmp_path):
    (tmp_path / "metrics.json").write_text("accuracy 0.9")
    given = ["--onnx-model", tmp_path, "--metrics", tmp_path / "metrics.json"]
    code, output = invoke("register", *given, "--registry-uri", "http://127.0.0.1:1")
    assert code == 1
    assert "metrics.json can't be read as JSON" in output


def test_the_file_of_a_component_says_how_it_is_run():
    program = [sys.executable, str(ROOT / "components" / "predict.py")]
    done = subprocess.run(program, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr == "run it by: python -m kfp_mnist_mxnet.components predict --help\n"
