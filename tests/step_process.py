"""A step as it runs in its pod: its program, then kfp's executor, in a process of its own.

The process has an empty directory, Python's own modules and the packages that the step installs,
with what these need, and nothing of this checkout. This file is also the program of that process:
in place of installing packages it takes away all others; it brings a fault about, then runs the
executor.
"""

import dataclasses
import functools
import importlib
import importlib.metadata
import itertools
import json
import os
import pathlib
import re
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

        # Of an input the launcher of a back end says no type.
        given = {
            name: [
                {"name": "artifact", "type": {}, "uri": a.uri, "metadata": a.metadata}
                for a in listed(value)
            ]
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

    def command(self, root: pathlib.Path, fault: Fault) -> list[str]:
        """The command of the process."""
        command = self.component.component_spec.implementation.container.command
        assert command[:2] == ["python3", "-c"]
        library = self.artifacts["library"].uri if "library" in self.artifacts else root / "library"
        own = [re.sub(r"^{{\$.*}}$", str(library), word) for word in command[2:]]
        own += ["--executor_input", self.executor_input(root)]
        own += ["--function_to_execute", self.component.python_func.__name__]
        brought_about = json.dumps(dataclasses.asdict(fault))
        return [sys.executable, "-I", __file__, brought_about, str(root), *own]

    def run(
        self, root: pathlib.Path, scratch: pathlib.Path, fault: Fault = Fault(), **environment: str
    ) -> subprocess.CompletedProcess:
        """Run the step with outputs under `root`; stdout is its log."""
        empty = scratch / "empty"
        empty.mkdir(parents=True, exist_ok=True)
        return subprocess.run(
            self.command(root, fault),
            cwd=empty,
            env={**os.environ, **environment, "TMPDIR": str(scratch), "OMP_NUM_THREADS": "1"},
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


OWN = "kfp-mnist-mxnet"


class Blocker:
    """Finds no module that a step's pod would not have."""

    def __init__(self, packages: list[str]) -> None:
        installed = {*needed(packages), OWN}  # of this checkout nothing can be found: see isolate
        self.missing = {
            module
            for module, names in importlib.metadata.packages_distributions().items()
            if not installed.intersection(map(normal, names))
        }

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> None:
        if name.partition(".")[0] in self.missing:
            raise ModuleNotFoundError(f"No module named {name!r} in this step", name=name)


def normal(name: str) -> str:
    """The name of a distribution as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def needed(packages: list[str]) -> set[str]:
    """The packages with what they need; kfp alone, as steps install it without."""
    from packaging.requirements import Requirement

    found: set[str] = set()
    waiting = [normal(name) for name in packages]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            for text in [] if name == "kfp" else importlib.metadata.requires(name) or []:
                requirement = Requirement(text)
                if not requirement.marker or requirement.marker.evaluate({"extra": ""}):
                    waiting.append(normal(requirement.name))
    return found


def isolate(packages: list[str]) -> None:
    """Leave what a step's pod has: not this checkout, and of packages only those of the step."""
    blocker = Blocker(packages)
    sys.path[:] = [path for path in sys.path if "__editable__" not in path]
    sys.meta_path[:] = [finder for finder in sys.meta_path if "Editable" not in repr(finder)]
    sys.meta_path.insert(0, blocker)


def main() -> None:
    """Run a step's program, and the command that it would start in place of this process."""
    told, root, program, *arguments = sys.argv[1:]
    os.execvp = functools.partial(run_executor, Fault(**json.loads(told)), root)  # type: ignore[assignment]
    sys.argv = ["-c", *arguments]
    exec(compile(program, "program", "exec"), {"__name__": "__main__"})


def run_executor(fault: Fault, root: str, file: str, command: list[str]) -> None:
    """Take away what a pod has not, bring a fault about, and run kfp's executor.

    command: sh -c SCRIPT sh PACKAGES python3 -m kfp.dsl.executor_main ARGUMENTS
    """
    assert (file, command[:2], command[5:7]) == ("sh", ["sh", "-c"], ["python3", "-m"])
    packages = [pin.partition("==")[0] for pin in command[4].split()]
    sys.argv = command[7:]
    isolate(packages)
    if fault.signal:
        send_signal(root, fault)
    if fault.memory:
        importlib.import_module("matplotlib.figure" if "matplotlib" in packages else "numpy")
        pages = int(pathlib.Path("/proc/self/statm").read_text().split()[0])
        limit = pages * resource.getpagesize() + fault.memory
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    if fault.backwards:
        clock = itertools.count(int(time.time()), -60)
        time.time = lambda: float(next(clock))
    runpy.run_module(sys.argv[0], run_name="__main__")


if __name__ == "__main__":
    main()
