"""What the data report shows."""

from typing import Any

from components._report import figure_svg, new_figure, picture, section, write_report
from components._statistics import count_duplicates, moments


def write_data_report(
    path: Any, abouts: dict[str, dict[str, Any]], outputs: dict[str, Any], directories: list[Any]
) -> None:
    """Write the data report: samples, class counts, pixels and duplicates.

    abouts: split to the content of its dataset.json; outputs: split to a namespace with histogram
    and hashes; directories: those of the splits, in their order.
    """
    splits, histogram = tuple(abouts), outputs["train"].histogram
    counts = tuple(
        (label, *class_counts)
        for label, class_counts in enumerate(zip(*(a["class_counts"] for a in abouts.values())))
    )
    hashes = {split: output.hashes for split, output in outputs.items()}
    write_report(
        path,
        "Data",
        data_facts(abouts, histogram),
        [
            section("Sample images of each class", pictures=class_samples(directories)),
            section(
                "Images of each class",
                figure=figure_svg(class_figure(counts, splits), "Images of each class and split"),
                head=("label", *splits),
                rows=counts,
            ),
            section(
                "Pixels of the training images",
                text="The network divides each pixel by 255; mean and standard deviation are after "
                "that, on the training images alone.",
                figure=figure_svg(pixel_figure(histogram), "Histogram of the pixel values"),
            ),
            section(
                "Duplicates",
                text="Images with equal pixels, found by a 64-bit hash. Test images that are also "
                "in the training images make the accuracy look better than it is.",
                head=("where", "images"),
                rows=tuple((name, f"{count:,}") for name, count in count_duplicates(hashes)),
            ),
            section(
                "Origin",
                head=("split", "source", "SHA-256 of images and labels"),
                rows=tuple((s, abouts[s]["source"], abouts[s]["sha256"]) for s in splits),
            ),
        ],
    )


def data_facts(abouts: dict[str, dict[str, Any]], histogram: Any) -> dict[str, Any]:
    """Return the facts at the top of the report; histogram: of the training pixels, (256,)."""
    about = abouts["train"]
    used = [value for value in range(256) if histogram[value]]
    mean, std = moments(histogram)
    return {
        **{f"{split} images": f"{abouts[split]['num_images']:,}" for split in abouts},
        "classes": about["num_classes"],
        "image shape (C, H, W)": " x ".join(map(str, about["image_shape"])),
        "stored as": f"uint8, {used[0]} to {used[-1]}",
        "as the network sees it": f"{used[0] / 255:.3g} to {used[-1] / 255:.3g}",
        "mean": f"{mean / 255:.4f}",
        "standard deviation": f"{std / 255:.4f}",
    }


def class_samples(directories: list[Any], most: int = 120) -> tuple[tuple[str, str], ...]:
    """Return captioned pictures of each class: up to 10, fewer where `most` are shared by many.

    A class is shown from the first directory that has it.
    """
    import numpy as np

    shown: dict[int, list[tuple[str, str]]] = {}
    for directory in directories:
        images = np.load(directory / "images.npy", mmap_mode="r", allow_pickle=False)
        labels = np.load(directory / "labels.npy", allow_pickle=False)
        for label in set(np.unique(labels).tolist()) - set(shown):
            members = np.flatnonzero(labels == label)[:10]
            shown[label] = [(picture(np.asarray(images[i])), str(label)) for i in members]
    each = max(1, most // len(shown))
    return tuple(sample for label in sorted(shown) for sample in shown[label][:each])


def class_figure(counts: tuple[tuple[int, ...], ...], splits: tuple[str, ...]) -> Any:
    """Return a bar chart of the images of each class, a group of bars for each class."""
    figure = new_figure(7, 3)
    axes = figure.add_subplot()
    for i, split in enumerate(splits):
        places = [label + (i - 1) * 0.27 for label, *_ in counts]
        axes.bar(places, [row[1 + i] for row in counts], 0.25, label=split)
    axes.set_xlabel("label")
    axes.set_ylabel("images")
    if len(counts) <= 20:
        axes.set_xticks(range(len(counts)))
    axes.legend(frameon=False, ncols=3, loc="lower right", bbox_to_anchor=(1, 1))
    return figure


def pixel_figure(histogram: Any) -> Any:
    """Return the histogram of the values 0 to 255, int64 (256,), on a logarithmic scale."""
    from matplotlib.ticker import EngFormatter, NullFormatter

    figure = new_figure(7, 2.6)
    axes = figure.add_subplot()
    axes.stairs(histogram, range(257), fill=True)
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(EngFormatter())
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("value as stored")
    axes.set_ylabel("pixels")
    return figure
