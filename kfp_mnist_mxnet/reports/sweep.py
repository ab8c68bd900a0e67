"""What the sweep report shows."""

import pathlib
import textwrap
from collections.abc import Sequence

from matplotlib.figure import Figure

from kfp_mnist_mxnet.evaluation.comparison import SCORES, Trial, name_trials
from kfp_mnist_mxnet.reports.figures import figure_svg, new_figure
from kfp_mnist_mxnet.reports.page import Section, write_report

WIDTH, LINES = 90, 3  # letters of a line of a trial's name beside its curve, and how many of them
MOST_NAMED = 10  # trials whose curves are named


def write_sweep_report(path: pathlib.Path, trials: Sequence[Trial], best: int) -> None:
    """Write the sweep report: a row and a curve for each trial, best first.

    best: index of the chosen one.
    """
    names = name_trials(trials)
    order = sorted(
        range(len(trials)),
        key=lambda i: (bool(trials[i].diverged), -trials[i].validation_accuracy, i),
    )
    shown = {i: f"{names[i]} (chosen)" if i == best else names[i] for i in order}
    rows = [trial_row(shown[i], trials[i]) for i in order]
    figure = plot_trials([(names[i], trials[i]) for i in order if not trials[i].diverged])
    write_report(
        path,
        "Sweep",
        {
            "trials": len(trials),
            "chosen": names[best],
            "validation accuracy": f"{trials[best].validation_accuracy:.4f}",
        },
        [
            Section(
                "Trials",
                "Chosen by validation accuracy; the test images are not used.",
                figure=figure_svg(figure, "Validation accuracy of each trial after each epoch"),
                head=("trial", "validation", "training", "training loss", "epochs"),
                rows=rows,
            )
        ],
    )


def trial_row(name: str, trial: Trial) -> tuple[str, ...]:
    """Return the row of a trial in the table."""
    if trial.diverged:
        return (name, "diverged", "-", "-", "-")
    last = trial.history[-1]
    return (
        name,
        *(f"{last[score]:.4f}" for score in SCORES),
        str(len(trial.history)),
    )


def plot_trials(trials: Sequence[tuple[str, Trial]]) -> Figure:
    """Return a figure with a curve for each trial, named."""
    labels = [textwrap.fill(name, WIDTH, max_lines=LINES, placeholder=" …") for name, _ in trials]
    named = len(trials) <= MOST_NAMED
    lines = sum(label.count("\n") + 1 for label in labels) if named else 0
    figure = new_figure(7, 3.2 + 0.2 * lines)
    axes = figure.add_subplot()
    for label, (_, trial) in zip(labels, trials, strict=True):
        accuracies = [record["validation_accuracy"] for record in trial.history]
        axes.plot(range(1, len(accuracies) + 1), accuracies, marker="o", label=label)
    axes.set_xlabel("epoch")
    axes.xaxis.get_major_locator().set_params(integer=True)  # type: ignore[call-arg] # of a MaxNLocator
    axes.set_ylabel("validation accuracy")
    if named:  # below the curves, where a long name has room
        axes.legend(
            frameon=False, fontsize="small", loc="upper left", bbox_to_anchor=(0, -0.55 / 3.2)
        )
    return figure
