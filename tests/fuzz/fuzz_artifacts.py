"""Fuzz the readers of artifacts: python tests/fuzz/fuzz_artifacts.py [options] CORPUS...

The first byte of an input chooses the file that the others are the content of.
"""

import copy
import hashlib
import json
import os
import pathlib
import shutil
import sys
import tempfile
from typing import Any

sys.path.insert(0, str(pathlib.Path(__file__).parents[2]))

from kfp_mnist_mxnet.errors import InvalidInput
from kfp_mnist_mxnet.model.hyperparameters import Hyperparameters

PLACE = pathlib.Path(tempfile.gettempdir(), f"fuzz-artifacts-{os.getpid()}")
TRAINING = {"seed": 1}
CHOSEN = Hyperparameters(
    activation="relu",
    dropout=0.5,
    label_smoothing=0.1,
    filters=[2],
    kernels=[3],
    padding=[0],
    pooling=[True],
    hidden_units=[3, 2],
    batch_size=2,
    augmentation=0.0,
    weight_decay=0.0,
    epochs=2,
    schedule="constant",
)
SHAPE = [1, 6, 6]
EDITS: tuple[Any, ...] = (
    *(-1, 0, 1, 2, 3, 5, 7, 12, 99, 2**31, 2**63, 10**30, 0.5, True, None, [], {}, "", "null"),
    *("Custom", "_CachedOp", "_foreach", "Cast", "Flatten", "Convolution", "BatchNorm", "data"),
    *("Activation", "SoftmaxOutput", "(0, 0)", "(9999, 9999)", "(1, 1)", "(3, 3, 3)", "max", "avg"),
    *("float16", "int32", "uint8", "0", "9999999999", "-1", "nan", "inf", "tanh", "softmax_label"),
    *([[0, 0, 0]], [[0, 0, 0], [1, 0, 0]], [[31, 0, 0]], [[2, 0, 0]], ["x"], {"kernel": "(2, 2)"}),
)


def good_files() -> dict[str, bytes]:
    """Return the files of a data set, predictions, a model and a checkpoint, all tiny."""
    import numpy as np

    from kfp_mnist_mxnet.data.writing import write_dataset
    from kfp_mnist_mxnet.model.info import ModelInfo
    from kfp_mnist_mxnet.model.saving import save_model
    from kfp_mnist_mxnet.prediction.predictions import write_predictions
    from kfp_mnist_mxnet.prediction.predictor import Predictor
    from kfp_mnist_mxnet.runtime.engine import mx
    from kfp_mnist_mxnet.storage.store import FileStore
    from kfp_mnist_mxnet.training.checkpoint import Checkpoint
    from kfp_mnist_mxnet.training.history import Epoch

    images, labels = np.zeros((4, *SHAPE), np.uint8), np.array([0, 1, 0, 1], np.uint8)
    with tempfile.TemporaryDirectory() as scratch:
        root = pathlib.Path(scratch)
        write_dataset(root / "data", images, labels, 2, "fuzz")
        trainer = new_trainer(root / "data")
        record = {"train_accuracy": 0.5, "train_loss": 0.5, "validation_accuracy": 0.5}
        info = ModelInfo(SHAPE, 2, hyperparameters={"epochs": 1}, history=[record])
        save_model(root / "model", trainer.module, info)
        write_predictions(root / "predictions", Predictor(str(root / "model"), 2), images)
        trainer.resume(None)
        batch = mx.io.DataBatch([mx.nd.array(images[:2])], [mx.nd.array(labels[:2])])
        trainer.module.forward_backward(batch)
        trainer.module.update()
        epoch = Epoch(0.5, 0.5, 1.0, 4.0, [[1.0, 0.5, 0.5, 0.1]], 0.5)
        Checkpoint(FileStore(str(root))).save(trainer.module, TRAINING, [epoch])
        return {
            str(path.relative_to(root)): path.read_bytes()
            for path in root.rglob("*")
            if path.is_file()
        }


def new_trainer(directory: pathlib.Path) -> Any:
    """Return a trainer with its first parameters, for a data set directory."""
    from kfp_mnist_mxnet.data.dataset import read_dataset
    from kfp_mnist_mxnet.runtime.engine import mx
    from kfp_mnist_mxnet.training.trainer import Trainer

    split = read_dataset(directory)
    return Trainer(split, split.empty(), CHOSEN, 0, [mx.cpu()])


def targets() -> dict[str, Any]:
    """Return each file that is fuzzed, and the function that reads it."""
    import numpy as np

    from kfp_mnist_mxnet.data.dataset import read_dataset
    from kfp_mnist_mxnet.evaluation.comparison import Trial, varied_names
    from kfp_mnist_mxnet.model.hyperparameters import UNSET
    from kfp_mnist_mxnet.model.trials import check_trials
    from kfp_mnist_mxnet.prediction.predictor import Predictor
    from kfp_mnist_mxnet.prediction.shards import order_shards, read_true_labels
    from kfp_mnist_mxnet.storage.store import FileStore
    from kfp_mnist_mxnet.training.checkpoint import Checkpoint, restore_states

    def read_data(root: pathlib.Path) -> None:
        read_dataset(str(root / "data"))
        read_true_labels(str(root / "data"))

    def read_model(root: pathlib.Path) -> None:
        varied_names([Trial.read(str(root / "model"))])
        predictor = Predictor(str(root / "model"), 2)
        list(predictor.probabilities(np.zeros((3, *predictor.info.input_shape), np.uint8)))

    def read_predictions(root: pathlib.Path) -> None:
        order_shards([str(root / "predictions")], 4)

    def read_checkpoint(root: pathlib.Path) -> None:
        checkpoint = Checkpoint(FileStore(str(root)))
        progress = checkpoint.load(TRAINING)
        assert progress
        trainer = new_trainer(root / "data")
        checkpoint.restore_parameters(trainer.module, progress.arrays)
        trainer.start_optimizer()
        restore_states(trainer.module, progress.arrays)

    def read_trials_json(root: pathlib.Path) -> None:
        try:
            trials = json.loads((root / "trials.json").read_bytes())
        except (ValueError, RecursionError):
            return  # Kubeflow's own part
        trials = trials if isinstance(trials, list) else [trials]
        check_trials(trials, "default", UNSET, 100, (1, 28, 28), 10)

    return {
        "data/images.npy": read_data,
        "data/labels.npy": read_data,
        "data/dataset.json": read_data,
        "predictions/probabilities.npy": read_predictions,
        "predictions/predictions.csv": read_predictions,
        "model/model.json": read_model,
        "model/model-symbol.json": read_model,
        "model/model-0000.params": read_model,
        "checkpoint.npz": read_checkpoint,
        "trials.json": read_trials_json,
        "edits": read_model,  # of the symbol, so that it stays JSON
    }


def edited(symbol: bytes, edits: bytes) -> bytes:
    """Return a symbol with values in other places: 4 bytes an edit, node, entry, place, value."""
    graph = json.loads(symbol)
    for node, entry, place, value in zip(*[iter(edits)] * 4, strict=False):
        nodes = graph["nodes"]
        chosen = graph if node == 255 else nodes[node % len(nodes)]
        key = sorted(chosen)[entry % len(chosen)]
        inner = chosen[key]
        if place and isinstance(inner, dict) and inner:
            inner[sorted(inner)[place % len(inner)]] = copy.deepcopy(EDITS[value % len(EDITS)])
        elif place and isinstance(inner, list) and inner and isinstance(inner[0], list):
            inner[place % len(inner)] = [value % 40, place // 64, 0]
        else:
            chosen[key] = copy.deepcopy(EDITS[value % len(EDITS)])
        if not isinstance(graph["nodes"], list) or not graph["nodes"]:
            break
        if not all(isinstance(node, dict) and node for node in graph["nodes"]):
            break
    return json.dumps(graph).encode()


class Fuzzer:
    """The good files, and what is done with a bad one."""

    def __init__(self, place: pathlib.Path = PLACE) -> None:
        self.place, self.good, self.targets = place, good_files(), targets()

    def write(self, name: str, content: bytes) -> None:
        """Write the good files with this one in place of its own; model.json has its digest."""
        shutil.rmtree(self.place, ignore_errors=True)
        files = {**self.good, name: content}
        if name.startswith("model/model-"):
            about = json.loads(files["model/model.json"])
            about["sha256"][pathlib.Path(name).name] = hashlib.sha256(content).hexdigest()
            files["model/model.json"] = json.dumps(about).encode()
        for file, data in files.items():
            (self.place / file).parent.mkdir(parents=True, exist_ok=True)
            (self.place / file).write_bytes(data)

    def try_input(self, content: bytes) -> None:
        """Read the files: it succeeds, or ValueError says why in one sentence.

        Raises:
            AssertionError: the message is no sentence.
            Exception: any other than ValueError is a fault of a reader.
        """
        if not content:
            return
        name, read = list(self.targets.items())[content[0] % len(self.targets)]
        content = content[1:]
        if name == "edits":
            name = "model/model-symbol.json"
            content = edited(self.good[name], content)
        self.write(name, content)
        before = set(self.place.rglob("*"))
        try:
            read(self.place)
        except ValueError as error:
            assert isinstance(error, InvalidInput), error  # noqa: PT017 (an input may be good)
        assert set(self.place.rglob("*")) == before


def seeds(fuzzer: Any) -> dict[str, bytes]:
    """Return a good input for each target."""
    good = {**fuzzer.good, "edits": b"", "trials.json": b'[{"epochs": 2, "dropout": 0.5}]'}
    return {name: bytes([i]) + good[name] for i, name in enumerate(fuzzer.targets)}


def main() -> None:
    """Fuzz until a fault is found or libFuzzer's options say to stop."""
    import atheris

    with atheris.instrument_imports(include=["kfp_mnist_mxnet"]):
        targets()
    fuzzer = Fuzzer()
    atheris.Setup(sys.argv, fuzzer.try_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
