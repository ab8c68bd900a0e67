"""What the training report shows."""

import pathlib
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from kfp_mnist_mxnet.model.layers import Layer
from kfp_mnist_mxnet.notation import percent
from kfp_mnist_mxnet.reports.figures import figure_svg, new_figure, percent_axis
from kfp_mnist_mxnet.reports.page import Picture, Section, write_report
from kfp_mnist_mxnet.reports.pictures import picture
from kfp_mnist_mxnet.training.history import Epoch

BY = "\N{NO-BREAK SPACE}x\N{NO-BREAK SPACE}"


def write_training_report(
    path: pathlib.Path,
    history: Sequence[Epoch],
    stop_reason: str,
    settings: Mapping[str, object],
    metrics: Mapping[str, float],
    layers: Sequence[Layer],
    filters: np.ndarray | None,
) -> None:
    """Write the training report: curves, the network, its first filters, the hyperparameters.

    No times stand in it, so that the same seed gives the same bytes; the metrics have them.

    stop_reason: why training ended; settings: recipe, hyperparameters and seed; filters: float32
    (F, C, H, W), of the first convolution.
    """
    facts = {
        "train accuracy": percent(metrics["train_accuracy"]),
        "epochs": f"{len(history):,}",
        "parameters": f"{metrics['parameters']:,.0f}",
    }
    if "validation_accuracy" in metrics:
        facts = {"validation accuracy": percent(metrics["validation_accuracy"]), **facts}
    sections = [
        Section(
            "Error and loss",
            text=f"Training ended with epoch {len(history):,}: {stop_reason}. Training figures are "
            "means over a part of an epoch, of augmented images where there is augmentation; "
            "validation figures are after whole epochs. The error is 1 - accuracy; the dashed line "
            "is the last epoch, whose parameters are the model.",
            figure=figure_svg(plot_curves(history), "Error, loss and learning rate"),
        ),
        Section(
            "Network",
            text="FLOPs are those of one image, forward; training takes three times as many.",
            head=("layer", "operator", "output", "parameters", "FLOPs"),
            rows=layer_rows(layers),
        ),
    ]
    if filters is not None:
        sections.append(
            Section(
                "Filters of the first convolution",
                text="Grey is zero, lighter is positive, darker is negative.",
                pictures=filter_pictures(filters),
            )
        )
    sections.append(Section("Hyperparameters", head=("name", "value"), rows=list(settings.items())))
    write_report(path, "Training", facts, sections)


def write_divergence_report(
    path: pathlib.Path, diverged: str, settings: Mapping[str, object], history: Sequence[Epoch]
) -> None:
    """Write the report of a training that ended without a model.

    diverged: why; history: of the epochs before, may be empty.
    """
    rows = list(settings.items())
    sections = [
        Section(
            "Training diverged",
            f"There is no model: {diverged}. The curves end with the last whole epoch before.",
            figure_svg(plot_curves(history), "Error, loss and learning rate") if history else "",
        ),
        Section("Hyperparameters", head=("name", "value"), rows=rows),
    ]
    write_report(path, "Training", {"status": "diverged"}, sections)


def plot_curves(history: Sequence[Epoch]) -> Figure:
    """Return a figure with error, loss and learning rate against epochs; the last one is marked.

    An error of 0, which a logarithmic axis does not have, is drawn as half of the smallest other.
    """
    points = np.array([point for epoch in history for point in epoch.curve])
    epochs, losses, accuracies, rates = points.T
    scores = [(epoch.validation_accuracy, epoch.validation_loss) for epoch in history]
    validation = np.array(scores, float).T  # NaN where it is not known
    errors = [1 - accuracies, 1 - validation[0]]
    least = min((e for part in errors for e in part if e > 0), default=0.01) / 2
    style = {"marker": "."} if len(points) <= 30 else {}
    figure = new_figure(5, 6.5)
    axes = figure.subplots(3, 1, sharex=True)
    drawn = ((errors[0].clip(least), errors[1].clip(least)), (losses, validation[1]), (rates,))
    titles = ("error", "loss", "learning rate")
    for panel, (training, *scored), title in zip(axes, drawn, titles, strict=True):
        panel.plot(epochs, training, label="training", **style)
        if scored and np.isfinite(scored[0]).any():
            ends = range(1, len(history) + 1)
            panel.plot(ends, scored[0], "--", label="validation", **style)
            panel.legend(frameon=False)
        panel.axvline(len(history), color="#888888", linestyle="--", linewidth=1)
        panel.set_title(title)
        panel.grid(alpha=0.3)
    axes[0].set_yscale("log")
    percent_axis(axes[0].yaxis)
    axes[2].set_xlabel("epochs")
    return figure


def layer_rows(layers: Sequence[Layer]) -> list[tuple[str, ...]]:
    """Return a row of text for each layer, and one for all of them."""
    rows = [
        (
            layer.name,
            layer.operator,
            BY.join(map(str, layer.output)),
            f"{layer.parameters:,}",
            f"{layer.flops:,}",
        )
        for layer in layers
    ]
    parameters = sum(layer.parameters for layer in layers)
    flops = sum(layer.flops for layer in layers)
    return [*rows, ("all", "", "", f"{parameters:,}", f"{flops:,}")]


def filter_pictures(weights: np.ndarray) -> list[Picture]:
    """Return a captioned picture of each of the first 64 filters, float32 (F, C, H, W)."""
    scale = 127 / (float(np.abs(weights).max()) + 1e-12)
    grey = np.clip(np.rint(128 + scale * weights), 0, 255).astype(np.uint8)
    return [Picture(picture(image), str(i)) for i, image in enumerate(grey[:64])]
