"""Whether a model is as sure as it should be."""

import dataclasses

import numpy as np

BINS = 15


@dataclasses.dataclass(frozen=True)
class Calibration:
    """Predictions in bins of equal width by the probability of the predicted label.

    count: int64 (15,); probability and accuracy: their means in each bin, float64 (15,), 0 where a
    bin is empty. Source: Guo et al., "On Calibration of Modern Neural Networks",
    https://arxiv.org/abs/1706.04599, where 15 bins are usual.
    """

    count: np.ndarray
    probability: np.ndarray
    accuracy: np.ndarray

    @property
    def error(self) -> float:
        """The expected calibration error: the mean gap of probability and accuracy, 0 to 1.

        Each bin counts by its images. Source: as above, equation 3.
        """
        gaps = abs(self.probability - self.accuracy)
        return float((self.count * gaps).sum() / self.count.sum())


def calibrate(labels: np.ndarray, probabilities: np.ndarray) -> Calibration:
    """Sort predictions into bins; labels: uint8 (N,), probabilities: float32 (N, K)."""
    confidence = probabilities.max(1)
    correct = probabilities.argmax(1) == labels
    place = np.minimum((confidence * BINS).astype(int), BINS - 1)
    count = np.bincount(place, minlength=BINS)
    return Calibration(
        count,
        np.bincount(place, confidence, BINS) / count.clip(1),
        np.bincount(place, correct, BINS) / count.clip(1),
    )


def coverage(confidence: np.ndarray, correct: np.ndarray) -> tuple[np.ndarray, ...]:
    """Return what a threshold of confidence keeps: selective classification.

    confidence: float (N,), N at least 1; correct: bool (N,). Returns float (T,) each, for every
    distinct confidence, the largest first: the share that is kept, its accuracy, the confidence.
    Source: El-Yaniv and Wiener, "On the Foundations of Noise-free Selective Classification",
    Journal of Machine Learning Research 11 (2010).
    """
    order = np.argsort(-confidence, kind="stable")
    ranked = confidence[order]
    last = np.append(np.flatnonzero(np.diff(ranked)), len(ranked) - 1)
    return (last + 1) / len(ranked), np.cumsum(correct[order])[last] / (last + 1), ranked[last]


def thresholds(confidence: np.ndarray, correct: np.ndarray) -> list[tuple[float, ...]]:
    """Return the rows of `coverage` that keep all predictions, and then less and less."""
    columns = coverage(confidence, correct)
    shares = (0.5, 0.8, 0.9, 0.95, 0.98, 0.99, 1 - 1e-9)
    found = np.unique(np.searchsorted(columns[0], shares))[::-1]
    return [tuple(float(column[i]) for column in columns) for i in found]
