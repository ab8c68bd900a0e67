"""What the data report shows."""

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, NullFormatter

from kfp_mnist_mxnet.data.class_names import name_classes
from kfp_mnist_mxnet.data.ingestion import Ingested, empty_classes
from kfp_mnist_mxnet.data.statistics import count_duplicates, moments
from kfp_mnist_mxnet.reports.figures import figure_svg, new_figure, short
from kfp_mnist_mxnet.reports.page import Picture, Section, write_report
from kfp_mnist_mxnet.reports.pictures import picture


def write_data_report(path: pathlib.Path, splits: Mapping[str, Ingested]) -> None:
    """Write the data report: samples, class counts, pixels and duplicates."""
    histogram = splits["train"].statistics.histogram
    columns = [split.info.class_counts for split in splits.values()]
    info = splits["train"].info
    names = name_classes(info.class_names, info.num_classes)
    counts = list(zip(names, *columns, strict=True))
    hashes = {name: split.statistics.hashes for name, split in splits.items()}
    write_report(
        path,
        "Data",
        data_facts(splits, histogram),
        [
            Section(
                "Sample images of each class",
                pictures=class_samples([split.directory for split in splits.values()], names),
            ),
            Section(
                "Images of each class",
                figure=figure_svg(
                    class_figure(counts, list(splits)), "Images of each class and split"
                ),
                head=("label", *splits),
                rows=counts,
            ),
            Section(
                "Pixels of the training images",
                text="The network divides each pixel by 255; mean and standard deviation are after "
                "that, on the training images alone.",
                figure=figure_svg(pixel_figure(histogram), "Histogram of the pixel values"),
            ),
            Section(
                "Duplicates",
                text="Images with equal pixels, found by a 64-bit hash. Test images that are also "
                "in the training images make the accuracy look better than it is.",
                head=("where", "images"),
                rows=[(name, f"{count:,}") for name, count in count_duplicates(hashes)],
            ),
            Section(
                "Provenance",
                head=("split", "source", "SHA-256 of images and labels"),
                rows=[(n, split.info.source, split.info.sha256) for n, split in splits.items()],
            ),
        ],
    )


def data_facts(splits: Mapping[str, Ingested], histogram: np.ndarray) -> dict[str, object]:
    """Return the facts at the top of the report; histogram: of the training pixels, (256,)."""
    info = splits["train"].info
    used = [value for value in range(256) if histogram[value]]
    mean, std = moments(histogram)
    return {
        **{f"{name} images": f"{split.info.num_images:,}" for name, split in splits.items()},
        "classes": info.num_classes,
        **({"labels without images": empty} if (empty := empty_classes(splits)) else {}),
        "image shape (C, H, W)": " x ".join(map(str, info.image_shape)),
        "stored as": f"uint8, {used[0]} to {used[-1]}",
        "as the network sees it": f"{used[0] / 255:.3g} to {used[-1] / 255:.3g}",
        "mean": f"{mean / 255:.4f}",
        "standard deviation": f"{std / 255:.4f}",
    }


def class_samples(
    directories: Sequence[pathlib.Path], names: Sequence[str], most: int = 120
) -> list[Picture]:
    """Return captioned pictures of each class: up to 10, fewer where `most` are shared by many.

    A class is shown from the first directory that has it.
    """
    shown: dict[int, list[Picture]] = {}
    for directory in directories:
        images = np.load(directory / "images.npy", mmap_mode="r", allow_pickle=False)
        labels = np.load(directory / "labels.npy", allow_pickle=False)
        for label in set(np.unique(labels).tolist()) - set(shown):
            members = np.flatnonzero(labels == label)[:10]
            shown[label] = [Picture(picture(np.asarray(images[i])), names[label]) for i in members]
    each = max(1, most // len(shown))
    return [sample for label in sorted(shown) for sample in shown[label][:each]]


def class_figure(counts: Sequence[tuple[Any, ...]], splits: Sequence[str]) -> Figure:
    """Return a bar chart of the images of each class, a group of bars for each class."""
    figure = new_figure(7, 3)
    axes = figure.add_subplot()
    for i, split in enumerate(splits):
        places = [label + (i - 1) * 0.27 for label in range(len(counts))]
        axes.bar(places, [row[1 + i] for row in counts], 0.25, label=split)
    axes.set_xlabel("label")
    axes.set_ylabel("images")
    if len(counts) <= 20:
        names = [short(name) for name, *_ in counts]
        axes.set_xticks(range(len(counts)), names, rotation=90 if max(map(len, names)) > 3 else 0)
    axes.legend(frameon=False, ncols=3, loc="lower right", bbox_to_anchor=(1, 1))
    return figure


def pixel_figure(histogram: np.ndarray) -> Figure:
    """Return the histogram of the values 0 to 255, int64 (256,), on a logarithmic scale."""
    figure = new_figure(7, 2.6)
    axes = figure.add_subplot()
    axes.stairs(histogram, range(257), fill=True)
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(EngFormatter())
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("value as stored")
    axes.set_ylabel("pixels")
    return figure
