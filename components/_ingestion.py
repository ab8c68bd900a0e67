"""What ingest does with the four parts of a data set once it has their files."""

from typing import Any

from components._idx import read_idx
from components._report import figure_svg, new_figure, picture, section, write_report


def read_parts(files: dict[str, Any]) -> dict[str, Any]:
    """Read the four IDX files and check that they fit each other.

    Returns: images, uint8 (N, C, H, W), and labels, uint8 (N,), of train and test.

    Raises:
        ValueError: a file is not IDX, or images and labels, or train and test, do not fit.
    """
    parts = {part: read_idx(path) for part, path in files.items()}
    for split in ("train", "test"):
        images, labels = parts[f"{split}_images"], parts[f"{split}_labels"]
        if images.ndim not in (3, 4):
            raise ValueError(
                f"{files[f'{split}_images']} has the shape {images.shape}, "
                "expected (N, H, W) or (N, H, W, C)"
            )
        if labels.ndim != 1 or len(labels) != len(images) or len(labels) == 0:
            raise ValueError(
                f"{files[f'{split}_labels']} has labels of shape {labels.shape}, "
                f"expected one for each of the {len(images)} images, at least one"
            )
        by_channel = images[:, None] if images.ndim == 3 else images.transpose(0, 3, 1, 2)
        parts[f"{split}_images"] = by_channel
    train, test = (parts[f"{split}_images"].shape[1:] for split in ("train", "test"))
    if train != test:
        raise ValueError(f"training images have the shape {train}, test images {test} (C, H, W)")
    if parts["train_labels"].max() == parts["train_labels"].min():
        raise ValueError(
            f"{files['train_labels']} has only the label {parts['train_labels'][0]}, "
            "expected at least two classes"
        )
    return parts


def hold_out(labels: Any, fraction: float, seed: int) -> Any:
    """Choose the validation images: the same share of each class, at random.

    labels: uint8 (N,). Returns: bool (N,), true for an image to hold out; of n images of a
    class round(n * fraction) are chosen, the same for the same seed on every machine.
    """
    import numpy as np

    generator = np.random.Generator(np.random.PCG64(seed))
    chosen = np.zeros(len(labels), bool)
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        chosen[generator.permutation(members)[: round(len(members) * fraction)]] = True
    return chosen


def write_data_report(path: Any, abouts: dict[str, dict[str, Any]], train: tuple[Any, Any]) -> None:
    """Write the data report: counts of each class in each split, and sample images of each class.

    abouts: split to the content of its dataset.json; train: images and labels of that split.
    """
    import numpy as np

    images, labels = train
    num_classes = abouts["train"]["num_classes"]
    counts = new_figure(7, 3)
    axes = counts.add_subplot()
    for i, (split, about) in enumerate(abouts.items()):
        places = np.arange(num_classes) + (i - 1) * 0.27
        axes.bar(places, about["class_counts"], 0.25, label=split)
    axes.set_xlabel("label")
    axes.set_ylabel("images")
    axes.legend(frameon=False)
    samples = [
        (picture(images[i]), str(label))
        for label in range(num_classes)
        for i in np.flatnonzero(labels == label)[:8]
    ]
    rows = tuple(
        (label, *(a["class_counts"][label] for a in abouts.values()))
        for label in range(num_classes)
    )
    write_report(
        path,
        "Data",
        {
            **{f"{split} images": f"{about['num_images']:,}" for split, about in abouts.items()},
            "image shape (C, H, W)": " x ".join(map(str, abouts["train"]["image_shape"])),
            "classes": num_classes,
        },
        [
            section("Sample images of each class", pictures=tuple(samples)),
            section(
                "Images of each class",
                figure=figure_svg(counts, "Number of images of each class in each split"),
                head=("label", *abouts),
                rows=rows,
            ),
        ],
    )
