"""The steps of a pipeline as a graph: which comes after which, and under which conditions."""

import dataclasses
import graphlib
from collections.abc import Iterator
from typing import Any

WIDTH, HEIGHT = 160.0, 50.0  # of a step


@dataclasses.dataclass
class Box:
    """A step, or a loop or condition with the boxes in it, and where it stands.

    kind: step, importer, loop or condition. after: the boxes beside it that it comes after, those
    without another one between first. x, y: of the upper left corner. closed: a condition that a
    run did not meet.
    """

    name: str
    title: str
    kind: str
    after: list[str]
    inside: list["Box"] = dataclasses.field(default_factory=list)
    x: float = 0.0
    y: float = 0.0
    width: float = WIDTH
    height: float = HEIGHT
    closed: bool = False

    @property
    def label(self) -> str:
        """What stands in the box."""
        if self.kind == "condition":
            return f"if {self.title}" + (": ! closed" if self.closed else "")
        if self.kind == "loop":
            return f"for {self.title if self.title.startswith('each') else f'each of {self.title}'}"
        return self.title

    @property
    def middle(self) -> float:
        """Where its arrows start and end."""
        return self.x + self.width / 2


def read_graph(spec: Any) -> list[Box]:
    """Return the boxes of a pipeline spec in an order in which they can run."""
    executors = spec.deployment_spec["executors"]

    def read(dag: Any) -> list[Box]:
        boxes = []
        for name in task_order(dag):
            task = dag.tasks[name]
            component = spec.components[task.component_ref.name]
            if component.HasField("dag"):
                kind = "condition" if task.trigger_policy.condition else "loop"
            else:
                kind = "step" if "container" in executors[component.executor_label] else "importer"
            after = sorted(task.dependent_tasks)
            box = Box(name, task.task_info.name or name, kind, after)
            box.inside = read(component.dag) if kind in ("condition", "loop") else []
            boxes.append(box)
        return boxes

    return read(spec.root.dag)


def task_order(dag: Any) -> list[str]:
    """Return the names of a DAG's tasks, each after those that it depends on."""
    graph = {name: set(dag.tasks[name].dependent_tasks) for name in sorted(dag.tasks)}
    return list(graphlib.TopologicalSorter(graph).static_order())


@dataclasses.dataclass(frozen=True)
class StepRef:
    """Where a step is in a pipeline; conditions: those that it is under, the outermost first."""

    name: str
    title: str
    conditions: tuple[Box, ...]


def step_refs(boxes: list[Box], conditions: tuple[Box, ...] = ()) -> Iterator[StepRef]:
    """Yield the steps of a pipeline in an order in which they can run."""
    for box in boxes:
        if box.kind == "step":
            yield StepRef(box.name, box.title, conditions)
        inner = (*conditions, box) if box.kind == "condition" else conditions
        yield from step_refs(box.inside, inner)


def unmet_condition(place: StepRef, ran: list[StepRef]) -> str:
    """Return the outermost condition under which no step ran, empty if the step is under none.

    ran: the steps that did.
    """
    met = {box.name for other in ran for box in other.conditions}
    closed = [box.title for box in place.conditions if box.name not in met]
    return closed[0] if closed else ""


def why_skipped(condition: str, record: dict[str, Any]) -> str:
    """Say why a step of a run that succeeded was left out.

    condition: the name of the one that was not met, what must hold for the step to run.
    """
    accuracy, least = record["accuracy"], record["parameters"].get("min_accuracy")
    if accuracy is not None and least is not None and accuracy < least:
        digits = f"{accuracy:.4f}"
        return f"accuracy {digits if float(digits) < least else accuracy} < min_accuracy {least}"
    return f"the condition '{condition}' is not met"
