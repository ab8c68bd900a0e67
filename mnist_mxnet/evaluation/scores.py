"""What a set of predictions is worth."""

import numpy as np
from sklearn import metrics

from mnist_mxnet.evaluation.calibration import calibrate
from mnist_mxnet.runtime.engine import mx

ROC_POINTS = 200  # of the curve, at most


def scores(labels: np.ndarray, probabilities: np.ndarray) -> dict[str, float]:
    """Return what a set of predictions is worth, as finite Python numbers.

    labels: uint8 (N,), N at least 1; probabilities: float32 (N, K), K at least 2.
    Precision, recall and F1 are means over the classes that occur among true or predicted labels.
    """
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
        "expected_calibration_error": calibrate(labels, probabilities).error,
    }


def count_confusions(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Return the confusion matrix, int64 (K, K): true labels in rows, predicted ones in columns.

    labels: uint8 (N,); probabilities: float32 (N, K).
    """
    classes = range(probabilities.shape[1])
    return metrics.confusion_matrix(labels, probabilities.argmax(1), labels=classes)


def roc_points(
    labels: np.ndarray, probabilities: np.ndarray
) -> tuple[list[float], list[float], list[float]]:
    """Return the micro-averaged ROC: each pair of image and class is one yes-or-no prediction.

    labels: uint8 (N,); probabilities: float32 (N, K). Returns: at most 200 each of false positive
    rates, true positive rates and finite thresholds; no point of the curve is further than 0.01
    from one of them.
    """
    belongs = labels[:, None] == np.arange(probabilities.shape[1])
    false, true, thresholds = metrics.roc_curve(belongs.ravel(), probabilities.ravel())
    thresholds[0] = 1 + thresholds[1]  # infinite: no image is taken for any class
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
