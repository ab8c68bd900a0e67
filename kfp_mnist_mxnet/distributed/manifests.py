"""The objects that run the nodes of a training on a cluster."""

from typing import Any

from kfp_mnist_mxnet.cluster.api import Cluster, Kind, Object
from kfp_mnist_mxnet.cluster.job import LABELS, metadata
from kfp_mnist_mxnet.cluster.pod import NO_SIDECAR, command, environment, inherited, pod_spec
from kfp_mnist_mxnet.distributed.options import Options
from kfp_mnist_mxnet.distributed.roles import NODE
from kfp_mnist_mxnet.training.assignment import Assignment

JOB = Kind("batch", "v1", "jobs")
TRAIN_JOB = Kind(
    "trainer.kubeflow.org",
    "v1alpha1",
    "trainjobs",
    "install Kubeflow Trainer, or set engine to job",
)
PORT = 7070  # of the first node, for the watchdog; the next one is the scheduler's
CONTAINER = "node"
NODE_LABELS = {**LABELS, "app.kubernetes.io/component": "training-node"}


def job(cluster: Cluster, name: str, assignment: Assignment, options: Options) -> Object:
    """Return an indexed Job: one pod a node, none of which is replaced."""
    container = {
        "name": CONTAINER,
        "command": node_command(cluster),
        "env": node_environment(cluster, assignment, f"{name}-0.{name}"),
        "resources": options.resources,
    }
    spec = pod_spec(cluster, container, options.selector, options.tolerations)
    spec["subdomain"] = name
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": metadata(cluster, name),
        "spec": {
            "completionMode": "Indexed",
            "completions": options.num_nodes,
            "parallelism": options.num_nodes,
            "backoffLimit": 0,
            "template": {
                "metadata": {"labels": NODE_LABELS, "annotations": NO_SIDECAR},
                "spec": spec,
            },
        },
    }


def service(owner: Object) -> Object:
    """Return the service by which the pods of a Job have names; owner: the Job."""
    name = owner["metadata"]["name"]
    reference = {"apiVersion": "batch/v1", "kind": "Job", "name": name}
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": name,
            "labels": LABELS,
            "ownerReferences": [{**reference, "uid": owner["metadata"]["uid"]}],
        },
        "spec": {
            "clusterIP": "None",
            "publishNotReadyAddresses": True,
            "selector": {"batch.kubernetes.io/job-name": name},
            "ports": [{"name": "watchdog", "port": PORT}, {"name": "scheduler", "port": PORT + 1}],
        },
    }


def train_job(
    cluster: Cluster, name: str, assignment: Assignment, options: Options, runtime_kind: str
) -> Object:
    """Return a TrainJob; runtime_kind: TrainingRuntime or ClusterTrainingRuntime."""
    patch: dict[str, Any] = inherited(cluster)
    if options.selector:
        patch["nodeSelector"] = dict(options.selector)
    if options.tolerations:
        patch["tolerations"] = list(options.tolerations)
    if security := cluster.container.get("securityContext"):
        patch["containers"] = [{"name": CONTAINER, "securityContext": security}]
    node = {"name": "node", "template": {"spec": {"template": {"spec": patch}}}}
    jobs = {"template": {"spec": {"replicatedJobs": [node]}}}
    return {
        "apiVersion": f"{TRAIN_JOB.group}/{TRAIN_JOB.version}",
        "kind": "TrainJob",
        "metadata": metadata(cluster, name),
        "spec": {
            "runtimeRef": {
                "apiGroup": TRAIN_JOB.group,
                "kind": runtime_kind,
                "name": options.runtime,
            },
            "trainer": {
                "image": cluster.container["image"],
                "command": node_command(cluster),
                "env": node_environment(cluster, assignment, f"{name}-node-0-0.{name}"),
                "numNodes": options.num_nodes,
                "resourcesPerNode": options.resources,
            },
            "runtimePatches": [
                {"manager": "kfp-mnist-mxnet.github.io/step", "trainingRuntimeSpec": jobs}
            ],
        },
    }


def node_command(cluster: Cluster) -> list[str]:
    """Return the command of a node."""
    return command(cluster.container, *NODE)


def node_environment(cluster: Cluster, assignment: Assignment, first: str) -> list[Object]:
    """Return the variables of a node; first: name of the first one."""
    told = {"ASSIGNMENT": assignment.to_json(), "FIRST_NODE": f"{first}:{PORT}"}
    return environment(cluster, told)
