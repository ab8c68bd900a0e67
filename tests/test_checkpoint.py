import pathlib

import numpy as np
import pytest

from components._checkpoint import open_checkpoint
from components._hyperparameters import choose_hyperparameters
from components._mxnet import import_mxnet
from components._network import build_network
from components._training import fit, prepare_module

mx = import_mxnet()


def train(checkpoint, parameters: dict, contexts: int = 1, stop_after: int = 0) -> bytes:
    """Train for three epochs on 40 random images and return the parameters.

    stop_after: the epoch, counted from 1, after which training is interrupted.
    """
    small = {"epochs": 3, "kernels": [3], "filters": [4], "hidden_units": [6, 2], "batch_size": 8}
    chosen = choose_hyperparameters("best", {**small, **parameters})
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (40, 1, 8, 8), np.uint8)
    labels = generator.integers(0, 2, 40, np.uint8)
    where = [mx.cpu(i) for i in range(contexts)]
    module = prepare_module(build_network(chosen), [1, 8, 8], chosen, 1, where)
    name, read, write = checkpoint

    def write_and_stop(content: bytes) -> None:
        nonlocal stop_after
        write(content)
        stop_after -= 1
        if stop_after == 0:
            raise KeyboardInterrupt

    arguments = (module, images, labels, (images, labels), chosen, 1)
    fit(*arguments, (name, read, write_and_stop), {"seed": 1, **chosen})
    return b"".join(
        array.asnumpy().tobytes() for half in module.get_params() for array in half.values()
    )


@pytest.mark.parametrize("contexts", [1, 2])
@pytest.mark.parametrize("optimizer", ["nag", "sgd", "adam"])
def test_resumed_training_ends_with_the_same_bytes(tmp_path, optimizer, contexts):
    parameters = {"optimizer": optimizer, "learning_rate": 0.01}
    whole = train(open_checkpoint(str(tmp_path / "whole"), ""), parameters, contexts)
    checkpoint = open_checkpoint(str(tmp_path / "stopped"), "")
    with pytest.raises(KeyboardInterrupt):
        train(checkpoint, parameters, contexts, stop_after=2)
    assert train(checkpoint, parameters, contexts) == whole
    assert train(checkpoint, parameters, contexts) == whole  # there is nothing left to do


def test_refuses_a_checkpoint_of_other_hyperparameters(tmp_path):
    checkpoint = open_checkpoint(str(tmp_path), "")
    train(checkpoint, {})
    with pytest.raises(ValueError, match=r"another training: dropout was 0\.4 and is 0\.1 now; "):
        train(checkpoint, {"dropout": 0.1})


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty"])
def test_refuses_a_damaged_checkpoint(tmp_path, damage):
    checkpoint = open_checkpoint(str(tmp_path), "")
    train(checkpoint, {})
    path = tmp_path / "checkpoint.npz"
    content = bytearray(path.read_bytes())
    if damage == "flipped":
        content[len(content) // 2] ^= 255
    path.write_bytes(content[: {"cut": 999, "flipped": None, "empty": 0}[damage]])
    with pytest.raises(ValueError, match="is damaged: remove it to start again"):
        train(checkpoint, {})


def test_a_failed_write_leaves_the_checkpoint_as_it_was(tmp_path):
    _, read, write = open_checkpoint(f"file://{tmp_path}/new", "")
    assert read() is None
    write(b"first")
    with pytest.raises(TypeError):
        write("no bytes")
    assert read() == b"first"
    assert pathlib.Path(tmp_path, "new", "checkpoint.npz").read_bytes() == b"first"
