"""What the report of merged predictions shows."""

import pathlib
from collections.abc import Mapping, Sequence

import numpy as np

from kfp_mnist_mxnet.evaluation.classes import interval
from kfp_mnist_mxnet.notation import percent
from kfp_mnist_mxnet.reports.confidence import confidence_section
from kfp_mnist_mxnet.reports.coverage import coverage_section
from kfp_mnist_mxnet.reports.page import Section, bar, write_report

SHOWN = 48  # predictions


def write_merge_report(
    path: pathlib.Path,
    directory: pathlib.Path,
    names: Sequence[str],
    scores: Mapping[str, float],
    shards: int,
    true: np.ndarray,
) -> None:
    """Write the report of a merged predictions directory: what was predicted, and how surely.

    names: of the classes; scores: accuracy and errors, where there are true labels; shards: how
    many were merged; true: labels, uint8 (N,), or (0,).
    """
    labels = np.load(directory / "labels.npy")
    confidence = np.load(directory / "probabilities.npy", mmap_mode="r").max(1)
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
        uncertain_section(labels, confidence, names),
    ]
    lead = ""
    if "accuracy" in scores:
        accuracy, errors = percent(scores["accuracy"]), int(scores["errors"])
        wrong = f"{errors:,} of {len(labels):,}"
        facts |= {"accuracy": accuracy, "errors": wrong}
        between = interval(len(labels) - errors, len(labels))
        lead = f"Accuracy {accuracy} (95 % interval {between}), {wrong} wrong."
        sections.append(coverage_section(confidence, labels == true))
    write_report(path, "Batch prediction", facts, sections, lead)


def uncertain_section(labels: np.ndarray, confidence: np.ndarray, names: Sequence[str]) -> Section:
    """Return the predictions of least confidence.

    labels: uint8 (N,), predicted with confidence, float32 (N,).
    """
    least = np.argsort(confidence, kind="stable")[:SHOWN]
    rows = [(f"#{i}", names[labels[i]], percent(confidence[i])) for i in least]
    text = f"The {len(rows)} images of least confidence, by their number from 0."
    head = ("image", "predicted class", "confidence")
    return Section("The least certain predictions", text, head=head, rows=rows)
