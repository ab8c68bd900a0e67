"""How sure a model is of its predictions, for reports of steps that draw no figures."""

from collections.abc import Sequence

import numpy as np

from kfp_mnist_mxnet.notation import percent
from kfp_mnist_mxnet.reports.page import Picture, Section, bar
from kfp_mnist_mxnet.reports.pictures import picture

EDGES = (0, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 0.999, 1)
SHOWN = 48  # predictions


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


def uncertain_section(
    probabilities: np.ndarray, names: Sequence[str], images: np.ndarray | None, first: int = 0
) -> Section:
    """Return the predictions of least confidence: pictures, or a table where there are no images.

    probabilities: float32 (N, K); names: of the K classes; images: uint8 (N, C, H, W); first: index
    of the first image.
    """
    pictures, rows = [], []
    for i in np.argsort(probabilities.max(1), kind="stable")[:SHOWN]:
        row = probabilities[i]
        best = np.argsort(-row, kind="stable")[:3]
        likeliest = [f"{names[label]}: {percent(row[label], 1)}" for label in best]
        if images is None:
            rows.append((f"#{first + i}", ", ".join(likeliest)))
        else:
            caption = "\n".join((f"#{first + i}", *likeliest))
            pictures.append(Picture(picture(np.asarray(images[i])), caption))
    text = (
        f"The {len(pictures or rows)} images of least confidence, the least first: number of the "
        "image from 0, and the three likeliest labels with probability."
    )
    return Section(
        "The least certain predictions",
        text if len(probabilities) else "There are no images.",
        pictures=pictures,
        head=("image", "likeliest labels"),
        rows=rows,
    )
