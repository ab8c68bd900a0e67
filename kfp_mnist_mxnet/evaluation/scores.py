"""What a set of predictions is worth."""

import numpy as np

from kfp_mnist_mxnet.evaluation.calibration import calibrate
from kfp_mnist_mxnet.evaluation.classes import macro_averages
from kfp_mnist_mxnet.runtime.engine import mx

ROC_POINTS = 200  # of the curve, at most


def scores(labels: np.ndarray, probabilities: np.ndarray) -> dict[str, float]:
    """Return what a set of predictions is worth, as finite Python numbers.

    labels: uint8 (N,), N at least 1; probabilities: float32 (N, K), K at least 2.
    Precision, recall and F1 are means over the classes that occur among true or predicted labels;
    baseline_accuracy is that of always predicting the most common class.
    """
    predicted = probabilities.argmax(1)
    accuracy = mx.metric.Accuracy()
    accuracy.update([mx.nd.array(labels)], [mx.nd.array(predicted)])
    precision, recall, f1 = macro_averages(labels, predicted, probabilities.shape[1])
    return {
        "accuracy": float(accuracy.get()[1]),
        "baseline_accuracy": float(np.bincount(labels).max() / len(labels)),
        "images": len(labels),
        "errors": int((predicted != labels).sum()),
        "log_loss": log_loss(labels, probabilities),
        "top_2_accuracy": top_2_accuracy(labels, probabilities),
        "macro_precision": precision,
        "macro_recall": recall,
        "macro_f1": f1,
        "expected_calibration_error": calibrate(labels, probabilities).error,
    }


def log_loss(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Return the mean negative logarithm of the probability of the true label.

    Probabilities are clipped to what is the resolution of float32 away from 0 and 1, as in
    scikit-learn: the logarithm of 0 is infinite.
    """
    least = np.finfo(np.float32).eps
    true = probabilities[np.arange(len(labels)), labels].astype(np.float64)
    return float(-np.log(true.clip(least, 1 - least)).mean())


def top_2_accuracy(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Return the share of images whose label is one of the two likeliest."""
    likeliest = probabilities.argmax(1)
    others = probabilities.copy()
    others[np.arange(len(labels)), likeliest] = -1
    return float(((likeliest == labels) | (others.argmax(1) == labels)).mean())


def roc_points(
    labels: np.ndarray, probabilities: np.ndarray
) -> tuple[list[float], list[float], list[float]]:
    """Return the micro-averaged ROC: each pair of image and class is one yes-or-no prediction.

    labels: uint8 (N,); probabilities: float32 (N, K). Returns: at most 200 each of false positive
    rates, true positive rates and finite thresholds; no point of the curve is further than 0.01
    from one of them.
    """
    belongs = (labels[:, None] == np.arange(probabilities.shape[1])).ravel()
    score = probabilities.ravel()
    order = np.argsort(-score, kind="stable")
    score, belongs = score[order], belongs[order]
    last = np.append(np.flatnonzero(np.diff(score)), len(score) - 1)  # of each probability
    correct = np.cumsum(belongs)[last]
    true = np.append(0.0, correct / correct[-1])
    false = np.append(0.0, (1 + last - correct) / (len(score) - correct[-1]))
    # Above the first nothing is taken for any class.
    thresholds = np.append(1 + float(score[0]), score[last])
    along = false + true  # the length of the curve so far, 0 to 2
    kept = np.unique(np.searchsorted(along, np.linspace(0, along[-1], ROC_POINTS)))
    return false[kept].tolist(), true[kept].tolist(), thresholds[kept].tolist()


def add_unknown_classes(probabilities: np.ndarray, num_classes: int) -> tuple[np.ndarray, str]:
    """Give the classes that a model does not know the probability 0.

    probabilities: float32 (N, K), K at most num_classes. Returns: float32 (N, num_classes); a
    sentence that tells of it, empty if there are none.
    """
    known = probabilities.shape[1]
    if known == num_classes:
        return probabilities, ""
    return (
        np.pad(probabilities, ((0, 0), (0, num_classes - known))),
        f"The data has {num_classes} classes, but the model knows only {known}: every image of "
        "the others counts as an error.",
    )
