"""The size of a pipeline's Workflow in the back end: an estimate, before it runs.

Argo keeps a run in one object, the Workflow, of at most 1 MiB. A task's specification and program
stand in it many times: once in its arguments, twice each in what the task's driver takes and gives
(a pod, and the Retry node around it), four times in what its executor takes (a DAG, a pod, and the
Retry nodes around them). Where that is too much, Argo stores the nodes by gzip in base 64, in an
order that hashes decide: its window of 32 KiB sees few of the repeats. Where that is still too
much, the run hangs.

So the estimate builds such an object and measures it. Source: backend/src/v2/compiler/argocompiler
and backend/src/v2/driver of Kubeflow Pipelines 2.17.0; docs/cluster.md compares it with
measured runs.
"""

import base64
import dataclasses
import hashlib
import itertools
import json
import pathlib
import sys
import zlib
from collections.abc import Iterator, Mapping
from typing import Any

import yaml

LIMIT = 1 << 20  # bytes of a Workflow; etcd takes no more than 1.5 MiB
SAFE_SHARE = 0.9  # of the limit that an estimate may reach
HARDER = 1.22  # is a real node to compress than one from here, by Go's deflate: measured

TEMPLATES = 32_000  # bytes of the templates that every Workflow has, and of its arguments' names
UUID = 32  # characters of an id

# As long and as hard to compress as what the back end writes.
SESSION = {
    "Provider": "minio",
    "Params": {
        "accessKeyKey": "accesskey",
        "disableSSL": "true",
        "endpoint": "seaweedfs.kubeflow:9000",
        "fromEnv": "false",
        "maxRetries": "5",
        "region": "minio",
        "secretKeyKey": "secretkey",
        "secretName": "mlpipeline-minio-artifact",
    },
}
LAUNCHER = (
    "/kfp-launcher/launch --pipeline_name pipeline --run_id 7dc8f90a-dc96-4d8b-b696-34826bb02229 "
    "--execution_id 86 --pod_name $(KFP_POD_NAME) --pod_uid $(KFP_POD_UID) "
    "--ml_pipeline_server_address ml-pipeline.kubeflow.svc.cluster.local "
    "--ml_pipeline_server_port 8887 --mlmd_server_address "
    "metadata-grpc-service.kubeflow.svc.cluster.local --mlmd_server_port 8080 --publish_logs true"
)
CONFIG = (
    '{"activeDeadlineSeconds":"21600","podMetadata":{"labels":{"app.kubernetes.io/component":"step",'
    '"app.kubernetes.io/part-of":"kfp-mnist-mxnet"}},"secretAsEnv":[{"keyToEnv":[{"envVar":'
    '"AWS_ACCESS_KEY_ID","secretKey":"accesskey"},{"envVar":"AWS_SECRET_ACCESS_KEY","secretKey":'
    '"secretkey"}],"optional":true,"secretName":"mlpipeline-minio-artifact"}]}'
)

SETTINGS = {
    "pod-metadata-label-key-1": "app.kubernetes.io/component",
    "pod-metadata-label-val-1": "step",
    "pod-metadata-label-key-2": "app.kubernetes.io/part-of",
    "pod-metadata-label-val-2": "kfp-mnist-mxnet",
    "retry-max-count": "2",
    "retry-backoff-duration": "0",
    "retry-backoff-factor": "2",
    "retry-backoff-max-duration": "3600",
}


@dataclasses.dataclass(frozen=True)
class Size:
    """Bytes of a Workflow at the end of its run: as it is, and with its nodes compressed."""

    plain: int
    compressed: int

    def is_below(self, share: float) -> bool:
        """Whether Argo needs no more than a share of what it can hold.

        It compresses the nodes only where that is needed.
        """
        return min(self.plain, self.compressed) <= share * LIMIT


def estimate_size(spec: Mapping[str, Any], iterations: int = 1) -> Size:
    """Return the size of a compiled pipeline's run if each of its loops has so many iterations.

    spec: the pipeline's specification, as its YAML has it.
    """
    components = spec["components"]
    executors = spec["deploymentSpec"]["executors"]
    arguments = json.dumps(
        sorted(to_json(value) for value in (*components.values(), *executors.values()))
    )
    tasks = json.dumps([to_json(task) for dag in dags(spec) for task in dag.values()])
    fixed = TEMPLATES + len(arguments) + len(tasks)
    made = Nodes(spec, iterations)
    root = made.of_driver("root", {"component": to_json({**spec["root"], "dag": {}})})
    listed = sorted([*root, *made.of_dag(spec["root"]["dag"]["tasks"])], key=lambda node: node[0])
    nodes = json.dumps(dict(listed), separators=(",", ":"))
    packed = base64.b64encode(zlib.compress(nodes.encode(), 6))
    return Size(fixed + len(nodes), fixed + round(HARDER * len(packed)))


def dags(spec: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield the tasks by name of the pipeline itself, and of each loop and condition in it."""
    for component in (spec["root"], *spec["components"].values()):
        if "dag" in component:
            yield component["dag"]["tasks"]


def to_json(value: Any) -> str:
    """Return a value as the back end writes it into a parameter."""
    return json.dumps(value, separators=(",", ":"), sort_keys=True)


class Nodes:
    """Makes the nodes of a run as Argo lists them in a Workflow's status."""

    def __init__(self, spec: Mapping[str, Any], iterations: int) -> None:
        self.components = spec["components"]
        self.executors = spec["deploymentSpec"]["executors"]
        self.iterations = iterations
        self.numbers = itertools.count()

    def of_dag(self, tasks: Mapping[str, Any], nesting: str = "root") -> Iterator[tuple[str, Any]]:
        """Yield id and content of the nodes of a DAG's tasks."""
        for name, task in sorted(tasks.items()):
            component = self.components[task["componentRef"]["name"]]
            described = {"component": to_json(component), "task": to_json(task)}
            if "dag" not in component:
                yield from self.of_task(f"{nesting}.{name}", component, described)
                continue
            loop = "parameterIterator" in task or "artifactIterator" in task
            yield from self.of_driver(f"{nesting}.{name}", described)
            for i in range(self.iterations if loop else 1):
                place = f"{nesting}.{name}(0)"
                if loop:
                    place += f".iteration-iterations({i}:{i})(0).iteration-item(0)"
                    for kind in ("Retry", "DAG", "Retry", "DAG", "Retry"):
                        yield self.node(place, kind, {}, {})
                    yield from self.of_driver(place, {**described, "iteration-index": str(i)})
                yield from self.of_dag(component["dag"]["tasks"], place)

    def of_task(
        self, place: str, component: Mapping[str, Any], described: dict[str, str]
    ) -> Iterator[tuple[str, Any]]:
        """Yield the nodes of a task: its driver's and its executor's."""
        executor = self.executors[component["executorLabel"]]
        container = executor.get("container")
        if container is None:  # an importer
            yield from self.of_driver(place, {**described, "importer": to_json(executor)})
            return
        patch = self.pod_spec_patch(container, described["component"], component)
        described = {**described, "container": to_json(container), "kubernetes-config": CONFIG}
        yield from self.of_driver(place, described, {"pod-spec-patch": patch})
        for kind in ("DAG", "Retry", "Retry", "Pod"):
            yield self.node(f"{place}.executor", kind, {"pod-spec-patch": patch, **SETTINGS}, {})

    def of_driver(
        self, place: str, inputs: dict[str, str], outputs: Mapping[str, str] | None = None
    ) -> Iterator[tuple[str, Any]]:
        """Yield the nodes of a driver."""
        for kind in ("Retry", "Pod"):
            yield self.node(
                f"{place}-driver", kind, inputs, {"execution-id": "7", **(outputs or {})}
            )

    def pod_spec_patch(
        self, container: Mapping[str, Any], component_json: str, component: Mapping[str, Any]
    ) -> str:
        """Return what a driver says of the pod of an executor."""
        takes, gives = (component.get(f"{way}Definitions", {}) for way in ("input", "output"))
        uuid = self.unique(UUID)
        executor_input = {
            "inputs": {
                "parameterValues": takes.get("parameters", {}),
                "artifacts": {
                    name: [self.taken(name, maker) for maker in self.makers_of(name, artifact)]
                    for name, artifact in sorted(takes.get("artifacts", {}).items())
                },
            },
            "outputs": {
                name: {"name": name, "uri": self.address(uuid, name), **artifact}
                for name, artifact in sorted(gives.get("artifacts", {}).items())
            },
        }
        launcher = [*LAUNCHER.split(), "--executor_input", to_json(executor_input)]
        launcher += ["--component_spec", component_json]
        args = [*launcher, "--", *container.get("command", []), *container.get("args", [])]
        resources, env = container.get("resources", {}), container.get("env", [])
        return to_json({"containers": [{"args": args, "resources": resources, "env": env}]})

    def taken(self, name: str, maker: str) -> dict[str, Any]:
        """Return what a driver says of an artifact; maker: the id of the task that it is of."""
        digest = hashlib.sha256(maker.encode()).hexdigest()
        about = {"display_name": name, "sha256": digest, "store_session_info": to_json(SESSION)}
        return {"name": self.unique(3), "uri": self.address(maker, name), "metadata": about}

    def address(self, uuid: str, name: str) -> str:
        """Return the address of an artifact; uuid: of the task that it is of."""
        run = "7dc8f90a-dc96-4d8b-b696-34826bb02229"
        return f"minio://mlpipeline/v2/artifacts/pipeline/{run}/task/{uuid}/{name}"

    def makers_of(self, name: str, artifact: Mapping[str, Any]) -> list[str]:
        """Return the ids of the tasks that an input is of: a list comes from all of a loop."""
        if artifact.get("isArtifactList"):
            return [self.unique(UUID) for _ in range(self.iterations)]
        return [hashlib.sha512(name.encode()).hexdigest()[:UUID]]

    def node(
        self, place: str, kind: str, inputs: Mapping[str, str], outputs: Mapping[str, str]
    ) -> tuple[str, Any]:
        """Return id and content of a node."""
        name = f"pipeline-abcde.{place}"
        node_id = f"pipeline-abcde-{self.unique(10)}"
        content = {
            "id": node_id,
            "name": name,
            "displayName": place.rpartition(".")[2],
            "type": kind,
            "templateName": "system-container-driver",
            "templateScope": "local/pipeline-abcde",
            "phase": "Succeeded",
            "boundaryID": self.unique(10),
            "startedAt": "2026-01-01T00:00:00Z",
            "finishedAt": "2026-01-01T00:00:10Z",
            "resourcesDuration": {"cpu": 0, "memory": 5},
            "inputs": {"parameters": [{"name": n, "value": v} for n, v in inputs.items()]},
            "outputs": {"parameters": [{"name": n, "value": v} for n, v in outputs.items()]},
            "children": [f"pipeline-abcde-{self.unique(10)}"],
            "hostNodeName": "node",
            "progress": "1/1",
            "nodeFlag": {"retried": True},
            "taskResultSynced": True,
        }
        return node_id, content

    def unique(self, length: int) -> str:
        """Return text that stands nowhere else, as ids and addresses do."""
        seed = hashlib.sha512(str(next(self.numbers)).encode()).hexdigest()
        return (seed * (length // len(seed) + 1))[:length]


if __name__ == "__main__":
    for file, iterations in zip(sys.argv[1::2], sys.argv[2::2], strict=True):
        spec = next(yaml.safe_load_all(pathlib.Path(file).read_text()))
        size = estimate_size(spec, int(iterations))
        print(f"{file}, {iterations}: {size.plain:,} bytes, {size.compressed:,} compressed")
