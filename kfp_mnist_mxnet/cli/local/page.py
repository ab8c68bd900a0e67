"""The page of a run: its graph, parameters, metrics, reports and artifacts, in one file."""

import dataclasses
import os
import pathlib
import re
from collections.abc import Iterator
from typing import Any

import jinja2
from markdown_it import MarkdownIt

from kfp_mnist_mxnet.cli.console import MARKS
from kfp_mnist_mxnet.cli.graph import Box
from kfp_mnist_mxnet.cli.local.layout import arrange, arrows, unroll
from kfp_mnist_mxnet.cli.local.paired import p_value
from kfp_mnist_mxnet.cli.local.runs import Run, gate_text, state_of
from kfp_mnist_mxnet.cli.local.values import metric, number, parameter, percent, points, text
from kfp_mnist_mxnet.cli.local.verdict import judge
from kfp_mnist_mxnet.reports.page import resource, shared_style

SIGNS = {"WAITING": "○", **{status: sign for status, (sign, _) in MARKS.items()}}
# Of the steps' sections; those that it does not have stand beside train.
ORDER = (
    *("evaluate", "merge", "predict", "export", "register", "upload"),
    *("compare", "train", "plan", "ingest", "ingest-images"),
)


def write_whole(path: pathlib.Path, text: str) -> None:
    """Write a file whole or not at all."""
    partial = path.with_name(path.name + ".partial")
    try:
        partial.write_text(text, encoding="utf-8")
        os.replace(partial, path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        error.filename = str(path)  # of a disk that is full there is none
        raise


def write_page(directory: pathlib.Path, record: dict[str, Any], boxes: list[Box]) -> None:
    """Write <directory>/index.html, which shows a run as its record says, and needs no other file.

    boxes: of the pipeline, from `read_graph`. Links to artifacts are relative to the directory.
    """
    run = Run(directory, record)
    chosen = chosen_trial(run)
    steps = [describe_step(directory, step, chosen) for step in record["steps"]]
    page = template("page.html").render(
        run=record,
        run_id=directory.name,
        state=state_of(record),
        verdict=judge(run),
        resolved=run.hyperparameters(),
        stop_reason=run.model_info().get("stop_reason", ""),
        graph=draw_graph(record, boxes, chosen),
        steps=steps,
        sections=sorted(steps, key=importance),
        take_heights=beside("frames.js"),
        tell_height=f"<script>{beside('height.js')}</script>",
    )
    write_whole(directory / "index.html", page)


def beside(name: str) -> str:
    """Return the text of a file beside this one."""
    return pathlib.Path(__file__).with_name(name).read_text(encoding="utf-8")


def chosen_trial(run: Run) -> str:
    """Return the name of the step that trained the best trial of a sweep, empty without one."""
    best = run.metrics().get("compare.best_trial")
    return f"train-{best:.0f}" if isinstance(best, (int, float)) else ""


def importance(step: dict[str, Any]) -> tuple[bool, int]:
    """Return where a step's section stands: one that failed first, then what people look for."""
    name = re.sub(r"-\d+$", "", step["name"])
    place = ORDER.index(name) if name in ORDER else ORDER.index("train")
    return step["status"] != "FAILED", place


def template(name: str) -> jinja2.Template:
    """Return a template of a page, which escapes all text."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(pathlib.Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        gate_text=gate_text,
        p_value=p_value,
        number=number,
        text=text,
        percent=percent,
        points=points,
        metric=metric,
        parameter=parameter,
    )
    environment.globals.update(
        signs=SIGNS, shared_style=shared_style(), page_style=beside("page.css")
    )
    return environment.get_template(name)


@dataclasses.dataclass
class Graph:
    """What the template draws; width and height of it all."""

    width: float
    height: float
    boxes: list[Box]
    arrows: list[Any]
    states: dict[str, dict[str, Any]]
    chosen: str


def draw_graph(record: dict[str, Any], boxes: list[Box], chosen: str) -> Graph:
    """Return the graph of a run; states: name of a step to its record, of those that have one.

    chosen: the step that trained the best trial, empty without one.
    """
    states = {step["name"]: step for step in record["steps"]}
    boxes = unroll(boxes, list(states))
    behind = set(record.get("gate", {}).get("steps", ()))
    for box in flatten(boxes):
        box.closed = box.kind == "condition" and behind.issuperset(b.name for b in box.inside)
    width, height = arrange(boxes)
    lines = arrows(boxes)
    width = max([width, *(line.lane for line in lines)])
    return Graph(width, height, list(flatten(boxes)), lines, states, chosen)


def flatten(boxes: list[Box]) -> Iterator[Box]:
    """Yield each box before those in it."""
    for box in boxes:
        yield box
        yield from flatten(box.inside)


def describe_step(directory: pathlib.Path, step: dict[str, Any], chosen: str) -> dict[str, Any]:
    """Return a step's record with its values, its artifacts (name to link) and its reports.

    chosen: the name of the step that trained the best trial.

    Reports are HTML pages and model cards. They are shown in the page, and written to
    reports/<step>-<name>.html, as a browser takes a local file without that ending for text.
    """
    returned, artifacts, reports = {}, {}, []
    for name, value in sorted(step["outputs"].items()):
        path = pathlib.Path(value) if isinstance(value, str) else directory
        if not path.is_relative_to(directory / "artifacts"):
            if value not in step["metrics"].values():
                returned[name] = value
        elif page := as_page(path):
            link = directory / "reports" / f"{step['name']}-{name}.html"
            link.parent.mkdir(exist_ok=True)
            if not link.exists():
                write_whole(link, page)
            reports.append((name, os.path.relpath(link, directory), page))
        elif path.exists():
            artifacts[name] = os.path.relpath(path, directory)
    in_loop = re.search(r"-\d+$", step["name"]) is not None
    found: dict[str, Any] = {
        "returned": returned,
        "artifacts": artifacts,
        "reports": reports,
        "in_loop": in_loop,
        "chosen": step["name"] == chosen,
    }
    return {**step, **found}


def as_page(path: pathlib.Path) -> str:
    """Return an HTML page as it is, a model card as a page, and of anything else nothing.

    They are known by how they start: the card with metadata between lines of dashes.
    """
    if not path.is_file():
        return ""
    with path.open("rb") as file:
        start = file.read(15).lower()
    if start == b"<!doctype html>":
        return path.read_text(encoding="utf-8", errors="replace")
    if start.startswith(b"---\n"):
        text = path.read_text(encoding="utf-8", errors="replace")
        return card_page(text.partition("\n---\n")[2])
    return ""


def card_page(markdown: str) -> str:
    """Return Markdown as a page; HTML in it is text, and it loads no pictures."""
    body = MarkdownIt("js-default").disable("image").render(markdown)
    return template("card.html").render(style=resource("report.css"), body=body)
