"""Nodes as pods of a cluster: those of a Job, or of a TrainJob of Kubeflow Trainer."""

import itertools
import logging
import threading
import time
from collections.abc import Mapping
from typing import Any

from kfp_mnist_mxnet.cluster import job
from kfp_mnist_mxnet.cluster.api import Cluster, Kind, Object
from kfp_mnist_mxnet.cluster.outcome import node_error
from kfp_mnist_mxnet.cluster.pod import failure_of, waiting
from kfp_mnist_mxnet.distributed import manifests
from kfp_mnist_mxnet.distributed.manifests import CONTAINER, JOB, TRAIN_JOB
from kfp_mnist_mxnet.distributed.options import Options
from kfp_mnist_mxnet.distributed.watchdog import PEER_LOST
from kfp_mnist_mxnet.errors import InvalidInput, OutOfMemory
from kfp_mnist_mxnet.training.assignment import Assignment

RUNTIME = Kind(TRAIN_JOB.group, TRAIN_JOB.version, "trainingruntimes", TRAIN_JOB.needs)

INDEX = "batch.kubernetes.io/job-completion-index"
SOON = 60.0  # seconds in which a job has made its pods


class Pods:
    """Runs each node as a pod, and shows the log of the first one.

    output_uri: address of the step's output, by which a step that is started again finds its job.
    """

    def __init__(self, cluster: Cluster, options: Options, output_uri: str) -> None:
        self.cluster, self.options = cluster, options
        self.name = job.name_for(output_uri, "train")
        self.kind = TRAIN_JOB if options.engine == "trainer" else JOB

    def run(self, assignment: Assignment) -> None:
        """Run the nodes to their end, also those of a job that is there already.

        Raises:
            NodeLost: a pod was lost.
            ValueError, ...: a node's error, as errors.py lists them, or that of the API.
        """
        with job.deleted_at_end(self.cluster, self.kind, self.name):
            self.start(assignment)
            self.follow()

    def start(self, assignment: Assignment) -> None:
        """Create the job, or take over the one that is there."""
        if self.kind is TRAIN_JOB:
            runtime = self.runtime_kind()
            body = manifests.train_job(self.cluster, self.name, assignment, self.options, runtime)
        else:
            body = manifests.job(self.cluster, self.name, assignment, self.options)
        self.create(body)
        if self.kind is JOB and (owner := self.cluster.get(JOB, self.name)):
            self.cluster.create_service(manifests.service(owner))

    def create(self, body: Object) -> None:
        """Create the job, or take over the one that is there.

        Raises:
            InvalidInput: the API refuses, as where there is no such runtime.
        """
        try:
            job.create_or_take_over(self.cluster, self.kind, body)
        except InvalidInput as error:
            if "runtimeref" in str(error).lower():
                raise InvalidInput(
                    f"there is no runtime {self.options.runtime} in the namespace "
                    f"{self.cluster.namespace}: apply manifests/training-runtime.yaml, or set "
                    "runtime to another one"
                ) from error
            raise

    def runtime_kind(self) -> str:
        """Return the kind of the runtime: one of the namespace comes first."""
        found = self.cluster.get(RUNTIME, self.options.runtime)
        return "TrainingRuntime" if found else "ClusterTrainingRuntime"

    @property
    def selector(self) -> str:
        """The label that the job's pods have."""
        label = (
            "jobset.sigs.k8s.io/jobset-name"
            if self.kind is TRAIN_JOB
            else "batch.kubernetes.io/job-name"
        )
        return f"{label}={self.name}"

    def follow(self) -> None:
        """Wait for the end of the job.

        Raises:
            NodeLost: a pod was lost.
            ValueError, ...: a node's error, as errors.py lists them.
        """
        told: set[str] = set()
        started, over = time.monotonic(), threading.Event()
        reader: threading.Thread | None = None
        try:
            for found, pods in job.poll(self.look):
                if found is None:
                    raise RuntimeError(f"{self.kind} {self.name} was deleted by somebody else")
                lines = waiting(pods)
                if len(pods) < self.options.num_nodes and time.monotonic() - started > SOON:
                    lines.add(self.too_few(len(pods)))
                for line in lines - told:
                    logging.info("%s", line)
                    told.add(line)
                if reader is None and (first := first_started(pods)):
                    self.tell_addresses(pods)
                    reader = threading.Thread(target=self.show_log, args=(first, over), daemon=True)
                    reader.start()
                # It is Failed only once all its pods have ended: on a lost machine they don't.
                if ended := job.condition(found, "Complete", "Failed", "FailureTarget"):
                    over.set()
                    if reader:
                        reader.join(timeout=30)
                    if ended["type"] != "Complete":
                        raise self.why_failed(ended)
                    return
        finally:
            over.set()

    def look(self) -> tuple[Object | None, list[Object]]:
        """Return the job, None where it is not there, and its pods."""
        return self.cluster.get(self.kind, self.name), self.cluster.pods(self.selector)

    def too_few(self, count: int) -> str:
        """Say that there are fewer pods than nodes, as a quota or a policy has it."""
        return (
            f"only {count} of {self.options.num_nodes} pods exist: kubectl describe "
            f"-n {self.cluster.namespace} {self.kind} {self.name} may say why"
        )

    def tell_addresses(self, pods: list[Object]) -> None:
        """Say where the logs are that are not shown."""
        for pod in pods[1:]:
            command = f"kubectl logs -n {self.cluster.namespace} {pod['metadata']['name']}"
            logging.info("The log of another node: %s", command)

    def show_log(self, pod: str, over: threading.Event) -> None:
        """Show what the first node logs, on one connection after the other, until it is over."""
        shown = 0
        while True:
            try:
                for line in itertools.islice(self.cluster.log(pod, CONTAINER), shown, None):
                    print(line, flush=True)
                    shown += 1
            except (ValueError, OSError) as error:
                logging.warning("The log of %s is interrupted: %s", pod, error)
            if over.wait(job.POLL):
                return

    def failures(self) -> list[dict[str, Any]]:
        """Return how pods failed: first those that say why, last those that others ended."""
        for _ in range(3):  # the one that is the cause may be the last to be known
            pods = self.cluster.pods(self.selector)
            failures = [failure for pod in pods if (failure := failure_of(pod, CONTAINER))]
            failures.sort(key=ended_by_others)
            if failures and not ended_by_others(failures[0])[0]:
                break
            time.sleep(job.POLL)
        return failures

    def why_failed(self, ended: Object) -> Exception:
        """Return why a job failed: the error of the pod that did not end for another's sake."""
        failures = self.failures()
        reason = ended.get("message") or ended.get("reason") or "it does not say why"
        if not failures:
            return RuntimeError(f"{self.kind} {self.name} failed: {reason}")
        first = failures[0]
        if first["reason"] == "OOMKilled":
            return OutOfMemory(
                f"{first['pod']} needs more memory than it has: raise node_memory, which is "
                f"{self.options.memory}"
            )
        how = f"{first['pod']} ended with {first['exitCode']} ({first['reason']})"
        return node_error(first["message"], how)


def ended_by_others(failure: Mapping[str, Any]) -> tuple[bool, bool]:
    """Tell a failure without a sentence, and one with a status as of a pod that others ended."""
    silent = not failure["message"] and failure["reason"] != "OOMKilled"
    return silent, failure["exitCode"] in (PEER_LOST, 137, 143)


def first_started(pods: list[Object]) -> str:
    """Return the name of the first node's pod once it has started, else an empty text."""
    for pod in pods:
        index = pod["metadata"].get("annotations", {}).get(INDEX)
        if index == "0" and pod.get("status", {}).get("phase") in (
            "Running",
            "Succeeded",
            "Failed",
        ):
            return str(pod["metadata"]["name"])
    return ""
