"""One step of a run, in a process or a container: its environment, its log, its outputs."""

import contextlib
import dataclasses
import functools
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
from collections.abc import Callable, Iterable
from typing import Any, TextIO

import kfp_mnist_mxnet
from kfp_mnist_mxnet.cli.local.display import Display
from kfp_mnist_mxnet.cli.local.interruption import Running
from kfp_mnist_mxnet.cli.local.redaction import scrub
from kfp_mnist_mxnet.cli.logs import LogFilter, idle_reason, killed_by

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


@dataclasses.dataclass
class Recorder:
    """Runs the steps in kfp's place: notes each, shows what it logs, keeps all that it prints."""

    record: dict[str, Any]
    log: TextIO
    display: Display
    hidden: dict[str, str]
    save: Callable[[], None]
    running: Running
    installs: bool = False  # a step in a container installs its packages
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

        inputs = executor_input(command)["inputs"]
        network, paths = reachable(inputs.get("parameterValues", {}))
        own = [*imported(inputs, list(volumes)), *paths]
        volumes = {**volumes, **{path: {"bind": path, "mode": "ro"} for path in own}}
        checkpoint = inputs.get("parameterValues", {}).get("checkpoint_uri", "")
        if checkpoint.startswith("/"):
            make_directory(checkpoint, options["user"])
            volumes[checkpoint] = {"bind": checkpoint, "mode": "rw"}
        if not (network or self.installs):
            options["network_mode"] = "none"
        options["read_only"] = not self.installs
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
            step["after"] = self.record["seconds"]
        self.display.start(name)
        started = time.monotonic()
        last = idle = ""
        shown = LogFilter()
        for line in lines:
            line = scrub(line, self.hidden)
            self.log.write(shown.keep(line))
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
                step.update(status="SKIPPED", reason=f"{name} skipped: {idle}")
            else:
                step["outputs"], step["metrics"] = read_outputs(output_file, outputs)
            if "accuracy" in step["metrics"]:  # the headline of the run: that of its last such step
                self.record["accuracy"] = step["metrics"]["accuracy"]
            self.save()
        accuracy = step["metrics"].get("accuracy")
        said = "" if accuracy is None else f"accuracy {accuracy:.4f}"
        self.display.end(name, step["status"], step["seconds"], said)
        return status


def send(process: subprocess.Popen, number: int) -> None:
    """Send a signal to a process and what it started, unless it has ended."""
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)


def step_name(output_file: pathlib.Path) -> str:
    """Return the name of a step, with its number, from 1, if it is one of several in a loop.

    kfp keeps the outputs of a step in a directory of its name; that of a loop is one above.
    """
    name = output_file.parent.name
    iteration = re.search(r"-iteration-(\d+)$", output_file.parent.parent.name)
    return f"{name}-{int(iteration[1]) + 1}" if iteration else name


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
