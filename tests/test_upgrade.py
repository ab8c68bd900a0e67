"""What release 0.1.0 wrote is read as before: tests/release-0.1.0 is of its components."""

import json
import pathlib
import shutil

import numpy as np
import pytest
from kfp import dsl

from components.predict import predict
from mnist_mxnet.model.info import PARAMETERS_FILE, SYMBOL_FILE
from mnist_mxnet.runtime.engine import mx

OLD = pathlib.Path(__file__).parent / "release-0.1.0"
SMALL = {"kernels": [3], "filters": [2], "hidden_units": [-1], "batch_size": 9, "seed": 3}


def old(kind: type, name: str):
    return kind(name=name, uri=str(OLD / name))


def test_a_model_of_before_predicts_the_same_bytes(artifacts):
    predictions = artifacts.new(dsl.Dataset, "predictions")
    predict.python_func(
        model=old(dsl.Model, "model"),
        data=old(dsl.Dataset, "test_data"),
        predictions=predictions,
        metrics=artifacts.new(dsl.Metrics, "metrics"),
        preview=artifacts.new(dsl.HTML, "preview"),
    )
    new, before = pathlib.Path(predictions.path), OLD / "predictions"
    found, expected = (np.load(path / "probabilities.npy") for path in (new, before))
    assert np.allclose(found, expected, atol=1e-6)  # the last bits are the machine's
    assert (new / "labels.npy").read_bytes() == (before / "labels.npy").read_bytes()


@pytest.mark.parametrize("checkpoint", [True, False])
def test_data_and_a_checkpoint_of_before_train_on_to_the_same_model(
    artifacts, tmp_path, caplog, checkpoint
):
    if checkpoint:
        shutil.copytree(OLD / "checkpoint", tmp_path / "checkpoint")
    data = {name: old(dsl.Dataset, name) for name in ("train_data", "validation_data")}
    uri = str(tmp_path / "checkpoint")
    with caplog.at_level("INFO"):
        made = artifacts.train(data, **SMALL, epochs=2, checkpoint_uri=uri)["model"]
    assert any("Going on after epoch 0" in line for line in caplog.messages) == checkpoint
    new, before = pathlib.Path(made.path), OLD / "model"
    assert (new / SYMBOL_FILE).read_bytes() == (before / SYMBOL_FILE).read_bytes()
    infos = [json.loads((directory / "model.json").read_text()) for directory in (new, before)]
    assert infos[0].keys() == infos[1].keys()
    added = {"label_smoothing": 0.0}
    assert infos[0].pop("hyperparameters") == infos[1].pop("hyperparameters") | added
    for key in ("input_shape", "num_classes", "train_data_sha256"):
        assert infos[0][key] == infos[1][key]
    weights = [mx.nd.load(str(directory / PARAMETERS_FILE)) for directory in (new, before)]
    assert weights[0].keys() == weights[1].keys()
    for name, array in weights[0].items():
        assert np.allclose(array.asnumpy(), weights[1][name].asnumpy(), atol=1e-4), name
