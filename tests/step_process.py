"""A step as it runs in its pod: the shipped source, under kfp's executor, in its own process.

This file is also the program of that process: it brings a fault about, then runs the executor.
"""

import dataclasses
import importlib
import itertools
import json
import os
import pathlib
import resource
import runpy
import subprocess
import sys
import threading
import time
from typing import Any


@dataclasses.dataclass(frozen=True)
class Fault:
    """What goes wrong in the process of a step.

    signal: sent so many seconds (`delay`) after the change number `at` of its output files, from
    1. memory: bytes that it may map, once NumPy is there. backwards: its clock loses a minute at
    each look.
    """

    signal: int = 0
    at: int = 0
    delay: float = 0.0
    memory: int = 0
    backwards: bool = False


@dataclasses.dataclass(frozen=True)
class Step:
    """A component with its inputs: artifacts or lists of them, and parameters."""

    component: Any
    artifacts: dict[str, Any] = dataclasses.field(default_factory=dict)
    parameters: dict[str, Any] = dataclasses.field(default_factory=dict)

    def executor_input(self, root: pathlib.Path) -> str:
        """What kfp tells the step about its inputs, and about its outputs under a directory."""

        def known(kind: str, uri: str) -> dict:
            return {"name": "artifact", "type": {"schemaTitle": kind}, "uri": uri}

        given = {
            name: [known(a.schema_title, a.uri) for a in listed(value)]
            for name, value in self.artifacts.items()
        }
        outputs = {
            name: [known(output.type.partition("@")[0], str(root / name))]
            for name, output in self.component.component_spec.outputs.items()
            if "@" in output.type
        }
        return json.dumps(
            {
                "inputs": {
                    "artifacts": {name: {"artifacts": value} for name, value in given.items()},
                    "parameterValues": self.parameters,
                },
                "outputs": {
                    "artifacts": {name: {"artifacts": value} for name, value in outputs.items()},
                    "parameters": {"Output": {"outputFile": str(root / "Output")}},
                    "outputFile": str(root / "executor_output.json"),
                },
            }
        )

    def command(self, root: pathlib.Path, scratch: pathlib.Path, fault: Fault) -> list[str]:
        """The command of the process; the shipped source lies in `scratch`."""
        container = self.component.component_spec.implementation.container
        source = scratch / f"{self.component.python_func.__name__}.py"
        source.write_text(container.command[-1])
        brought_about = json.dumps(dataclasses.asdict(fault))
        executor = ["--component_module_path", str(source), "--function_to_execute", source.stem]
        executor += ["--executor_input", self.executor_input(root)]
        return [sys.executable, __file__, brought_about, str(root), *executor]

    def run(
        self, root: pathlib.Path, scratch: pathlib.Path, fault: Fault = Fault(), **environment: str
    ) -> subprocess.CompletedProcess:
        """Run the step with outputs under `root`; stdout is its log."""
        return subprocess.run(
            self.command(root, scratch, fault),
            env={**os.environ, **environment, "_KFP_RUNTIME": "true", "OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=120,
        )


def listed(value: Any) -> list:
    return value if isinstance(value, list) else [value]


def sentence(done: subprocess.CompletedProcess) -> str:
    """The last line of a log, which is what a pod shows and the runner takes for the error."""
    return done.stdout.strip().splitlines()[-1]


def send_signal(root: str, fault: Fault) -> None:
    """Arrange that this process gets a signal at a change of a file under `root`."""
    changes = itertools.count(1)

    def watch(event: str, details: tuple) -> None:
        changing = event in ("os.mkdir", "os.rename", "os.remove", "os.rmdir") or (
            event == "open" and details[2] & (os.O_WRONLY | os.O_RDWR)
        )
        if changing and str(details[0]).startswith(root) and next(changes) == fault.at:
            if not fault.delay:
                os.kill(os.getpid(), fault.signal)
            threading.Timer(fault.delay, os.kill, (os.getpid(), fault.signal)).start()

    sys.addaudithook(watch)


def main() -> None:
    """Bring a fault about and run kfp's executor."""
    fault, root = Fault(**json.loads(sys.argv[1])), sys.argv[2]
    del sys.argv[1:3]
    sys.path[0] = ""
    if fault.signal:
        send_signal(root, fault)
    if fault.memory:
        importlib.import_module("matplotlib.figure")
        pages = int(pathlib.Path("/proc/self/statm").read_text().split()[0])
        limit = pages * resource.getpagesize() + fault.memory
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    if fault.backwards:
        clock = itertools.count(int(time.time()), -60)
        time.time = lambda: float(next(clock))
    runpy.run_module("kfp.dsl.executor_main", run_name="__main__")


if __name__ == "__main__":
    main()
