"""Pods that a step starts: what they take over from its own, and why one waits or failed."""

import base64
import os
import pathlib
import re
from collections.abc import Mapping, Sequence
from typing import Any

import kfp_mnist_mxnet
from kfp_mnist_mxnet.cluster.api import Cluster, Object
from kfp_mnist_mxnet.errors import InvalidInput

NO_SIDECAR = {"sidecar.istio.io/inject": "false"}  # with one the job would never end
INHERITED = ("serviceAccountName", "imagePullSecrets", "securityContext")  # from the step's pod
QUANTITY = re.compile(r"\d+(\.\d+)?(m|[kMGTPE]i?)?")
ROOT = pathlib.Path(kfp_mnist_mxnet.__file__).parents[1]
# Where the step's code came as a bundle, the pod gets it as an argument.
FROM_BUNDLE = """
import base64, bz2, os, sys
bundle = base64.b64decode(sys.argv[1])
exec(bz2.decompress(bundle))
os.chdir(root)
run(*sys.argv[2:])
"""


def resources(prefix: str, cpu: str, memory: str, gpus: int) -> Object:
    """Return what a pod requests, and may use at most, as Kubernetes writes it.

    prefix: of the parameters' names.

    Raises:
        InvalidInput: an amount is none.
    """
    if gpus < 0:
        raise InvalidInput(f"{prefix}_gpus must be at least 0, got {gpus}")
    amounts = {"cpu": cpu, "memory": memory}
    for name, amount in amounts.items():
        if not QUANTITY.fullmatch(amount):
            raise InvalidInput(
                f"{prefix}_{name} must be a quantity such as 2, 500m or 4Gi, got {amount!r}"
            )
    if gpus:
        amounts["nvidia.com/gpu"] = str(gpus)
    return {"requests": amounts, "limits": amounts}


def pod_spec(
    cluster: Cluster,
    container: Object,
    selector: Mapping[str, str],
    tolerations: Sequence[Mapping[str, Any]],
) -> Object:
    """Return the specification of a pod of one container, which the step's own image runs.

    container: its name, command, env and resources.
    """
    own = {key: cluster.container.get(key) for key in ("image", "securityContext")}
    # Katib takes no field that is empty.
    return without_empty(
        {
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": 5,  # MXNet's threads hear no signal
            **inherited(cluster),
            "nodeSelector": dict(selector),
            "tolerations": list(tolerations),
            "containers": [without_empty({**own, **container})],
        }
    ) | {"automountServiceAccountToken": False}


def without_empty(content: Object) -> Object:
    """Return an object without the fields that are empty."""
    return {key: value for key, value in content.items() if value}


def inherited(cluster: Cluster) -> Object:
    """Return what a pod has as the step's pod has it."""
    pod = cluster.pod["spec"]
    return without_empty({key: pod.get(key) for key in INHERITED})


def command(container: Object, *words: str) -> list[str]:
    """Return the command that runs another one: its code comes to it as it came to the step.

    container: of the step. What its command has before Python installs packages.
    """
    bundle = ROOT / "bundle"
    if bundle.is_file():
        text = base64.b64encode(bundle.read_bytes()).decode()
        return ["python3", "-c", FROM_BUNDLE, text, os.environ["STEP_PACKAGES"], *words]
    own = [*container.get("command", []), *container.get("args", [])]
    start = len(own) - own[::-1].index("--") if "--" in own else 0  # after Argo's and KFP's own
    installs = own[start : start + 5] if own[start : start + 2] == ["sh", "-c"] else []
    return [*installs, *words]


def environment(cluster: Cluster, told: Mapping[str, str]) -> list[Object]:
    """Return the variables of a pod's container: those of the step, and what it is told."""
    own = [
        without_empty(variable)
        for variable in cluster.container.get("env", [])
        if "fieldRef" not in (variable.get("valueFrom") or {})
        and not variable["name"].startswith(("KFP_", "ARGO_", "ML_PIPELINE", "METADATA_"))
    ]
    told = {**told, "ERROR_FILE": "/dev/termination-log", "PYTHONUNBUFFERED": "1"}
    return own + [{"name": name, "value": value} for name, value in told.items()]


def waiting(pods: Sequence[Object]) -> set[str]:
    """Return why pods have not started, a sentence each."""
    lines = set()
    for pod in pods:
        status = pod.get("status", {})
        name = pod["metadata"]["name"]
        for one in status.get("conditions") or []:
            if (one["type"], one["status"]) == ("PodScheduled", "False") and one.get("message"):
                lines.add(f"{name} waits, as no machine fits it: {one['message']}")
        for container in status.get("containerStatuses") or []:
            waits = container.get("state", {}).get("waiting") or {}
            if waits.get("message"):
                lines.add(f"{name} waits: {waits.get('reason')}: {waits['message']}")
    return lines


def failure_of(pod: Object, container: str) -> dict[str, Any] | None:
    """Return how a container of a pod failed, or the pod itself, None if it did not.

    exitCode, reason, message: as Kubernetes has them; pod: its name.
    """
    status, name = pod.get("status", {}), pod["metadata"]["name"]
    for one in status.get("containerStatuses") or []:
        ended = one.get("state", {}).get("terminated")
        if one["name"] == container and ended and ended["exitCode"]:
            return {"message": "", "reason": "Error", **ended, "pod": name}
    if status.get("phase") == "Failed":
        reason = status.get("reason", "Error")
        return {"pod": name, "exitCode": -1, "reason": reason, "message": ""}
    return None
