"""Follow a run on Kubeflow to its end: its steps, why one failed, and why nothing goes on."""

import dataclasses
import datetime
import json
import re
import time
from typing import Any

import click
import kfp
from rich.console import Console
from rich.table import Table
from rich.text import Text

from kfp_mnist_mxnet.cli.cluster import NotTheApi, get
from kfp_mnist_mxnet.cli.command import program
from kfp_mnist_mxnet.cli.local import why_not
from kfp_mnist_mxnet.cli.logs import clean, error_sentence, fingerprint, read_accuracy
from kfp_mnist_mxnet.cli.remote import REFUSED, Log, Look, Run, read_log, read_workflow
from kfp_mnist_mxnet.cli.terminal import mark, new_console, plain_table
from kfp_mnist_mxnet.cli.workflow import RUN, Place, Step, read_nodes, read_steps

STALLED_AFTER = 180.0  # seconds in which nothing changes and no step runs, until it is said
STALLED_AGAIN = 600.0  # seconds until it is said again
LARGE = 2**19  # bytes of a workflow that may be on its way over Argo's limit of 2**20
NO_REASON = re.compile(r"(main: )?Error \(exit code \d+\)|")  # Argo's, of a step that said its own
CANT_PULL = re.compile(r"(ErrImage|ImagePull|InvalidImage|ImageInspect|RegistryUnavail)\w*")


@dataclasses.dataclass
class Stall:
    """Notices when a run makes no progress: nothing changes, and no step runs."""

    after: float
    again: float
    since: float = 0.0
    said: float = 0.0
    seen: tuple[Any, ...] = ()

    def noticed(self, look: Look, now: float) -> bool:
        """Tell whether that is to be said now, at a time in seconds."""
        parts = [*look.steps, *look.drivers]
        seen = (look.state, [(part.name, part.state, part.pod, part.preparing) for part in parts])
        if seen != self.seen or any(step.state == "RUNNING" for step in look.steps):
            self.seen, self.since, self.said = seen, now, 0.0
        late = now - self.since >= self.after and (not self.said or now - self.said >= self.again)
        if late:
            self.said = now
        return late


def why_stalled(look: Look) -> str:
    """Say what a run that makes no progress probably waits for."""
    if look.message:
        return clean(look.message)
    if not (look.tasks or look.drivers):
        return "nothing of it has begun: Argo's workflow-controller may not be running"
    steps = [step for step in [*look.steps, *look.drivers] if step.state in ("PENDING", "RUNNING")]
    told = next((step for step in steps if step.message), None)
    if told:
        return why_waiting(told)
    outgrown = (
        f"perhaps the workflow, {look.size:,} bytes, has outgrown the 1 MiB that Argo can store, "
        "which the log of its workflow-controller says"
    )
    if not steps:
        return f"no step runs or waits: {outgrown}"
    preparing = ", ".join(step.name for step in steps if step.preparing)
    waiting = ", ".join(step.name for step in steps if not step.preparing)
    causes = [f"the driver that prepares {preparing} does not end"] if preparing else []
    if waiting:
        causes.append(
            f"the pod of {waiting} waits, perhaps as no node fits it (a GPU?) or its image can't "
            "be pulled"
        )
    if preparing or look.size > LARGE:
        causes.append(outgrown)
    return ", or ".join(causes)


def why_waiting(step: Step) -> str:
    """Say what a pod waits for by what Argo says of it."""
    message = clean(step.message)
    if CANT_PULL.match(message):
        return f"the image of {step.name} can't be pulled: {message}"
    if message.startswith("Unschedulable: "):
        return f"no node fits the pod of {step.name}: {message.partition(': ')[2]}"
    return f"the pod of {step.name} waits: {message}"


def follow(run: Run) -> Look:
    """Print each change of a run and of its steps until it ends; return how it ended.

    Raises:
        kfp_server_api.ApiException: the host answers with an error.
        urllib3.exceptions.HTTPError: it does not answer.
        NotTheApi: what answers is something else.
    """
    stall = Stall(STALLED_AFTER, STALLED_AGAIN)
    shown: dict[tuple[str, str], str] = {}
    look = run.look()
    while not look.ended:
        show_changes(look, shown)
        if stall.noticed(look, time.monotonic()):
            look = run.look(again=True)
            waited = (time.monotonic() - stall.since) / 60
            say("run", f"no progress for {waited:.0f} minutes: {why_stalled(look)}")
        time.sleep(run.poll)
        look = run.look()
    if shown:
        show_changes(look, shown)
    return look


def show_changes(look: Look, shown: dict[tuple[str, str], str]) -> None:
    """Print the states that are not those of before.

    shown: those of before by the key and the name of a step, which are brought up to date.
    """
    states = {(step.key, step.name): state_of(step) for step in look.steps}
    states["", "run"] = look.state
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


def show_end(run: Run, look: Look) -> None:
    """Print how a run ended: seconds of each step, accuracy, where to look, the errors last.

    An error that many steps have, as those of a loop, is printed once.
    """
    console = new_console()
    missing = [place for place in run.places if place.key not in {s.key for s in look.steps}]
    console.print()
    console.print(end_table(look, missing))
    console.print()
    accuracy = run_accuracy(run, look)
    lines = why_left_out(look, missing, accuracy) if look.state == "SUCCEEDED" else []
    if accuracy is not None:
        lines.append(f"accuracy  {accuracy:.4f}")
    errors = {look.error: ["run"]} if look.error else {}
    for step in look.failed:
        error, where = why_failed(run, step)
        errors.setdefault(error, []).append(step.name)
        lines += [f"log       {where}"] if where else []
    for line in [*lines, f"run       {run.address}"]:
        console.print(Text(line), soft_wrap=True)
    stderr = Console(stderr=True, highlight=False, soft_wrap=True)
    for error, names in errors.items():
        more = f" and {len(names) - 1} more" if len(names) > 1 else ""
        stderr.print(Text(clean(f"{names[0]}{more}: {error}"), "red"))


def end_table(look: Look, missing: list[Place]) -> Table:
    """Return the steps of a run that has ended; missing: those that it did not come to."""
    table = plain_table("step", "status", "seconds")
    table.columns[2].justify = "right"
    drivers = [step for step in look.drivers if step.state == "FAILED" and step.key != RUN]
    left_out = [Step(place.key, place.title, "SKIPPED") for place in missing]
    for step in [*look.steps, *drivers, *left_out]:
        table.add_row(clean(step.name), status(step.state, step.cached), f"{step.seconds:.1f}")
    table.add_row("run", status(look.state), f"{look.seconds:.1f}")
    return table


def why_left_out(look: Look, missing: list[Place], accuracy: float | None) -> list[str]:
    """Return for each step that a run left out for a condition a sentence that says so."""
    record = {"accuracy": accuracy, "parameters": look.parameters}
    return [
        f"{clean(place.title)} did not run: {why_not(place.condition, record)}"
        for place in missing
        if place.condition
    ]


def status(state: str, cached: bool = False) -> Text:
    """Return the sign and the word of a state."""
    return mark(state, word=True).append(", cached" if cached else "")


def why_failed(run: Run, step: Step) -> tuple[str, str]:
    """Return why a step failed, and where its log is, empty if it has none."""
    log = run.log(step) if step.pod else None
    message = clean(step.message)
    if NO_REASON.fullmatch(message):
        message = (error_sentence(log.text) if log else "") or message
    namespace = (run.workflow.get("metadata") or {}).get("namespace", "")
    by_hand = f"kubectl logs -n {namespace} {step.pod} -c main" if step.pod else ""
    where = log.address if log else by_hand
    return message or "it failed, and the back end does not say why", where


def run_accuracy(run: Run, look: Look) -> float | None:
    """Return the accuracy of a run, that of its last step that has one, None if none has."""
    for step in reversed(look.steps):
        if step.state == "SUCCEEDED" and step.pod and not step.in_loop:
            log = original_log(run, step) if step.cached else run.log(step)
            accuracy = read_accuracy(log.text) if log else None
            if accuracy is not None:
                return accuracy
    return None


def original_log(run: Run, step: Step) -> Log | None:
    """Return the log of the step that a cached one was taken from, None if it can't be found."""
    driver = run.log(step)
    key = fingerprint(driver.text) if driver else ""
    wanted = {"predicates": [{"op": "EQUALS", "key": "fingerprint", "string_value": key}]}
    try:
        answer = get(
            run.client,
            "/apis/v1alpha1/tasks",
            filter=json.dumps(wanted),
            sort_by="created_at desc",
            page_size="1",
        )
        run_id = json.loads(answer)["tasks"][0]["runId"]
    except (*REFUSED, ValueError, LookupError, TypeError):
        return None
    workflow, _ = read_workflow(run.client, run_id, run.poll)
    for other in read_steps(read_nodes(workflow), run.places):
        if (other.key, other.name) == (step.key, step.name) and not other.cached:
            return read_log(run.client, run.host, run_id, workflow, other)
    return None


def watch(client: kfp.Client, host: str, run_id: str, poll: float) -> int:
    """Follow a run to its end; return the exit status, 0 if it succeeded.

    poll: seconds between two looks.
    """
    run = Run(client, host, run_id, poll)
    try:
        look = follow(run)
        show_end(run, look)
    except KeyboardInterrupt:
        goes_on(run)
        return 130
    except (*REFUSED, NotTheApi):
        if run.last.state:
            goes_on(run)
        raise
    return 0 if look.state == "SUCCEEDED" else 1


def goes_on(run: Run) -> None:
    """Say that a run goes on that is not followed any more."""
    if run.last.ended:
        return
    click.echo(
        f"the run goes on; follow it again with `{program()} follow --host {run.host} "
        f"{run.run_id}`, end it with Terminate at {run.address}",
        err=True,
    )
