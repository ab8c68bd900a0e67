import csv
import pathlib

import numpy as np
import pytest
from kfp import dsl

from components._dataset import write_dataset
from components.predict import predict


def predictions(artifacts, model, data):
    outputs = {
        "predictions": artifacts.new(dsl.Dataset, "predictions"),
        "metrics": artifacts.new(dsl.Metrics, "metrics"),
        "preview": artifacts.new(dsl.HTML, "preview"),
    }
    predict.python_func(model=model, data=data, **outputs)
    directory = pathlib.Path(outputs["predictions"].path)
    return np.load(directory / "probabilities.npy"), np.load(directory / "labels.npy"), directory


def test_gives_probabilities_and_labels_in_order(artifacts, trained):
    probabilities, labels, _ = predictions(artifacts, trained["model"], trained["test_data"])
    assert (probabilities.dtype, probabilities.shape) == (np.float32, (25, 3))
    assert (labels.dtype, labels.shape) == (np.uint8, (25,))
    assert np.allclose(probabilities.sum(1), 1)
    assert labels.tolist() == (np.arange(25) % 3).tolist()


def test_csv_has_a_row_for_each_image(artifacts, trained):
    probabilities, labels, directory = predictions(
        artifacts, trained["model"], trained["test_data"]
    )
    with open(directory / "predictions.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["index"]) for row in rows] == list(range(25))
    assert [int(row["label"]) for row in rows] == labels.tolist()
    assert np.allclose([float(row["probability"]) for row in rows], probabilities.max(1), atol=1e-6)


def test_no_images_give_no_predictions(artifacts, trained):
    data = artifacts.new(dsl.Dataset, "data")
    artifacts.root.mkdir()
    images, labels = np.zeros((0, 1, 12, 12), np.uint8), np.zeros(0, np.uint8)
    write_dataset(pathlib.Path(data.path), images, labels, 3, "made up")
    probabilities, labels, _ = predictions(artifacts, trained["model"], data)
    assert probabilities.shape == (0, 3)
    assert labels.shape == (0,)


def test_refuses_images_of_another_shape(artifacts, trained):
    data = artifacts.new(dsl.Dataset, "data")
    artifacts.root.mkdir()
    write_dataset(
        pathlib.Path(data.path), np.zeros((2, 3, 12, 12), np.uint8), np.zeros(2, np.uint8), 3, ""
    )
    with pytest.raises(ValueError, match=r"\[3, 12, 12\], but the model takes \[1, 12, 12\]"):
        predictions(artifacts, trained["model"], data)
    assert not pathlib.Path(artifacts.root, "predictions").exists()
