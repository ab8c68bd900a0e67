"""What predict writes."""

from typing import Any

from components._files import read_json, write_npy_header
from components._model import predict_probabilities
from components._report import picture, section, write_report


def write_predictions(
    directory: Any, module: Any, images: Any, num_classes: int, first: int = 0
) -> None:
    """Write a predictions directory batch by batch: constant memory for any number of images.

    images: uint8 (N, C, H, W), N may be 0; rows are in their order. first: index of the first
    image in predictions.csv.
    """
    import numpy as np

    directory.mkdir()
    with (
        open(directory / "probabilities.npy", "wb") as probabilities_file,
        open(directory / "labels.npy", "wb") as labels_file,
        open(directory / "predictions.csv", "w", newline="") as csv_file,
    ):
        write_npy_header(probabilities_file, np.float32, (len(images), num_classes))
        write_npy_header(labels_file, np.uint8, (len(images),))
        csv_file.write("index,label,probability\n")
        for probabilities in predict_probabilities(module, images):
            labels = probabilities.argmax(1).astype(np.uint8)
            probabilities_file.write(probabilities)
            labels_file.write(labels)
            indexes = range(first, first + len(labels))
            rows = zip(indexes, labels.tolist(), probabilities.max(1).tolist())
            csv_file.writelines(f"{i},{label},{best:.6f}\n" for i, label, best in rows)
            first += len(labels)


def write_preview(
    path: Any, directory: Any, images: Any, facts: dict[str, Any], first: int = 0
) -> None:
    """Write the preview of a predictions directory: the first images with their likeliest labels.

    images: uint8 (N, C, H, W), those that were predicted; facts: shown at the top; first: index
    of the first image.
    """
    import numpy as np

    probabilities = np.load(directory / "probabilities.npy", mmap_mode="r")
    pictures = []
    for i, (image, row) in enumerate(zip(images[:48], probabilities)):
        best = np.argsort(-row, kind="stable")[:3]
        likeliest = "\n".join(f"{label}: {row[label]:.1%}" for label in best)
        pictures.append((picture(np.asarray(image)), f"#{first + i}\n{likeliest}"))
    write_report(
        path,
        "Predictions",
        facts,
        [
            section(
                "The first images",
                "Number of the image from 0, and the three likeliest labels with probability."
                if pictures
                else "There are no images.",
                pictures=tuple(pictures),
            )
        ],
    )


def tell_unknown_classes(directory: str, num_classes: int) -> str:
    """Return a sentence if a data set has more classes than a model knows, else an empty one.

    directory: of the data set; without a dataset.json nothing is known. num_classes: the model's.

    Raises:
        ValueError: dataset.json is no JSON object, or num_classes in it no whole number.
    """
    import pathlib

    if not pathlib.Path(directory, "dataset.json").exists():
        return ""
    known = read_json(directory, "dataset.json").get("num_classes", 0)
    if type(known) is not int:
        raise ValueError(
            f"{directory}/dataset.json: num_classes must be a whole number, got {known!r}"
        )
    if known <= num_classes:
        return ""
    return (
        f"The data has {known} classes, but the model knows only {num_classes}: "
        "images of the others get a wrong label."
    )
