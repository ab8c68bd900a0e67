"""What earlier releases wrote is read as before: tests/release-* are of their components."""

import json
import pathlib
import shutil

import numpy as np
import pytest
from conftest import ROOT
from kfp import dsl

from kfp_mnist_mxnet.components.predict import predict
from kfp_mnist_mxnet.model.hyperparameters import BEFORE
from kfp_mnist_mxnet.model.info import PARAMETERS_FILE, SYMBOL_FILE
from kfp_mnist_mxnet.runtime.engine import mx

RELEASES = sorted((ROOT / "tests").glob("release-*"))
SMALL = {"kernels": [3], "filters": [2], "hidden_units": [-1], "batch_size": 9, "seed": 3}


@pytest.fixture(params=RELEASES, ids=lambda path: path.name)
def old(request) -> pathlib.Path:
    """The artifacts of a release, a directory each."""
    return request.param


def test_a_model_of_before_predicts_the_same_bytes(artifacts, old):
    predictions = artifacts.new(dsl.Dataset, "predictions")
    predict.python_func(
        model=dsl.Model(uri=str(old / "model")),
        data=dsl.Dataset(uri=str(old / "test_data")),
        predictions=predictions,
        metrics=artifacts.new(dsl.Metrics, "metrics"),
        preview=artifacts.new(dsl.HTML, "preview"),
    )
    new, before = pathlib.Path(predictions.path), old / "predictions"
    found, expected = (np.load(path / "probabilities.npy") for path in (new, before))
    assert np.allclose(found, expected, atol=1e-6)  # the last bits are the machine's
    assert (new / "labels.npy").read_bytes() == (before / "labels.npy").read_bytes()


@pytest.mark.parametrize("checkpoint", [True, False])
def test_data_and_a_checkpoint_of_before_train_on(artifacts, tmp_path, caplog, old, checkpoint):
    before = json.loads((old / "model" / "model.json").read_text())
    augmentation = before["hyperparameters"]["augmentation"]
    if checkpoint:
        shutil.copytree(old / "checkpoint", tmp_path / "checkpoint")
    data = {name: dsl.Dataset(uri=str(old / name)) for name in ("train_data", "validation_data")}
    settings = {**SMALL, "augmentation": augmentation, "epochs": 2}
    with caplog.at_level("INFO"):
        uri = str(tmp_path / "checkpoint")
        made = artifacts.train(data, **settings, checkpoint_uri=uri)["model"]
    assert any("Resuming after epoch 1" in line for line in caplog.messages) == checkpoint
    new = json.loads(pathlib.Path(made.path, "model.json").read_text())
    assert new.keys() == before.keys() | {"data", "stop_reason"}
    assert new["hyperparameters"] == BEFORE | before["hyperparameters"]
    for key in ("input_shape", "num_classes", "train_data_sha256"):
        assert new[key] == before[key]
    if checkpoint:
        assert new["history"][0] == before["history"][0]
    directories = (pathlib.Path(made.path), old / "model")
    symbols = [(directory / SYMBOL_FILE).read_bytes() for directory in directories]
    assert symbols[0] == symbols[1]
    weights = [mx.nd.load(str(directory / PARAMETERS_FILE)) for directory in directories]
    assert weights[0].keys() == weights[1].keys()
    for name, array in weights[0].items():
        expected = weights[1][name].asnumpy()
        # Images have been warped by other random numbers up to 0.2.0.
        assert augmentation or np.allclose(array.asnumpy(), expected, atol=1e-4), name
        assert array.shape == expected.shape
