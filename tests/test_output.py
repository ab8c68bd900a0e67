"""Places that a command can't write to: one sentence, which names the place."""

import contextlib
import os
import pathlib
import subprocess
import sys

import pytest
from click.testing import CliRunner
from conftest import ROOT

from kfp_mnist_mxnet.cli.local.page import write_whole
from kfp_mnist_mxnet.cli.main import main

NOWHERE = ["run", "--data-uri", "/nowhere", "--output-dir"]
MISSING = "ingest: /nowhere is missing, expected the directory of the IDX files"


def command(*arguments) -> tuple[int, str]:
    done = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert not done.exception or isinstance(done.exception, SystemExit)
    return done.exit_code, done.output.splitlines()[-1]


@pytest.mark.parametrize("place", ["/proc/runs", "/proc/sys/runs", "file/runs", "link", "x" * 300])
def test_an_output_directory_that_cannot_be_made_is_a_usage_error(tmp_path, monkeypatch, place):
    monkeypatch.chdir(tmp_path)
    pathlib.Path("file").touch()
    pathlib.Path("link").symlink_to("link")
    before = sorted(tmp_path.rglob("*"))
    status, said = command(*NOWHERE, place)
    assert status == 2
    assert said.startswith(f"Error: --output-dir {place} can't be written: ")
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("place", ["nowhere/x.yaml", "/proc/x.yaml", "file/x.yaml"])
def test_a_file_that_cannot_be_compiled_to_is_a_usage_error(tmp_path, monkeypatch, place):
    monkeypatch.chdir(tmp_path)
    pathlib.Path("file").touch()
    for what in (["--target", "cpu"], ["--component", "merge"]):
        status, said = command("compile", *what, "--output", place)
        assert status == 2
        assert said.startswith(f"Error: --output {place} can't be written: ")


def test_a_run_does_without_latest_where_a_directory_has_the_name(tmp_path):
    (tmp_path / "latest").mkdir()
    (tmp_path / "latest" / "kept").touch()
    done = CliRunner().invoke(main, [*NOWHERE, str(tmp_path)])
    assert f"{tmp_path}/latest could not be linked to this run: it is a directory" in done.output
    assert done.output.splitlines()[-1] == MISSING
    assert [path.name for path in (tmp_path / "latest").iterdir()] == ["kept"]


def test_a_run_does_without_latest_on_a_file_system_without_links(tmp_path, monkeypatch):
    def refuse(*_):
        raise PermissionError(1, "Operation not permitted")  # as vfat says

    monkeypatch.setattr(os, "symlink", refuse)
    monkeypatch.setattr(pathlib.Path, "symlink_to", refuse)
    done = CliRunner().invoke(main, [*NOWHERE, str(tmp_path)])
    assert "latest could not be linked to this run: Operation not permitted" in done.output
    assert done.output.splitlines()[-1] == MISSING
    assert CliRunner().invoke(main, ["runs", "--output-dir", str(tmp_path)]).exit_code == 0


@contextlib.contextmanager
def small_disk(directory: pathlib.Path, size: str):
    directory.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(directory)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("no disk can be mounted here")
    try:
        yield
    finally:
        subprocess.run(["umount", directory], check=True)


@pytest.mark.draw(2)
@pytest.mark.parametrize("size", ["4k", "12k", "16k", "20k", "32k"])
def test_a_full_disk_is_one_sentence(tmp_path, size):
    program = [sys.executable, f"{ROOT}/pipeline.py", *NOWHERE, str(tmp_path / "disk")]
    with small_disk(tmp_path / "disk", size):
        done = subprocess.run(program, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].endswith(": No space left on device") or size == "32k"
    assert "Traceback" not in done.stderr
    assert "Logging error" not in done.stderr


def test_a_record_that_cannot_be_written_stays_as_it_was(tmp_path):
    path = tmp_path / "disk" / "run.json"
    with small_disk(tmp_path / "disk", "8k"):
        write_whole(path, "whole")
        with pytest.raises(OSError, match=r"run\.json"):
            write_whole(path, "x" * 10_000)
        assert path.read_text() == "whole"
        assert list(path.parent.iterdir()) == [path]
