"""What the back end says of the steps of a run: Argo's workflow, or the API's list of tasks."""

import dataclasses
import datetime
import itertools
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from kfp_mnist_mxnet.cli.graph import Box

RUN = "root"  # Argo's name for what all is in

STATES = {
    "Pending": "PENDING",
    "Running": "RUNNING",
    "Succeeded": "SUCCEEDED",
    "Failed": "FAILED",
    "Error": "FAILED",
    "Skipped": "SKIPPED",
    "Omitted": "SKIPPED",
}


@dataclasses.dataclass(frozen=True)
class Node:
    """A node of Argo's workflow: a pod, or what pods belong to.

    path: the names of the tasks that it is in, the last of them its own. iterations: of the loops
    that it is in, from 0. attempt: whether it is one of the tries of another node. log: the key of
    its log in the object store, once it is there.
    """

    path: tuple[str, ...]
    iterations: tuple[int, ...]
    attempt: bool
    state: str
    started: float
    ended: float
    message: str
    pod: str
    log: str
    cached: bool


@dataclasses.dataclass
class Step:
    """A step of a run.

    pod: its last one, its driver's until it has one itself. message: why that waits or how it
    ended; log: the key of its log in the object store, once it is there. preparing: whether it is
    the driver's, and runs.
    """

    key: str
    name: str
    state: str
    seconds: float = 0.0
    cached: bool = False
    in_loop: bool = False
    pod: str = ""
    message: str = ""
    log: str = ""
    preparing: bool = False


@dataclasses.dataclass(frozen=True)
class Place:
    """Where a step is in a pipeline; condition: the name of the one that it is under, or empty."""

    key: str
    title: str
    condition: str


def places(boxes: list[Box], condition: str = "") -> Iterator[Place]:
    """Yield the steps of a pipeline in an order in which they can run."""
    for box in boxes:
        if box.kind == "step":
            yield Place(box.name, box.title, condition)
        yield from places(box.inside, box.title if box.kind == "condition" else condition)


def read_nodes(workflow: dict[str, Any]) -> list[Node]:
    """Return the nodes of a workflow in the order in which they started."""
    found = (workflow.get("status") or {}).get("nodes") or {}
    nodes = [read_node(workflow, node_id, node) for node_id, node in found.items()]
    return sorted(nodes, key=lambda node: (node.started, node.path, node.iterations))


def read_node(workflow: dict[str, Any], node_id: str, node: dict[str, Any]) -> Node:
    """Return a node of a workflow.

    Its name is workflow(0).root(0).loop(0).iterations(1:1)(0).train(0): (0) is the first try, since
    2.17 of everything, and (1:1) the second iteration of a loop.
    """
    path, iterations = [], []
    for part in node["name"].removeprefix(workflow["metadata"]["name"]).split(".")[1:]:
        name, iteration = re.findall(r"^(.*?)(?:\((\d+):.*?\))?(?:\(\d+\))?$", part)[0]
        path.append(name)
        iterations += [int(iteration)] if iteration else []
    outputs = node.get("outputs") or {}
    values = {output["name"]: output.get("value") for output in outputs.get("parameters", [])}
    files = {output["name"]: output.get("s3") or {} for output in outputs.get("artifacts", [])}
    return Node(
        path=tuple(path),
        iterations=tuple(iterations),
        attempt=bool(re.search(r"\(\d+\)$", node["name"])),
        state=STATES.get(node.get("phase", ""), "PENDING"),
        started=read_time(node.get("startedAt")),
        ended=read_time(node.get("finishedAt")),
        message=node.get("message", ""),
        pod=pod_name(workflow, node_id, node) if node["type"] == "Pod" else "",
        log=files.get("main-logs", {}).get("key", ""),
        cached=values.get("cached-decision") == "true",
    )


def pod_name(workflow: dict[str, Any], node_id: str, node: dict[str, Any]) -> str:
    """Return the name of a node's pod, which Argo makes of the workflow's and the template's."""
    metadata = workflow["metadata"]
    annotations = metadata.get("annotations") or {}
    if annotations.get("workflows.argoproj.io/pod-name-format") == "v1":
        return node_id
    return f"{metadata['name']}-{node.get('templateName', '')}-{node_id.rpartition('-')[2]}"


def read_time(text: str | None) -> float:
    """Return the seconds since 1970 of a time of the API, 0 for none."""
    return datetime.datetime.fromisoformat(text).timestamp() if text else 0.0


def read_steps(nodes: list[Node], pipeline: Sequence[Place]) -> list[Step]:
    """Return the steps that have begun or were left out, in the order of the pipeline."""
    order = {place.key: i for i, place in enumerate(pipeline)}
    groups: dict[tuple[tuple[str, ...], tuple[int, ...]], list[Node]] = {}
    for node in nodes:
        path = step_path(node.path, order)
        if path:
            groups.setdefault((path, node.iterations), []).append(node)
    return [
        read_step(path, iterations, groups[path, iterations], pipeline[order[path[-1]]].title)
        for path, iterations in sorted(groups, key=lambda group: (order[group[0][-1]], group))
    ]


def step_path(path: tuple[str, ...], keys: Iterable[str]) -> tuple[str, ...]:
    """Return the path of the step that a node belongs to, as itself, its driver or its pod."""
    for i, part in enumerate(path):
        for key in (part, part.removesuffix("-driver")):
            if key in keys:
                return (*path[:i], key)
    return ()


def read_step(
    path: tuple[str, ...], iterations: tuple[int, ...], nodes: list[Node], title: str
) -> Step:
    """Return a step of the nodes that belong to it: its driver's, its own and its pod's."""
    whole = {node.path: node.state for node in nodes if not node.attempt}
    driver = (*path[:-1], f"{path[-1]}-driver")
    drivers = [node for node in nodes if node.pod and node.path == driver]
    pods = [node for node in nodes if node.pod and node.path[: len(path)] == path]
    number = ".".join(str(iteration + 1) for iteration in iterations)
    step = Step(path[-1], f"{title}#{number}" if number else title, whole.get(path, "PENDING"))
    step.in_loop = bool(iterations)
    if step.state == "RUNNING" and not pods:
        step.state = "PENDING"
    if whole.get(driver) == "FAILED":  # then the step itself is left out
        step.state = "FAILED"
    step.cached = step.state == "SUCCEEDED" and not pods and any(node.cached for node in drivers)
    if pods and pods[-1].ended:
        step.seconds = max(0.0, pods[-1].ended - pods[0].started)
    return with_pod(step, [*drivers, *pods])


def with_pod(step: Step, pods: list[Node]) -> Step:
    """Return a step with the last of its pods, if it has one: the step waits while that does."""
    if pods:
        last = pods[-1]
        step.pod, step.message, step.log = last.pod, last.message, last.log
        step.preparing = last.path[-1].endswith("-driver") and last.state == "RUNNING"
        if step.state == "RUNNING" and last.state == "PENDING":
            step.state = "PENDING"
    return step


def read_tasks(tasks: Iterable[Any], pipeline: Sequence[Place]) -> list[Step]:
    """Return the steps that have begun as the API's list of tasks has them: without their pods.

    The list has pods and drivers too, and does not say which task a pod belongs to.
    """
    titles = {place.key: place.title for place in pipeline}
    own = [task for task in tasks if task.display_name in titles and task.state]
    own.sort(key=lambda task: (list(titles).index(task.display_name), str(task.start_time)))
    steps = []
    counts: dict[str, Iterator[int]] = {}
    for task in own:
        count = next(counts.setdefault(task.display_name, itertools.count(1)))
        name = titles[task.display_name] + (f"#{count}" if count > 1 else "")
        step = Step(task.display_name, name, task.state)
        if task.end_time and task.start_time:
            step.seconds = max(0.0, (task.end_time - task.start_time).total_seconds())
        steps.append(step)
    return steps


def read_drivers(nodes: list[Node], boxes: list[Box]) -> list[Step]:
    """Return the drivers of loops, of conditions and of the run, as if they were steps of it."""
    titles = {RUN: "run", **{box.name: box.title for box in flat(boxes)}}
    steps = {place.key for place in places(boxes)}
    groups: dict[tuple[tuple[str, ...], tuple[int, ...]], list[Node]] = {}
    for node in nodes:
        if not step_path(node.path, steps):
            groups.setdefault((node.path, node.iterations), []).append(node)
    drivers = []
    for (path, _), group in groups.items():
        whole = next((node for node in group if not node.attempt), None)
        pods = [node for node in group if node.pod]
        if whole and pods:
            key = path[-1].removesuffix("-driver")
            drivers.append(with_pod(Step(key, titles.get(key, key), whole.state), pods))
    return drivers


def flat(boxes: list[Box]) -> Iterator[Box]:
    """Yield boxes and all that are in them."""
    for box in boxes:
        yield box
        yield from flat(box.inside)
