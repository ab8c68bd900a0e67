"""What the data report shows."""

import pathlib
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, NullFormatter

from kfp_mnist_mxnet.data.class_names import name_classes
from kfp_mnist_mxnet.data.ingestion import Ingested, empty_classes
from kfp_mnist_mxnet.data.statistics import count_duplicates, moments
from kfp_mnist_mxnet.notation import percent
from kfp_mnist_mxnet.reports.figures import figure_svg, new_figure, percent_axis, short
from kfp_mnist_mxnet.reports.page import Picture, Section, write_report
from kfp_mnist_mxnet.reports.pictures import picture


def write_data_report(path: pathlib.Path, splits: Mapping[str, Ingested]) -> None:
    """Write the data report: samples, class counts, pixels and duplicates."""
    histogram = splits["train"].statistics.histograms
    columns = [np.array(split.info.class_counts) for split in splits.values()]
    shares = [column / max(1, column.sum()) for column in columns]
    info = splits["train"].info
    names = name_classes(info.class_names, info.num_classes)
    cells = [
        [f"{count:,} ({percent(share, 1)})" for count, share in zip(*pair, strict=True)]
        for pair in zip(columns, shares, strict=True)
    ]
    hashes = {name: split.statistics.hashes for name, split in splits.items()}
    write_report(
        path,
        "Data",
        data_facts(splits, histogram, names),
        [
            Section(
                "Sample images of each class",
                strips=class_samples([split.directory for split in splits.values()], names),
            ),
            Section(
                "Images of each class",
                figure=figure_svg(
                    class_figure(names, dict(zip(splits, shares, strict=True))),
                    "Share of each class in each split",
                ),
                head=("class", *splits),
                rows=[*zip(names, *cells, strict=True)],
                fold=f"All {len(names)} classes" if len(names) > 20 else "",
            ),
            Section(
                "Pixels of the training images",
                text="The network divides each pixel by 255; mean and standard deviation are after "
                "that, on the training images alone.",
                figure=figure_svg(pixel_figure(histogram.sum(0)), "Histogram of the pixel values"),
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


def data_facts(
    splits: Mapping[str, Ingested], histograms: np.ndarray, names: Sequence[str]
) -> dict[str, object]:
    """Return the facts at the top of the report.

    histograms: of the training pixels, int64 (C, 256); names: of the classes.
    """
    info = splits["train"].info
    used = np.flatnonzero(histograms.sum(0)).tolist()
    # Of each channel, if they are few.
    of = histograms if len(histograms) < 5 else histograms.sum(0, keepdims=True)
    mean, std = (
        ", ".join(f"{value / 255:.4f}" for value in column)
        for column in zip(*map(moments, of), strict=True)
    )
    empty = ", ".join(names[int(label)] for label in empty_classes(splits).split(", ") if label)
    return {
        **{f"{name} images": f"{split.info.num_images:,}" for name, split in splits.items()},
        "classes": info.num_classes,
        **({"classes without images": empty} if empty else {}),
        "image shape (C, H, W)": " x ".join(map(str, info.image_shape)),
        "stored as": f"uint8, {used[0]} to {used[-1]}",
        "as the network sees it": f"{used[0] / 255:.3g} to {used[-1] / 255:.3g}",
        "mean": mean,
        "standard deviation": std,
    }


def class_samples(
    directories: Sequence[pathlib.Path], names: Sequence[str], most: int = 120
) -> list[tuple[str, list[Picture]]]:
    """Return the name of each class with pictures: up to 10, fewer where `most` are shared by many.

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
    return [(short(names[label]), shown[label][:each]) for label in sorted(shown)]


def class_figure(names: Sequence[str], shares: Mapping[str, np.ndarray]) -> Figure:
    """Return a bar chart of the share of each class, a group of bars for each class.

    shares: split to float64 (K,), 0 to 1.
    """
    figure = new_figure(7, 3)
    axes = figure.add_subplot()
    for i, (split, share) in enumerate(shares.items()):
        axes.bar(np.arange(len(names)) + (i - 1) * 0.27, share, 0.25, label=split)
    axes.set_xlabel("class")
    axes.set_ylabel("share of the split")
    percent_axis(axes.yaxis)
    if len(names) <= 20:
        texts = [short(name) for name in names]
        axes.set_xticks(range(len(names)), texts, rotation=90 if max(map(len, texts)) > 3 else 0)
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
