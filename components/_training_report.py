"""What the training report shows."""

from typing import Any

from components._report import figure_svg, new_figure, picture, section, write_report


def write_training_report(
    path: Any,
    history: list[dict[str, Any]],
    hyperparameters: dict[str, Any],
    metrics: dict[str, float],
    layers: list[dict[str, Any]],
    filters: Any,
) -> None:
    """Write the training report: curves, the network, its first filters, the hyperparameters.

    No times stand in it, so that the same seed gives the same bytes; the metrics have them.

    history: from fit; metrics: from summarize; layers: from describe_layers;
    filters: from first_filters.
    """
    shown = {
        "train accuracy": f"{metrics['train_accuracy']:.4f}",
        "parameters": f"{metrics['parameters']:,.0f}",
    }
    if "validation_accuracy" in metrics:
        shown = {"validation accuracy": f"{metrics['validation_accuracy']:.4f}", **shown}
    sections = [
        section(
            "Accuracy and loss",
            text="Training figures are means over a tenth of an epoch, of augmented images where "
            "there is augmentation; validation figures are of whole epochs.",
            figure=figure_svg(plot_curves(history), "Accuracy, loss and learning rate"),
        ),
        section(
            "Network",
            text="FLOPs are those of one image, forward; training takes three times as many.",
            head=("layer", "operator", "output", "parameters", "FLOPs"),
            rows=tuple(layer_rows(layers)),
        ),
    ]
    if filters is not None:
        sections.append(
            section(
                "Filters of the first convolution",
                text="Grey is zero, lighter is positive, darker is negative.",
                pictures=tuple(filter_pictures(filters)),
            )
        )
    sections.append(
        section("Hyperparameters", head=("name", "value"), rows=tuple(hyperparameters.items()))
    )
    write_report(path, "Training", shown, sections)


def plot_curves(history: list[dict[str, Any]]) -> Any:
    """Return a figure with accuracy, loss and learning rate against epochs."""
    points = [point for record in history for point in record["curve"]]
    done, losses, accuracies, rates = zip(*points)
    style = {"marker": "."} if len(points) <= 30 else {}
    figure = new_figure(5, 6.5)
    accuracy, loss, rate = figure.subplots(3, 1, sharex=True)
    accuracy.plot(done, accuracies, label="training", **style)
    if "validation_accuracy" in history[0]:
        scores = [record["validation_accuracy"] for record in history]
        accuracy.plot(range(1, len(history) + 1), scores, marker="o", label="validation")
        accuracy.legend(frameon=False)
    loss.plot(done, losses, **style)
    rate.plot(done, rates, **style)
    for axes, title in ((accuracy, "accuracy"), (loss, "training loss"), (rate, "learning rate")):
        axes.set_title(title)
        axes.grid(alpha=0.3)
    rate.set_xlabel("epochs")
    return figure


def layer_rows(layers: list[dict[str, Any]]) -> list[tuple[str, ...]]:
    """Return a row of text for each layer, and one for all of them."""
    rows = [
        (
            layer["name"],
            layer["operator"],
            "\N{NO-BREAK SPACE}x\N{NO-BREAK SPACE}".join(map(str, layer["output"])),
            f"{layer['parameters']:,}",
            f"{layer['flops']:,}",
        )
        for layer in layers
    ]
    parameters, flops = (sum(layer[name] for layer in layers) for name in ("parameters", "flops"))
    return [*rows, ("all", "", "", f"{parameters:,}", f"{flops:,}")]


def filter_pictures(weights: Any) -> list[tuple[str, str]]:
    """Return a (picture, caption) pair for each of the first 64 filters, float32 (F, C, H, W)."""
    import numpy as np

    scale = 127 / (np.abs(weights).max() + 1e-12)
    grey = np.clip(np.rint(128 + scale * weights), 0, 255).astype(np.uint8)
    return [(picture(image), str(i)) for i, image in enumerate(grey[:64])]
