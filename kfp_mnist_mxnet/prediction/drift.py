"""Whether images that are predicted are like those that the model was trained on."""

import logging
import math
import pathlib
from typing import Any

import numpy as np

from kfp_mnist_mxnet.data.memory import advise
from kfp_mnist_mxnet.data.statistics import count_values, describe_pixels

FAR = 0.1  # of the classes' shares, by total variation distance, beyond what chance makes
PIXELS = ("pixel_mean", "pixel_std")  # far are those by a quarter of the standard deviation


def warn_of_drift(
    images: np.ndarray, predictions: pathlib.Path, num_classes: int, trained: Any
) -> str:
    """Return the sentence of `describe_drift` about images that were predicted, and log it.

    images: uint8 (N, C, H, W); predictions: their directory; trained: what model.json says, if
    anything.
    """
    counts = np.bincount(np.load(predictions / "labels.npy"), minlength=num_classes)
    drift = describe_drift(measure(images, counts), trained)
    if drift:
        logging.warning("%s", drift)
    return drift


def measure(images: np.ndarray, counts: np.ndarray) -> dict[str, Any]:
    """Return what model.json says of its training data: class_counts, pixel_mean, pixel_std.

    images: uint8 (N, C, H, W), read in constant memory; counts: int64 (K,), of predicted labels.
    """
    histogram = np.zeros(256, np.int64)
    for start in range(0, len(images), 10_000):
        histogram += count_values(np.ascontiguousarray(images[start : start + 10_000]))
        advise(images, "DONTNEED")
    return {"class_counts": counts.tolist(), **describe_pixels(histogram)}


def describe_drift(found: dict[str, Any], trained: Any) -> str:
    """Return a sentence if images are far from the training images, empty if not or unknown.

    found: from `measure`; trained: what model.json says, if anything.
    """
    reasons = []
    try:
        counts = [np.array(part["class_counts"], float) for part in (found, trained)]
        shares = [count / max(1, count.sum()) for count in counts]
        distance = abs(shares[0] - shares[1]).sum() / 2
        # The mean distance of a sample from its own distribution is at most sqrt(K / N) / 2.
        if distance > FAR + math.sqrt(len(counts[0]) / max(1, counts[0].sum())) / 2:
            reasons.append(f"shares of the predicted classes by {100 * distance:.0f} %")
        mean, std = (float(found[name]) - float(trained[name]) for name in PIXELS)
        if abs(mean) > trained["pixel_std"] / 4 or abs(std) > trained["pixel_std"] / 4:
            shown = (
                f"{part['pixel_mean']:.3f} +- {part['pixel_std']:.3f}" for part in (found, trained)
            )
            reasons.append(f"pixels {', in training '.join(shown)}")
    except (KeyError, TypeError, ValueError, OverflowError):
        pass  # older models do not say it all, and no images have no pixels
    return f"Far from the training data: {'; '.join(reasons)}." if reasons else ""
