"""What the report of merged predictions shows."""

import pathlib
from collections.abc import Mapping, Sequence

import numpy as np

from kfp_mnist_mxnet.evaluation.classes import interval
from kfp_mnist_mxnet.notation import percent
from kfp_mnist_mxnet.reports.confidence import confidence_section, uncertain_section
from kfp_mnist_mxnet.reports.coverage import coverage_section
from kfp_mnist_mxnet.reports.page import Section, bar, write_report


def write_merge_report(
    path: pathlib.Path,
    directory: pathlib.Path,
    names: Sequence[str],
    scores: Mapping[str, float],
    shards: int,
    true: np.ndarray,
    images: np.ndarray | None = None,
    warning: str = "",
) -> None:
    """Write the report of a merged predictions directory: what was predicted, and how surely.

    names: of the classes; scores: accuracy and errors, where there are true labels; shards: how
    many were merged; true: labels, uint8 (N,), or (0,); images: uint8 (N, C, H, W), for pictures;
    warning: may be empty.
    """
    labels = np.load(directory / "labels.npy")
    probabilities = np.load(directory / "probabilities.npy", mmap_mode="r")
    confidence = probabilities.max(1)
    counts = np.bincount(labels, minlength=len(names)).tolist()
    facts = {"images": f"{len(labels):,}", "shards": f"{shards:,}"}
    sections = [
        Section(
            "Predicted classes",
            head=("class", "images", "share"),
            rows=[
                (name, bar(count, max(counts)), percent(count / max(1, len(labels))))
                for name, count in zip(names, counts, strict=True)
            ],
        ),
        confidence_section(confidence),
        uncertain_section(probabilities, names, images),
    ]
    lead = ""
    if "accuracy" in scores:
        accuracy, errors = percent(scores["accuracy"]), int(scores["errors"])
        wrong = f"{errors:,} of {len(labels):,}"
        facts |= {"accuracy": accuracy, "errors": wrong}
        between = interval(len(labels) - errors, len(labels))
        lead = f"Accuracy {accuracy} (95 % interval {between}), {wrong} wrong."
        sections.append(coverage_section(confidence, labels == true))
    write_report(path, "Batch prediction", facts, sections, lead, [warning])
