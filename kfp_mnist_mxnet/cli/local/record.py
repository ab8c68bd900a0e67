"""The record of a run, run.json: made before its first step, finished when it ends."""

import datetime
import json
import pathlib
import re
from typing import Any

from kfp_mnist_mxnet.cli.graph import Box, StepRef, unmet_condition, why_skipped
from kfp_mnist_mxnet.cli.local.environment import describe_environment
from kfp_mnist_mxnet.cli.local.interruption import Interrupted
from kfp_mnist_mxnet.cli.local.page import write_page, write_whole
from kfp_mnist_mxnet.cli.local.redaction import scrub, scrub_all
from kfp_mnist_mxnet.cli.options import file_error


def save_run(directory: pathlib.Path, record: dict[str, Any], boxes: list[Box]) -> None:
    """Write run.json and index.html, as the record says.

    boxes: of the pipeline, from `read_graph`; without them the page stays as it is.
    """
    write_whole(directory / "run.json", json.dumps(record, indent=1))
    if boxes:
        write_page(directory, record, boxes)


def record_end(
    record: dict[str, Any],
    steps: list[StepRef],
    hidden: dict[str, str],
    kind: type[BaseException] | None,
    error: BaseException | None,
    _: Any,
) -> bool:
    """Note in a record how its run ended; tell whether that is all there is to say of an error.

    steps: all of the pipeline. kind, error: what ended the run before its end, None for nothing.
    Whatever it was, the run has ended.
    """
    # kfp raises RuntimeError for a failed task, and does not say why it failed.
    expected = isinstance(error, (Interrupted, OSError, RuntimeError, SystemExit))
    record["status"] = "FAILED" if error else "SUCCEEDED"
    if isinstance(error, Interrupted):
        record["error"] = str(error) or "interrupted"  # not that of the step, which it ended
    elif isinstance(error, SystemExit):  # of rich
        record["error"] = "interrupted: the output was closed"
    elif error:
        said = scrub(file_error(error) if isinstance(error, OSError) else str(error), hidden)
        record.setdefault(
            "error", said if expected else f"the runner: {type(error).__name__}: {said}"
        )
    finish(record, steps)
    return expected


def new_record(pipeline: Any, parameters: dict[str, Any], hidden: dict[str, str]) -> dict[str, Any]:
    """Return what run.json says of a run before its first step.

    changed: names of the parameters that have another value than their default.
    """
    defaults = {name: spec.default for name, spec in pipeline.component_spec.inputs.items()}
    values = {**defaults, **parameters}
    return {
        "pipeline": pipeline.name,
        "status": "RUNNING",
        "accuracy": None,
        "seconds": 0.0,
        "started": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        **describe_environment(),
        "parameters": {name: scrub_all(value, hidden) for name, value in values.items()},
        "changed": [name for name in values if values[name] != defaults[name]],
        "steps": [],
    }


def finish(record: dict[str, Any], steps: list[StepRef]) -> None:
    """Add to the record of a run that has ended the steps that did not run, and why.

    They stand where the pipeline has them. Those of a run that succeeded are behind a gate that was
    closed. steps: all of the pipeline.
    """
    for step in record["steps"]:
        if step["status"] == "RUNNING":  # interrupted
            step["status"] = "FAILED"
    names = [re.sub(r"-\d+$", "", step["name"]) for step in record["steps"]]
    ran = [place for place in steps if place.name in names]
    for place in steps:
        if place not in ran:
            step = {"name": place.name, "status": "SKIPPED", "seconds": 0.0}
            step.update(outputs={}, metrics={})
            if record["status"] == "SUCCEEDED":
                gate(record, step, unmet_condition(place, ran))
            record["steps"].append(step)
    order = {place.name: i for i, place in enumerate(steps)}
    record["steps"].sort(key=lambda step: order.get(re.sub(r"-\d+$", "", step["name"]), 0))


def gate(record: dict[str, Any], step: dict[str, Any], condition: str) -> None:
    """Note that a step of a run that succeeded was left out, and behind which gate, if any."""
    reason = why_skipped(condition, record)
    step["reason"] = f"{step['name']} skipped: {reason}"
    if condition:
        record.setdefault("gate", {"reason": reason, "steps": []})["steps"].append(step["name"])
