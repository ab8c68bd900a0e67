"""Run a pipeline on this machine with the kfp local runner and record what happened."""

import contextlib
import dataclasses
import datetime
import functools
import itertools
import json
import os
import pathlib
import re
import signal
import subprocess
import sysconfig
import threading
import time
import urllib.parse
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TextIO

import click
from kfp import local

import kfp_mnist_mxnet
from kfp_mnist_mxnet.cli.command import file_fault, written
from kfp_mnist_mxnet.cli.graph import Box, Place, places, read_graph, unmet
from kfp_mnist_mxnet.cli.interruption import Interrupted, Running, interruptible, locked_log
from kfp_mnist_mxnet.cli.kfp_local import mended
from kfp_mnist_mxnet.cli.page import write_page, write_whole
from kfp_mnist_mxnet.cli.runs import LATEST
from kfp_mnist_mxnet.cli.terminal import Display, idle_reason, show_end
from kfp_mnist_mxnet.storage.address import without_secrets

# Of what the environment tells Python: where it is, and which packages and caches are its own.
KEPT = frozenset(
    f"PYTHON{name}"
    for name in (
        *("HOME", "PLATLIBDIR", "USERBASE", "NOUSERSITE"),
        *("DONTWRITEBYTECODE", "PYCACHEPREFIX"),
    )
)


def step_environment() -> dict[str, str]:
    """Return the environment of a step in a process.

    It decides on data and devices, not on what code runs or how: neither the current directory nor
    PYTHONPATH is searched for modules, and warnings and assertions are as they are by default. The
    library is found where this program has it.
    """
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("PYTHON") or name in KEPT
    }
    own = {"PYTHONSAFEPATH": "1", "PYTHONUNBUFFERED": "1", "PYTHONIOENCODING": "utf-8"}
    root = str(pathlib.Path(kfp_mnist_mxnet.__file__).parents[1])
    if root not in sysconfig.get_paths().values():  # else it would come before Python's own modules
        own["PYTHONPATH"] = root
    return {**kept, **own}


def run(
    pipeline: Any,
    parameters: dict[str, Any],
    output_dir: pathlib.Path,
    runner: str = "subprocess",
    image: str = "",
    verbose: bool = False,
) -> int:
    """Run a pipeline, write run.json and index.html to <output_dir>/<run-id>, say how it ended.

    runner: subprocess, for steps in this Python environment, or docker, for steps in containers,
    of an image that has the packages, or else of the public Python image. verbose: show every
    line that a step writes.
    Returns: the exit status, 0 if every step succeeded, else 1.
    """
    directory = new_run_directory(output_dir)
    hidden = secret_words(parameters)
    record = new_record(pipeline, parameters, hidden)
    boxes = read_graph(pipeline.pipeline_spec)
    steps = list(places(boxes))
    started = time.monotonic()

    def save() -> None:
        record["seconds"] = round(time.monotonic() - started, 3)
        save_run(directory, record, boxes)

    display, running = Display([step.name for step in steps], verbose), Running()
    with interruptible(running), locked_log(directory) as log, contextlib.ExitStack() as at_end:
        at_end.callback(save)
        at_end.push(functools.partial(note_end, record, steps, hidden))
        at_end.callback(running.end)
        save()
        point_latest_at(directory)
        recorder = Recorder(record, log, display, hidden, save, running)
        scrubbed: Any = Scrubbed(log, hidden)
        with mended(recorder), display.shown(), contextlib.redirect_stdout(scrubbed):
            start_kfp(runner, image, directory / "artifacts")
            pipeline(**parameters)
    show_end(directory, record)
    return 0 if record["status"] == "SUCCEEDED" else 1


def save_run(directory: pathlib.Path, record: dict[str, Any], boxes: list[Box]) -> None:
    """Write run.json and index.html, as the record says.

    boxes: of the pipeline, from `read_graph`; without them the page stays as it is.
    """
    write_whole(directory / "run.json", json.dumps(record, indent=1))
    if boxes:
        write_page(directory, record, boxes)


def note_end(
    record: dict[str, Any],
    steps: list[Place],
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
        said = scrub(file_fault(error) if isinstance(error, OSError) else str(error), hidden)
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
        "parameters": {name: scrub_all(value, hidden) for name, value in values.items()},
        "changed": [name for name in values if values[name] != defaults[name]],
        "steps": [],
    }


def finish(record: dict[str, Any], steps: list[Place]) -> None:
    """Add to the record of a run that has ended the steps that did not run, and why.

    They stand where the pipeline has them. steps: all of it.
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
                step["reason"] = f"{place.name} did not run: {why_not(unmet(place, ran), record)}"
            record["steps"].append(step)
    order = {place.name: i for i, place in enumerate(steps)}
    record["steps"].sort(key=lambda step: order.get(re.sub(r"-\d+$", "", step["name"]), 0))


def why_not(condition: str, record: dict[str, Any]) -> str:
    """Say why a step of a run that succeeded was left out.

    condition: the name of the one that was not met, what must hold for the step to run.
    """
    accuracy, least = record["accuracy"], record["parameters"].get("min_accuracy")
    if accuracy is not None and least is not None and accuracy < least:
        return f"the accuracy, {accuracy:.4f}, is below min_accuracy, {least}"
    return f"it needs {condition}"


def new_run_directory(output_dir: pathlib.Path) -> pathlib.Path:
    """Create <output_dir>/<run-id>.

    Raises:
        click.UsageError: it can't be made.
    """
    now = datetime.datetime.now().strftime("%Y-%m-%d-%H%M%S")
    with written(f"--output-dir {output_dir}"):
        output_dir.mkdir(parents=True, exist_ok=True)
        for i in itertools.count(1):
            directory = output_dir.absolute() / (now if i == 1 else f"{now}-{i}")
            with contextlib.suppress(FileExistsError):
                directory.mkdir()
                break
    return directory


def point_latest_at(directory: pathlib.Path) -> None:
    """Point latest, beside the directory of a run, at it.

    It helps people only, so where it can't be made, as on a file system without links, a warning
    says so.
    """
    latest, link = directory.with_name(LATEST), directory.with_name(f".latest-{directory.name}")
    try:
        link.symlink_to(directory.name)
        os.replace(link, latest)
    except OSError as error:
        link.unlink(missing_ok=True)
        real = latest.is_dir() and not latest.is_symlink()
        why = "it is a directory, move it away" if real else error.strerror
        click.echo(f"{latest} does not lead to this run: {why}", err=True)


def start_kfp(runner: str, image: str, pipeline_root: pathlib.Path) -> None:
    """Initialise kfp's local runner.

    Raises:
        RuntimeError: no container engine answers.
    """
    pipeline_root.mkdir()
    if runner == "subprocess":
        local.init(local.SubprocessRunner(use_venv=False), pipeline_root=str(pipeline_root))
        return
    import docker
    import docker.errors

    try:
        with contextlib.closing(docker.from_env()) as client:
            client.ping()
    except docker.errors.DockerException as error:
        raise RuntimeError(
            f"no container engine answers at {os.environ.get('DOCKER_HOST', 'its usual socket')}: "
            f"start docker or podman, or set DOCKER_HOST ({error})"
        ) from error
    user, group = os.getuid(), os.getgid()
    if user == 0 and image:  # the image's own user; whoever is not root keeps the own files
        user = group = 65532
        os.chown(pipeline_root, user, group)
    options = {
        "user": f"{user}:{group}",
        "tmpfs": {"/tmp": "exec"},  # noqa: S108 (inside the container)
        "environment": {"HOME": "/tmp", "PYTHONUNBUFFERED": "1"},  # noqa: S108
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges"],
    }
    local.init(local.DockerRunner(**options), pipeline_root=str(pipeline_root))


@dataclasses.dataclass
class Recorder:
    """Runs the steps in kfp's place: notes each, shows what it logs, keeps all that it prints."""

    record: dict[str, Any]
    log: TextIO
    display: Display
    hidden: dict[str, str]
    save: Callable[[], None]
    running: Running
    lock: threading.Lock = dataclasses.field(default_factory=threading.Lock)  # loops have threads

    def run_process(self, full_command: list[str], env_vars: dict | None = None) -> int:
        """Run a step as a process; return its exit status."""
        process = subprocess.Popen(
            full_command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
            env={**step_environment(), **(env_vars or {})},
            process_group=0,  # with what it starts, it gets the signals of this program from it
        )
        with process, self.running.step(functools.partial(send, process)):
            return self.follow(full_command, process.stdout or (), process.wait)

    def run_container(
        self, client: Any, image: str, command: list[str], volumes: dict, **options: Any
    ) -> int:
        """Run a step in a container; return its exit status."""
        import docker.errors

        installs = any("pip install" in part for part in command[:3])
        inputs = executor_input(command)["inputs"]
        network, paths = reachable(inputs.get("parameterValues", {}))
        own = [*imported(inputs, list(volumes)), *paths]
        volumes = {**volumes, **{path: {"bind": path, "mode": "ro"} for path in own}}
        checkpoint = inputs.get("parameterValues", {}).get("checkpoint_uri", "")
        if checkpoint.startswith("/"):
            make_directory(checkpoint, options["user"])
            volumes[checkpoint] = {"bind": checkpoint, "mode": "rw"}
        if not (network or installs):
            options["network_mode"] = "none"
        options["read_only"] = not installs
        shown = {name: options.get(name) for name in ("user", "network_mode", "read_only")}
        self.log.write(f"container of {image}: {shown}\n")
        container = client.containers.run(image, command, detach=True, volumes=volumes, **options)

        def remove(_: int) -> None:
            with contextlib.suppress(docker.errors.APIError):  # it is being removed, or is gone
                container.remove(force=True)

        try:
            with self.running.step(remove):
                lines = (line.decode(errors="replace") for line in container.logs(stream=True))
                return self.follow(command, lines, lambda: container.wait()["StatusCode"])
        finally:
            remove(signal.SIGKILL)

    def follow(self, command: list[str], lines: Iterable[str], wait: Callable[[], int]) -> int:
        """Note one step from its first line to its exit status, which is returned."""
        outputs = executor_input(command)["outputs"]
        output_file = pathlib.Path(outputs["outputFile"])
        name = step_name(output_file)
        step: dict[str, Any] = {"name": name, "status": "RUNNING", "seconds": 0.0}
        step.update(outputs={}, metrics={})
        with self.lock:
            self.record["steps"].append(step)
            self.save()
        self.display.start(name)
        started = time.monotonic()
        last = idle = ""
        for line in lines:
            line = scrub(line, self.hidden)
            self.log.write(line)
            last = line.strip() or last
            idle = idle_reason(line) or idle
            self.display.line(name, line)
        status = wait()
        with self.lock:
            step["status"] = "FAILED" if status else "SUCCEEDED"
            step["seconds"] = round(time.monotonic() - started, 3)
            if status:
                error = killed_by(status) or re.sub(r"^([\w.]+: )+", "", last)
                self.record["error"] = f"{name}: {error or f'exit status {status}'}"
            elif idle:
                step.update(status="SKIPPED", reason=f"{name} did nothing: {idle}")
            else:
                step["outputs"], step["metrics"] = read_outputs(output_file, outputs)
            if "accuracy" in step["metrics"]:  # the headline of the run: that of its last such step
                self.record["accuracy"] = step["metrics"]["accuracy"]
            self.save()
        self.display.end(name, step["status"], step["seconds"])
        return status


def send(process: subprocess.Popen, number: int) -> None:
    """Send a signal to a process and what it started, unless it has ended."""
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)


def killed_by(status: int) -> str:
    """Say which signal ended a step, empty for none.

    status: of a process, negative for a signal, or of a container, 128 more than the signal.
    """
    number = -status if status < 0 else status - 128
    if number not in set(signal.Signals):
        return ""
    often = ", as the system does when it runs out of memory" if number == signal.SIGKILL else ""
    return f"killed by {signal.Signals(number).name}{often}"


def step_name(output_file: pathlib.Path) -> str:
    """Return the name of a step, with its number, from 1, if it is one of several in a loop.

    kfp keeps the outputs of a step in a directory of its name; that of a loop is one above.
    """
    name = output_file.parent.name
    iteration = re.search(r"-iteration-(\d+)$", output_file.parent.parent.name)
    return f"{name}-{int(iteration[1]) + 1}" if iteration else name


def secret_words(parameters: dict[str, Any]) -> dict[str, str]:
    """Return each URI in the parameters that holds a password or a signature, with it left out.

    Also without its scheme, as kfp makes the path /s3/... of s3://...
    """
    words = " ".join(strings(parameters)).split()
    hidden = {word: without_secrets(word) for word in words if without_secrets(word) != word}
    bare = {word.partition("://")[2]: uri.partition("://")[2] for word, uri in hidden.items()}
    return {**hidden, **{word: uri for word, uri in bare.items() if word}}


def strings(value: Any) -> Iterator[str]:
    """Yield every text in a value of JSON."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, (dict, list)):
        for part in value.values() if isinstance(value, dict) else value:
            yield from strings(part)


def scrub(text: str, hidden: dict[str, str]) -> str:
    """Return a text with what must be hidden left out."""
    for secret, shown in hidden.items():
        text = text.replace(secret, shown)
    return text


@dataclasses.dataclass
class Scrubbed:
    """A text file that scrubs what is written into it: kfp prints the URI that it imports."""

    file: TextIO
    hidden: dict[str, str]

    def write(self, text: str) -> int:
        """Write a text without what must be hidden."""
        return self.file.write(scrub(text, self.hidden))

    def __getattr__(self, name: str) -> Any:
        """Return what else a file has."""
        return getattr(self.file, name)


def scrub_all(value: Any, hidden: dict[str, str]) -> Any:
    """Return a value of JSON whose texts are scrubbed."""
    if isinstance(value, str):
        return scrub(value, hidden)
    if isinstance(value, dict):
        return {name: scrub_all(part, hidden) for name, part in value.items()}
    return [scrub_all(part, hidden) for part in value] if isinstance(value, list) else value


def executor_input(command: list[str]) -> dict[str, Any]:
    """Return what kfp tells a step about its inputs and outputs."""
    return json.loads(command[command.index("--executor_input") + 1])


def reachable(parameters: dict[str, Any]) -> tuple[bool, list[str]]:
    """Tell whether a step's parameters name something on the network, and the local paths in them.

    A container gets no network and no directory that its parameters don't name.
    """
    texts = [value for value in parameters.values() if isinstance(value, str)]
    network, paths = "mnist" in str(parameters.get("data_uri", "")).split(), []
    for word in " ".join(texts).split():
        url = urllib.parse.urlsplit(word)
        path = urllib.parse.unquote(url.path) if url.scheme else word
        if url.scheme in ("http", "https", "s3", "minio"):
            network = True
        elif url.scheme in ("", "file") and path.startswith("/") and os.path.exists(path):
            paths.append(path)
    return network, paths


def imported(inputs: dict[str, Any], mounted: list[str]) -> list[str]:
    """Return the local paths of a step's input artifacts that no mounted directory holds."""
    artifacts = [a for these in inputs.get("artifacts", {}).values() for a in these["artifacts"]]
    return [
        artifact["uri"]
        for artifact in artifacts
        if os.path.exists(artifact["uri"])
        and not any(pathlib.Path(artifact["uri"]).is_relative_to(path) for path in mounted)
    ]


def make_directory(path: str, user: str) -> None:
    """Create a directory that a container's user, uid:gid, can write, unless it exists."""
    if not os.path.isdir(path):
        os.makedirs(path)
        os.chown(path, *map(int, user.split(":")))


def read_outputs(
    output_file: pathlib.Path, declared: dict[str, Any]
) -> tuple[dict[str, Any], dict[str, float]]:
    """Return output name to value or path, and the metrics, as a step's executor output says.

    declared: the outputs as kfp described them to the step.
    """
    content = json.loads(output_file.read_text())
    outputs = dict(content.get("parameterValues", {}))
    metrics = {}
    for name, artifacts in content.get("artifacts", {}).items():
        artifact = artifacts["artifacts"][0]
        outputs[name] = artifact["uri"]
        kind = declared["artifacts"][name]["artifacts"][0]["type"]["schemaTitle"]
        if kind == "system.Metrics":
            metrics.update(artifact["metadata"])
    return outputs, metrics
