import json
import pathlib
import re

import numpy as np
import pytest
from conftest import write_idx_set

from components._dataset import write_dataset
from components._mxnet import import_mxnet

import_mxnet()


def test_learns(trained):
    assert trained["metrics"].metadata["validation_accuracy"] > 0.9


def test_same_seed_gives_the_same_bytes(tmp_path, artifacts):
    data = artifacts.ingest(write_idx_set(tmp_path / "idx"))

    def parameters(seed: int) -> bytes:
        model = artifacts.train(data, seed=seed)["model"]
        return pathlib.Path(model.path, "model-0000.params").read_bytes()

    assert parameters(1) == parameters(1)
    assert parameters(1) != parameters(2)


def test_model_directory_says_what_it_was_made_from(trained):
    directory = pathlib.Path(trained["model"].path)
    about = json.loads((directory / "model.json").read_text())
    assert {path.name for path in directory.iterdir()} == {
        "model-symbol.json",
        "model-0000.params",
        "model.json",
    }
    assert about["input_shape"] == [1, 12, 12]
    assert about["num_classes"] == 3
    assert about["hyperparameters"]["filters"] == [8]
    assert about["train_data_sha256"] == trained["train_data"].metadata["sha256"]


def test_logs_what_the_tutorial_logs(tmp_path, artifacts, caplog):
    data = artifacts.ingest(write_idx_set(tmp_path / "idx"))
    with caplog.at_level("INFO"):
        artifacts.train(data, epochs=1)
    for pattern in (
        r"Epoch\[0\] Batch \[\d+-\d+\]\tSpeed: [\d.]+ samples/sec\taccuracy=[\d.]+",
        r"Epoch\[0\] Train-accuracy=[\d.]+",
        r"Epoch\[0\] Time cost=[\d.]+",
        r"Epoch\[0\] Validation-accuracy=[\d.]+",
    ):
        assert any(re.fullmatch(pattern, message) for message in caplog.messages), pattern


def test_trains_without_validation_images(tmp_path, artifacts):
    data = artifacts.ingest(write_idx_set(tmp_path / "idx"), validation_fraction=0)
    assert "validation_accuracy" not in artifacts.train(data)["metrics"].metadata


@pytest.mark.parametrize("activation", ["relu", "sigmoid", "softrelu", "softsign", "tanh"])
def test_takes_every_activation(tmp_path, artifacts, activation):
    data = artifacts.ingest(write_idx_set(tmp_path / "idx"))
    artifacts.train(data, activation=activation, epochs=1)


def test_takes_any_number_of_layers(tmp_path, artifacts):
    data = artifacts.ingest(write_idx_set(tmp_path / "idx"))
    artifacts.train(data, hidden_units=[-1])
    artifacts.train(data, kernels=[3, 2], filters=[4, 6], hidden_units=[8, 7, 3])


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"recipe": "none"}, "recipe must be one of .*, got 'none'"),
        ({"epochs": 0}, "epochs must be at least 1, got 0"),
        ({"batch_size": -2}, "batch_size must be at least 1, got -2"),
        ({"batch_size": 100}, "batch_size is 100, but there are only 58 training images"),
        ({"learning_rate": -0.1}, "learning_rate must be a positive number, got -0.1"),
        ({"learning_rate": float("nan")}, "learning_rate must be a positive number, got nan"),
        ({"activation": "gelu"}, "activation must be one of .*, got 'gelu'"),
        ({"kernels": [3, 3]}, "kernels and filters must have one entry for each convolution"),
        ({"filters": [0]}, "must be positive whole numbers"),
        ({"kernels": [12]}, r"kernels\[0\] is 12, but 12 x 12 pixels are left"),
        ({"hidden_units": [16, 4]}, "the last of hidden_units is 4, expected 3"),
        ({"device": "tpu"}, "device must be auto, cpu or gpu, got 'tpu'"),
        ({"device": "gpu"}, "no usable GPU"),
    ],
)
def test_refuses_bad_hyperparameters(tmp_path, artifacts, parameters, message):
    data = artifacts.ingest(write_idx_set(tmp_path / "idx"))
    with pytest.raises(ValueError, match=message):
        artifacts.train(data, **parameters)
    assert not pathlib.Path(artifacts.root, "model").exists()


def test_stops_at_a_loss_that_is_no_number(tmp_path, artifacts):
    data = artifacts.ingest(write_idx_set(tmp_path / "idx"))
    with pytest.raises(FloatingPointError, match="the loss became nan"):
        artifacts.train(data, learning_rate=1e30, epochs=20)
    assert not pathlib.Path(artifacts.root, "model").exists()


def test_refuses_data_that_is_no_data_set(tmp_path, artifacts):
    data = artifacts.ingest(write_idx_set(tmp_path / "idx"))
    np.save(pathlib.Path(data["train_data"].path, "images.npy"), np.zeros((3, 2)))
    with pytest.raises(ValueError, match="must be uint8 with 4 dimensions, got float64"):
        artifacts.train(data)


def test_reads_a_data_set_of_another_maker(tmp_path, artifacts):
    data = artifacts.ingest(write_idx_set(tmp_path / "idx"))
    labels = (np.arange(40) % 2).astype(np.uint8)
    images = np.zeros((40, 2, 5, 9), np.uint8)
    for name in ("train_data", "validation_data"):
        data[name].uri = str(tmp_path / name)
        write_dataset(pathlib.Path(data[name].path), images, labels, 2, "made up")
    artifacts.train(data)
