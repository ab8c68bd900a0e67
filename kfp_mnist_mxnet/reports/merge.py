"""What the report of merged predictions shows."""

import pathlib
from collections.abc import Mapping, Sequence

import numpy as np

from kfp_mnist_mxnet.reports.page import Section, write_report


def write_merge_report(
    path: pathlib.Path,
    directory: pathlib.Path,
    names: Sequence[str],
    scores: Mapping[str, float],
    shards: int,
) -> None:
    """Write the report of a merged predictions directory: how often each label was predicted.

    names: of the classes; scores: accuracy and errors, where there are true labels; shards: how
    many were merged.
    """
    labels = np.load(directory / "labels.npy")
    counts = np.bincount(labels, minlength=len(names))
    facts = {"images": f"{len(labels):,}", "shards": f"{shards:,}"}
    if "accuracy" in scores:
        facts |= {"accuracy": f"{scores['accuracy']:.2%}", "errors": f"{scores['errors']:,}"}
    rows = [
        (name, f"{count:,}", f"{count / max(1, len(labels)):.2%}")
        for name, count in zip(names, counts, strict=True)
    ]
    head = ("label", "images", "share")
    write_report(
        path, "Batch prediction", facts, [Section("Predicted labels", head=head, rows=rows)]
    )
