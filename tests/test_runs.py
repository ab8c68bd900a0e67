"""The commands runs and compare."""

import json
import pathlib
import shutil

import pytest
from click.testing import CliRunner

from kfp_mnist_mxnet.cli.local.runs import find_run, run_directories
from kfp_mnist_mxnet.cli.main import main


def command(*arguments) -> tuple[int, str]:
    done = CliRunner().invoke(main, [str(argument) for argument in arguments])
    return done.exit_code, done.output


@pytest.fixture
def two_runs(made_run) -> pathlib.Path:
    """An output directory with the runs a and b, of which b is the latest."""
    output_dir = made_run("a").parent
    made_run("b", accuracy=0.5, status="FAILED", error="train: no")
    (output_dir / "latest").symlink_to("b")
    return output_dir


def test_runs_are_listed_oldest_first(two_runs):
    status, output = command("runs", "--output-dir", two_runs)
    head, *rows = output.splitlines()
    assert status == 0
    assert head.split() == ["run", "pipeline", "status", "accuracy", "seconds", "parameters"]
    assert rows[0].split()[:6] == ["a", "mnist-train", "✓", "SUCCEEDED", "0.9600", "10.0"]
    assert rows[1].split()[:5] == ["b", "mnist-train", "✗", "FAILED", "0.5000"]
    assert rows[1].rstrip().endswith("data_uri=/a <b>, epochs=3")
    assert len(rows) == 2


def test_runs_tells_that_there_is_none(tmp_path):
    assert f"no run in {tmp_path}: make one with" in command("runs", "--output-dir", tmp_path)[1]


def test_compare_prints_what_differs(two_runs):
    status, output = command("compare", "a", "latest", "--output-dir", two_runs)
    rows = [line.split() for line in output.splitlines()]
    assert status == 0
    assert ["a", "b", "change"] in rows
    assert ["accuracy", "0.9600", "0.5000", "-0.4600"] in rows
    assert output.splitlines()[-1] == f"page  {two_runs / 'compare-a-b.html'}"


def test_compare_shows_parameters_that_differ(two_runs):
    path = two_runs / "b" / "run.json"
    record = json.loads(path.read_text())
    record["parameters"]["activation"] = "tanh"
    path.write_text(json.dumps(record))
    _, output = command("compare", "a", "b", "--output-dir", two_runs)
    assert ["activation", '""', "tanh"] in [line.split() for line in output.splitlines()]
    page = (two_runs / "compare-a-b.html").read_text()
    assert "<td>activation</td><td>&#34;&#34;</td><td>tanh</td>" in page
    assert "<td>epochs</td>" not in page


def test_compare_shows_curves_and_both_confusion_matrices_of_copied_runs(two_runs, tmp_path):
    moved = pathlib.Path(shutil.move(two_runs, tmp_path / "moved"))
    command("compare", moved / "a", moved / "b", "--output-dir", moved)
    page = (moved / "compare-a-b.html").read_text()
    assert "Accuracy and loss of both runs after each epoch" in page
    assert page.count('<table class="matrix">') == 2


def test_compare_refuses_a_run_that_is_not_there(two_runs):
    status, output = command("compare", "a", "lates", "--output-dir", two_runs)
    assert status == 2
    assert f"no run 'lates' in {two_runs}: did you mean 'latest'?" in output


UNREADABLE = {
    "empty": b"",
    "cut short": b'{"status": "SUCC',
    "no UTF-8": b'{"status": "\xff"}',
    "nested too deep": b"[" * 100_000,
    "a list": b"[]",
    "null": b"null",
    "a number": b"1e999",
    "of another tool": b'{"name": "exp", "status": "finished"}',
    "without steps": b'{"status": "FAILED", "accuracy": null, "seconds": 1, "parameters": {}}',
    "steps of another kind": (
        b'{"status": "FAILED", "accuracy": 1, "seconds": 1, "parameters": {}, "steps": [1]}'
    ),
    "seconds of another kind": (
        b'{"status": "FAILED", "accuracy": 1, "seconds": "1", "parameters": {}, "steps": []}'
    ),
}


@pytest.mark.parametrize("case", UNREADABLE)
def test_a_record_that_cannot_be_read_is_named_and_the_others_are_listed(two_runs, case):
    (two_runs / "exp").mkdir()
    (two_runs / "exp" / "run.json").write_bytes(UNREADABLE[case])
    status, output = command("runs", "--output-dir", two_runs)
    assert status == 0
    (named,) = (line for line in output.splitlines() if line.startswith("left out: "))
    assert f"{two_runs}/exp/run.json is " in named
    assert [line.split()[0] for line in output.splitlines() if "✓" in line or "✗" in line] == [
        *("a", "b")
    ]
    status, output = command("compare", "a", "exp", "--output-dir", two_runs)
    assert (status, f"{two_runs}/exp/run.json is " in output) == (2, True)


def test_a_directory_in_place_of_a_record_is_named(two_runs):
    (two_runs / "exp" / "run.json").mkdir(parents=True)
    status, output = command("runs", "--output-dir", two_runs)
    assert (status, "exp/run.json can't be read: Is a directory" in output) == (0, True)


def test_latest_is_the_newest_run_where_there_is_no_link(two_runs):
    (two_runs / "latest").unlink()
    assert find_run(two_runs, "latest").name == "b"
    shutil.copytree(two_runs / "a", two_runs / "latest")  # as cp -rL leaves it
    assert find_run(two_runs, "latest").name == "b"
    assert [path.name for path in run_directories(two_runs)] == ["a", "b"]
