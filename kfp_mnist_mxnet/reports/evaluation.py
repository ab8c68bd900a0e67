"""What the evaluation report shows."""

import pathlib
from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from kfp_mnist_mxnet.evaluation.calibration import BINS, Calibration, calibrate
from kfp_mnist_mxnet.evaluation.classes import class_metrics, count_confusions, wilson_interval
from kfp_mnist_mxnet.reports.figures import figure_svg, new_figure, short
from kfp_mnist_mxnet.reports.page import Picture, Section, heat, heat_map, write_report
from kfp_mnist_mxnet.reports.pictures import picture

RED, BLUE = (0.88, 0.25, 0.18), (0.09, 0.41, 0.78)  # of the page, for wrong and right


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
    correct = int((probabilities.argmax(1) == labels).sum())
    low, high = wilson_interval(correct, len(labels))
    calibration = calibrate(labels, probabilities)
    write_report(
        path,
        "Evaluation",
        {
            "accuracy": f"{correct / len(labels):.2%}",
            "95 % confidence interval": f"{low:.2%} to {high:.2%}",
            "images": f"{len(labels):,}",
            "errors": f"{len(labels) - correct:,}",
            "calibration error": f"{calibration.error:.2%}",
        },
        [
            *([Section("Note", notice)] if notice else []),
            confusion_section(labels, probabilities, names),
            mistakes_section(images, labels, probabilities, names),
            classes_section(labels, probabilities, names),
            reliability_section(calibration),
        ],
    )


def confusion_section(
    labels: np.ndarray, probabilities: np.ndarray, names: Sequence[str]
) -> Section:
    """Return the confusion matrix as a heat map: a table, or a picture of more than 30 classes."""
    counts = count_confusions(labels, probabilities.argmax(1), len(names))
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
            f"#{i}\ntrue {names[labels[i]]}\npredicted {names[predicted[i]]}\n{confidence[i]:.1%}",
        )
        for i in surest
    ]
    text = "Number of the image from 0, true label, predicted label and its probability."
    if not pictures:
        text = "There is none."
    return Section("The most confident mistakes", text, pictures=pictures)


def classes_section(labels: np.ndarray, probabilities: np.ndarray, names: Sequence[str]) -> Section:
    """Return the table of every class: images, precision, recall, F1."""
    rows = [
        (name, f"{images:,}", *(f"{value:.2%}" for value in values))
        for name, images, *values in class_metrics(labels, probabilities.argmax(1), names)
    ]
    head = ("label", "images", "precision", "recall", "F1")
    return Section("Per-class metrics", head=head, rows=rows)


def reliability_section(calibration: Calibration) -> Section:
    """Return the reliability diagram: how often predictions of a probability are right."""
    figure = new_figure(4.5, 3.6)
    axes = figure.add_subplot()
    filled = calibration.count > 0
    axes.plot([0, 1], [0, 1], linestyle="--", color="#888888", label="calibrated")
    probabilities, accuracies = calibration.probability[filled], calibration.accuracy[filled]
    axes.plot(probabilities, accuracies, marker="o", label="model")
    axes.set_xlabel("confidence: probability of the predicted label")
    axes.set_ylabel("accuracy")
    axes.legend(frameon=False)
    edges = [f"{i / BINS:.0%} to {(i + 1) / BINS:.0%}" for i in range(BINS)]
    columns = (calibration.count, calibration.probability, calibration.accuracy)
    rows = [
        (edge, f"{count:,}", f"{probability:.2%}", f"{accuracy:.2%}")
        for edge, count, probability, accuracy in zip(edges, *columns, strict=True)
        if count
    ]
    return Section(
        "Reliability",
        "Below the diagonal the model is overconfident: more confident than accurate.",
        figure=figure_svg(figure, "Reliability diagram"),
        head=("probability", "images", "mean probability", "right"),
        rows=rows,
    )
