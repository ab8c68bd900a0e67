"""Two runs side by side: a page, and a short table on the terminal."""

import pathlib
from typing import Any

import numpy as np
from rich.text import Text

from kfp_mnist_mxnet.cli.console import new_console, plain_table
from kfp_mnist_mxnet.cli.local.page import number, text
from kfp_mnist_mxnet.cli.local.runs import Run
from kfp_mnist_mxnet.reports.figures import figure_svg, new_figure
from kfp_mnist_mxnet.reports.page import Section, heat_map, write_report

CURVES = {
    "train_accuracy": "training accuracy",
    "validation_accuracy": "validation accuracy",
    "train_loss": "training loss",
}


def compare_runs(first: Run, second: Run, output_dir: pathlib.Path) -> pathlib.Path:
    """Write <output_dir>/compare-<first>-<second>.html, print what differs, return the page."""
    path = output_dir / f"compare-{first.name}-{second.name}.html"
    facts = {"first": first.name, "second": second.name}
    sections = [
        Section(
            "Scores", head=("metric", "first", "second", "change"), rows=score_rows(first, second)
        ),
        parameter_section(first, second),
        *curve_sections(first, second),
        *matrix_sections(first, second),
    ]
    write_report(path, "Two runs", facts, sections)
    show_comparison(first, second, path)
    return path


def score_rows(first: Run, second: Run) -> tuple[tuple[str, ...], ...]:
    """Return a row for each score of either run: name, both values, the change."""
    columns = []
    for run in (first, second):
        whole = {name: run.record[name] for name in ("accuracy", "seconds")}
        columns.append({"status": run.record["status"], **whole, **run.metrics()})
    names = list({**columns[0], **columns[1]})
    return tuple(
        (name, *(shown(column.get(name)) for column in columns), change(name, *columns))
        for name in names
    )


def shown(value: Any) -> str:
    """Return a value for a cell: nothing for what is not there, a word as it is."""
    return "" if value is None else number(value)


def change(name: str, first: dict[str, Any], second: dict[str, Any]) -> str:
    """Return the second value less the first one, with its sign, where both are numbers."""
    values = [column.get(name) for column in (first, second)]
    if not all(isinstance(value, (int, float)) for value in values):
        return ""
    difference = values[1] - values[0]  # type: ignore[operator]
    return ("+" if difference > 0 else "") + number(difference)


def parameter_rows(first: Run, second: Run) -> tuple[tuple[str, str, str], ...]:
    """Return a row for each parameter that differs: name, both values."""
    both = [run.record["parameters"] for run in (first, second)]
    return tuple(
        (name, *(text(values[name]) if name in values else "" for values in both))
        for name in {**both[0], **both[1]}
        if both[0].get(name) != both[1].get(name)
    )


def parameter_section(first: Run, second: Run) -> Section:
    """Return the parameters that differ."""
    rows = parameter_rows(first, second)
    return Section(
        "Parameters that differ",
        "" if rows else "None does.",
        head=("parameter", "first", "second"),
        rows=rows,
    )


def curve_sections(first: Run, second: Run) -> list[Section]:
    """Return the curves of both models in one figure, nothing if there is no model."""
    histories = {"first": first.history(), "second": second.history()}
    names = [name for name in CURVES if any(name in (h or [{}])[0] for h in histories.values())]
    if not names:
        return []
    figure = new_figure(6, 2.4 * len(names))
    panels = np.atleast_1d(figure.subplots(len(names), 1, sharex=True))
    for axes, name in zip(panels, names, strict=True):
        for (label, history), style in zip(histories.items(), ("-", "--"), strict=True):
            values = [record[name] for record in history if name in record]
            axes.plot(range(1, len(values) + 1), values, style, marker="o", label=label)
        axes.set_title(CURVES[name])
        axes.grid(alpha=0.3)
    panels[0].legend(frameon=False)
    panels[-1].set_xlabel("epoch")
    panels[-1].xaxis.get_major_locator().set_params(integer=True)
    label = "Accuracy and loss of both runs after each epoch"
    return [Section("Curves", "", figure_svg(figure, label))]


def matrix_sections(first: Run, second: Run) -> list[Section]:
    """Return the confusion matrix of each run that has one."""
    found = []
    for which, run in (("first", first), ("second", second)):
        matrix = run.confusion_matrix()
        if matrix:
            names, counts = matrix
            cells = heat_map(names, np.array(counts))
            title = f"Confusion matrix of the {which} run"
            text = "Each row is a true label, each column a predicted one."
            found.append(Section(title, text, matrix=cells))
    return found


def show_comparison(first: Run, second: Run, page: pathlib.Path) -> None:
    """Print the scores of the runs, the parameters that differ, and where the page is."""
    console = new_console()
    scores = plain_table("", first.name, second.name, "change")
    for column in scores.columns[1:]:
        column.justify = "right"
    wanted = ("status", "accuracy", "seconds", "train.validation_accuracy", "evaluate.log_loss")
    for row in score_rows(first, second):
        if row[0] in wanted:
            scores.add_row(*row)
    for name, *values in parameter_rows(first, second):
        scores.add_row(Text(name), *map(Text, values), "")
    console.print(scores)
    console.print()
    console.print(Text(f"page  {page.absolute()}"), soft_wrap=True)
