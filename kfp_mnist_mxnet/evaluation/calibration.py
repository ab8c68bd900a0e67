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
