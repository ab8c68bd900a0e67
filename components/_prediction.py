"""What predict writes."""

from typing import Any

from components._model import predict_probabilities
from components._report import picture, section, write_report


def write_predictions(directory: Any, module: Any, images: Any, num_classes: int) -> None:
    """Write a predictions directory: probabilities.npy, labels.npy, predictions.csv.

    images: uint8 (N, C, H, W), N may be 0; rows are in their order.
    """
    import csv

    import numpy as np

    directory.mkdir()
    batches = list(predict_probabilities(module, images))
    empty = np.zeros((0, num_classes), np.float32)
    probabilities = np.concatenate([empty, *batches])
    labels = probabilities.argmax(1).astype(np.uint8)
    np.save(directory / "probabilities.npy", probabilities)
    np.save(directory / "labels.npy", labels)
    with open(directory / "predictions.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("index", "label", "probability"))
        best = probabilities.max(1, initial=0)
        writer.writerows((i, labels[i], f"{best[i]:.6f}") for i in range(len(labels)))


def write_preview(path: Any, directory: Any, images: Any) -> None:
    """Write the preview of a predictions directory: the first images with label and probability."""
    import numpy as np

    probabilities = np.load(directory / "probabilities.npy", mmap_mode="r")
    pictures = tuple(
        (picture(np.asarray(image)), f"#{i}: {row.argmax()} ({row.max():.1%})")
        for i, (image, row) in enumerate(zip(images[:48], probabilities))
    )
    write_report(
        path,
        "Predictions",
        {"images": f"{len(images):,}"},
        [section("The first images, with predicted label and probability", pictures=pictures)],
    )
