"""What the preview of predictions shows."""

import pathlib
from collections.abc import Mapping, Sequence

import numpy as np

from kfp_mnist_mxnet.notation import percent
from kfp_mnist_mxnet.reports.confidence import confidence_section
from kfp_mnist_mxnet.reports.page import Picture, Section, write_report
from kfp_mnist_mxnet.reports.pictures import picture

SHOWN = 48  # images


def write_preview(
    path: pathlib.Path,
    directory: pathlib.Path,
    images: np.ndarray,
    names: Sequence[str],
    facts: Mapping[str, object],
    first: int = 0,
    warnings: Sequence[str] = (),
) -> None:
    """Write the preview of a predictions directory: the images that the model is least sure of.

    images: uint8 (N, C, H, W), those that were predicted; names: of the classes; facts: shown at
    the top; first: index of the first image; warnings: may be empty texts.
    """
    probabilities = np.load(directory / "probabilities.npy", mmap_mode="r")
    confidence = probabilities.max(1)
    pictures = []
    for i in np.argsort(confidence, kind="stable")[:SHOWN]:
        row = probabilities[i]
        best = np.argsort(-row, kind="stable")[:3]
        likeliest = "\n".join(f"{names[label]}: {percent(row[label], 1)}" for label in best)
        pictures.append(Picture(picture(np.asarray(images[i])), f"#{first + i}\n{likeliest}"))
    text = (
        f"The {len(pictures)} images of least confidence, the least first: number of the image "
        "from 0, and the three likeliest labels with probability."
    )
    if not pictures:
        text = "There are no images."
    sections = [
        Section("The least certain predictions", text, pictures=pictures),
        confidence_section(confidence),
    ]
    write_report(path, "Predictions", facts, sections, warnings=warnings)
