"""The page of a comparison: which run is better, and in what they differ."""

import os
import pathlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from kfp_mnist_mxnet.cli.local.comparison import (
    LETTERS,
    Contrast,
    array,
    class_names,
    contrasts,
    scores,
    settings,
)
from kfp_mnist_mxnet.cli.local.comparison_text import show_comparison
from kfp_mnist_mxnet.cli.local.page import SIGNS, template, write_whole
from kfp_mnist_mxnet.cli.local.runs import Run
from kfp_mnist_mxnet.errors import InvalidInput
from kfp_mnist_mxnet.reports.evaluation import plot_confusions
from kfp_mnist_mxnet.reports.figures import figure_svg, new_figure
from kfp_mnist_mxnet.reports.page import Picture, Row, heat_map, resource
from kfp_mnist_mxnet.reports.pictures import picture

PICTURES = 24  # on the page, half of them of images that a run fixed
MOST_CELLS = 12  # classes whose confusion matrix fits a phone as a table
LONGEST = 200  # characters of a file name, of the 255 that file systems take
CURVES = {
    "train_accuracy": "training accuracy",
    "validation_accuracy": "validation accuracy",
    "train_loss": "training loss",
}


class Matrix(NamedTuple):
    """The confusion matrix of a run: a figure, or the rows of a table."""

    letter: str
    figure: str
    rows: Sequence[Row]


class Change(NamedTuple):
    """A run against the first one, with pictures of images that it fixed and broke."""

    letter: str
    contrast: Contrast
    fixed: Sequence[Picture]
    broken: Sequence[Picture]


def compare_runs(runs: Sequence[Run], output_dir: pathlib.Path) -> pathlib.Path:
    """Write <output_dir>/compare-<run>-<run>.html, print what differs, return the page.

    runs: at least two; all are compared with the first.
    """
    path = output_dir / page_name(runs)
    against = contrasts(runs)
    rows, parameters = scores(runs, against), settings(runs)
    page = template("comparison.html").render(
        style=resource("report.css"),
        signs=SIGNS,
        runs=list(zip(LETTERS, runs, strict=False)),
        links={run.name: os.path.relpath(run.directory / "index.html", output_dir) for run in runs},
        changes=[
            change(runs[0], letter, each, PICTURES // len(against))
            for letter, each in zip(LETTERS[1:], against, strict=False)
        ],
        scores=rows,
        settings=parameters,
        curves=curves(runs),
        matrices=matrices(runs),
    )
    write_whole(path, page)
    show_comparison(runs, against, rows, parameters, path)
    return path


def page_name(runs: Sequence[Run]) -> str:
    """Return the file name of a comparison: all ids, or the first where they are too many."""
    name = f"compare-{'-'.join(run.name for run in runs)}"
    if len(name) > LONGEST:
        name = f"compare-{runs[0].name}-with-{len(runs) - 1}-others"
    return f"{name}.html"


def change(first: Run, letter: str, contrast: Contrast, most: int) -> Change:
    """Return what a run fixed and broke, with at most so many pictures."""
    paired = contrast.paired
    if paired is None:
        return Change(letter, contrast, [], [])
    fixed, broken = paired.fixed, paired.broken
    many = max(most // 2, most - len(broken))
    shown = fixed[:many], broken[: most - min(many, len(fixed))]
    return Change(letter, contrast, *(pictures(first, contrast.run, letter, i) for i in shown))


def pictures(first: Run, run: Run, letter: str, numbers: np.ndarray) -> list[Picture]:
    """Return test images with what both runs take them for, none where the images are gone."""
    try:
        images = array(run, "test_data", "images.npy", 4)
        labels = array(run, "test_data", "labels.npy")
        predicted = [array(each, "predictions", "labels.npy") for each in (first, run)]
    except InvalidInput:
        return []
    names = class_names(run)
    return [
        Picture(
            picture(images[i]),
            f"#{i}\ntrue {names[labels[i]]}\nA {names[predicted[0][i]]}\n"
            f"{letter} {names[predicted[1][i]]}",
        )
        for i in numbers
    ]


def curves(runs: Sequence[Run]) -> str:
    """Return the curves of all models in one figure, nothing if there is no model."""
    histories = {letter: run.history() for letter, run in zip(LETTERS, runs, strict=False)}
    names = [name for name in CURVES if any(name in (h or [{}])[0] for h in histories.values())]
    if not names:
        return ""
    figure = new_figure(6, 2.4 * len(names))
    panels = np.atleast_1d(figure.subplots(len(names), 1, sharex=True))
    for axes, name in zip(panels, names, strict=True):
        for i, (label, history) in enumerate(histories.items()):
            values = [record[name] for record in history if name in record]
            style = ("-", "--", ":", "-.")[i % 4]
            axes.plot(range(1, len(values) + 1), values, style, marker="o", label=label)
        axes.set_title(CURVES[name])
        axes.grid(alpha=0.3)
    panels[0].legend(frameon=False)
    panels[-1].set_xlabel("epoch")
    longest = max(map(len, histories.values()))
    panels[-1].set_xlim(0.5, longest + 0.5)
    panels[-1].xaxis.get_major_locator().set_params(integer=True)
    return figure_svg(figure, "Accuracy and loss of the runs after each epoch")


def matrices(runs: Sequence[Run]) -> list[Matrix]:
    """Return the confusion matrix of each run that has one."""
    found = []
    for letter, run in zip(LETTERS, runs, strict=False):
        matrix = run.confusion_matrix()
        if matrix:
            names, counts = matrix[0], np.array(matrix[1], dtype=np.int64)
            if len(names) > MOST_CELLS:
                figure = plot_confusions(names, counts)
                label = f"Confusion matrix of run {letter}"
                found.append(Matrix(letter, figure_svg(figure, label), ()))
            else:
                found.append(Matrix(letter, "", heat_map(names, counts)))
    return found
