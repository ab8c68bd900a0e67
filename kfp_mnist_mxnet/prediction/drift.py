"""Whether images that are predicted are like those that the model was trained on."""

import math
from typing import Any

import numpy as np

from kfp_mnist_mxnet.data.memory import advise
from kfp_mnist_mxnet.data.statistics import count_values, describe_pixels

FAR = 0.1  # of the classes' shares, by total variation distance, beyond what chance makes
FAR_MEAN, FAR_STD = 0.25, 4 / 3  # of the pixels, in standard deviations and as a ratio


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
        shares = [count / count.sum() for count in counts if count.sum() > 0]
        distance = float(abs(np.subtract(*shares)).sum()) / 2
        # The mean distance of a sample from its own distribution is at most sqrt(K / N) / 2.
        if distance > FAR + math.sqrt(len(counts[0]) / counts[0].sum()) / 2:
            reasons.append(f"shares of the classes by {100 * distance:.0f} %")
    except (KeyError, TypeError, ValueError, OverflowError):
        pass  # older models do not say it, and no images have no shares
    try:
        names = ("pixel_mean", "pixel_std")
        mean, std, mean_before, std_before = (
            float(part[name]) for part in (found, trained) for name in names
        )
        ratio = max(std, std_before) / max(min(std, std_before), 1e-9)
        if abs(mean - mean_before) > FAR_MEAN * std_before or ratio > FAR_STD:
            reasons.append(
                f"pixels {mean:.3f} +- {std:.3f}, in training {mean_before:.3f} +- {std_before:.3f}"
            )
    except (KeyError, TypeError, ValueError, OverflowError):
        pass
    return f"The images differ from the training data: {'; '.join(reasons)}." if reasons else ""
