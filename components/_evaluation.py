"""What evaluate counts and shows."""

from typing import Any

from components._model import predict_probabilities
from components._report import figure_svg, new_figure, section, write_report


def count_confusions(module: Any, images: Any, labels: Any, accuracy: Any, num_classes: int) -> Any:
    """Predict every image once, update the metric, and count true against predicted labels.

    images: uint8 (N, C, H, W); labels: uint8 (N,); accuracy: an mx.metric.Accuracy.
    Returns: int64 (num_classes, num_classes), rows are the true labels.
    """
    import mxnet as mx
    import numpy as np

    counts = np.zeros((num_classes, num_classes), np.int64)
    start = 0
    for probabilities in predict_probabilities(module, images):
        true = np.asarray(labels[start : start + len(probabilities)])
        accuracy.update([mx.nd.array(true)], [mx.nd.array(probabilities)])
        np.add.at(counts, (true, probabilities.argmax(1)), 1)
        start += len(true)
    return counts


def write_evaluation_report(path: Any, confusions: Any, accuracy: float) -> None:
    """Write the evaluation report: the accuracy and the confusion matrix.

    confusions: int64 (K, K), rows are the true labels.
    """
    errors = int(confusions.sum() - confusions.trace())
    num_classes = len(confusions)
    figure = new_figure(6, 5)
    axes = figure.add_subplot()
    shares = confusions / confusions.sum(1, keepdims=True).clip(1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    if num_classes <= 20:
        for row in range(num_classes):
            for column in range(num_classes):
                if confusions[row, column]:
                    shade = "white" if shares[row, column] > 0.5 else "black"
                    count = str(confusions[row, column])
                    axes.text(column, row, count, ha="center", va="center", color=shade, size=7)
        axes.set_xticks(range(num_classes))
        axes.set_yticks(range(num_classes))
    axes.set_xlabel("predicted label")
    axes.set_ylabel("true label")
    write_report(
        path,
        "Evaluation",
        {"accuracy": f"{accuracy:.4f}", "images": f"{confusions.sum():,}", "errors": f"{errors:,}"},
        [
            section(
                "Confusion matrix",
                "Each row is a true label, each column a predicted one.",
                figure=figure_svg(figure, "Confusion matrix"),
            )
        ],
    )
