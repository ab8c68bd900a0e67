"""What a run shows on the terminal: live where there is one, else a line for what matters."""

import contextlib
import pathlib
import re
import threading
import time
from collections.abc import Iterator
from typing import Any

from rich.console import Console, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from kfp_mnist_mxnet.cli.console import mark, new_console, plain_table, took
from kfp_mnist_mxnet.cli.local.runs import Run, gate_text, state_of
from kfp_mnist_mxnet.cli.local.verdict import judge

LOGGED = re.compile(r"\[KFP Executor \S+ \S+ ([A-Z]+)\]: (.*)")
KFP_ITSELF = re.compile(r"(Looking for|Loading KFP|Got executor|Wrote executor)")
BATCH = re.compile(r"Epoch\[(\d+)\] Batch .*\saccuracy=(\S+)\s+(\d+) s left")
VALIDATION = re.compile(r"Epoch\[\d+\] Validation-accuracy=(\S+)")
DOWNLOAD = re.compile(r"(\S+):\s+(\d+)%\|.*\[(?:[^<\]]*<([\d:]+))?")


class Display:
    """Shows the steps of a run while they go on; steps of a loop may call it from two threads.

    waiting: names of the steps in their order. verbose: every line that a step writes.
    """

    def __init__(self, waiting: list[str], verbose: bool = False) -> None:
        self.console = new_console()
        self.verbose = verbose
        self.waiting = waiting
        self.steps: dict[str, Activity] = {}
        self.lock = threading.Lock()

    @contextlib.contextmanager
    def shown(self) -> Iterator[None]:
        """Show the steps until the end of the block, live on a terminal."""
        if not self.console.is_interactive:
            yield
            return
        with Live(
            console=self.console,
            get_renderable=self.table,
            refresh_per_second=8,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        ):
            yield

    def start(self, name: str) -> None:
        """Show that a step has started."""
        with self.lock:
            self.steps[name] = Activity()
        if not self.console.is_interactive:
            self.say(name, "started")

    def line(self, name: str, line: str) -> None:
        """Show a line that a step wrote, or what it tells of how far the step is."""
        match = LOGGED.match(line)
        if self.verbose:
            self.say(name, line.rstrip())
        elif match and not KFP_ITSELF.match(match[2]):
            warning = match[1] != "INFO"
            if warning or not (self.steps[name].read(match[2]) or self.console.is_interactive):
                self.say(name, match[2])

    def end(self, name: str, status: str, seconds: float, said: str = "") -> None:
        """Show that a step has ended; said: what it found, in place of its last line."""
        with self.lock:
            activity = self.steps[name]
            activity.status, activity.seconds = status, seconds
            activity.text = said or activity.text
        if not self.console.is_interactive:
            ended = f"{status.lower()} after {seconds:.1f} s"
            self.say(name, f"{ended}: {said}" if said else ended)

    def say(self, name: str, text: str) -> None:
        """Print a line; on a terminal it stands above the steps."""
        self.console.print(Text(f"{name:>9} | {text}"), soft_wrap=True)

    def table(self) -> Table:
        """Return the steps as they are now: mark, name, seconds, how far, and what they say."""
        table = Table.grid(padding=(0, 1), expand=True)
        for width in (1, None, None, 10):
            table.add_column(width=width, no_wrap=True)
        table.add_column(no_wrap=True, overflow="ellipsis", ratio=1)
        table.columns[2].justify = "right"
        with self.lock:
            for name, activity in self.steps.items():
                table.add_row(*activity.row(name))
            for name in self.waiting:
                if not any(re.fullmatch(rf"{re.escape(name)}(-\d+)?", ran) for ran in self.steps):
                    table.add_row("", Text(name, "dim"), "", "", Text("waiting", "dim"))
        return table


class Activity:
    """What a step that goes on has told so far; share: how much of it is done, None if unknown."""

    def __init__(self) -> None:
        self.started = time.monotonic()
        self.status = "RUNNING"
        self.seconds = 0.0
        self.share: float | None = None
        self.text = ""
        self.validation = ""
        self.spinner = Spinner("dots", style="cyan")

    def read(self, line: str) -> bool:
        """Take in a line; tell whether it is one of the many that only say how far the step is."""
        if match := BATCH.match(line):
            left = float(match[3])
            spent = time.monotonic() - self.started
            self.share = spent / (spent + left) if spent + left else 1.0
            self.text = (
                f"epoch {int(match[1]) + 1}, {self.validation}training accuracy "
                f"{float(match[2]):.4f}, {left:.0f} s left"
            )
            return True
        if match := DOWNLOAD.search(line):
            self.share = int(match[2]) / 100
            self.text = match[1] + (f", {match[3]} left" if match[3] else "")
            return True
        if match := VALIDATION.match(line):
            self.validation = f"validation accuracy {float(match[1]):.4f}, "
        elif not line.startswith("Epoch["):
            self.text = line
        return False

    def row(self, name: str) -> tuple[RenderableType, ...]:
        """Return the cells of the step in the table."""
        if self.status == "RUNNING":
            seconds = time.monotonic() - self.started
            bar = "" if self.share is None else ProgressBar(total=1, completed=self.share, width=10)
            return self.spinner, Text(name), f"{seconds:.0f} s", bar, Text(self.text)
        said = "" if self.status == "FAILED" else self.text.partition(", 0 s left")[0]
        return mark(self.status), Text(name), f"{self.seconds:.1f} s", "", Text(said, "dim")


def show_end(directory: pathlib.Path, record: dict[str, Any]) -> None:
    """Print how a run ended: seconds of each step, accuracy, where to look, the error last."""
    console = new_console()
    table = plain_table("step", "status", "seconds")
    table.columns[2].justify = "right"
    for step in record["steps"]:
        table.add_row(
            step["name"], mark(step["status"], word=True), took(step["status"], step["seconds"])
        )
    table.add_row("run", mark(state_of(record), word=True), f"{record['seconds']:.1f}")
    console.print()
    console.print(table)
    console.print()
    gate = record.get("gate", {"steps": []})
    say = [
        step["reason"]
        for step in record["steps"]
        if "reason" in step and step["name"] not in gate["steps"]
    ]
    if gate["steps"]:
        say.append(f"gated     {gate_text(gate)}")
    verdict = judge(Run(directory, record))
    if verdict:
        say += [verdict.sentence, f"accuracy  {verdict.accuracy:.4f}"]
    here = pathlib.Path.cwd()
    shown = directory.relative_to(here) if directory.is_relative_to(here) else directory
    say += [f"page      {shown / 'index.html'}", f"log       {shown / 'log.txt'}"]
    for line in say:
        console.print(Text(line), soft_wrap=True)
    if "error" in record:
        error = Console(stderr=True, highlight=False, soft_wrap=True)
        error.print(Text(record["error"], "red"))
