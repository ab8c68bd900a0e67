"""What kfp 2.17.0 gets wrong when it runs a pipeline on this machine, and how it is mended.

kfp has no way in for a runner of its own, so some of its names are set for the time of a run.
"""

import contextlib
import importlib
import logging
import os
import pathlib
import sys
import warnings
from collections.abc import Iterator
from typing import Any, Protocol

from kfp.local import subprocess_task_handler


class StepRunner(Protocol):
    """Runs the steps in kfp's place; both return the exit status."""

    def run_process(self, full_command: list[str], env_vars: dict | None = None) -> int:
        """Run a step as a process."""

    def run_container(
        self, client: Any, image: str, command: list[str], volumes: dict, **options: Any
    ) -> int:
        """Run a step in a container."""


@contextlib.contextmanager
def patch_kfp_local(runner: StepRunner) -> Iterator[None]:
    """Have kfp's local runner call another one.

    Its own shows what all steps print at once and keeps none of it. In containers it has them
    removed before it asks how they ended, and takes that for success:
    https://github.com/kubeflow/pipelines/issues/13332. And it puts sys.executable for python3
    wherever it stands, in parameters and paths too, and unquoted; with "python3" itself, found on
    PATH, nothing changes. A log that can't be written fails the run, in one sentence, and is not
    told with a traceback by logging for each line of kfp's.
    """
    path = os.pathsep.join([str(pathlib.Path(sys.prefix, "bin")), os.environ.get("PATH", "")])
    with contextlib.ExitStack() as stack:
        stack.enter_context(patched_attribute(sys, "executable", "python3"))
        stack.enter_context(patched_attribute(logging, "raiseExceptions", False))
        stack.enter_context(
            patched_attribute(subprocess_task_handler, "run_local_subprocess", runner.run_process)
        )
        with contextlib.suppress(ImportError):  # docker is needed for containers only
            handler = importlib.import_module("kfp.local.docker_task_handler")
            stack.enter_context(
                patched_attribute(handler, "run_docker_container", runner.run_container)
            )
        before = os.environ.get("PATH")
        os.environ["PATH"] = path
        stack.callback(restore_path, before)
        stack.enter_context(warnings.catch_warnings())
        warnings.filterwarnings("ignore", module="kfp")
        yield


@contextlib.contextmanager
def patched_attribute(owner: Any, name: str, value: Any) -> Iterator[None]:
    """Set an attribute, and set it back at the end."""
    before = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, before)


def restore_path(before: str | None) -> None:
    """Set PATH back to what it was."""
    if before is None:
        os.environ.pop("PATH", None)
    else:
        os.environ["PATH"] = before
