"""The runs under an output directory: which there are, and what each of them left behind."""

import contextlib
import dataclasses
import json
import pathlib
from typing import Any

import click

from kfp_mnist_mxnet.cli.local.interruption import goes_on
from kfp_mnist_mxnet.cli.options import nearest
from kfp_mnist_mxnet.errors import InvalidInput
from kfp_mnist_mxnet.storage.artifact import read_json

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
# What it may have.
OPTIONAL = {"error": str, "gate": {"reason": str, "steps": [str]}}


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

    def about(self, output: str, file: str) -> dict[str, Any]:
        """Return what a JSON file of an artifact says, empty where it can't be read."""
        path = self.output(output)
        if path is None:
            return {}
        try:
            return read_json(path, file)
        except InvalidInput:
            return {}

    def model_info(self) -> dict[str, Any]:
        """Return the model.json of the run's model, the one that was chosen; empty without any."""
        return self.about("best_model", "model.json") or self.about("model", "model.json")

    def hyperparameters(self) -> dict[str, Any]:
        """Return the hyperparameters of the run's model, none without a model."""
        found = self.model_info().get("hyperparameters")
        return found if isinstance(found, dict) else {}

    def history(self) -> list[dict[str, float]]:
        """Return what the run's model says of each epoch, empty without a model."""
        found = self.model_info().get("history")
        return found if isinstance(found, list) else []

    def data_sha256(self, name: str = "test_data") -> str:
        """Return the digest of a split of the run's data, empty where it is not known."""
        return str(self.about(name, "dataset.json").get("sha256", ""))

    @property
    def state(self) -> str:
        """The status of the run, GATED for one that succeeded but for the steps behind a gate."""
        return state_of(self.record)

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


def state_of(record: dict[str, Any]) -> str:
    """Return the status of a run or, where its gate was closed, GATED, as that is no success."""
    return "GATED" if record.get("gate") else record["status"]


def gate_text(gate: dict[str, Any]) -> str:
    """Say why steps of a run were left out, and which; gate: as run.json has it."""
    return f"{gate['reason']}: {', '.join(gate['steps'])} did not run"


def read_run(directory: pathlib.Path) -> Run:
    """Return the run in a directory; one whose process is gone is noted as failed first.

    Raises:
        click.UsageError: there is none, or its run.json is damaged or of another program.
    """
    run = load_run(directory)
    if run.record["status"] == "RUNNING" and not goes_on(run.directory):
        record_lost_run(run)
    return run


def load_run(directory: pathlib.Path) -> Run:
    """Return the run in a directory as its run.json has it.

    Raises:
        click.UsageError: as for `read_run`.
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
    present = {key: form for key, form in OPTIONAL.items() if key in record}
    if not fits(record, {**RECORD, **present}):
        raise click.UsageError(f"{path} was not written by this program")
    return Run(directory.resolve(), record)


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
