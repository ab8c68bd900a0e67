"""The objects that run the nodes of a training on a cluster."""

import base64
import os
import pathlib
from typing import Any

import kfp_mnist_mxnet
from kfp_mnist_mxnet.cluster.api import Cluster, Kind, Object
from kfp_mnist_mxnet.cluster.job import LABELS, metadata
from kfp_mnist_mxnet.distributed.assignment import Assignment
from kfp_mnist_mxnet.distributed.options import Options
from kfp_mnist_mxnet.distributed.roles import NODE

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
NO_SIDECAR = {"sidecar.istio.io/inject": "false"}  # with one the job would never end
INHERITED = ("serviceAccountName", "imagePullSecrets", "securityContext")  # from the step's pod
ROOT = pathlib.Path(kfp_mnist_mxnet.__file__).parents[1]
# Where the step's code came as a bundle, the nodes get it as an argument.
FROM_BUNDLE = f"""
import base64, bz2, os, sys
bundle = base64.b64decode(sys.argv[1])
exec(bz2.decompress(bundle))
os.chdir(root)
run(sys.argv[2], *{NODE})
"""


def job(cluster: Cluster, name: str, assignment: Assignment, options: Options) -> Object:
    """Return an indexed Job: one pod a node, none of which is replaced."""
    pod = cluster.pod["spec"]
    spec = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "subdomain": name,
        "nodeSelector": dict(options.selector),
        "tolerations": list(options.tolerations),
        **{key: pod[key] for key in INHERITED if pod.get(key)},
        "containers": [
            {
                "name": CONTAINER,
                "image": cluster.container["image"],
                "command": node_command(cluster.container),
                "env": environment(cluster, assignment, f"{name}-0.{name}"),
                "resources": options.resources,
            }
        ],
    }
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
    pod = cluster.pod["spec"]
    patch: dict[str, Any] = {key: pod[key] for key in INHERITED if pod.get(key)}
    if options.selector:
        patch["nodeSelector"] = dict(options.selector)
    if options.tolerations:
        patch["tolerations"] = list(options.tolerations)
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
                "command": node_command(cluster.container),
                "env": environment(cluster, assignment, f"{name}-node-0-0.{name}"),
                "numNodes": options.num_nodes,
                "resourcesPerNode": options.resources,
            },
            "runtimePatches": [
                {"manager": "kfp-mnist-mxnet.github.io/step", "trainingRuntimeSpec": jobs}
            ],
        },
    }


def node_command(container: Object) -> list[str]:
    """Return the command of a node: its code comes to it as it came to the step.

    container: of the step. What its command has before Python installs packages.
    """
    bundle = ROOT / "bundle"
    if bundle.is_file():
        text = base64.b64encode(bundle.read_bytes()).decode()
        return ["python3", "-c", FROM_BUNDLE, text, os.environ["STEP_PACKAGES"]]
    words = [*container.get("command", []), *container.get("args", [])]
    words = words[words.index("--") + 1 :] if "--" in words else []
    installs = words[: words.index("python3")] if "python3" in words else []
    return [*installs, *NODE]


def environment(cluster: Cluster, assignment: Assignment, first: str) -> list[Object]:
    """Return the variables of a node: those of the step, and what it has to do.

    first: name of the first node.
    """
    own = [
        variable
        for variable in cluster.container.get("env", [])
        if "fieldRef" not in (variable.get("valueFrom") or {})
        and not variable["name"].startswith(("KFP_", "ARGO_", "ML_PIPELINE", "METADATA_"))
    ]
    told = {
        "ASSIGNMENT": assignment.to_json(),
        "FIRST_NODE": f"{first}:{PORT}",
        "ERROR_FILE": "/dev/termination-log",
        "PYTHONUNBUFFERED": "1",
    }
    return own + [{"name": name, "value": value} for name, value in told.items()]
