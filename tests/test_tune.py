"""The step tune: a search that Katib runs."""

import dataclasses
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import threading
import types
from collections.abc import Iterator
from typing import Any, cast

import pytest
import yaml
from conftest import COMPILED, ROOT, SMALL, write_idx_set
from kfp import dsl

from kfp_mnist_mxnet.cluster import job
from kfp_mnist_mxnet.cluster.api import Cluster
from kfp_mnist_mxnet.cluster.job import name_for
from kfp_mnist_mxnet.components.tune import tune
from kfp_mnist_mxnet.data.dataset import read_dataset
from kfp_mnist_mxnet.errors import Unavailable
from kfp_mnist_mxnet.evaluation.comparison import Trial
from kfp_mnist_mxnet.model.hyperparameters import UNSET
from kfp_mnist_mxnet.reports.sweep import write_sweep_report
from kfp_mnist_mxnet.storage.archive import pack, unpack
from kfp_mnist_mxnet.training.assignment import Assignment
from kfp_mnist_mxnet.training.request import Request
from kfp_mnist_mxnet.tuning.experiment import experiment
from kfp_mnist_mxnet.tuning.options import Options
from kfp_mnist_mxnet.tuning.search import Search
from kfp_mnist_mxnet.tuning.space import (
    Range,
    check_space,
    katib_parameters,
    read_space,
    template,
    values_of,
)

pytest_plugins = ["kube_server"]

SPACE = {
    "learning_rate": {"min": 0.01, "max": 0.1, "log": True},
    "batch_size": {"min": 8.0, "max": 24.0, "step": 8.0},  # JSON's numbers are floats in kfp
    "activation": ["relu", "tanh"],
    "filters": [[8.0], [16.0]],
}
OPTIONS = Options("tpe", 6, 2, 1, "2", "4Gi", 0)
POD: dict[str, Any] = {
    "metadata": {"name": "step-1", "uid": "u1"},
    "spec": {"serviceAccountName": "pipeline-runner", "securityContext": {"runAsUser": 1000}},
}
CONTAINER = {
    "image": "example.org/mxnet:1",
    "command": ["launcher", "--", "python3", "-m", "kfp.dsl.executor_main"],
    "env": [{"name": "PIP_PROXY", "value": ""}, {"name": "AWS_ACCESS_KEY_ID", "value": "right"}],
}


@pytest.fixture
def splits(tmp_path, artifacts):
    outputs = artifacts.ingest(write_idx_set(tmp_path / "idx", train=300))
    return {name: outputs[name] for name in ("train_data", "validation_data")}


def request(**overrides: Any) -> Request:
    return Request("default", {**UNSET, **overrides}, {}, 0, "cpu", True, "", "")


def made_experiment(assignment: Assignment, space: dict[str, Any] = SPACE) -> dict[str, Any]:
    """An Experiment as a step in a pod would make it."""
    cluster = cast(Cluster, types.SimpleNamespace(pod=POD, container=CONTAINER))
    return experiment(cluster, "tune-1", assignment, OPTIONS, read_space(space))


def some_assignment(directory: pathlib.Path) -> Assignment:
    return Assignment(request(), "s3://b/train", "s3://b/validation", str(directory))


def test_a_range_of_whole_numbers_stays_one():
    assert read_space(SPACE)["batch_size"] == Range(8, 24, 8)
    assert type(read_space(SPACE)["batch_size"].min) is int  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("space", "message"),
    [
        ({}, "search_space is empty"),
        ({"rate": [1]}, "search_space: 'rate' is no hyperparameter: expected one of"),
        ({"rate": {"min": 1, "max": 2}}, "search_space: 'rate' is no hyperparameter"),
        ({"dropout": []}, r"dropout is \[\]: expected a list of values, or"),
        ({"dropout": 0.5}, "dropout is 0.5: expected a list of values, or"),
        ({"dropout": {"min": 0.1}}, "dropout is {'min': 0.1}: expected a list of values, or"),
        ({"dropout": {"min": 0, "max": 0.5, "q": 1}}, "dropout is .*: expected a list of values"),
        ({"dropout": {"min": 0, "max": 1}}, "dropout must be at least 0 and below 1, got 1"),
        ({"dropout": {"min": 0.5, "max": 0.5}}, "min of dropout must be below max, got 0.5 and"),
        ({"dropout": {"min": 0, "max": 0.5, "log": True}}, "log of dropout .* a min above 0"),
        ({"dropout": {"min": 0.1, "max": 0.5, "log": 1}}, "log of dropout must be true or false"),
        ({"dropout": {"min": 0, "max": 0.5, "step": 0.6}}, "step of dropout must be above 0 and"),
        ({"batch_size": {"min": 8.5, "max": 9}}, "batch_size must be of type int, got 8.5"),
        ({"batch_size": [8, 8.0]}, "batch_size has a value twice"),
        ({"activation": {"min": 0, "max": 1}}, "activation is no number: give a list of values"),
        ({"recipe": {"min": "best", "max": "default"}}, "recipe is no number: give a list of"),
        ({"activation": ["relu", "cos"]}, "activation must be one of"),
        ({"filters": [16, 32]}, "filters must be of type list, got 16"),
    ],
)
def test_a_search_space_that_is_none_is_refused(space, message):
    with pytest.raises(ValueError, match=message):
        read_space(space)


def test_a_step_may_be_the_whole_range_as_floats_round():
    assert 0.3 - 0.1 < 0.2
    told = {"dropout": {"min": 0.1, "max": 0.3, "step": 0.2}}
    assert read_space(told) == {"dropout": Range(0.1, 0.3, 0.2)}


@pytest.mark.parametrize(
    ("space", "message"),
    [
        ({"batch_size": {"min": 8, "max": 512}}, "'batch_size': 512}: batch_size is 512, but"),
        ({"filters": [[8, 8, 8], [8]]}, "kernels and filters must have one entry for each"),
        ({"recipe": ["default", "none"]}, "recipe must be one of"),
        ({"hidden_units": [[8, 4]]}, "the last of hidden_units is 4, expected 3"),
    ],
)
def test_a_search_space_that_does_not_fit_the_data_is_refused(splits, space, message):
    data = read_dataset(splits["train_data"].path)
    with pytest.raises(ValueError, match=f"search_space allows .*{message}"):
        check_space(read_space(space), "default", UNSET, data)


def test_katib_gets_the_search_space_in_its_own_words():
    assert katib_parameters(read_space(SPACE)) == [
        {
            "name": "learning_rate",
            "parameterType": "double",
            "feasibleSpace": {"min": "0.01", "max": "0.1", "distribution": "logUniform"},
        },
        {
            "name": "batch_size",
            "parameterType": "int",
            "feasibleSpace": {"min": "8", "max": "24", "step": "8"},
        },
        {
            "name": "activation",
            "parameterType": "categorical",
            "feasibleSpace": {"list": ["relu", "tanh"]},
        },
        {
            "name": "filters",
            "parameterType": "categorical",
            "feasibleSpace": {"list": ["[8]", "[16]"]},
        },
    ]


def test_a_trial_has_the_values_that_katib_chose():
    chosen = {"learning_rate": "1e-02", "batch_size": "8", "activation": "tanh", "filters": "[8]"}
    assigned = [{"name": name, "value": value} for name, value in chosen.items()]
    assert values_of({"spec": {"parameterAssignments": assigned}}, read_space(SPACE)) == {
        "learning_rate": 0.01,
        "batch_size": 8,
        "activation": "tanh",
        "filters": [8],
    }


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"algorithm": ""}, "algorithm must name one that Katib has"),
        ({"max_trials": 0}, "max_trials must be 1 to 1,000, got 0"),
        ({"parallel_trials": 0}, "parallel_trials must be at least 1, got 0"),
        ({"max_failed_trials": -1}, "max_failed_trials must be at least 0, got -1"),
        ({"memory": "4 GB"}, "trial_memory must be a quantity such as 2, 500m or 4Gi, got '4 GB'"),
        ({"gpus": -1}, "trial_gpus must be at least 0, got -1"),
    ],
)
def test_an_option_that_is_out_of_range_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(OPTIONS, **change)


def test_outside_a_cluster_the_error_says_what_to_run(splits, artifacts, monkeypatch):
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    with pytest.raises(ValueError, match="on this machine run the pipeline sweep"):
        artifacts.run(tune, **splits)


def empty_fields(value: Any, path: str = "") -> list[str]:
    """The paths of an object's fields that are empty."""
    if value in ("", None, {}, []):
        return [path]
    if not isinstance(value, dict | list):
        return []
    inner = value.items() if isinstance(value, dict) else enumerate(value)
    return [found for name, part in inner for found in empty_fields(part, f"{path}/{name}")]


def test_the_job_of_a_trial_has_no_empty_field_which_katib_would_refuse(tmp_path):
    made = made_experiment(some_assignment(tmp_path))
    assert empty_fields(made) == []


def test_the_experiment_belongs_to_the_run_and_its_trials_are_like_the_step(tmp_path):
    made = made_experiment(some_assignment(tmp_path))
    pod = made["spec"]["trialTemplate"]["trialSpec"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert made["metadata"]["ownerReferences"][0]["uid"] == "u1"
    assert len(made["metadata"]["name"]) <= 40  # Katib allows no longer one
    assert pod["securityContext"] == {"runAsUser": 1000}
    assert container["image"] == "example.org/mxnet:1"
    assert {"name": "AWS_ACCESS_KEY_ID", "value": "right"} in container["env"]


def filled(made: dict[str, Any], values: dict[str, str], name: str) -> dict[str, Any]:
    """The Job of a trial.

    Source: applyParameters in kubeflow/katib, pkg/controller.v1beta1/experiment/manifest
    """
    given = made["spec"]["trialTemplate"]
    text = json.dumps(given["trialSpec"])
    for each in given["trialParameters"]:
        value = name if each["reference"] == "${trialSpec.Name}" else values[each["reference"]]
        assert f"${{trialParameters.{each['name']}}}" in text
        text = text.replace(f"${{trialParameters.{each['name']}}}", value)
    assert "${trial" not in text
    return json.loads(text)


def wrapped(container: dict[str, Any], log: pathlib.Path) -> list[str]:
    """The command of a trial as Katib changes it to read its log.

    Source: wrapWorkerContainer in kubeflow/katib, pkg/webhook/v1beta1/pod
    """
    words = container["command"]
    shell, words = (words[:2], words[2:]) if words[:2] == ["sh", "-c"] else (["sh", "-c"], words)
    return [*shell, " ".join([*words, f"1>{log} 2>&1", "&&", "echo completed"])]


@dataclasses.dataclass
class Process:
    """A trial that runs: its process, its log, and where it writes why it fails."""

    process: subprocess.Popen
    log: pathlib.Path
    error: pathlib.Path


def start_trial(job: dict[str, Any], directory: pathlib.Path) -> Process:
    """Start a trial as a process, as Katib would start its pod."""
    (container,) = job["spec"]["template"]["spec"]["containers"]
    told = {each["name"]: each.get("value", "") for each in container["env"]}
    log, error = directory / "metrics.log", directory / "error.json"
    programs = directory / "bin"
    programs.mkdir(parents=True)
    (programs / "python3").symlink_to(sys.executable)
    environment = {**os.environ, **told, "ERROR_FILE": str(error)}
    environment["PATH"] = f"{programs}:{os.environ['PATH']}"
    environment["PYTHONPATH"] = os.pathsep.join([str(ROOT), *filter(None, sys.path)])
    process = subprocess.Popen(wrapped(container, log), env=environment, cwd=directory)
    return Process(process, log, error)


def run_trial(tmp_path: pathlib.Path, splits: dict[str, Any], **values: str) -> tuple[Any, str]:
    """Run a trial as a process; return why it failed, None if it did not, and its log."""
    assignment = Assignment(
        request(**SMALL),
        splits["train_data"].path,
        splits["validation_data"].path,
        str(tmp_path / "store"),
    )
    (tmp_path / "store").mkdir()
    space = {name: ["tanh"] if name == "activation" else [8] for name in values}
    job = filled(made_experiment(assignment, space), values, "trial-a")
    trial = start_trial(job, tmp_path / "trial")
    status = trial.process.wait()
    said = json.loads(trial.error.read_text()) if trial.error.exists() else None
    assert bool(status) == bool(said), trial.log.read_text()
    return said, trial.log.read_text()


def test_a_trial_leaves_its_model_and_its_accuracy(tmp_path, splits):
    error, log = run_trial(tmp_path, splits, learning_rate="5e-02", activation="tanh")
    assert error is None
    unpack((tmp_path / "store" / "trial-a.zip").read_bytes(), tmp_path / "model")
    told = json.loads((tmp_path / "store" / "trial-a.json").read_bytes())["info"]
    assert json.loads((tmp_path / "model" / "model.json").read_text()) == told
    assert (tmp_path / "model" / "model-0000.params").exists()
    assert told["hyperparameters"]["learning_rate"] == 0.05
    assert told["hyperparameters"]["activation"] == "tanh"
    accuracy = told["history"][-1]["validation_accuracy"]
    pattern = r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z .*Validation-accuracy=(\S+)$"
    found = re.findall(pattern, log, flags=re.MULTILINE)
    assert [float(value) for value in found] == [pytest.approx(accuracy, abs=1e-6)]


def test_a_trial_that_diverges_tells_katib_that_it_is_the_worst(tmp_path, splits):
    error, log = run_trial(tmp_path, splits, learning_rate="1e30")
    assert error is None
    assert log.splitlines()[-1].endswith(" Validation-accuracy=0")
    assert json.loads((tmp_path / "store" / "trial-a.json").read_bytes())["info"]["diverged"]


def test_a_trial_that_fails_says_why(tmp_path, splits):
    error, log = run_trial(tmp_path, splits, batch_size="100000")
    assert error["type"] == "InvalidInput"
    assert "batch_size is 100000, but there are only" in error["message"]
    assert "The trial failed" in log
    assert not list((tmp_path / "store").iterdir())


def test_the_report_says_which_trials_have_no_model_and_why(tmp_path):
    history = [{"validation_accuracy": 0.9, "train_accuracy": 0.9, "train_loss": 0.3}]
    trials = [
        Trial("", {"dropout": 0.1}, history, images=100),
        Trial("", {"dropout": 0.2}, [], "diverged: the loss became nan"),
        Trial("", {"dropout": 0.123456789}, [], "failed: <b> is out of memory"),
    ]
    write_sweep_report(tmp_path / "page.html", trials, 0, "Tuning")
    page = (tmp_path / "page.html").read_text()
    assert "<h1>Tuning" in page
    assert "<td>diverged: the loss became nan</td>" in page
    assert "<td>failed: &lt;b&gt; is out of memory</td>" in page
    assert "0.1235" in page
    assert "0.123456789" not in page


def test_the_default_search_space_fits_the_default_recipe(splits):
    spec = next(yaml.safe_load_all((COMPILED / "tune.yaml").read_text()))
    default = spec["root"]["inputDefinitions"]["parameters"]["search_space"]["defaultValue"]
    space = read_space(default)
    assert template(space).count("${trialParameters.") == len(default)
    check_space(space, "default", UNSET, read_dataset(splits["train_data"].path))


class Katib:
    """Does in a cluster what Katib does: runs the trials of an Experiment, as processes.

    chosen: the hyperparameters of each trial. let_in: whether the namespace has Katib's label.
    gives_up: why it does, if it does.
    """

    def __init__(self, cluster: Any, directory: pathlib.Path) -> None:
        self.cluster, self.directory = cluster, directory
        self.chosen: list[dict[str, str]] = []
        self.let_in = True
        self.gives_up = ""
        self.trials: dict[str, Process] = {}

    def create(self, plural: str, body: dict) -> None:
        name = body["metadata"]["name"]
        self.cluster.objects[plural, name] = body
        for number, values in enumerate(self.chosen):
            trial = f"{name}-{number}"
            self.trials[trial] = start_trial(filled(body, values, trial), self.directory / trial)

    def state(self, plural: str, name: str) -> dict | None:
        found = self.cluster.find(plural, name)
        if plural == "suggestions" and self.gives_up:
            return {"status": {"conditions": [condition("Failed", self.gives_up)]}}
        if not found:
            return None
        statuses = [trial.process.poll() for trial in self.trials.values()]
        failed = len([status for status in statuses if status])
        ended = "Succeeded" if None not in statuses else ""
        if self.gives_up or (failed and failed >= found["spec"]["maxFailedTrialCount"]):
            ended = "Failed"
        return {**found, "status": {"conditions": [condition(ended)] if ended else []}}

    def list_objects(self, plural: str, selector: str) -> list[dict]:
        assert plural == "trials"
        assert all(name.startswith(selector.partition("=")[2]) for name in self.trials)
        return [
            self.trial(name, values) for name, values in zip(self.trials, self.chosen, strict=True)
        ]

    def trial(self, name: str, values: dict[str, str]) -> dict:
        status = self.trials[name].process.poll()
        ended = {None: "Running", 0: "Succeeded"}.get(status, "Failed")
        assigned = [{"name": name, "value": value} for name, value in values.items()]
        return {
            "metadata": {"name": name, "creationTimestamp": "2026-01-01T00:00:00Z"},
            "spec": {"parameterAssignments": assigned},
            "status": {"conditions": [condition(ended)]},
        }

    def list_pods(self, selector: str) -> list[dict]:
        return [self.pod(name, trial) for name, trial in self.trials.items()]

    def pod(self, name: str, trial: Process) -> dict:
        status = trial.process.poll()
        state: dict[str, Any] = {"running": {}}
        if status is not None:
            said = trial.error.read_text() if trial.error.exists() else ""
            state = {"terminated": {"exitCode": status, "reason": "Error", "message": said}}
        container = {"name": "trial", "image": "i", "imageID": "", "ready": True, "restartCount": 0}
        names = ["trial", *(["metrics-logger-and-collector"] if self.let_in else [])]
        return {
            "metadata": {
                "name": f"{name}-pod",
                "labels": {"batch.kubernetes.io/job-name": name},
            },
            "spec": {"containers": [{"name": each} for each in names]},
            "status": {"containerStatuses": [{**container, "state": state}]},
        }

    def delete(self, plural: str, name: str) -> None:
        del self.cluster.objects[plural, name]
        self.cluster.deleted.append(name)
        self.end()

    def end(self) -> None:
        for trial in self.trials.values():
            trial.process.kill()
            trial.process.wait()


def condition(kind: str, message: str = "") -> dict[str, str]:
    return {"type": kind, "status": "True", "message": message}


@pytest.fixture
def katib(cluster, artifacts, tmp_path, monkeypatch) -> Iterator[Katib]:
    """Katib, in the cluster of which this process is the pod of a step."""
    made = Katib(cluster, tmp_path / "trials")
    for name in ("create", "state", "list_objects", "list_pods", "delete"):
        monkeypatch.setattr(cluster, name, getattr(made, name))
    monkeypatch.setattr("kfp_mnist_mxnet.tuning.search.address_of", lambda data: data.path)
    (artifacts.root / "trials").mkdir(parents=True)  # where trials leave their models
    yield made
    made.end()


SEARCHED = {
    "learning_rate": {"min": 0.01, "max": 0.1},
    "kernels": [[3]],
    "filters": [[8]],
    "hidden_units": [[16, -1]],
    "batch_size": [8],
}
FIXED = {"kernels": "[3]", "filters": "[8]", "hidden_units": "[16, -1]", "batch_size": "8"}


def search(artifacts: Any, katib: Katib, splits: dict[str, Any], *rates: str, **options: Any):
    """Run tune on trials with these learning rates."""
    katib.chosen = [{"learning_rate": rate, **FIXED} for rate in rates]
    told = {"search_space": SEARCHED, "epochs": 1, "max_trials": len(rates), "parallel_trials": 1}
    return artifacts.run(tune, **splits, **{**told, "max_failed_trials": 0, **options})


def test_tune_takes_the_best_model_and_leaves_nothing(
    artifacts, katib, cluster, splits, caplog, tmp_path
):
    with caplog.at_level("INFO"):
        made = search(artifacts, katib, splits, "1e-9", "0.05", "1e30", "0.05", max_failed_trials=1)
    info = json.loads(pathlib.Path(made["best_model"].path, "model.json").read_text())
    assert info["hyperparameters"]["learning_rate"] == 0.05
    assert pathlib.Path(made["best_model"].path, "model-0000.params").exists()
    assert made["Output"]["learning_rate"] == 0.05
    assert made["Output"]["kernels"] == [3]
    scores = made["metrics"].metadata
    assert scores["best_trial"] == 2
    assert scores["trial_2_validation_accuracy"] > scores["trial_1_validation_accuracy"]
    assert scores["trial_3_validation_accuracy"] == 0
    lines = [line for line in caplog.messages if line.startswith("Trial ")]
    assert len(lines) == 4
    assert "Trial 2 of 4, learning_rate=0.05, " in "\n".join(lines)
    page = pathlib.Path(made["tuning_report"].path).read_text()
    assert "<td>diverged" in page
    assert cluster.objects == {}
    assert len(cluster.deleted) == 1
    assert not list(pathlib.Path(made["best_model"].uri).parent.glob("trials/*"))


def test_a_trial_that_fails_is_in_the_report(artifacts, katib, splits):
    good = {"learning_rate": "0.05", **FIXED}
    katib.chosen = [good, {**good, "batch_size": "100000"}]
    made = artifacts.run(
        tune, **splits, search_space=SEARCHED, epochs=1, max_trials=2, max_failed_trials=1
    )
    page = pathlib.Path(made["tuning_report"].path).read_text()
    assert "<td>failed" in page
    assert "batch_size is 100000, but there are only" in page
    assert made["metrics"].metadata["trial_2_validation_accuracy"] == 0


def test_too_many_failed_trials_fail_the_step_with_the_first_ones_sentence(
    artifacts, katib, cluster, splits
):
    katib.chosen = [{"learning_rate": "0.05", **FIXED, "batch_size": "100000"}]
    message = "1 of 1 trials failed, max_failed_trials is 0; the first: batch_size is 100000, but"
    with pytest.raises(ValueError, match=message):
        artifacts.run(
            tune,
            **splits,
            search_space=SEARCHED,
            max_trials=1,
            parallel_trials=1,
            max_failed_trials=0,
        )
    assert cluster.objects == {}


def test_a_namespace_that_does_not_let_katib_in_is_named(artifacts, katib, cluster, splits):
    katib.let_in = False
    command = "kubectl label namespace team katib.kubeflow.org/metrics-collector-injection=enabled"
    with pytest.raises(ValueError, match=command):
        search(artifacts, katib, splits, "0.05")
    assert cluster.objects == {}


def test_what_katib_gives_up_for_is_told(artifacts, katib, cluster, splits):
    katib.gives_up = "CMA-ES needs two dimensions"
    with pytest.raises(ValueError, match="Katib gave up the search: CMA-ES needs two dimensions"):
        artifacts.run(tune, **splits, search_space=SEARCHED)
    assert cluster.objects == {}


def test_a_cluster_without_katib_is_told_what_to_do(artifacts, cluster, splits, monkeypatch):
    monkeypatch.setattr("kfp_mnist_mxnet.tuning.search.address_of", lambda data: data.path)
    cluster.missing.add("experiments")
    message = "the cluster has no experiments.kubeflow.org: install Katib, or run the pipeline"
    with pytest.raises(ValueError, match=message):
        artifacts.run(tune, **splits, search_space=SEARCHED)


def test_a_right_that_is_missing_is_named(artifacts, cluster, splits, monkeypatch):
    monkeypatch.setattr("kfp_mnist_mxnet.tuning.search.address_of", lambda data: data.path)
    cluster.forbidden.add("experiments")
    with pytest.raises(ValueError, match=r"pipeline-runner of this step may not \w+ experiments"):
        artifacts.run(tune, **splits, search_space=SEARCHED)


def test_a_step_that_starts_again_takes_its_search_over(artifacts, katib, splits, caplog):
    name = name_for(artifacts.new(dsl.Model, "best_model").uri, "tune")
    katib.chosen = [{"learning_rate": "0.05", **FIXED}]
    paths = (splits["train_data"].path, splits["validation_data"].path)
    body = made_experiment(
        Assignment(request(epochs=1), *paths, str(artifacts.root / "trials")), SEARCHED
    )
    katib.create("experiments", {**body, "metadata": {**body["metadata"], "name": name}})
    with caplog.at_level("INFO"):
        made = search(artifacts, katib, splits, "0.05")
    assert f"Took over experiments.kubeflow.org {name} in the namespace team" in caplog.messages
    assert made["Output"]["learning_rate"] == 0.05
    assert len(katib.trials) == 1


def test_the_best_model_is_fetched_after_the_store_was_away(tmp_path, monkeypatch):
    """The trials are trained: it would be a pity to lose them."""
    monkeypatch.setattr(job, "POLL", 0.0)
    (tmp_path / "made").mkdir()
    (tmp_path / "made" / "model.json").write_text("{}")
    made: list[Unavailable | bytes] = [Unavailable("away"), pack(tmp_path / "made")]
    answers = iter(made)

    def read(_: str) -> bytes:
        if isinstance(answer := next(answers), Unavailable):
            raise answer
        return answer

    search = cast(Any, types.SimpleNamespace(store=types.SimpleNamespace(read=read)))
    Search.fetch_model(search, Trial(str(tmp_path / "one"), {}, []))
    assert (tmp_path / "one" / "model.json").read_text() == "{}"


def test_a_step_that_is_terminated_ends_its_search(artifacts, katib, cluster, splits):
    def terminate() -> None:
        while not katib.trials:
            threading.Event().wait(0.01)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=terminate).start()
    with pytest.raises(SystemExit):
        search(artifacts, katib, splits, "0.05")
    assert cluster.objects == {}
    assert all(trial.process.poll() is not None for trial in katib.trials.values())


def test_one_trial_needs_no_other_option(tmp_path):
    options = dataclasses.replace(OPTIONS, max_trials=1)
    cluster = cast(Cluster, types.SimpleNamespace(pod=POD, container=CONTAINER))
    made = experiment(cluster, "a", some_assignment(tmp_path), options, read_space(SPACE))["spec"]
    counts = ("maxTrialCount", "parallelTrialCount", "maxFailedTrialCount")
    assert [made[name] for name in counts] == [1, 1, 1]
