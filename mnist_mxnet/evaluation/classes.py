"""What a set of predictions is worth: the share that is right, and each class by itself."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from mnist_mxnet.errors import InvalidInput

NORMAL_975 = 1.959963984540054  # 0.975 quantile of the standard normal distribution


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
    true, claimed, right = (
        np.bincount(values, minlength=len(names))
        for values in (labels, predicted, labels[labels == predicted])
    )
    precision, recall = right / claimed.clip(1), right / true.clip(1)
    f1 = 2 * right / (claimed + true).clip(1)
    columns = (true.tolist(), precision.tolist(), recall.tolist(), f1.tolist())
    return [ClassFigures(*row) for row in zip(names, *columns, strict=True)]


def wilson_interval(hits: int, images: int) -> tuple[float, float]:
    """Return the ends of the 95 % confidence interval of a share, 0 to 1.

    images: at least 1. Source: Wilson, Journal of the American Statistical Association 22 (1927),
    pages 209 to 212.
    """
    share, spread = hits / images, NORMAL_975**2 / images
    middle = share + spread / 2
    half = math.sqrt(spread * share * (1 - share) + spread**2 / 4)
    low, high = ((middle + sign * half) / (1 + spread) for sign in (-1, 1))
    return max(0.0, low), min(1.0, high)


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
