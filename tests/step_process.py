"""A step as it runs in its pod: its program, under kfp's executor, in a process of its own.

The process has an empty directory, Python's own modules and the packages that the step installs,
with what these need, and nothing of this checkout. This file is also the program of that process:
it takes away the rest, brings a fault about, then runs the executor.
"""

import dataclasses
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
from typing import Any


@dataclasses.dataclass(frozen=True)
class Fault:
    """What goes wrong in the process of a step.

    signal: sent so many seconds (`delay`) after the change number `at` of its output files, from
    1. memory: bytes that it may map, once NumPy is there.
    """

    signal: int = 0
    at: int = 0
    delay: float = 0.0
    memory: int = 0


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
            name: [{"name": "artifact", "type": {}, "uri": a.uri} for a in listed(value)]
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
        script = re.search(r'packages="([^"]*)"', container.command[2])
        pins = [pin.partition("==")[0] for pin in script[1].split()] if script else []
        brought_about = json.dumps({"fault": dataclasses.asdict(fault), "packages": pins})
        executor = ["--component_module_path", str(source), "--function_to_execute", source.stem]
        executor += ["--executor_input", self.executor_input(root)]
        return [sys.executable, "-I", __file__, brought_about, str(root), *executor]

    def run(
        self, root: pathlib.Path, scratch: pathlib.Path, fault: Fault = Fault(), **environment: str
    ) -> subprocess.CompletedProcess:
        """Run the step with outputs under `root`; stdout is its log."""
        empty = scratch / "empty"
        empty.mkdir(parents=True, exist_ok=True)
        return subprocess.run(
            self.command(root, scratch, fault),
            cwd=empty,
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
    """Take away what a pod has not, bring a fault about, and run kfp's executor."""
    told, root = json.loads(sys.argv[1]), sys.argv[2]
    fault = Fault(**told["fault"])
    del sys.argv[1:3]
    isolate(told["packages"])
    if fault.signal:
        send_signal(root, fault)
    if fault.memory:
        importlib.import_module(
            "matplotlib.figure" if "matplotlib" in told["packages"] else "numpy"
        )
        pages = int(pathlib.Path("/proc/self/statm").read_text().split()[0])
        limit = pages * resource.getpagesize() + fault.memory
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    runpy.run_module("kfp.dsl.executor_main", run_name="__main__")


if __name__ == "__main__":
    main()
