"""The step that has Katib search, and takes over the best model. It needs no MXNet."""

import contextlib
import json
import logging
import pathlib
import tempfile
from typing import Any

from kfp_mnist_mxnet.cluster.api import Cluster, Object, in_cluster
from kfp_mnist_mxnet.cluster.job import (
    condition,
    create_or_take_over,
    deleted_at_end,
    name_for,
    poll,
    wait_until_gone,
)
from kfp_mnist_mxnet.cluster.outcome import node_error
from kfp_mnist_mxnet.cluster.pod import failure_of, waiting
from kfp_mnist_mxnet.data.dataset import read_dataset
from kfp_mnist_mxnet.data.remote import Data, address_of
from kfp_mnist_mxnet.errors import InvalidInput, NodeLost
from kfp_mnist_mxnet.evaluation.comparison import Trial, best_of, copy_model, show_value
from kfp_mnist_mxnet.model.hyperparameters import UNSET
from kfp_mnist_mxnet.model.info import INFO_FILE
from kfp_mnist_mxnet.notation import percent
from kfp_mnist_mxnet.reports.sweep import write_sweep_report
from kfp_mnist_mxnet.storage.archive import unpack
from kfp_mnist_mxnet.storage.staging import Artifact, staged
from kfp_mnist_mxnet.storage.store import open_store
from kfp_mnist_mxnet.training.assignment import Assignment
from kfp_mnist_mxnet.training.request import Request
from kfp_mnist_mxnet.tuning import experiment
from kfp_mnist_mxnet.tuning.experiment import EXPERIMENT, SUGGESTION, TRIAL
from kfp_mnist_mxnet.tuning.options import Options
from kfp_mnist_mxnet.tuning.space import Space, check_space, read_space, values_of

ENDED = ("Succeeded", "Failed", "MetricsUnavailable", "Killed", "EarlyStopped")


class Search:
    """A search that runs on a cluster: its trials as they end.

    directory: for what trials say of their models.
    """

    def __init__(
        self,
        cluster: Cluster,
        name: str,
        assignment: Assignment,
        options: Options,
        space: Space,
        directory: pathlib.Path,
    ) -> None:
        self.cluster, self.name, self.options = cluster, name, options
        self.assignment, self.space, self.directory = assignment, space, directory
        endpoint = assignment.request.s3_endpoint
        self.store = open_store(assignment.working_uri, endpoint, "the artifact store's address")
        self.names: list[str] = []  # of the trials, in the order of their numbers
        self.values: dict[str, dict[str, Any]] = {}  # their hyperparameters
        self.trained: dict[str, Trial] = {}
        self.failed: dict[str, Exception] = {}
        self.told: set[str] = set()

    def run(self) -> None:
        """Start the search, or take over the one that is there, and wait for its end.

        Raises:
            InvalidInput: there is no Katib, it is not let in, or it refuses the search.
            ValueError, ...: too many trials failed; the error is of the kind of the first one's.
        """
        body = experiment.experiment(
            self.cluster, self.name, self.assignment, self.options, self.space
        )
        create_or_take_over(self.cluster, EXPERIMENT, body)
        for found in poll(self.look):
            if found is None:
                raise RuntimeError(f"{EXPERIMENT} {self.name} was deleted by somebody else")
            if ended := condition(found, "Succeeded", "Failed"):
                self.check(ended)
                return

    def look(self) -> Object | None:
        """Note which trials have ended, say what is new of them, and return the Experiment."""
        found = self.cluster.get(EXPERIMENT, self.name)
        selector = f"{experiment.LABEL}={self.name}"
        trials, pods = self.cluster.find(TRIAL, selector), self.cluster.pods(selector)
        for line in waiting(pods) - self.told:
            logging.info("%s", line)
            self.told.add(line)
        self.check_collector(pods)
        for trial in trials:
            name = trial["metadata"]["name"]
            if name not in self.values:
                self.names.append(name)
                self.values[name] = values_of(trial, self.space)
            ended = condition(trial, *ENDED)
            if ended and name not in self.trained | self.failed:
                self.note(name, ended, pods)
        return found

    def check_collector(self, pods: list[Object]) -> None:
        """Check that Katib reads the metrics of trials, for which a pod has a second container.

        Raises:
            InvalidInput: it does not, and would wait for them for ever.
        """
        for pod in pods:
            names = [container["name"] for container in pod["spec"]["containers"]]
            if experiment.CONTAINER in names and experiment.COLLECTOR not in names:
                namespace = self.cluster.namespace
                raise InvalidInput(
                    f"Katib does not read the metrics of trials in the namespace {namespace}: "
                    f"kubectl label namespace {namespace} "
                    "katib.kubeflow.org/metrics-collector-injection=enabled"
                )

    def note(self, name: str, ended: Object, pods: list[Object]) -> None:
        """Note how a trial has ended, and say so; ended: its condition."""
        own = self.values[name]
        values = ", ".join(f"{key}={show_value(own, key)}" for key in own)
        number = self.names.index(name) + 1
        who = f"Trial {number} of {self.options.max_trials}, {values}"
        told = self.store.read(f"{name}.json") if ended["type"] == "Succeeded" else None
        if told is None:
            self.failed[name] = why_failed(name, ended, pods)
            logging.warning("%s: failed: %s", who, self.failed[name])
            return
        directory = self.directory / name
        directory.mkdir()
        content = json.loads(told)
        (directory / INFO_FILE).write_text(json.dumps(content["info"]), encoding="utf-8")
        self.trained[name] = trial = Trial.read(str(directory), content["seconds"])
        accuracy = percent(trial.validation_accuracy)
        logging.info("%s: %s", who, trial.no_model or f"validation accuracy {accuracy}")

    def check(self, ended: Object) -> None:
        """Check how the search has ended; ended: the condition of the Experiment.

        Raises:
            InvalidInput: Katib gave up.
            ValueError, ...: too many trials failed; the error is of the kind of the first one's.
        """
        if ended["type"] == "Succeeded" and self.trained:
            return
        if self.failed:
            first = next(iter(self.failed.values()))
            raise type(first)(
                f"{len(self.failed)} of {len(self.names)} trials failed, max_failed_trials is "
                f"{self.options.max_failed_trials}; the first: {first}"
            )
        suggestion = self.cluster.get(SUGGESTION, self.name) or {}
        why = condition(suggestion, "Failed") or ended
        raise InvalidInput(f"Katib gave up the search: {why.get('message')}")

    def trials(self) -> list[Trial]:
        """Return the trials in the order of their numbers, those that failed without a model."""
        like = next(iter(self.trained.values())).hyperparameters
        return [
            self.trained.get(name)
            or Trial("", {**like, **self.values[name]}, [], f"failed: {self.failed[name]}")
            for name in self.names
            if name in self.trained or name in self.failed
        ]

    def fetch_model(self, trial: Trial) -> None:
        """Fetch the model of a trial into its directory.

        Raises:
            InvalidInput: it is not there.
        """
        name = pathlib.Path(trial.directory).name
        content = next(poll(lambda: self.store.read(f"{name}.zip")))
        if content is None:
            raise InvalidInput(f"{self.store.locate(f'{name}.zip')} is not there any more")
        unpack(content, pathlib.Path(trial.directory))

    def tidy(self) -> None:
        """Remove what trials left in the store; what is left over does no harm."""
        for name in self.trained:
            for suffix in (".zip", ".json"):
                with contextlib.suppress(OSError, ValueError):
                    self.store.remove(name + suffix)


def why_failed(name: str, ended: Object, pods: list[Object]) -> Exception:
    """Return why a trial failed; ended: its condition, pods: those of all trials."""
    if ended["type"] == "MetricsUnavailable":
        return NodeLost(f"Katib found no {experiment.METRIC} in the log of {name}")
    for pod in pods:
        if pod["metadata"].get("labels", {}).get("batch.kubernetes.io/job-name") == name:
            failure = failure_of(pod, experiment.CONTAINER)
            if failure and failure["exitCode"] == 137:
                return NodeLost(
                    f"{failure['pod']} was killed, as when memory is out: raise trial_memory"
                )
            if failure:
                how = f"{failure['pod']} ended with {failure['exitCode']} ({failure['reason']})"
                return node_error(failure["message"], how)
    return NodeLost(f"{name} ended without a model: {ended.get('message') or ended['type']}")


def tune_with_katib(
    search_space: dict[str, Any],
    options: Options,
    request: Request,
    train_data: Data,
    validation_data: Data,
    best_model: Data,
    tuning_report: Artifact,
) -> tuple[dict[str, Any], list[Trial], int]:
    """Search, write the best model and the report.

    Return its hyperparameters as far as they were searched, all trials and the index of the best.

    Raises:
        InvalidInput: a parameter is refused, there is no Katib, or it gave up.
        ValueError, ...: too many trials failed; the error is of the kind of the first one's.
    """
    if not in_cluster():
        raise InvalidInput(
            "tune needs Katib, which runs in a cluster: on this machine run the pipeline sweep"
        )
    space = read_space(search_space)
    request.check()
    if not len(read_dataset(validation_data.path).images):
        raise InvalidInput(
            "there are no validation images, by which tune chooses: "
            "give a validation_fraction above 0"
        )
    own = {**UNSET, **request.overrides}
    check_space(space, request.recipe, own, read_dataset(train_data.path))
    assignment = Assignment(
        request,
        address_of(train_data),
        address_of(validation_data),
        working_uri=f"{best_model.uri.rpartition('/')[0]}/trials",
    )
    cluster, name = Cluster(), name_for(best_model.uri, "tune")
    with tempfile.TemporaryDirectory() as directory:
        search = Search(cluster, name, assignment, options, space, pathlib.Path(directory))
        with deleted_at_end(cluster, EXPERIMENT, name):
            search.run()
            trials = search.trials()
            best = best_of(trials)
            search.fetch_model(trials[best])
            with staged(best_model, tuning_report) as (model, page):
                copy_model(trials[best].directory, model)
                write_sweep_report(page, trials, best, "Tuning")
        search.tidy()
        wait_until_gone(cluster, EXPERIMENT, name)
    return search.values[pathlib.Path(trials[best].directory).name], trials, best
