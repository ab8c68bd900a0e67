"""What a set of predictions is worth: the share that is right, and each class by itself."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.stats import binomtest
from sklearn.metrics import precision_recall_fscore_support

from mnist_mxnet.errors import InvalidInput


class ClassFigures(NamedTuple):
    """A class: its true images; precision, recall and F1, 0 where nothing is divided."""

    name: str
    images: int
    precision: float
    recall: float
    f1: float


def figures_of_classes(
    labels: np.ndarray, predicted: np.ndarray, names: Sequence[str]
) -> list[ClassFigures]:
    """Return the figures of every class.

    labels, predicted: whole numbers (N,), below the number of names.
    """
    *columns, images = precision_recall_fscore_support(
        labels, predicted, labels=range(len(names)), zero_division=0
    )
    images = images.astype(int)  # they are floats where nothing is right
    rows = zip(names, images.tolist(), *(column.tolist() for column in columns), strict=True)
    return [ClassFigures(*row) for row in rows]


def wilson_interval(hits: int, images: int) -> tuple[float, float]:
    """Return the ends of the 95 % confidence interval of a share, 0 to 1; images: at least 1."""
    interval = binomtest(hits, images).proportion_ci(method="wilson")
    return interval.low, interval.high


def name_classes(class_names: list[str], num_classes: int) -> list[str]:
    """Return the name of each class: those given, else the labels themselves.

    Raises:
        InvalidInput: names are given, but not one of its own for each class.
    """
    if "" in class_names or len(set(class_names)) < len(class_names):
        raise InvalidInput(f"class_names must all differ, and none be empty, got {class_names}")
    if class_names and len(class_names) != num_classes:
        raise InvalidInput(
            f"class_names must have one name for each of the {num_classes} classes, "
            f"got {len(class_names)}"
        )
    return [str(name) for name in class_names or range(num_classes)]
