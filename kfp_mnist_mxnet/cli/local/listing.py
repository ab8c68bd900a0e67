"""The table of the runs under an output directory."""

import pathlib

import click
from rich.text import Text

from kfp_mnist_mxnet.cli.console import mark, new_console, print_rows
from kfp_mnist_mxnet.cli.local.runs import Run, read_run, run_directories
from kfp_mnist_mxnet.cli.local.values import text


def show_runs(output_dir: pathlib.Path) -> None:
    """Print a table of the runs under an output directory, the newest last."""
    runs = []
    for directory in run_directories(output_dir):
        try:
            runs.append(read_run(directory))
        except click.UsageError as error:
            click.echo(f"left out: {error.message}", err=True)
    if not runs:
        raise click.UsageError(f"no run in {output_dir}: make one with the command run")
    head = ("run", "pipeline", "status", "accuracy", "seconds", "parameters")
    print_rows(new_console(), head, [listed(run) for run in runs], right=(3, 4))


def listed(run: Run) -> tuple[Text | str, ...]:
    """Return the cells of a run."""
    record = run.record
    changed = ", ".join(
        f"{name}={text(record['parameters'].get(name))}" for name in record["changed"]
    )
    return (
        Text(run.name),
        Text(record["pipeline"]),
        mark(run.state, word=True),
        "" if record["accuracy"] is None else f"{record['accuracy']:.4f}",
        f"{record['seconds']:.1f}",
        Text(changed),
    )
