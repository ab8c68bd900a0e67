"""The steps of a pipeline as a graph: which comes after which, and where each is drawn."""

import dataclasses
import graphlib
import re
from collections.abc import Iterator
from typing import Any

WIDTH, HEIGHT = 160.0, 50.0  # of a step
GAP, ROW = 14.0, 34.0  # between two boxes side by side, and between two layers
PADDING, TITLE = 10.0, 22.0  # inside a loop or condition: at its edges, and above for its name
LETTER = 6.2  # of the name of a loop or condition, on average
BEND = 28.0  # how far an arrow swings out for each layer that it passes
COLUMNS = 2  # boxes that stand side by side, so that a phone can show them


@dataclasses.dataclass
class Box:
    """A step, or a loop or condition with the boxes in it, and where it stands.

    kind: step, importer, loop or condition. after: the boxes beside it that it comes after, those
    without another one between first. x, y: of the upper left corner.
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

    @property
    def label(self) -> str:
        """What stands in the box."""
        return {"loop": "for each of ", "condition": "if "}.get(self.kind, "") + self.title

    @property
    def middle(self) -> float:
        """Where its arrows start and end."""
        return self.x + self.width / 2


@dataclasses.dataclass
class Arrow:
    """A line between two boxes; bend: the x to which it swings out past others, 0 for none."""

    start: Box
    end: Box
    bend: float

    @property
    def right(self) -> float:
        """The largest x of its curve, whose two control points are at `bend`."""
        edge = max(box.x + box.width for box in (self.start, self.end))
        return edge + 0.75 * max(0.0, self.bend - edge)


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
class Place:
    """Where a step is in a pipeline; conditions: those that it is under, the outermost first."""

    name: str
    title: str
    conditions: tuple[Box, ...]


def places(boxes: list[Box], conditions: tuple[Box, ...] = ()) -> Iterator[Place]:
    """Yield the steps of a pipeline in an order in which they can run."""
    for box in boxes:
        if box.kind == "step":
            yield Place(box.name, box.title, conditions)
        inner = (*conditions, box) if box.kind == "condition" else conditions
        yield from places(box.inside, inner)


def unmet(place: Place, ran: list[Place]) -> str:
    """Return the outermost condition under which no step ran, empty if the step is under none.

    ran: the steps that did.
    """
    met = {box.name for other in ran for box in other.conditions}
    closed = [box.title for box in place.conditions if box.name not in met]
    return closed[0] if closed else ""


def unroll(boxes: list[Box], ran: list[str]) -> list[Box]:
    """Return the boxes with a step in a loop once for each time that it ran.

    ran: names of the steps of a run: train-1 is the first time of train.
    """
    boxes = [dataclasses.replace(box, inside=unroll(box.inside, ran)) for box in boxes]
    for box in boxes:
        if box.kind == "loop":
            box.inside = [time for step in box.inside for time in times(step, ran)]
    return boxes


def times(step: Box, ran: list[str]) -> list[Box]:
    """Return a step in a loop once for each time that it ran, or as it is if it never did."""
    found = [re.fullmatch(rf"{re.escape(step.name)}-(\d+)", name) for name in ran]
    numbers = sorted(int(match[1]) for match in found if match)
    return [
        dataclasses.replace(
            step,
            name=f"{step.name}-{number}",
            title=f"{step.title}-{number}",
            after=[f"{name}-{number}" for name in step.after],
        )
        for number in numbers
    ] or [step]


def arrange(boxes: list[Box]) -> tuple[float, float]:
    """Place boxes from (0, 0) on, layer under layer; return the width and height of them all."""
    for box in boxes:
        if box.inside:
            width, height = arrange(box.inside)
            wide = max(width, LETTER * len(box.label))
            move(box.inside, PADDING + (wide - width) / 2, PADDING + TITLE)
            box.width, box.height = wide + 2 * PADDING, height + 2 * PADDING + TITLE
    grid = [[row[i : i + COLUMNS] for i in range(0, len(row), COLUMNS)] for row in layers(boxes)]
    widths = [max(row_width(row) for row in rows) for rows in grid]
    y = 0.0
    for rows, width in zip(grid, widths, strict=True):
        for row in rows:
            x = (max(widths) - width) / 2
            for box in row:
                move([box], x, y)
                x += box.width + GAP
            y += max(box.height for box in row) + GAP
        y += ROW - GAP
    return max(widths), y - ROW


def row_width(row: list[Box]) -> float:
    """Return the width of boxes side by side."""
    return sum(box.width for box in row) + GAP * (len(row) - 1)


def layers(boxes: list[Box]) -> list[list[Box]]:
    """Return the boxes by how many others, at most, are before them."""
    depths: dict[str, int] = {}
    for box in boxes:
        depths[box.name] = 1 + max((depths.get(name, 0) for name in box.after), default=0)
    found: dict[int, list[Box]] = {}
    for box in boxes:
        found.setdefault(depths[box.name], []).append(box)
    return [found[depth] for depth in sorted(found)]


def move(boxes: list[Box], x: float, y: float) -> None:
    """Move boxes, and what is in them."""
    for box in boxes:
        box.x, box.y = box.x + x, box.y + y
        move(box.inside, x, y)


def arrows(boxes: list[Box]) -> list[Arrow]:
    """Return an arrow for each pair of boxes of which one comes after the other."""
    named = {box.name: box for box in boxes}
    places = {box.name: i for i, layer in enumerate(layers(boxes)) for box in layer}
    right = max(box.x + box.width for box in boxes)
    found = []
    for box in boxes:
        for start in (named[name] for name in box.after if name in named):
            between = places[box.name] - places[start.name] - 1
            found.append(Arrow(start, box, right + BEND * between if between else 0.0))
        found += arrows(box.inside) if box.inside else []
    return found
