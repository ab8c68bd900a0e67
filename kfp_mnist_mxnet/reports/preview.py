"""What the preview of predictions shows."""

import pathlib
from collections.abc import Mapping, Sequence

import numpy as np

from kfp_mnist_mxnet.reports.confidence import confidence_section, uncertain_section
from kfp_mnist_mxnet.reports.page import write_report


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
    sections = [
        uncertain_section(probabilities, names, images, first),
        confidence_section(probabilities.max(1)),
    ]
    write_report(path, "Predictions", facts, sections, warnings=warnings)
