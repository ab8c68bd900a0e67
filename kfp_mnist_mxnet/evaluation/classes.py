"""What a set of predictions is worth: accuracy, and metrics of each class."""

import math
import statistics
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from kfp_mnist_mxnet.notation import percent_range


class ClassMetrics(NamedTuple):
    """A class: its true images; precision, recall and F1, 0 where nothing is divided."""

    name: str
    images: int
    precision: float
    recall: float
    f1: float


def count_confusions(labels: np.ndarray, predicted: np.ndarray, num_classes: int) -> np.ndarray:
    """Return the confusion matrix, int64 (K, K): true labels in rows, predicted ones in columns.

    labels, predicted: whole numbers (N,), below num_classes.
    """
    pairs = labels.astype(np.int64) * num_classes + predicted
    return np.bincount(pairs, minlength=num_classes**2).reshape(num_classes, num_classes)


def class_metrics(
    labels: np.ndarray, predicted: np.ndarray, names: Sequence[str]
) -> list[ClassMetrics]:
    """Return the figures of every class.

    labels, predicted: whole numbers (N,), below the number of names.
    """
    confusions = count_confusions(labels, predicted, len(names))
    correct, true, found = confusions.diagonal(), confusions.sum(1), confusions.sum(0)
    precision, recall = correct / found.clip(1), correct / true.clip(1)
    f1 = 2 * correct / (true + found).clip(1)
    columns = (column.tolist() for column in (true, precision, recall, f1))
    return [ClassMetrics(*row) for row in zip(names, *columns, strict=True)]


def macro_averages(
    labels: np.ndarray, predicted: np.ndarray, num_classes: int
) -> tuple[float, float, float]:
    """Return precision, recall and F1, as means over the classes that occur on either side.

    labels, predicted: whole numbers (N,), N at least 1, below num_classes.
    """
    classes = class_metrics(labels, predicted, [""] * num_classes)
    occurring = [classes[label] for label in np.union1d(labels, predicted)]
    precision, recall, f1 = np.mean([(c.precision, c.recall, c.f1) for c in occurring], axis=0)
    return float(precision), float(recall), float(f1)


def wilson_interval(correct: int, images: int) -> tuple[float, float]:
    """Return the ends of the 95 % confidence interval of a share, 0 to 1; images: at least 1.

    Source: Wilson, "Probable Inference, the Law of Succession, and Statistical Inference", Journal
    of the American Statistical Association 22 (1927).
    """
    z = statistics.NormalDist().inv_cdf(0.975)
    middle = (correct + z**2 / 2) / (images + z**2)
    half = z / (images + z**2) * math.sqrt(correct * (images - correct) / images + z**2 / 4)
    return max(0.0, middle - half), min(1.0, middle + half)


def interval(correct: int, images: int) -> str:
    """Return the 95 % confidence interval of a share as it is written: 99.15 to 99.47."""
    return percent_range(*wilson_interval(correct, images))


def top_confusions(confusions: np.ndarray, most: int) -> list[tuple[int, int, int]]:
    """Return the true and the predicted label and the count of the most frequent confusions.

    confusions: int64 (K, K), as count_confusions returns it.
    """
    wrong = confusions - np.diag(confusions.diagonal())
    order = np.argsort(-wrong, axis=None, kind="stable")[:most]
    pairs = zip(*np.unravel_index(order, wrong.shape), strict=True)
    return [(int(i), int(j), int(wrong[i, j])) for i, j in pairs if wrong[i, j]]
