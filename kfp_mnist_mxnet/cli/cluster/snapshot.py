"""A run and its steps, as the v2beta1 API describes them.

KFP 2.17 lists the nodes of Argo's workflow, by the names that Argo shows; what comes after it lists
the tasks of the pipeline, with their iterations, messages and artifacts.
"""

import dataclasses
import datetime
import itertools
import re
from collections.abc import Iterator
from typing import Any

from kfp_mnist_mxnet.cli.graph import Box

Task = dict[str, Any]  # as the API has it

ENDED = ("SUCCEEDED", "FAILED", "SKIPPED", "CANCELED")
UNFINISHED = ("PENDING", "RUNNING")
ROOT = "root"  # the back end's name for the whole pipeline
POD = re.compile(r"executor\(\d+\)")  # Argo's, for each try of a step's container


@dataclasses.dataclass
class Step:
    """A step of a run, or what prepares a loop, a condition or the run.

    node: by which the API gives its log. message: why it waits or how it ended. preparing: whether
    its driver runs.
    """

    key: str
    name: str
    state: str
    seconds: float = 0.0
    cached: bool = False
    in_loop: bool = False
    node: str = ""
    message: str = ""
    preparing: bool = False
    accuracy: float | None = None


@dataclasses.dataclass
class RunSnapshot:
    """A run as it is now.

    steps: those that have begun, in the order of the pipeline. groups: what prepares loops,
    conditions and the run. opened: keys of the conditions that were met. tasks: how many of any
    kind there are. working: whether a step's container runs. unfinished: whether a task has not
    ended.
    """

    state: str
    parameters: dict[str, Any] = dataclasses.field(default_factory=dict)
    seconds: float = 0.0
    error: str = ""
    steps: list[Step] = dataclasses.field(default_factory=list)
    groups: list[Step] = dataclasses.field(default_factory=list)
    opened: set[str] = dataclasses.field(default_factory=set)
    tasks: int = 0
    working: bool = False
    unfinished: bool = False

    @property
    def ended(self) -> bool:
        """Whether nothing will change any more."""
        return self.state in ENDED

    @property
    def failed(self) -> list[Step]:
        """The steps and groups that failed."""
        return [step for step in [*self.steps, *self.groups] if step.state == "FAILED"]


def read_snapshot(run: dict[str, Any], boxes: list[Box]) -> RunSnapshot:
    """Return a run as the API describes it; boxes: of its pipeline."""
    snapshot = RunSnapshot(run.get("state") or "PENDING")
    snapshot.parameters = (run.get("runtime_config") or {}).get("parameters") or {}
    snapshot.error = (run.get("error") or {}).get("message", "")
    if any(then.get("state") == "CANCELING" for then in run.get("state_history") or []):
        snapshot.error = "it was terminated"  # the back end then says FAILED
    snapshot.seconds = seconds_between(run.get("created_at"), run.get("finished_at"))
    nodes = (run.get("run_details") or {}).get("task_details") or []
    tasks = run.get("tasks") or nodes
    snapshot.tasks = len(tasks)
    snapshot.unfinished = any(task.get("state") in UNFINISHED for task in tasks)
    read = read_argo_nodes if tasks is nodes else read_pipeline_tasks
    for box, step, met in read(tasks, [*flat(boxes), *flat(drivers(boxes))]):
        (snapshot.steps if box.kind == "step" else snapshot.groups).append(step)
        snapshot.opened |= {box.name} if met else set()
    pods = [
        task for task in tasks if POD.fullmatch(task.get("display_name") or "")
    ] or snapshot.steps
    states = [pod.state if isinstance(pod, Step) else pod.get("state") for pod in pods]
    snapshot.working = "RUNNING" in states
    return snapshot


def read_argo_nodes(
    nodes: list[Task], boxes: list[tuple[Box, bool]]
) -> Iterator[tuple[Box, Step, bool]]:
    """Yield the steps and groups that the list of KFP 2.17 tells of, and whether each was entered.

    It does not tell which iteration a step belongs to: they are numbered as they started.
    """
    named: dict[str, list[Task]] = {}
    for node in sorted(nodes, key=lambda node: (started(node), node["task_id"])):
        if node.get("state"):  # the cache's have none, and what a failure has left out
            named.setdefault(POD.sub("pod", node["display_name"]), []).append(node)
    for box, looped in boxes:
        pairs = itertools.zip_longest(named.get(f"{box.name}-driver", []), named.get(box.name, []))
        for number, (driver, node) in enumerate(pairs, 1):
            step = argo_step(box, driver, node, named.get("pod", []))
            step.name += f"#{number}" if looped else ""
            step.in_loop = looped
            yield box, step, bool(node and node["state"] != "SKIPPED")


def argo_step(box: Box, driver: Task | None, node: Task | None, pods: list[Task]) -> Step:
    """Return a step by its driver and itself, each None if it has not begun.

    A group is told by its driver alone: what is in it stands for itself.
    """
    of_driver = driver and (node is None or box.kind != "step" or driver["state"] == "FAILED")
    last: Task = (driver if of_driver else node) or {}
    step = Step(box.name, box.title, last["state"], seconds_of(last))
    step.node = (last.get("child_tasks") or [{}])[-1].get("pod_name", "")  # of the last try
    if of_driver:
        step.preparing = step.state == "RUNNING"
        step.state = "PENDING" if box.kind == "step" and step.state != "FAILED" else step.state
    elif step.state == "RUNNING" and box.kind == "step":
        made = [pod for pod in pods if 0 <= (started(pod) - started(last)).total_seconds() <= 1]
        step.state = "RUNNING" if {pod["state"] for pod in made} - {"PENDING"} else "PENDING"
    step.cached = step.state == "SUCCEEDED" and not step.seconds  # no pod is that fast
    return step


def read_pipeline_tasks(
    tasks: list[Task], boxes: list[tuple[Box, bool]]
) -> Iterator[tuple[Box, Step, bool]]:
    """Yield the steps and groups that the list of tasks tells of, and whether each was entered."""
    known = {task["task_id"]: task for task in tasks}
    for box, looped in boxes:
        own = [task for task in tasks if task.get("name") == box.name]
        for task in sorted(own, key=lambda task: iterations(task, known)):
            state, number = task.get("state") or "PENDING", iterations(task, known)
            step = Step(box.name, "#".join([box.title, *number]), state, seconds_of(task))
            step.cached, step.in_loop = state == "CACHED", looped
            step.message = (task.get("status_metadata") or {}).get("message", "")
            pods = sorted(task.get("pods") or [], key=lambda pod: pod.get("type") == "EXECUTOR")
            step.node = pods[-1]["name"] if pods else ""
            step.accuracy = accuracy_of(task)
            if step.cached or (box.kind != "step" and not step.message):  # else one in it failed
                step.state = "SUCCEEDED"
            yield box, step, state != "SKIPPED"


def iterations(task: Task, known: dict[str, Task]) -> list[str]:
    """Return the numbers of the iterations that a task is in, from 1, the outermost first."""
    index = (task.get("type_attributes") or {}).get("iteration_index")
    parent = known.get(task.get("parent_task_id") or "")
    outer = iterations(parent, known) if parent else []
    return outer if index is None else [*outer, str(int(index) + 1)]


def accuracy_of(task: Task) -> float | None:
    """Return the accuracy among the metrics that a task put out, None if there is none."""
    outputs = (task.get("outputs") or {}).get("artifacts") or []
    for artifact in (artifact for output in outputs for artifact in output.get("artifacts") or []):
        metrics = {
            artifact.get("name"): artifact.get("number_value"),
            **artifact.get("metadata", {}),
        }
        if metrics.get("accuracy") is not None:
            return float(metrics["accuracy"])
    return None


def drivers(boxes: list[Box]) -> list[Box]:
    """Return what the back end calls the run, and Argo the iterations of a loop."""
    loops = [box.title for box, _ in flat(boxes) if box.kind == "loop"]
    names = [(name, loops[0]) for name in ("iteration", "iteration-item") if loops]
    return [Box(name, title, "group", []) for name, title in [(ROOT, "run"), *names]]


def flat(boxes: list[Box], looped: bool = False) -> Iterator[tuple[Box, bool]]:
    """Yield boxes and all that are in them, each with whether it is in a loop."""
    for box in boxes:
        yield box, looped
        yield from flat(box.inside, looped or box.kind == "loop")


def started(task: Task) -> datetime.datetime:
    """Return when a task began."""
    return read_time(task.get("start_time") or task.get("create_time"))


def seconds_of(task: Task) -> float:
    """Return how long a task took, 0 if it has not ended."""
    return seconds_between(task.get("start_time") or task.get("create_time"), task.get("end_time"))


def seconds_between(start: str | None, end: str | None) -> float:
    """Return the seconds between two times of the API, 0 if the second has not come."""
    return max(0.0, (read_time(end) - read_time(start)).total_seconds())


def read_time(text: str | None) -> datetime.datetime:
    """Return a time of the API, which gives none or the year 1 for what has not happened."""
    return datetime.datetime.fromisoformat(text or "0001-01-01T00:00:00Z")
