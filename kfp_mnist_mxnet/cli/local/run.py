"""Run a pipeline on this machine with the kfp local runner and record what happened."""

import contextlib
import datetime
import functools
import itertools
import os
import pathlib
import time
from typing import Any

import click
from kfp import local

from kfp_mnist_mxnet.cli.graph import read_graph, step_refs
from kfp_mnist_mxnet.cli.local.display import Display, show_end
from kfp_mnist_mxnet.cli.local.interruption import Running, interruptible, locked_log
from kfp_mnist_mxnet.cli.local.kfp_patch import patch_kfp_local
from kfp_mnist_mxnet.cli.local.record import new_record, record_end, save_run
from kfp_mnist_mxnet.cli.local.redaction import Scrubbed, secret_words
from kfp_mnist_mxnet.cli.local.runs import LATEST
from kfp_mnist_mxnet.cli.local.steps import Recorder
from kfp_mnist_mxnet.cli.options import written


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
    steps = list(step_refs(boxes))
    started = time.monotonic()

    def save() -> None:
        record["seconds"] = round(time.monotonic() - started, 3)
        save_run(directory, record, boxes)

    display, running = Display([step.name for step in steps], verbose), Running()
    with interruptible(running), locked_log(directory) as log, contextlib.ExitStack() as at_end:
        at_end.callback(save)
        at_end.push(functools.partial(record_end, record, steps, hidden))
        at_end.callback(running.end)
        save()
        point_latest_at(directory)
        recorder = Recorder(record, log, display, hidden, save, running, installs=not image)
        scrubbed: Any = Scrubbed(log, hidden)
        with patch_kfp_local(recorder), display.shown(), contextlib.redirect_stdout(scrubbed):
            start_kfp(runner, image, directory / "artifacts")
            pipeline(**parameters)
    show_end(directory, record)
    return 0 if record["status"] == "SUCCEEDED" else 1


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
        click.echo(f"{latest} could not be linked to this run: {why}", err=True)


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
