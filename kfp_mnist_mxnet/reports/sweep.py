"""What the sweep report shows."""

import pathlib
from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from kfp_mnist_mxnet.evaluation.classes import interval
from kfp_mnist_mxnet.evaluation.comparison import Trial, show_value, ties_of, varied_names
from kfp_mnist_mxnet.notation import DASH, percent
from kfp_mnist_mxnet.reports.figures import figure_svg, new_figure, percent_axis, short
from kfp_mnist_mxnet.reports.page import Section, write_report

MOST_NAMED = 15  # trials whose curves have a number, the best of them
MOST_NUMBERED = 6  # trials with a number in every panel; of more only the chosen one has it
MOST_PANELS = 6  # hyperparameters that are drawn
CHOSEN = "#1f77b4"
GREY = "#888888"
MEASURED = ("train accuracy", "train loss", "epochs", "seconds")
DASHES, MARKERS = ("-", "--", ":", "-."), "osD^vXP"


def write_sweep_report(
    path: pathlib.Path, trials: Sequence[Trial], best: int, title: str = "Sweep"
) -> None:
    """Write the report on trials: a row and a curve for each, best first.

    best: index of the chosen one.
    """
    names = varied_names(trials)
    order = sorted(
        range(len(trials)),
        key=lambda i: (bool(trials[i].no_model), -trials[i].validation_accuracy, i),
    )
    chosen = trials[best]
    settings = [f"{name} {show_value(chosen.hyperparameters, name)}" for name in names]
    told = f"#{best + 1} is chosen" + (f": {', '.join(settings)}" if settings else "")
    drawn = [i for i in order if not trials[i].no_model]
    accuracy = percent(chosen.validation_accuracy)
    between = ""
    if chosen.images:
        between = f" (95 % interval {interval(chosen.correct, chosen.images)})"
    sections = [
        Section(
            "Trials",
            "Chosen by validation accuracy; the test images are not used.",
            figure=figure_svg(
                plot_trials(trials, drawn, best),
                "Validation accuracy of each trial after each epoch",
            ),
            head=(*("trial", *names, "validation accuracy"), *MEASURED),
            rows=[trial_row(i, trials[i], names, best) for i in order],
        )
    ]
    if panels := [name for name in names if name != "seed"][:MOST_PANELS]:
        figure = plot_panels(trials, drawn, best, panels)
        text = "Bars are 95 % confidence intervals." if chosen.images else ""
        about = "Accuracy against what was varied"
        sections.append(Section(about, text, figure=figure_svg(figure, about)))
    write_report(
        path,
        title,
        {"trials": len(trials), "chosen": f"#{best + 1}", "validation accuracy": accuracy},
        sections,
        f"{told}. Validation accuracy {accuracy}{between}. "
        + describe_ties(ties_of(trials, best), best),
    )


def describe_ties(ties: Sequence[int], best: int) -> str:
    """Return a sentence on the trials that are as good as the chosen one, empty without any."""
    if not ties:
        return ""
    *others, last = [f"#{i + 1}" for i in ties]
    listed = f"{', '.join(others)} and {last}" if others else last
    verb = "are" if others else "is"
    return (
        f"{listed} {verb} as good as the chosen #{best + 1} as far as the validation images tell: "
        "each accuracy lies within the 95 % interval of the other, so that the order may be chance."
    )


def trial_row(i: int, trial: Trial, names: Sequence[str], best: int) -> tuple[str, ...]:
    """Return the row of a trial in the table."""
    name = f"#{i + 1} (chosen)" if i == best else f"#{i + 1}"
    start = (name, *(show_value(trial.hyperparameters, key) for key in names))
    if trial.no_model:
        return (*start, trial.no_model, *(DASH for _ in MEASURED))
    last = trial.history[-1]
    between = f" ({interval(trial.correct, trial.images)})" if trial.images else ""
    return (
        *start,
        percent(trial.validation_accuracy) + between,
        percent(last["train_accuracy"]),
        f"{last['train_loss']:.4f}",
        f"{len(trial.history):,}",
        f"{trial.seconds:,.1f}" if trial.seconds else DASH,
    )


def plot_trials(trials: Sequence[Trial], drawn: Sequence[int], best: int) -> Figure:
    """Return a figure with a curve for each trial: the chosen one in colour, the others grey.

    drawn: the trials that have a curve, best first; the first of them have their number.
    """
    figure = new_figure(7, 3.6)
    axes = figure.add_subplot()
    longest = max(len(trials[i].history) for i in drawn)
    for rank, i in enumerate(reversed(drawn)):
        curve = [record["validation_accuracy"] for record in trials[i].history]
        style: dict[str, Any] = {"color": GREY, "linestyle": DASHES[rank % 4], "linewidth": 1}
        if i == best:
            style = {"color": CHOSEN, "linewidth": 2.5}
        axes.plot(range(1, len(curve) + 1), curve, marker=MARKERS[i % 7], markersize=4, **style)
    axes.set_xlim(0.8, longest + 0.2)
    number_curves(axes, trials, drawn, best)
    axes.set_xlabel("epoch")
    axes.xaxis.get_major_locator().set_params(integer=True)  # type: ignore[call-arg] # of a MaxNLocator
    axes.set_ylabel("validation accuracy")
    percent_axis(axes.yaxis)
    return figure


def number_curves(axes: Axes, trials: Sequence[Trial], drawn: Sequence[int], best: int) -> None:
    """Write the number of the best trials beside the ends of their curves, without overlap."""
    named = drawn[:MOST_NAMED]
    low, high = axes.get_ylim()
    places = [(trials[i].validation_accuracy - low) / (high - low) for i in named]
    step = min(0.06, 1 / len(named))
    for rank in range(1, len(places)):  # from above
        places[rank] = min(places[rank], places[rank - 1] - step)
    lift = max(0.0, step * 0.5 - places[-1])  # what would be below the axes
    for rank in reversed(range(len(places))):
        places[rank] = max(places[rank], lift + places[-1] + step * (len(places) - 1 - rank))
    for i, place in zip(named, places, strict=True):
        axes.annotate(
            f"#{i + 1}",
            (len(trials[i].history), trials[i].validation_accuracy),
            (1.03, place),
            textcoords="axes fraction",
            va="center",
            color=CHOSEN if i == best else GREY,
            fontweight="bold" if i == best else "normal",
            arrowprops={"arrowstyle": "-", "color": GREY, "lw": 0.5, "ls": ":"},
            annotation_clip=False,
        )


def plot_panels(
    trials: Sequence[Trial], drawn: Sequence[int], best: int, names: Sequence[str]
) -> Figure:
    """Return a figure with a panel for each hyperparameter: accuracy against its values."""
    columns = min(3, len(names))
    lines = -(-len(names) // columns)
    figure = new_figure(2.4 * columns + 1.6, 2.8 * lines)
    for place, name in enumerate(names):
        axes = figure.add_subplot(lines, columns, place + 1)
        values: list[Any] = [trials[i].hyperparameters.get(name) for i in drawn]
        numbers = all(type(value) in (int, float) for value in values) and name != "epochs"
        texts = sorted({show_value(trials[i].hyperparameters, name) for i in drawn})
        for i, value in zip(drawn, values, strict=True):
            x = value if numbers else texts.index(show_value(trials[i].hyperparameters, name))
            name_it = i == best or len(drawn) <= MOST_NUMBERED
            draw_trial(axes, x, trials[i], f"#{i + 1}" if name_it else "", i == best)
        if not numbers:
            shown = [short(text) for text in texts]
            axes.set_xticks(range(len(texts)), shown, rotation=0 if len(texts) < 3 else 90)
            axes.set_xlim(-0.5, len(texts) - 0.5)
        elif min(values) > 0 and max(values) >= 10 * min(values):
            axes.set_xscale("log")
            axes.xaxis.set_major_formatter("{x:g}")
            axes.xaxis.set_minor_formatter("")
        axes.set_xlabel(name)
        percent_axis(axes.yaxis)
        if place % columns == 0:
            axes.set_ylabel("validation accuracy")
    return figure


def draw_trial(axes: Axes, x: float, trial: Trial, name: str, chosen: bool) -> None:
    """Draw the accuracy of a trial with its interval at x, and its number."""
    accuracy, (low, high) = trial.validation_accuracy, trial.interval
    color = CHOSEN if chosen else GREY
    errors = [[max(0.0, accuracy - low)], [max(0.0, high - accuracy)]]
    mark = "*" if chosen else "o"
    axes.errorbar(
        [x], [accuracy], yerr=errors, fmt=mark, color=color, markersize=10 if chosen else 4
    )
    axes.annotate(name, (x, accuracy), (5, 3), textcoords="offset points", fontsize=7, color=color)
