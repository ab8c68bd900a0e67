"""What the training report shows."""

import pathlib
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from kfp_mnist_mxnet.model.layers import Layer
from kfp_mnist_mxnet.reports.figures import figure_svg, new_figure
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
        "train accuracy": f"{metrics['train_accuracy']:.4f}",
        "epochs": f"{len(history):,}",
        "parameters": f"{metrics['parameters']:,.0f}",
    }
    if "validation_accuracy" in metrics:
        facts = {"validation accuracy": f"{metrics['validation_accuracy']:.4f}", **facts}
    sections = [
        Section(
            "Accuracy and loss",
            text=f"Training ended with epoch {len(history):,}: {stop_reason}. Training figures are "
            "means over a part of an epoch, of augmented images where there is augmentation; "
            "validation figures are of whole epochs.",
            figure=figure_svg(plot_curves(history), "Accuracy, loss and learning rate"),
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
    path: pathlib.Path, diverged: str, settings: Mapping[str, object]
) -> None:
    """Write the report of a training that ended without a model; diverged: why."""
    rows = list(settings.items())
    sections = [
        Section("Training diverged", text=f"There is no model: {diverged}."),
        Section("Hyperparameters", head=("name", "value"), rows=rows),
    ]
    write_report(path, "Training", {"status": "diverged"}, sections)


def plot_curves(history: Sequence[Epoch]) -> Figure:
    """Return a figure with accuracy, loss and learning rate against epochs."""
    points = [point for epoch in history for point in epoch.curve]
    epochs, losses, accuracies, rates = zip(*points, strict=True)
    style = {"marker": "."} if len(points) <= 30 else {}
    figure = new_figure(5, 6.5)
    accuracy, loss, rate = figure.subplots(3, 1, sharex=True)
    accuracy.plot(epochs, accuracies, label="training", **style)
    if history[0].validation_accuracy is not None:
        scores = [epoch.validation_accuracy for epoch in history]
        accuracy.plot(range(1, len(history) + 1), scores, marker="o", label="validation")
        accuracy.legend(frameon=False)
    loss.plot(epochs, losses, **style)
    rate.plot(epochs, rates, **style)
    for axes, title in ((accuracy, "accuracy"), (loss, "training loss"), (rate, "learning rate")):
        axes.set_title(title)
        axes.grid(alpha=0.3)
    rate.set_xlabel("epochs")
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
