"""What the evaluation report shows."""

import math
import pathlib
from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import StrMethodFormatter

from kfp_mnist_mxnet.evaluation.calibration import (
    BINS,
    Calibration,
    calibrate,
    coverage,
)
from kfp_mnist_mxnet.evaluation.classes import (
    count_confusions,
    interval,
    top_confusions,
    wilson_interval,
)
from kfp_mnist_mxnet.notation import DASH, percent
from kfp_mnist_mxnet.reports.coverage import coverage_section
from kfp_mnist_mxnet.reports.figures import figure_svg, new_figure, percent_axis, short
from kfp_mnist_mxnet.reports.page import Picture, Section, bar, heat, heat_map, write_report
from kfp_mnist_mxnet.reports.pictures import picture

RED, BLUE = (0.88, 0.25, 0.18), (0.09, 0.41, 0.78)  # of the page, for wrong and right
FOLDED = 20  # classes, above which their table is folded


def write_evaluation_report(
    path: pathlib.Path,
    images: np.ndarray,
    labels: np.ndarray,
    probabilities: np.ndarray,
    names: Sequence[str],
    notice: str = "",
) -> None:
    """Write the evaluation report.

    images: uint8 (N, C, H, W); labels: uint8 (N,); probabilities: float32 (N, K); names: K names
    of the classes; notice: what the reader must know before the numbers.
    """
    predicted, confidence = probabilities.argmax(1), probabilities.max(1)
    confusions = count_confusions(labels, predicted, len(names))
    correct, count = int(confusions.trace()), len(labels)
    common = int(confusions.sum(1).argmax())
    most = int(confusions[common].sum())
    calibration = calibrate(labels, probabilities)
    wrong = f"{count - correct:,} of {count:,}"
    weak = wilson_interval(correct, count)[0] <= most / count
    write_report(
        path,
        "Evaluation",
        {
            "accuracy": percent(correct / count),
            "95 % confidence interval": interval(correct, count),
            "ECE (15 bins)": percent(calibration.error),
        },
        [
            confusion_section(confusions, names),
            top_confusions_section(images, labels, predicted, confusions, names),
            mistakes_section(images, labels, probabilities, names),
            classes_section(confusions, names),
            reliability_section(calibration),
            coverage_section(confidence, predicted == labels)._replace(
                figure=plot_coverage(confidence, predicted == labels)
            ),
        ],
        f"Accuracy {percent(correct / count)} (95 % interval {interval(correct, count)}), {wrong} "
        f"wrong; always predicting the most common class: {percent(most / count)}.",
        (notice, no_better(names[common]) if weak else ""),
    )


def no_better(name: str) -> str:
    """Return the sentence about a model whose interval includes the baseline.

    name: of the most common class.
    """
    return (
        "As far as these images tell, the model is no better than always predicting the most "
        f"common class, {name}."
    )


def confusion_section(counts: np.ndarray, names: Sequence[str]) -> Section:
    """Return the confusion matrix as a heat map: a table, or a picture of more than 30 classes."""
    text = (
        "Each row is a true label, each column a predicted one. Blue is right, red is wrong: "
        "the stronger, the more of the row's images (blue) or the more errors (red)."
    )
    if len(names) <= 30:
        return Section("Confusion matrix", text, matrix=heat_map(names, counts))
    figure = plot_confusions(names, counts)
    return Section("Confusion matrix", text, figure=figure_svg(figure, "Confusion matrix"))


def plot_confusions(names: Sequence[str], counts: np.ndarray) -> Figure:
    """Return a figure of a confusion matrix, int64 (K, K), on no ground; it names 40 classes."""
    cells = np.zeros((*counts.shape, 4))
    cells[:] = (*RED, 0)
    cells[np.diag_indices(len(names))] = (*BLUE, 0)
    cells[..., 3] = heat(counts)
    figure = new_figure(8, 8)
    axes = figure.add_subplot()
    axes.imshow(cells, interpolation="nearest")
    named = range(0, len(names), -(-len(names) // 40))
    axes.set_xticks(named, [short(names[i]) for i in named], rotation=90, fontsize=7)
    axes.set_yticks(named, [short(names[i]) for i in named], fontsize=7)
    axes.set_xlabel("predicted label")
    axes.set_ylabel("true label")
    return figure


def top_confusions_section(
    images: np.ndarray,
    labels: np.ndarray,
    predicted: np.ndarray,
    confusions: np.ndarray,
    names: Sequence[str],
) -> Section:
    """Return the six most frequent confusions, each with up to eight of its images."""
    strips = []
    for true, found, count in top_confusions(confusions, 6):
        share = percent(count / confusions[true].sum(), 1)
        members = np.flatnonzero((labels == true) & (predicted == found))[:8]
        shown = [Picture(picture(np.asarray(images[i])), f"#{i}") for i in members]
        strips.append((f"{short(names[true])} as {short(names[found])}: {count:,}, {share}", shown))
    text = "Share of the images of the true class." if strips else "There is none."
    return Section("Most frequent confusions", text, strips=strips)


def mistakes_section(
    images: np.ndarray, labels: np.ndarray, probabilities: np.ndarray, names: Sequence[str]
) -> Section:
    """Return pictures of the 24 wrong predictions that the model was most sure of."""
    predicted, confidence = probabilities.argmax(1), probabilities.max(1)
    wrong = np.flatnonzero(predicted != labels)
    surest = wrong[np.argsort(-confidence[wrong], kind="stable")][:24]
    pictures = [
        Picture(
            picture(images[i]),
            f"#{i}\ntrue {short(names[labels[i]])}\npredicted {short(names[predicted[i]])}\n"
            f"{percent(confidence[i], 1)}",
        )
        for i in surest
    ]
    text = "Number of the image from 0, true label, predicted label and its probability."
    if not pictures:
        text = "There is none."
    return Section("The most confident mistakes", text, pictures=pictures)


def classes_section(confusions: np.ndarray, names: Sequence[str]) -> Section:
    """Return precision, recall and F1 of every class, the worst F1 first.

    A class without images has no recall, one that is never predicted no precision.
    """

    def share(correct: int, total: int) -> str:
        return f"{percent(correct / total)} ({interval(correct, total)})" if total else DASH

    columns = (confusions.diagonal(), confusions.sum(1), confusions.sum(0))
    ranked = []
    for name, correct, true, found in zip(names, *map(np.ndarray.tolist, columns), strict=True):
        f1 = 2 * correct / (true + found) if true + found else math.inf  # which is shown as a dash
        row = (name, f"{true:,}", share(correct, found), share(correct, true), percent(f1))
        ranked.append((f1, row))
    return Section(
        "Per-class metrics",
        "The worst F1 first, with 95 % confidence intervals.",
        head=("class", "images", "precision", "recall", "F1"),
        rows=[row for _, row in sorted(ranked, key=lambda pair: pair[0])],
        fold=f"All {len(names)} classes" if len(names) > FOLDED else "",
    )


def reliability_section(calibration: Calibration) -> Section:
    """Return the reliability diagram: how often predictions of a probability are right."""
    figure = new_figure(4.5, 4.8)
    axes, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    filled = calibration.count > 0
    axes.plot([0, 1], [0, 1], linestyle="--", color="#888888", label="calibrated")
    probabilities, accuracies = calibration.probability[filled], calibration.accuracy[filled]
    axes.plot(probabilities, accuracies, marker="o", label="model")
    axes.set_ylabel("accuracy")
    axes.legend(frameon=False)
    below.stairs(calibration.count, np.linspace(0, 1, BINS + 1), fill=True)
    below.set_yscale("symlog", linthresh=1)
    below.set_ylim(0, 2 * calibration.count.max())
    below.yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    below.set_ylabel("images")
    below.set_xlabel("confidence: probability of the predicted label")
    edges = [f"{100 * i / BINS:.0f} to {percent((i + 1) / BINS, 0)}" for i in range(BINS)]
    columns = (calibration.count.tolist(), calibration.probability, calibration.accuracy)
    rows = [
        (edge, bar(count, int(calibration.count.max())), percent(mean), percent(acc))
        for edge, count, mean, acc in zip(edges, *columns, strict=True)
        if count
    ]
    return Section(
        "Reliability",
        "Below the diagonal the model is overconfident: more confident than accurate.",
        figure=figure_svg(figure, "Reliability diagram"),
        head=("confidence", "images", "mean confidence", "accuracy"),
        rows=rows,
    )


def plot_coverage(confidence: np.ndarray, correct: np.ndarray) -> str:
    """Return a figure of the accuracy against the share kept; its arguments are as for `coverage`.

    It has 200 points at most, and begins with 1 %: of fewer predictions an accuracy says little.
    """
    kept, accuracy, _ = coverage(confidence, correct)
    shown = np.unique(np.searchsorted(kept, np.linspace(0.01, 1 - 1e-9, 200)))
    figure = new_figure(4.5, 2.6)
    axes = figure.add_subplot()
    axes.plot(kept[shown], accuracy[shown], clip_on=False)
    axes.set_ylim(top=1)
    axes.set_xlabel("share kept")
    axes.set_ylabel("accuracy of those kept")
    percent_axis(axes.xaxis)
    percent_axis(axes.yaxis)
    return figure_svg(figure, "Accuracy against the share kept")
