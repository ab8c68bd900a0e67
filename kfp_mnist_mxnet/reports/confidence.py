"""How sure a model is of its predictions, for reports of steps that draw no figures."""

import numpy as np

from kfp_mnist_mxnet.notation import percent
from kfp_mnist_mxnet.reports.page import Section, bar

EDGES = (0, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 0.999, 1)


def confidence_section(confidence: np.ndarray) -> Section:
    """Return the histogram of probabilities of the predicted labels, float32 (N,)."""
    counts = np.histogram(confidence, EDGES)[0].tolist()
    rows = [
        (f"{100 * low:g} to {100 * high:g} %", bar(n, max(counts)), percent(n / len(confidence)))
        for low, high, n in zip(EDGES, EDGES[1:], counts, strict=False)
        if n
    ]
    text = "Probability of the predicted label."
    return Section("Confidence", text, head=("confidence", "images", "share"), rows=rows)
