"""Runs that end before their time: what run.json, `runs` and the page say of them."""

import contextlib
import json
import os
import pathlib
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest
from conftest import ROOT, command, write_idx_set

from kfp_mnist_mxnet import pipeline
from kfp_mnist_mxnet.cli.local import run
from kfp_mnist_mxnet.cli.local.interruption import Running, goes_on, interruptible, locked_log
from kfp_mnist_mxnet.compiler.target import LOCAL

LONG = ["--pipeline", "sweep", "-p", "epochs=100000"]


def started(directory: pathlib.Path, until: str) -> subprocess.Popen:
    """A run whose step `until` has started, of a pipeline with a loop that would take hours."""
    source = write_idx_set(directory / "idx")
    # A shell that runs the tests in the background has them ignore signals.
    program = [
        "env",
        "--default-signal=INT,HUP",
        sys.executable,
        f"{ROOT}/pipeline.py",
        "run",
        "--data-uri",
        str(source),
        *LONG,
    ]
    pipe = subprocess.PIPE
    process = subprocess.Popen(program, cwd=directory, stdout=pipe, stderr=pipe, text=True)
    assert process.stdout
    next(line for line in process.stdout if f"{until} | started" in line)
    return process


def record_of(directory: pathlib.Path) -> dict:
    return json.loads((directory / "runs" / "latest" / "run.json").read_text())


def page_of(directory: pathlib.Path) -> str:
    return (directory / "runs" / "latest" / "index.html").read_text()


def steps_that_go_on(directory: pathlib.Path) -> list[int]:
    """The processes that were told to write into a directory."""
    found = []
    for path in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):  # it has ended since
            if os.fsencode(directory) in path.read_bytes():
                found.append(int(path.parent.name))
    return found


@pytest.fixture(autouse=True)
def no_step_is_left(tmp_path) -> Iterator[None]:
    """End what a test leaves, such as the steps of a run that was killed."""
    yield
    for process in steps_that_go_on(tmp_path):
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)


@pytest.mark.parametrize(
    ("number", "until", "error"),
    [
        (signal.SIGTERM, "train-1", "interrupted by SIGTERM"),
        (signal.SIGHUP, "ingest", "interrupted by SIGHUP"),
        (signal.SIGINT, "ingest", "interrupted"),
    ],
)
def test_a_run_that_a_signal_ends_has_failed_and_its_steps_end_too(tmp_path, number, until, error):
    process = started(tmp_path, until)
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
    record = record_of(tmp_path)
    assert (process.returncode, said.splitlines()) == (1, [error])
    assert (record["status"], record["error"]) == ("FAILED", error)
    statuses = {step["name"]: step["status"] for step in record["steps"]}
    assert statuses[until] == "FAILED"
    assert "train-2" not in statuses
    assert f"<p>{error}</p>" in page_of(tmp_path)
    assert steps_that_go_on(tmp_path) == []


def test_a_run_whose_output_is_closed_has_failed(tmp_path):
    process = started(tmp_path, "ingest")
    assert process.stdout
    with process:
        process.stdout.close()
        assert process.wait(timeout=120) == 1
    assert record_of(tmp_path)["error"] == "interrupted: the output was closed"
    assert steps_that_go_on(tmp_path) == []


def test_a_signal_that_is_ignored_stays_so():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with interruptible(Running()):
            os.kill(os.getpid(), signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_run_that_was_killed_is_told_and_noted_as_failed(tmp_path):
    process = started(tmp_path, "ingest")
    runs = ["runs", "--output-dir", tmp_path / "runs"]
    assert "RUNNING" in command(*runs).stdout
    process.kill()
    process.communicate()
    assert record_of(tmp_path)["status"] == "RUNNING"
    assert "✗ FAILED" in command(*runs).stdout
    record = record_of(tmp_path)
    statuses = [step["status"] for step in record["steps"]]
    assert (record["status"], "RUNNING" in statuses) == ("FAILED", False)
    assert statuses.count("FAILED") == 1  # ingest, or train where that has begun
    assert "its process was killed" in record["error"]
    assert f"<p>{record['error']}</p>" in page_of(tmp_path)
    assert ">ingest<" in page_of(tmp_path)


def test_a_lost_run_of_a_pipeline_that_is_no_longer_there_is_told(made_run):
    directory = made_run(status="RUNNING", pipeline="of-another-version")
    done = command("runs", "--output-dir", directory.parent)
    assert (done.exit_code, "FAILED" in done.output) == (0, True)


def test_a_run_goes_on_as_long_as_its_log_is_locked(tmp_path):
    assert not goes_on(tmp_path)
    with locked_log(tmp_path):
        assert goes_on(tmp_path)
    assert not goes_on(tmp_path)


def test_an_error_of_the_runner_fails_the_run(tmp_path, monkeypatch):
    def fail(*_):
        raise TypeError("a part of kfp is another")

    monkeypatch.setattr(run, "start_kfp", fail)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(TypeError):
        run.run(pipeline.train_pipeline(LOCAL), {}, pathlib.Path("runs"))
    record = record_of(tmp_path)
    assert record["status"] == "FAILED"
    assert record["error"] == "the runner: TypeError: a part of kfp is another"
    assert {step["status"] for step in record["steps"]} == {"SKIPPED"}
