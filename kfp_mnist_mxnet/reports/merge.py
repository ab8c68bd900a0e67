"""What the report of merged predictions shows."""

import pathlib
from collections.abc import Mapping

import numpy as np

from kfp_mnist_mxnet.reports.page import Section, write_report


def write_merge_report(
    path: pathlib.Path, directory: pathlib.Path, scores: Mapping[str, float], shards: int
) -> None:
    """Write the report of a merged predictions directory: how often each label was predicted.

    scores: accuracy and errors, where there are true labels; shards: how many were merged.
    """
    labels = np.load(directory / "labels.npy")
    num_classes = np.load(directory / "probabilities.npy", mmap_mode="r").shape[1]
    counts = np.bincount(labels, minlength=num_classes)
    facts = {"images": f"{len(labels):,}", "shards": f"{shards:,}"}
    if "accuracy" in scores:
        facts |= {"accuracy": f"{scores['accuracy']:.2%}", "errors": f"{scores['errors']:,}"}
    rows = [
        (label, f"{count:,}", f"{count / max(1, len(labels)):.2%}")
        for label, count in enumerate(counts)
    ]
    head = ("label", "images", "share")
    write_report(
        path, "Batch prediction", facts, [Section("Predicted labels", head=head, rows=rows)]
    )
