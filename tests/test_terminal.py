"""What the command line shows: live steps, plain lines, help, completion."""

import os
import pathlib
import pty
import re
import select
import subprocess
import sys
import time

import pytest
from click.testing import CliRunner
from conftest import ROOT, SMALL, as_options, write_idx_set
from rich.console import Console

from kfp_mnist_mxnet.cli.console import print_rows
from kfp_mnist_mxnet.cli.local.display import Display
from kfp_mnist_mxnet.cli.logs import LogFilter
from kfp_mnist_mxnet.cli.main import main

LOGGED = "[KFP Executor 2026-01-31 12:00:00,000 {}]: {}\n"
BATCH = "Epoch[1] Batch [0-84]\tSpeed: 1286.60 samples/sec\taccuracy=0.775112\t80 s left"
DOWNLOAD = "train-images-idx3-ubyte.gz:  45%|####5     | 4.2M/9.9M [00:05<00:06, 800kB/s]"


def on_a_terminal(command: list[str], typed: bytes = b"", until: bytes = b"", **environment) -> str:
    """What a command writes to a terminal of 100 columns, until it ends or writes `until`."""
    ours, its = pty.openpty()
    env = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "100", "LINES": "30", **environment}
    with subprocess.Popen(command, cwd=ROOT, stdin=its, stdout=its, stderr=its, env=env) as process:
        os.close(its)
        os.write(ours, typed)
        written, deadline = b"", time.monotonic() + 120
        while not (until and until in written):
            if not select.select([ours], [], [], max(0, deadline - time.monotonic()))[0]:
                break
            try:
                written += os.read(ours, 65536)
            except OSError:  # its end is closed: the command has ended
                break
        else:
            process.kill()
        if time.monotonic() >= deadline:
            process.kill()
    os.close(ours)
    return written.decode()


def test_a_run_is_shown_live_on_a_terminal(tmp_path):
    program = [sys.executable, "pipeline.py", "run", "--data-uri", write_idx_set(tmp_path / "idx")]
    options = as_options({**SMALL, "learning_rate": 1e-9, "min_accuracy": 1})  # to end early
    program += [*options, "--output-dir", tmp_path]
    written = on_a_terminal([str(word) for word in program], NO_COLOR="1")
    assert not re.search(r"\x1b\[[0-9;]*3[0-7]m", written)  # no colour
    written = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", written)
    assert re.search(r"train +\d+ s.*\n.*evaluate +waiting", written)
    assert re.fullmatch(r"accuracy  \d\.\d{4}", written.splitlines()[-3])
    assert re.match(r"Accuracy \S+ % \(\S+ to \S+\), \d+ of 25 wrong", written.splitlines()[-4])
    assert written.splitlines()[-2] == f"page      {(tmp_path / 'latest').resolve() / 'index.html'}"
    assert "| Epoch[0]" not in written
    assert "Got executor_input" not in written
    log = (tmp_path / "latest" / "log.txt").read_text()
    assert "Epoch[0] Batch" in log
    assert "Got executor_input" not in log
    assert '"parameterValues"' not in log
    assert "\x1b" not in log


STEPS = ["ingest", "train", "predict"]


def live(display: Display, width: int = 100) -> str:
    """What the display shows on a terminal now."""
    console = Console(width=width, color_system=None, force_terminal=True)
    with console.capture() as captured:
        console.print(display.table())
    return captured.get()


def test_lines_that_only_tell_how_far_a_step_is_are_left_out(capsys):
    display = Display(STEPS)
    display.start("train")
    for line in (BATCH, DOWNLOAD, "Looking for component", "Epoch[1] Train-accuracy=0.5"):
        display.line("train", LOGGED.format("INFO", line))
    display.line("train", LOGGED.format("WARNING", "The checkpoint was not saved"))
    display.line("train", "Traceback (most recent call last):\n")
    display.end("train", "SUCCEEDED", 1.25)
    assert capsys.readouterr().out.splitlines() == [
        "    train | started",
        "    train | Epoch[1] Train-accuracy=0.5",
        "    train | The checkpoint was not saved",
        "    train | succeeded after 1.2 s",
    ]


def test_verbose_shows_every_line(capsys):
    display = Display(["train"], verbose=True)
    display.start("train")
    for line in (LOGGED.format("INFO", BATCH), "Traceback (most recent call last):\n"):
        display.line("train", line)
    _, batch, traceback = capsys.readouterr().out.splitlines()
    assert "Epoch[1] Batch" in batch
    assert traceback == "    train | Traceback (most recent call last):"


def test_the_live_table_tells_epoch_accuracy_and_time_left():
    display = Display(STEPS)
    display.start("train")
    display.line("train", LOGGED.format("INFO", "Epoch[0] Validation-accuracy=0.5"))
    display.line("train", LOGGED.format("INFO", BATCH))
    assert "epoch 2, validation accuracy 0.5000, training accuracy 0.7751, 80 s left" in live(
        display
    )


def test_a_narrow_terminal_shows_the_validation_accuracy():
    display = Display(STEPS)
    display.start("train")
    display.line("train", LOGGED.format("INFO", "Epoch[0] Validation-accuracy=0.5"))
    display.line("train", LOGGED.format("INFO", BATCH))
    assert "validation accuracy 0.5" in live(display, 62)


def test_a_step_that_has_ended_tells_what_it_found(capsys):
    display = Display(STEPS)
    display.start("evaluate")
    display.end("evaluate", "SUCCEEDED", 3.21, "accuracy 0.9923")
    assert live(display).splitlines()[0].split() == [
        "✓",
        "evaluate",
        "3.2",
        "s",
        "accuracy",
        "0.9923",
    ]
    assert "evaluate | succeeded after 3.2 s: accuracy 0.9923" in capsys.readouterr().out


def test_a_log_has_no_colours_and_not_what_kfp_tells_a_step():
    lines = [
        LOGGED.format("INFO", "Got executor_input:"),
        "{\n",
        '    "inputs": {}\n',
        "}\n",
        "  \x1b[1;31mred\x1b[0m\n",
        LOGGED.format("INFO", "done"),
    ]
    kept = LogFilter()
    assert "".join(map(kept.keep, lines)) == "  red\n" + lines[-1]


def test_a_table_that_does_not_fit_becomes_blocks():
    console = Console(width=60, color_system=None)
    head = ("run", "pipeline", "status", "accuracy", "seconds", "parameters")
    row = ("2026-01-31-120000", "mnist-train", "✓ SUCCEEDED", "0.9600", "", "epochs=3")
    with console.capture() as captured:
        print_rows(console, head, [row])
    lines = [" ".join(line.split()) for line in captured.get().splitlines()]
    assert lines[0] == "2026-01-31-120000"
    assert lines[1:] == [
        *("pipeline mnist-train", "status ✓ SUCCEEDED"),
        *("accuracy 0.9600", "parameters epochs=3"),
    ]


@pytest.mark.parametrize("command", [["runs"], ["compare", "a", "b"]])
def test_runs_and_compare_fit_60_columns(made_run, command):
    output_dir = made_run("a").parent
    made_run("b", accuracy=0.5)
    made = [sys.executable, "pipeline.py", *command, "--output-dir", str(output_dir)]
    written = on_a_terminal(made, COLUMNS="60", NO_COLOR="1")
    lines = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", written).splitlines()
    assert (
        len([line for line in lines if len(line) > 60 and not line.startswith(("B ag", "page"))])
        == 0
    )
    assert [line for line in lines if "accuracy" in line]


def test_the_live_table_has_a_bar_for_a_download():
    display = Display(STEPS)
    display.start("ingest")
    display.line("ingest", LOGGED.format("INFO", DOWNLOAD))
    shown = live(display)
    assert "━━━━╸" in shown
    assert "train-images-idx3-ubyte.gz, 00:06 left" in shown


def test_the_live_table_tells_what_has_ended_and_what_waits():
    display = Display(STEPS)
    display.start("ingest")
    display.end("ingest", "SUCCEEDED", 3.21)
    display.start("train-1")
    lines = [line.split() for line in live(display).splitlines()]
    assert lines[0] == ["✓", "ingest", "3.2", "s"]
    assert lines[1][1:] == ["train-1", "0", "s"]
    assert lines[2:] == [["predict", "waiting"]]


@pytest.mark.parametrize("command", main.commands)
def test_help_has_examples_that_are_valid(command):
    text = CliRunner().invoke(main, [command, "--help"]).output
    lines = re.findall(r"^    main (\S+)(.*)", text, re.MULTILINE)
    options = {name for option in main.commands[command].params for name in option.opts}
    assert lines
    for name, rest in lines:
        assert name == command
        assert set(re.findall(r"(?<= )--?[a-z][a-z-]*", rest)) <= options


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["rn"], "no command 'rn': did you mean 'run'?"),
        (
            ["xyz"],
            "no command 'xyz': expected one of compare, compile, convert, follow, run, runs, "
            "serve, submit",
        ),
        (["run", "-p", "epoch=3"], "no parameter 'epoch': did you mean 'epochs'?"),
        (["run", "--out-dir", "x"], "Did you mean '--output-dir'?"),
    ],
)
def test_a_wrong_name_gets_the_nearest_right_one(arguments, message):
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == 2
    assert message in done.output


@pytest.mark.parametrize(
    ("typed", "completed"),
    [
        ("run -p epo", "run -p epochs="),
        ("run --pipeline sweep -p tri", "run --pipeline sweep -p trials="),
        ("submit -p gpu_c", "submit -p gpu_count="),
        ("comp", "compare  compile"),
    ],
)
def test_bash_completes(typed, completed):
    program = "kfp-mnist-mxnet"
    switch = f'eval "$(_KFP_MNIST_MXNET_COMPLETE=bash_source {program})"; PS1=ready; bind "set '
    switch += 'show-all-if-ambiguous on"; bind "set enable-bracketed-paste off"\n'
    path = f"{pathlib.Path(sys.executable).parent}:{os.environ['PATH']}"
    written = on_a_terminal(
        ["bash", "--norc", "-i"],
        f"{switch}{program} {typed}\t".encode(),
        completed.split()[-1].encode(),
        PATH=path,
    )
    assert completed.split()[-1] in written
