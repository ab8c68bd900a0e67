"""The layout of a predictions artifact: a directory.

probabilities.npy  float32, shape (N, num_classes)
labels.npy         uint8, shape (N,)
predictions.csv    the columns index, label, probability, and class_name, where names are known
class_names.txt    one a line, where names are known
"""

import csv
import pathlib

import numpy as np

from kfp_mnist_mxnet.data.class_names import write_class_names
from kfp_mnist_mxnet.data.dataset import INFO_FILE
from kfp_mnist_mxnet.errors import DamagedFile
from kfp_mnist_mxnet.prediction.predictor import Predictor
from kfp_mnist_mxnet.storage.artifact import read_json, write_npy_header


def write_predictions(
    directory: pathlib.Path, predictor: Predictor, images: np.ndarray, first: int = 0
) -> None:
    """Write a predictions directory batch by batch: constant memory for any number of images.

    images: uint8 (N, C, H, W), N may be 0; rows are in their order. first: index of the first
    image in predictions.csv.
    """
    directory.mkdir()
    names = predictor.info.class_names
    ends = [[name] for name in names] or [[]] * predictor.info.num_classes
    if names:
        write_class_names(directory, names)
    with (
        open(directory / "probabilities.npy", "wb") as probabilities_file,
        open(directory / "labels.npy", "wb") as labels_file,
        open(directory / "predictions.csv", "w", encoding="utf-8", newline="") as csv_file,
    ):
        write_npy_header(probabilities_file, np.float32, (len(images), predictor.info.num_classes))
        write_npy_header(labels_file, np.uint8, (len(images),))
        rows = csv.writer(csv_file, lineterminator="\n")
        rows.writerow(["index", "label", "probability", *(["class_name"] if names else [])])
        for probabilities in predictor.probabilities(images):
            labels = probabilities.argmax(1).astype(np.uint8)
            probabilities_file.write(probabilities.data)
            labels_file.write(labels.data)
            likeliest = zip(labels.tolist(), probabilities.max(1).tolist(), strict=True)
            rows.writerows(
                (i, label, f"{best:.6f}", *ends[label])
                for i, (label, best) in enumerate(likeliest, first)
            )
            first += len(labels)


def log_unknown_classes(directory: str, num_classes: int) -> str:
    """Return a sentence if a data set has more classes than a model knows, else an empty one.

    directory: of the data set; without a dataset.json nothing is known. num_classes: the model's.

    Raises:
        InvalidInput: dataset.json is no JSON object, or num_classes in it no whole number.
    """
    if not pathlib.Path(directory, INFO_FILE).exists():
        return ""
    in_data = read_json(directory, INFO_FILE).get("num_classes", 0)
    if type(in_data) is not int:
        raise DamagedFile(
            f"{directory}/dataset.json: num_classes must be a whole number, got {in_data!r}"
        )
    if in_data <= num_classes:
        return ""
    return (
        f"The data has {in_data} classes, but the model knows only {num_classes}: "
        "images of the others get a wrong label."
    )
