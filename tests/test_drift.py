"""Whether predict notices that images are not like those in training."""

import pathlib

import numpy as np
import pytest
from conftest import new_data

from kfp_mnist_mxnet.components.predict import predict
from kfp_mnist_mxnet.prediction.drift import describe_drift, measure

TRAINED = {"class_counts": [50, 50], "pixel_mean": 0.13, "pixel_std": 0.31}


def test_measures_pixels_from_0_to_1():
    images = np.array([0, 255], np.uint8).repeat(8).reshape(2, 1, 2, 4)
    found = measure(images, np.array([1, 1]))
    assert found == {"class_counts": [1, 1], "pixel_mean": 0.5, "pixel_std": 0.5}


@pytest.mark.parametrize(
    ("found", "told"),
    [
        (TRAINED, ""),
        ({**TRAINED, "class_counts": [5, 1]}, ""),  # chance, among so few
        ({**TRAINED, "class_counts": [900, 100]}, "shares of the predicted classes by 40 %"),
        ({**TRAINED, "pixel_mean": 0.87}, "pixels 0.870 +- 0.310"),
        ({**TRAINED, "pixel_std": 0.1}, "in training 0.130 +- 0.310"),
        ({"class_counts": [0, 0]}, ""),  # no images
    ],
)
def test_tells_of_images_that_are_far_from_those_in_training(found, told):
    sentence = describe_drift(found, TRAINED)
    assert told in sentence
    assert bool(sentence) == bool(told)


@pytest.mark.parametrize(
    "trained",
    [
        None,
        [],
        {"class_counts": ["a", 2]},
        {"class_counts": [10**400, 1]},
        {"pixel_mean": "x", "pixel_std": float("nan")},
    ],
)
def test_a_model_that_does_not_say_what_it_was_trained_on_is_no_error(trained):
    assert describe_drift({**TRAINED, "class_counts": [900, 100]}, trained) == ""


def test_predict_warns_of_inverted_images(artifacts, trained, caplog):
    images = 255 - np.load(pathlib.Path(trained["test_data"].path, "images.npy"))
    data = new_data(artifacts, images, np.zeros(len(images), np.uint8), 3)
    outputs = artifacts.run(predict, model=trained["model"], data=data)
    page = pathlib.Path(outputs["preview"].path).read_text()
    assert (
        "Warning: Far from the training data: shares of the predicted classes by 35 %; pixels"
        in page
    )
    assert "Far from the training data" in caplog.text


def test_predict_finds_images_like_those_in_training_unremarkable(artifacts, trained):
    outputs = artifacts.run(predict, model=trained["model"], data=trained["test_data"])
    page = pathlib.Path(outputs["preview"].path).read_text()
    assert "Warning" not in page
