"""What evaluate counts and shows."""

from typing import Any

from components._report import (
    figure_svg,
    heat,
    heat_map,
    new_figure,
    picture,
    section,
    write_report,
)


def scores(labels: Any, probabilities: Any) -> dict[str, float]:
    """Return what a set of predictions is worth, as finite Python numbers.

    labels: uint8 (N,), N at least 1; probabilities: float32 (N, K), K at least 2.
    Precision, recall and F1 are means over the classes that occur among true or predicted labels.
    """
    import mxnet as mx
    import numpy as np
    from sklearn import metrics

    classes = np.arange(probabilities.shape[1])
    predicted = probabilities.argmax(1)
    accuracy = mx.metric.Accuracy()
    accuracy.update([mx.nd.array(labels)], [mx.nd.array(predicted)])
    macro = metrics.precision_recall_fscore_support(
        labels, predicted, average="macro", zero_division=0
    )
    top_2 = 1.0
    if len(classes) > 2:
        top_2 = metrics.top_k_accuracy_score(labels, probabilities, k=2, labels=classes)
    return {
        "accuracy": float(accuracy.get()[1]),
        "images": len(labels),
        "errors": int((predicted != labels).sum()),
        "log_loss": float(metrics.log_loss(labels, probabilities, labels=classes)),
        "top_2_accuracy": float(top_2),
        "macro_precision": float(macro[0]),
        "macro_recall": float(macro[1]),
        "macro_f1": float(macro[2]),
        "expected_calibration_error": calibration_error(calibration_bins(labels, probabilities)),
    }


def calibration_bins(labels: Any, probabilities: Any) -> dict[str, Any]:
    """Sort predictions into 15 bins of equal width by the probability of the predicted label.

    Returns: count, int64 (15,); probability and accuracy, their means in each bin, float64 (15,),
    0 where a bin is empty. Source: Guo et al., "On Calibration of Modern Neural Networks",
    https://arxiv.org/abs/1706.04599, where 15 bins are usual.
    """
    import numpy as np

    confidence = probabilities.max(1)
    hits = probabilities.argmax(1) == labels
    place = np.minimum((confidence * 15).astype(int), 14)
    count = np.bincount(place, minlength=15)
    return {
        "count": count,
        "probability": np.bincount(place, confidence, 15) / count.clip(1),
        "accuracy": np.bincount(place, hits, 15) / count.clip(1),
    }


def calibration_error(bins: dict[str, Any]) -> float:
    """Return the expected calibration error: the mean gap of probability and accuracy, 0 to 1.

    bins: from `calibration_bins`; each counts by its images. Source: as there, equation 3.
    """
    gaps = abs(bins["probability"] - bins["accuracy"])
    return float((bins["count"] * gaps).sum() / bins["count"].sum())


def wilson_interval(hits: int, images: int) -> tuple[float, float]:
    """Return the 95 % confidence interval of the share hits / images.

    Source: Wilson, "Probable Inference, the Law of Succession, and Statistical Inference",
    Journal of the American Statistical Association 22 (1927), page 209.
    """
    import math
    import statistics

    z = statistics.NormalDist().inv_cdf(0.975)
    share, more = hits / images, z * z / images
    middle = share + more / 2
    half = math.sqrt(more * share * (1 - share) + more * more / 4)
    return max(0.0, (middle - half) / (1 + more)), min(1.0, (middle + half) / (1 + more))


def roc_points(labels: Any, probabilities: Any) -> tuple[list[float], list[float], list[float]]:
    """Return the micro-averaged ROC: each pair of image and class is one yes-or-no prediction.

    labels: uint8 (N,); probabilities: float32 (N, K). Returns: at most 200 each of false positive
    rates, true positive rates and finite thresholds; no point of the curve is further than 0.01
    from one of them.
    """
    import numpy as np
    from sklearn.metrics import roc_curve

    belongs = labels[:, None] == np.arange(probabilities.shape[1])
    false, true, thresholds = roc_curve(belongs.ravel(), probabilities.ravel())
    thresholds[0] = 1 + thresholds[1]  # infinite: no image is taken for any class
    along = false + true  # the length of the curve so far, 0 to 2
    kept = np.unique(np.searchsorted(along, np.linspace(0, along[-1], 200)))
    return false[kept].tolist(), true[kept].tolist(), thresholds[kept].tolist()


def add_unknown_classes(probabilities: Any, num_classes: int) -> tuple[Any, str]:
    """Give the classes that a model does not know the probability 0.

    probabilities: float32 (N, K), K at most num_classes. Returns: float32 (N, num_classes); a
    sentence that tells of it, empty if there are none.
    """
    import numpy as np

    known = probabilities.shape[1]
    if known == num_classes:
        return probabilities, ""
    return (
        np.pad(probabilities, ((0, 0), (0, num_classes - known))),
        f"The data has {num_classes} classes, but the model knows only {known}: every image of "
        "the others counts as an error.",
    )


def name_classes(class_names: list[str], num_classes: int) -> list[str]:
    """Return the name of each class: those given, else the labels themselves.

    Raises:
        ValueError: names are given, but not one of its own for each class.
    """
    if "" in class_names or len(set(class_names)) < len(class_names):
        raise ValueError(f"class_names must all differ, and none be empty, got {class_names}")
    if class_names and len(class_names) != num_classes:
        raise ValueError(
            f"class_names must have one name for each of the {num_classes} classes, "
            f"got {len(class_names)}"
        )
    return [str(name) for name in class_names or range(num_classes)]


def write_evaluation_report(
    path: Any, images: Any, labels: Any, probabilities: Any, names: list[str], notice: str = ""
) -> None:
    """Write the evaluation report.

    images: uint8 (N, C, H, W); labels: uint8 (N,); probabilities: float32 (N, K); names: K names
    of the classes; notice: what the reader must know before the numbers.
    """
    hits = int((probabilities.argmax(1) == labels).sum())
    low, high = wilson_interval(hits, len(labels))
    bins = calibration_bins(labels, probabilities)
    write_report(
        path,
        "Evaluation",
        {
            "accuracy": f"{hits / len(labels):.2%}",
            "95 % confidence interval": f"{low:.2%} to {high:.2%}",
            "images": f"{len(labels):,}",
            "errors": f"{len(labels) - hits:,}",
            "calibration error": f"{calibration_error(bins):.2%}",
        },
        [
            *([section("Note", notice)] if notice else []),
            confusion_section(labels, probabilities, names),
            mistakes_section(images, labels, probabilities, names),
            classes_section(labels, probabilities, names),
            reliability_section(bins),
        ],
    )


def count_confusions(labels: Any, probabilities: Any) -> Any:
    """Return the confusion matrix, int64 (K, K): true labels in rows, predicted ones in columns.

    labels: uint8 (N,); probabilities: float32 (N, K).
    """
    from sklearn.metrics import confusion_matrix

    classes = range(probabilities.shape[1])
    return confusion_matrix(labels, probabilities.argmax(1), labels=classes)


def confusion_section(labels: Any, probabilities: Any, names: list[str]) -> Any:
    """Return the confusion matrix as a heat map: a table, or a picture of more than 30 classes."""
    counts = count_confusions(labels, probabilities)
    text = (
        "Each row is a true label, each column a predicted one. Blue is right, red is wrong: "
        "the stronger, the more of the row's images (blue) or the more errors (red)."
    )
    if len(names) <= 30:
        return section("Confusion matrix", text, matrix=heat_map(names, counts))
    figure = plot_confusions(names, counts)
    return section("Confusion matrix", text, figure=figure_svg(figure, "Confusion matrix"))


def plot_confusions(names: list[str], counts: Any) -> Any:
    """Return a figure of a confusion matrix, int64 (K, K), on no ground; it names 40 classes."""
    import numpy as np

    cells = np.zeros((*counts.shape, 4))
    cells[:] = (0.88, 0.25, 0.18, 0)  # the red and the blue of the page
    cells[np.diag_indices(len(names))] = (0.09, 0.41, 0.78, 0)
    cells[..., 3] = heat(counts)
    figure = new_figure(8, 8)
    axes = figure.add_subplot()
    axes.imshow(cells, interpolation="nearest")
    named = range(0, len(names), -(-len(names) // 40))
    axes.set_xticks(named, [names[i] for i in named], rotation=90, fontsize=7)
    axes.set_yticks(named, [names[i] for i in named], fontsize=7)
    axes.set_xlabel("predicted label")
    axes.set_ylabel("true label")
    return figure


def mistakes_section(images: Any, labels: Any, probabilities: Any, names: list[str]) -> Any:
    """Return pictures of the 24 wrong predictions that the model was most sure of."""
    import numpy as np

    predicted, confidence = probabilities.argmax(1), probabilities.max(1)
    wrong = np.flatnonzero(predicted != labels)
    surest = wrong[np.argsort(-confidence[wrong], kind="stable")][:24]
    captions = (
        f"#{i}\ntrue {names[labels[i]]}\npredicted {names[predicted[i]]}\n{confidence[i]:.1%}"
        for i in surest
    )
    return section(
        "The most confident mistakes",
        "Number of the image from 0, true label, predicted label and its probability."
        if len(surest)
        else "There is none.",
        pictures=tuple((picture(images[i]), caption) for i, caption in zip(surest, captions)),
    )


def classes_section(labels: Any, probabilities: Any, names: list[str]) -> Any:
    """Return the table of every class: images, precision, recall, F1."""
    from sklearn.metrics import precision_recall_fscore_support

    columns = precision_recall_fscore_support(
        labels, probabilities.argmax(1), labels=range(len(names)), zero_division=0
    )
    rows = (
        (name, f"{images:,}", *(f"{value:.2%}" for value in values))
        for name, *values, images in zip(names, *columns)
    )
    return section(
        "Each class",
        head=("label", "images", "precision", "recall", "F1"),
        rows=tuple(rows),
    )


def reliability_section(bins: dict[str, Any]) -> Any:
    """Return the reliability diagram: how often predictions of a probability are right.

    bins: from `calibration_bins`.
    """
    figure = new_figure(4.5, 3.6)
    axes = figure.add_subplot()
    filled = bins["count"] > 0
    axes.plot([0, 1], [0, 1], linestyle="--", color="#888888", label="calibrated")
    axes.plot(bins["probability"][filled], bins["accuracy"][filled], marker="o", label="model")
    axes.set_xlabel("probability of the predicted label")
    axes.set_ylabel("share that is right")
    axes.legend(frameon=False)
    edges = [f"{i / 15:.0%} to {(i + 1) / 15:.0%}" for i in range(15)]
    columns = (bins["count"], bins["probability"], bins["accuracy"])
    rows = (
        (edge, f"{count:,}", f"{probability:.2%}", f"{accuracy:.2%}")
        for edge, count, probability, accuracy in zip(edges, *columns)
        if count
    )
    return section(
        "Reliability",
        "Where the line is below the diagonal, the model is surer than it should be.",
        figure=figure_svg(figure, "Reliability diagram"),
        head=("probability", "images", "mean probability", "right"),
        rows=tuple(rows),
    )
