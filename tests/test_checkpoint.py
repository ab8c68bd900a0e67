import pathlib

import numpy as np
import pytest
from conftest import as_split

from kfp_mnist_mxnet.model.recipes import choose_hyperparameters
from kfp_mnist_mxnet.runtime.engine import mx
from kfp_mnist_mxnet.storage.store import FileStore, Store, open_store
from kfp_mnist_mxnet.training.checkpoint import Checkpoint
from kfp_mnist_mxnet.training.trainer import Trainer


class Stopping(FileStore):
    """A store that interrupts the training after so many checkpoints."""

    def __init__(self, directory: str, after: int) -> None:
        super().__init__(directory)
        self.after = after

    def write(self, name: str, content: bytes) -> None:
        super().write(name, content)
        self.after -= 1
        if self.after == 0:
            raise KeyboardInterrupt


def train(store: Store, parameters: dict, contexts: int = 1, validated: int = 40) -> bytes:
    """Train for three epochs on 40 random images and return the parameters.

    validated: how many of them are scored.
    """
    small = {"epochs": 3, "kernels": [3], "filters": [4], "hidden_units": [6, 2], "batch_size": 8}
    chosen = choose_hyperparameters("best", {**small, **parameters})
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (40, 1, 8, 8), np.uint8)
    labels = generator.integers(0, 2, 40, np.uint8)
    split, scored = as_split(images, labels, 2), as_split(images[:validated], labels[:validated], 2)
    trainer = Trainer(split, scored, chosen, 1, [mx.cpu(i) for i in range(contexts)])
    trainer.fit(Checkpoint(store))
    return b"".join(
        array.asnumpy().tobytes() for half in trainer.module.get_params() for array in half.values()
    )


@pytest.mark.parametrize("contexts", [1, 2])
@pytest.mark.parametrize("optimizer", ["nag", "sgd", "adam"])
def test_resumed_training_ends_with_the_same_bytes(tmp_path, optimizer, contexts):
    parameters = {"optimizer": optimizer, "learning_rate": 0.01}
    whole = train(FileStore(str(tmp_path / "whole")), parameters, contexts)
    checkpoint = FileStore(str(tmp_path / "stopped"))
    with pytest.raises(KeyboardInterrupt):
        train(Stopping(str(tmp_path / "stopped"), after=2), parameters, contexts)
    assert train(checkpoint, parameters, contexts) == whole
    assert train(checkpoint, parameters, contexts) == whole  # there is nothing left to do


def test_refuses_a_checkpoint_of_other_hyperparameters(tmp_path):
    checkpoint = FileStore(str(tmp_path))
    train(checkpoint, {})
    with pytest.raises(
        ValueError, match=r"different training run: dropout was 0\.4 and is 0\.1 now; "
    ):
        train(checkpoint, {"dropout": 0.1})


def test_refuses_a_checkpoint_of_other_validation_images(tmp_path):
    """Its scores are those of the images that were there."""
    checkpoint = FileStore(str(tmp_path))
    train(checkpoint, {})
    with pytest.raises(ValueError, match="training run: validation images was 40 and is 39 now"):
        train(checkpoint, {}, validated=39)


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty"])
def test_refuses_a_damaged_checkpoint(tmp_path, damage):
    checkpoint = FileStore(str(tmp_path))
    train(checkpoint, {})
    path = tmp_path / "checkpoint.npz"
    content = bytearray(path.read_bytes())
    if damage == "flipped":
        content[len(content) // 2] ^= 255
    path.write_bytes(content[: {"cut": 999, "flipped": None, "empty": 0}[damage]])
    with pytest.raises(ValueError, match="is damaged: remove it to start again"):
        train(checkpoint, {})


def test_a_failed_write_leaves_the_checkpoint_as_it_was(tmp_path):
    store = open_store(f"file://{tmp_path}/new", "", "checkpoint_uri")
    assert store.read("checkpoint.npz") is None
    store.write("checkpoint.npz", b"first")
    with pytest.raises(TypeError):
        store.write("checkpoint.npz", "no bytes")  # type: ignore[arg-type]
    assert store.read("checkpoint.npz") == b"first"
    assert pathlib.Path(tmp_path, "new", "checkpoint.npz").read_bytes() == b"first"
