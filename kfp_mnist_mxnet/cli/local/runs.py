"""The runs under an output directory: which there are, and what each of them left behind."""

import contextlib
import dataclasses
import json
import pathlib
from typing import Any

import click
from rich.text import Text

from kfp_mnist_mxnet.cli.console import mark, new_console, plain_table
from kfp_mnist_mxnet.cli.local.interruption import goes_on
from kfp_mnist_mxnet.cli.local.page import text
from kfp_mnist_mxnet.cli.options import nearest

LATEST = "latest"  # beside the runs, a link to the latest of them
LOST = "it ended without a message: its process was killed, or the disk was full"
# What run.json must have to be read.
RECORD = {
    "pipeline": str,
    "status": str,
    "accuracy": float | int | None,
    "seconds": float | int,
    "parameters": dict,
    "changed": [str],
    "steps": [{"name": str, "status": str, "seconds": float | int, "outputs": dict}],
}


@dataclasses.dataclass
class Run:
    """A run: its directory and what its run.json says."""

    directory: pathlib.Path
    record: dict[str, Any]

    @property
    def name(self) -> str:
        """The run's id, when it started: the name of its directory."""
        return self.directory.name

    def path(self, uri: str) -> pathlib.Path:
        """Return where an artifact of the run is, also if its directory was moved or copied."""
        inside = uri.rpartition("/artifacts/")[2]
        return self.directory / "artifacts" / inside

    def output(self, name: str) -> pathlib.Path | None:
        """Return where an output of the run is, None if no step wrote it."""
        uris = [step["outputs"][name] for step in self.record["steps"] if name in step["outputs"]]
        return self.path(uris[0]) if uris else None

    def metrics(self) -> dict[str, float]:
        """Return the metrics of all steps, each named <step>.<metric>."""
        return {
            f"{step['name']}.{name}": value
            for step in self.record["steps"]
            for name, value in step.get("metrics", {}).items()
        }

    def history(self) -> list[dict[str, float]]:
        """Return what the model.json of the run's model says of each epoch, empty without a model.

        Where one of several was chosen, it is that one.
        """
        for name in ("best_model", "model"):
            for step in self.record["steps"]:
                if name in step["outputs"]:
                    path = self.path(step["outputs"][name]) / "model.json"
                    if path.is_file():
                        return json.loads(path.read_text())["history"]
        return []

    def confusion_matrix(self) -> tuple[list[str], list[list[int]]] | None:
        """Return the names of the classes and the counts of evaluate, None if it did not run."""
        for step in self.record["steps"]:
            uri = step["outputs"].get("confusion_matrix")
            if uri:
                path = self.path(uri).with_name("executor_output.json")
                output = json.loads(path.read_text())["artifacts"]["confusion_matrix"]
                matrix = output["artifacts"][0]["metadata"]["confusionMatrix"]
                names = [spec["displayName"] for spec in matrix["annotationSpecs"]]
                return names, [row["row"] for row in matrix["rows"]]
        return None


def read_run(directory: pathlib.Path) -> Run:
    """Return the run in a directory.

    Raises:
        click.UsageError: there is none, or its run.json is damaged or of another program.
    """
    path = directory / "run.json"
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise click.UsageError(f"{directory} is no run: it has no run.json") from None
    except OSError as error:
        raise click.UsageError(f"{path} can't be read: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise click.UsageError(f"{path} is damaged: {error}") from None
    record = {"pipeline": "", "changed": [], **found} if isinstance(found, dict) else {}
    if not fits(record, RECORD):
        raise click.UsageError(f"{path} was not written by this program")
    run = Run(directory.resolve(), record)
    if record["status"] == "RUNNING" and not goes_on(run.directory):
        record_lost_run(run)
    return run


def fits(value: Any, form: Any) -> bool:
    """Tell whether a value of JSON has a form: a type, a list of one form, or keys with forms."""
    if isinstance(form, dict):
        return isinstance(value, dict) and all(fits(value.get(key), form[key]) for key in form)
    if isinstance(form, list):
        return isinstance(value, list) and all(fits(part, form[0]) for part in value)
    return isinstance(value, form)


def record_lost_run(run: Run) -> None:
    """Note in a run, in its run.json and on its page that its process is gone."""
    from kfp_mnist_mxnet import pipeline
    from kfp_mnist_mxnet.cli.graph import read_graph, step_refs
    from kfp_mnist_mxnet.cli.local.record import finish, save_run
    from kfp_mnist_mxnet.compiler.target import LOCAL

    run.record.update(status="FAILED", error=LOST)
    pipelines = (make(LOCAL) for make in pipeline.PIPELINES.values())
    boxes = next(
        (read_graph(m.pipeline_spec) for m in pipelines if m.name == run.record["pipeline"]), []
    )
    finish(run.record, list(step_refs(boxes)))
    with contextlib.suppress(OSError):  # it is told here in any case
        save_run(run.directory, run.record, boxes)


def run_directories(output_dir: pathlib.Path) -> list[pathlib.Path]:
    """Return the directories of the runs under an output directory, the oldest first."""
    found = (path.parent for path in output_dir.glob("*/run.json"))
    return sorted(path for path in found if not path.is_symlink() and path.name != LATEST)


def find_run(output_dir: pathlib.Path, name: str) -> Run:
    """Return the run with this id, in this directory, or the latest one.

    Raises:
        click.UsageError: there is none.
    """
    runs = run_directories(output_dir)
    if name == LATEST and not (output_dir / LATEST).is_symlink() and runs:
        return read_run(runs[-1])  # no link can be made there, or it was copied as a directory
    if (output_dir / name / "run.json").is_file():
        return read_run(output_dir / name)
    if pathlib.Path(name, "run.json").is_file():
        return read_run(pathlib.Path(name))
    names = [LATEST, *(path.name for path in runs)]
    raise click.UsageError(f"no run {name!r} in {output_dir}: {nearest(name, names)}")


def show_runs(output_dir: pathlib.Path) -> None:
    """Print a table of the runs under an output directory, the newest last."""
    runs = []
    for directory in run_directories(output_dir):
        try:
            runs.append(read_run(directory))
        except click.UsageError as error:
            click.echo(f"left out: {error.message}", err=True)
    if not runs:
        raise click.UsageError(f"no run in {output_dir}: make one with the command run")
    table = plain_table("run", "pipeline", "status", "accuracy", "seconds", "parameters")
    for column in table.columns[3:5]:
        column.justify = "right"
    for run in runs:
        record = run.record
        accuracy = "" if record["accuracy"] is None else f"{record['accuracy']:.4f}"
        changed = ", ".join(
            f"{name}={text(record['parameters'].get(name))}" for name in record["changed"]
        )
        table.add_row(
            run.name,
            record["pipeline"],
            mark(record["status"], word=True),
            accuracy,
            f"{record['seconds']:.1f}",
            Text(changed),
        )
    new_console().print(table)
