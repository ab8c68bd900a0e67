"""Follow a run on Kubeflow to its end: its steps, why one failed, and why nothing goes on."""

import dataclasses
import datetime
import time
from typing import Any

import click
import kfp
from rich.console import Console
from rich.table import Table
from rich.text import Text

from kfp_mnist_mxnet.cli.cluster.client import NotTheApi
from kfp_mnist_mxnet.cli.cluster.logs import error_sentence, read_accuracy
from kfp_mnist_mxnet.cli.cluster.run import REFUSED, Run
from kfp_mnist_mxnet.cli.cluster.snapshot import UNFINISHED, RunSnapshot, Step
from kfp_mnist_mxnet.cli.console import mark, new_console, plain_table, took
from kfp_mnist_mxnet.cli.graph import StepRef, unmet_condition, why_skipped
from kfp_mnist_mxnet.cli.logs import clean, idle_reason
from kfp_mnist_mxnet.cli.options import program

STALLED_AFTER = 180.0  # seconds in which nothing changes and no step runs, until it is said
STALLED_AGAIN = 600.0  # seconds until it is said again
FALLS_BEHIND = (
    "the API's list of steps may have stopped, as KFP's does when the workflow outgrows the 1 MiB "
    "that Argo can store"
)


@dataclasses.dataclass
class Stall:
    """Notices when a run makes no progress: nothing changes, and no step runs."""

    after: float
    again: float
    since: float = 0.0
    said: float = 0.0
    seen: tuple[Any, ...] = ()

    def noticed(self, snapshot: RunSnapshot, now: float) -> bool:
        """Tell whether that is to be said now, at a time in seconds."""
        parts = [*snapshot.steps, *snapshot.groups]
        seen = (
            snapshot.state,
            snapshot.tasks,
            [(part.name, part.state, part.node, part.preparing) for part in parts],
        )
        if seen != self.seen or snapshot.working:
            self.seen, self.since, self.said = seen, now, 0.0
        late = now - self.since >= self.after and (not self.said or now - self.said >= self.again)
        if late:
            self.said = now
        return late


def why_stalled(snapshot: RunSnapshot) -> str:
    """Say what a run that makes no progress probably waits for."""
    if not snapshot.tasks:
        return "no step has started: Argo's workflow-controller may not be running"
    steps = [step for step in [*snapshot.steps, *snapshot.groups] if step.state in UNFINISHED]
    told = next((step for step in steps if step.message), None)
    if told:
        return f"{told.name} waits: {clean(told.message)}"
    if not steps:
        return f"no step runs or waits: {FALLS_BEHIND}"
    preparing = ", ".join(step.name for step in steps if step.preparing)
    waiting = ", ".join(step.name for step in steps if not step.preparing)
    causes = [f"the driver of {preparing} is still running"] if preparing else []
    if waiting:
        causes.append(
            f"the pod of {waiting} waits, perhaps as no node fits it (a GPU?) or its image can't "
            "be pulled"
        )
    return ", or ".join([*causes, FALLS_BEHIND])


def follow(run: Run) -> RunSnapshot:
    """Print each change of a run and of its steps until it ends; return how it ended.

    Raises:
        kfp_server_api.ApiException: the host answers with an error.
        urllib3.exceptions.HTTPError: it does not answer.
        NotTheApi: what answers is something else.
    """
    stall = Stall(STALLED_AFTER, STALLED_AGAIN)
    shown: dict[tuple[str, str], str] = {}
    snapshot = run.snapshot()
    while not snapshot.ended:
        show_changes(snapshot, shown)
        if stall.noticed(snapshot, time.monotonic()):
            waited = (time.monotonic() - stall.since) / 60
            say("run", f"no progress for {waited:.0f} minutes: {why_stalled(snapshot)}")
        time.sleep(run.poll)
        snapshot = run.snapshot()
    if shown:
        show_changes(snapshot, shown)
    return snapshot


def show_changes(snapshot: RunSnapshot, shown: dict[tuple[str, str], str]) -> None:
    """Print the states that are not those of before.

    shown: those of before by the key and the name of a step, which are brought up to date.
    """
    states = {(step.key, step.name): state_of(step) for step in snapshot.steps}
    states["", "run"] = snapshot.state
    for key, state in states.items():
        if shown.get(key) != state:
            say(key[1], state)
    shown.update(states)


def state_of(step: Step) -> str:
    """Return a step's state in words."""
    if step.cached:
        return f"{step.state}, cached"
    over = step.state in ("SUCCEEDED", "FAILED")
    return f"{step.state} after {step.seconds:.1f} s" if over else step.state


def say(name: str, text: str) -> None:
    """Print a line with the time."""
    click.echo(f"{datetime.datetime.now():%H:%M:%S}  {clean(name)}: {text}")


def show_end(run: Run, snapshot: RunSnapshot) -> None:
    """Print how a run ended: seconds of each step, accuracy, where to look, the errors last.

    An error that many steps have, as those of a loop, is printed once.
    """
    console = new_console()
    steps = all_steps(snapshot, run.step_refs)
    left_out = {step.key for step in steps if step.state == "SKIPPED"}
    accuracy, lines = read_step_logs(run, steps)
    if snapshot.state == "SUCCEEDED":
        lines += why_left_out(run.step_refs, left_out, snapshot, accuracy)
    console.print()
    console.print(end_table(snapshot, steps))
    console.print()
    if snapshot.unfinished:
        lines.append("the API's list of steps ends before the run does: the UI shows all")
    if accuracy is not None:
        lines.append(f"accuracy  {accuracy:.4f}")
    errors = {clean(snapshot.error): ["run"]} if snapshot.error else {}
    for step in snapshot.failed:
        error, command = why_failed(run, step)
        errors.setdefault(error, []).append(step.name)
        lines.append(f"log       {command}")
    for line in [*lines, f"run       {run.address}"]:
        console.print(Text(line), soft_wrap=True)
    stderr = Console(stderr=True, highlight=False, soft_wrap=True)
    for error, names in errors.items():
        more = f" and {len(names) - 1} more" if len(names) > 1 else ""
        stderr.print(Text(clean(f"{names[0]}{more}: {error}"), "red"))


def all_steps(snapshot: RunSnapshot, step_refs: list[StepRef]) -> list[Step]:
    """Return the steps of a run that has ended in the order of the pipeline, also those left out.

    Where the API's list ends before the run does, a step did run in a run that succeeded if it had
    begun, or if its conditions were met.
    """
    order = [place.name for place in step_refs]
    known = "SUCCEEDED" if snapshot.state == "SUCCEEDED" else "UNKNOWN"
    steps = [
        dataclasses.replace(step, state=known)
        if snapshot.unfinished and step.state in UNFINISHED
        else step
        for step in snapshot.steps
    ]
    begun = {step.key for step in steps}
    for place in step_refs:
        met = all(box.name in snapshot.opened for box in place.conditions)
        state = (known if met else "UNKNOWN") if snapshot.unfinished else "SKIPPED"
        if place.name not in begun:
            steps.append(Step(place.name, place.title, state))
    return sorted(steps, key=lambda step: order.index(step.key))


def end_table(snapshot: RunSnapshot, steps: list[Step]) -> Table:
    """Return the steps of a run that has ended."""
    table = plain_table("step", "status", "seconds")
    table.columns[2].justify = "right"
    groups = [step for step in snapshot.failed if step in snapshot.groups and step.name != "run"]
    for step in [*steps, *groups]:
        shown = status(step.state, step.cached)
        table.add_row(clean(step.name), shown, took(step.state, step.seconds))
    table.add_row("run", status(snapshot.state), f"{snapshot.seconds:.1f}")
    return table


def why_left_out(
    step_refs: list[StepRef], left_out: set[str], snapshot: RunSnapshot, accuracy: float | None
) -> list[str]:
    """Return for each step that a run left out for a condition a sentence that says so."""
    record = {"accuracy": accuracy, "parameters": snapshot.parameters}
    ran = [place for place in step_refs if place.name not in left_out]
    return [
        f"{clean(place.title)} skipped: {why_skipped(unmet_condition(place, ran), record)}"
        for place in step_refs
        if place.name in left_out and place.conditions
    ]


def status(state: str, cached: bool = False) -> Text:
    """Return the sign and the word of a state."""
    return mark(state, word=True).append(", cached" if cached else "")


def why_failed(run: Run, step: Step) -> tuple[str, str]:
    """Return why a step failed, and the command that prints its log."""
    log = run.log(step)
    command = f"kubectl logs -l pipeline/runid={run.run_id} -c main --prefix --tail=-1"
    if log:
        command = f"curl -s {run.host.rstrip('/')}{run.log_path(step)} | jq -r .data | base64 -d"
    why = error_sentence(log) or clean(step.message)
    return why or "it failed, and the API does not say why", command


def read_step_logs(run: Run, steps: list[Step]) -> tuple[float | None, list[str]]:
    """Return the accuracy of a run, that of its last step that has one, and what its steps say.

    A step that had nothing to do says so in its log, where KFP 2.17 has the metrics too; it counts
    as left out.
    """
    accuracy, lines = None, []
    for step in reversed(steps):
        if step.state == "SUCCEEDED" and not step.in_loop:
            log = "" if step.cached else run.log(step)
            if reason := idle_reason(log):
                step.state = "SKIPPED"
                lines.append(f"{clean(step.name)} skipped: {clean(reason)}")
            if accuracy is None:
                accuracy = read_accuracy(log) if step.accuracy is None else step.accuracy
    return accuracy, lines[::-1]


def watch(client: kfp.Client, host: str, run_id: str, poll: float) -> int:
    """Follow a run to its end; return the exit status, 0 if it succeeded.

    poll: seconds between two looks.
    """
    run = Run(client, host, run_id, poll)
    try:
        snapshot = follow(run)
        show_end(run, snapshot)
    except KeyboardInterrupt:
        goes_on(run)
        return 130
    except (*REFUSED, NotTheApi):
        if run.last.state:
            goes_on(run)
        raise
    return 0 if snapshot.state == "SUCCEEDED" else 1


def goes_on(run: Run) -> None:
    """Say that a run goes on that is not followed any more."""
    if run.last.ended:
        return
    click.echo(
        f"the run goes on; follow it again with `{program()} follow --host {run.host} "
        f"{run.run_id}`, end it with Terminate at {run.address}",
        err=True,
    )
