"""Run a pipeline on this machine with the kfp local runner and record what happened."""

import contextlib
import datetime
import json
import os
import pathlib
import re
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from typing import Any, Optional, TextIO

import click
from kfp import local
from kfp.local import subprocess_task_handler
from tabulate import tabulate


def run(pipeline: Any, parameters: dict[str, Any], output_dir: pathlib.Path) -> int:
    """Run a pipeline, write <output_dir>/<run-id>/run.json, and say how it ended.

    Returns: the exit status, 0 if every step succeeded, else 1.
    """
    directory = new_run_directory(output_dir)
    inputs = pipeline.component_spec.inputs
    defaults = {name: spec.default for name, spec in inputs.items()}
    steps: list[dict[str, Any]] = []
    record: dict[str, Any] = {
        "status": "RUNNING",
        "accuracy": None,
        "seconds": 0.0,
        "parameters": {**defaults, **parameters},
        "steps": steps,
    }
    write_json(directory / "run.json", record)
    started = time.monotonic()
    try:
        with (directory / "log.txt").open("w") as log, recorded_steps(steps, log):
            local.init(
                local.SubprocessRunner(use_venv=False), pipeline_root=str(directory / "artifacts")
            )
            pipeline(**parameters)
        record["status"] = "SUCCEEDED"
    except (RuntimeError, KeyboardInterrupt) as error:
        # kfp raises RuntimeError for a failed task; what failed is in the last step's record.
        failed = bool(steps) and steps[-1]["status"] == "FAILED"
        record["status"] = "FAILED"
        record["error"] = steps[-1].pop("error") if failed else str(error) or "interrupted"
    record["seconds"] = round(time.monotonic() - started, 3)
    for step in steps:
        if "Output" in step["outputs"] and step["name"] == "evaluate":
            record["accuracy"] = step["outputs"]["Output"]
    done = {step["name"] for step in steps}
    for name in pipeline.pipeline_spec.root.dag.tasks:
        if name not in done:
            steps.append({"name": name, "status": "SKIPPED", "seconds": 0.0, "outputs": {}})
    write_json(directory / "run.json", record)
    show(directory, record)
    return 0 if record["status"] == "SUCCEEDED" else 1


def new_run_directory(output_dir: pathlib.Path) -> pathlib.Path:
    """Create <output_dir>/<run-id> and point <output_dir>/latest at it."""
    now = datetime.datetime.now().strftime("%Y-%m-%d-%H%M%S")
    for i in range(1, 1000):
        directory = output_dir.absolute() / (now if i == 1 else f"{now}-{i}")
        with contextlib.suppress(FileExistsError):
            directory.mkdir(parents=True)
            break
    link = output_dir / f".latest-{directory.name}"
    link.symlink_to(directory.name)
    os.replace(link, output_dir / "latest")
    return directory


def write_json(path: pathlib.Path, content: dict[str, Any]) -> None:
    """Write a JSON file whole or not at all."""
    partial = path.with_name(path.name + ".partial")
    partial.write_text(json.dumps(content, indent=1))
    os.replace(partial, path)


@contextlib.contextmanager
def recorded_steps(steps: list[dict[str, Any]], log: TextIO) -> Iterator[None]:
    """Have kfp's local runner append each step to `steps`, print its log lines, keep all in `log`.

    kfp puts sys.executable for python3 wherever it stands, in parameters and paths too, and
    unquoted; with "python3" itself, found on PATH, nothing changes.
    """
    terminal, python = sys.stdout, sys.executable
    original = subprocess_task_handler.run_local_subprocess

    def run_step(full_command: list[str], env_vars: Optional[dict[str, str]] = None) -> int:
        executor_input = json.loads(full_command[full_command.index("--executor_input") + 1])
        output_file = pathlib.Path(executor_input["outputs"]["outputFile"])
        step: dict[str, Any] = {"name": output_file.parent.name, "status": "RUNNING"}
        steps.append(step)
        path = os.pathsep.join([str(pathlib.Path(python).parent), os.environ.get("PATH", "")])
        env = {**os.environ, "PATH": path, "PYTHONUNBUFFERED": "1", **(env_vars or {})}
        started = time.monotonic()
        last = ""
        with subprocess.Popen(
            full_command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            env=env,
        ) as process:
            for line in process.stdout or ():
                log.write(line)
                last = line.strip() or last
                print_step_line(step["name"], line, terminal)
        step["status"] = "FAILED" if process.returncode else "SUCCEEDED"
        step["seconds"] = round(time.monotonic() - started, 3)
        step["outputs"] = {} if process.returncode else read_outputs(output_file)
        if process.returncode:
            error = re.sub(r"^([\w.]+: )+", "", last)
            step["error"] = f"{step['name']}: {error or f'exit status {process.returncode}'}"
        return process.returncode

    subprocess_task_handler.run_local_subprocess = run_step
    sys.executable = "python3"
    try:
        with contextlib.redirect_stdout(log), warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="kfp")
            yield
    finally:
        subprocess_task_handler.run_local_subprocess = original
        sys.executable = python


def print_step_line(name: str, line: str, terminal: TextIO) -> None:
    """Print a line that a step logged, without kfp's prefix; leave out kfp's own lines."""
    match = re.match(r"\[KFP Executor \S+ \S+ [A-Z]+\]: (.*)", line)
    if match and not re.match(r"(Looking for|Loading KFP|Got executor|Wrote executor)", match[1]):
        print(f"{name:>9} | {match[1]}", file=terminal, flush=True)


def read_outputs(output_file: pathlib.Path) -> dict[str, Any]:
    """Return output name to value or path, as a step's executor output says."""
    content = json.loads(output_file.read_text())
    outputs = dict(content.get("parameterValues", {}))
    for name, artifacts in content.get("artifacts", {}).items():
        outputs[name] = artifacts["artifacts"][0]["uri"]
    return outputs


def show(directory: pathlib.Path, record: dict[str, Any]) -> None:
    """Print how a run ended: accuracy, seconds of each step, where to look, the error last."""
    rows = [(step["name"], step["status"], f"{step['seconds']:.1f}") for step in record["steps"]]
    rows.append(("run", record["status"], f"{record['seconds']:.1f}"))
    click.echo()
    click.echo(tabulate(rows, headers=("step", "status", "seconds"), disable_numparse=True))
    click.echo()
    if record["accuracy"] is not None:
        click.echo(f"accuracy  {record['accuracy']:.4f}")
    click.echo(f"record    {directory / 'run.json'}")
    click.echo(f"log       {directory / 'log.txt'}")
    if "error" in record:
        click.echo(record["error"], err=True)
