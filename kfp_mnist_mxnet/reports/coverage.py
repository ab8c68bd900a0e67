"""What a threshold of confidence buys, for reports of steps that know the true labels."""

import numpy as np

from kfp_mnist_mxnet.evaluation.calibration import thresholds
from kfp_mnist_mxnet.notation import percent
from kfp_mnist_mxnet.reports.page import Section


def coverage_section(confidence: np.ndarray, correct: np.ndarray) -> Section:
    """Return the accuracy of the most confident predictions, by the share that is kept.

    confidence: float32 (N,), N at least 1; correct: bool (N,).
    """
    return Section(
        "Accuracy and coverage",
        "To choose a threshold: predictions of less confidence are left to a person.",
        head=("kept", "accuracy of those kept", "confidence at least"),
        rows=[tuple(map(percent, row)) for row in thresholds(confidence, correct)],
    )
