"""Checkpoints: what training needs to go on after the last whole epoch, in one file.

checkpoint.npz  NumPy arrays (zip with CRC-32): arg:NAME and aux:NAME, the Module's parameters;
state:INDEX:I, the optimizer's, of the parameter INDEX; progress, JSON with training (what it
belongs to) and history (one record for each epoch). No random state: each epoch's is made from
the seed and its number.
"""

import io
import json
import logging
import zipfile
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from kfp_mnist_mxnet.errors import DamagedFile, InvalidInput
from kfp_mnist_mxnet.model.hyperparameters import BEFORE
from kfp_mnist_mxnet.runtime.engine import mx
from kfp_mnist_mxnet.storage.artifact import npy_header
from kfp_mnist_mxnet.storage.store import Store
from kfp_mnist_mxnet.training.history import Epoch
from kfp_mnist_mxnet.training.module import TrainingModule
from kfp_mnist_mxnet.training.request import CHECKPOINT

Identity = dict[str, Any]  # what tells one training from another, as JSON values


class Progress(NamedTuple):
    """What a checkpoint holds: arrays by name, and the epochs so far, at least one."""

    arrays: dict[str, np.ndarray]
    history: list[Epoch]


class Checkpoint:
    """The checkpoint of a training in a store."""

    def __init__(self, store: Store) -> None:
        self.store, self.name = store, store.locate(CHECKPOINT)

    def load(self, identity: Identity) -> Progress | None:
        """Return what was saved, None where nothing was.

        Raises:
            InvalidInput: it is damaged, or belongs to a different training run; the message says
                what differs.
        """
        content = self.store.read(CHECKPOINT)
        if content is None:
            return None
        try:
            arrays = read_npz(content)
            progress = json.loads(str(arrays.pop("progress")))
            before, history = progress["training"], progress["history"]
            if not isinstance(before, dict) or not isinstance(history, list) or not history:
                raise ValueError("training must be an object, history a list of epochs")
            before = BEFORE | before
            epochs = [Epoch.from_json(record) for record in history]
        except (
            *(ValueError, KeyError, TypeError, OSError, EOFError, RecursionError),
            *(zipfile.BadZipFile, NotImplementedError, RuntimeError),  # unknown method, encrypted
        ) as error:
            raise self.damaged(repr(error)) from error
        differences = [
            f"{key} was {before[key]!r} and is {value!r} now"
            for key, value in identity.items()
            if before.get(key, value) != value  # an older one says less
        ]
        if differences:
            raise InvalidInput(
                f"the checkpoint {self.name} belongs to a different training run: "
                f"{'; '.join(differences)}; choose another checkpoint_uri or remove it"
            )
        return Progress(arrays, epochs)

    def save(self, module: TrainingModule, identity: Identity, history: Sequence[Epoch]) -> None:
        """Save a Module after an epoch, or say in the log why it could not be saved."""
        records = [epoch.to_json() for epoch in history]
        progress = json.dumps({"training": identity, "history": records})
        buffer = io.BytesIO()
        arrays = {**arrays_of(module), "progress": np.array(progress)}
        np.savez(buffer, **arrays)  # type: ignore[arg-type] # mypy takes one for allow_pickle
        try:
            self.store.write(CHECKPOINT, buffer.getvalue())
        except (OSError, ValueError) as error:  # training is worth more than its checkpoint
            logging.warning("The checkpoint was not saved: %s", error)

    def restore_parameters(self, module: TrainingModule, arrays: dict[str, np.ndarray]) -> None:
        """Put the parameters of a checkpoint into a Module whose optimizer is not there yet.

        Raises:
            DamagedFile: an array is missing, or there is one that the Module has not.
        """
        wrong = mismatched_arrays(module, arrays)
        if wrong:
            raise self.damaged(f"{wrong[0]} does not fit the network")
        parameters: dict[str, dict[str, mx.nd.NDArray]] = {"arg": {}, "aux": {}}
        for key, array in arrays.items():
            kind, _, name = key.partition(":")
            if kind in parameters:
                parameters[kind][name] = mx.nd.array(array)
        module.set_params(parameters["arg"], parameters["aux"])

    def damaged(self, reason: str) -> DamagedFile:
        """Return the error that refuses the checkpoint."""
        return DamagedFile(
            f"the checkpoint {self.name} is damaged: remove it to start again ({reason})"
        )


def restore_states(module: TrainingModule, arrays: dict[str, np.ndarray]) -> None:
    """Put the optimizer's state of a checkpoint into a Module whose optimizer is there.

    arrays: of a checkpoint whose parameters fit the Module.
    """
    for key, view in state_views(module).items():
        if key in arrays:
            view[:] = arrays[key]


def state_views(module: TrainingModule) -> dict[str, mx.nd.NDArray]:
    """Return the parts of the optimizer's state by their names in a checkpoint."""
    return {
        f"state:{module._param_names.index(name)}:{i}": view
        for i, whole in enumerate(module.states)
        for name, view in module.packing.views(whole).items()
    }


def arrays_of(module: TrainingModule) -> dict[str, np.ndarray]:
    """Return a Module's parameters and its optimizer's state by their names in a checkpoint."""
    arguments, auxiliary = module.get_params()
    arrays = {f"arg:{name}": array.asnumpy() for name, array in arguments.items()}
    arrays.update({f"aux:{name}": array.asnumpy() for name, array in auxiliary.items()})
    arrays.update({key: view.asnumpy() for key, view in state_views(module).items()})
    return arrays


def mismatched_arrays(module: TrainingModule, arrays: dict[str, np.ndarray]) -> list[str]:
    """Return the names of arrays that are missing, or that a Module has not so."""
    arguments, auxiliary = module.get_params()
    shapes = {f"arg:{key}": array.shape for key, array in arguments.items()}
    states = {
        f"state:{index}:{i}": shapes[f"arg:{key}"]
        for index, key in enumerate(module._param_names)
        for i in range(2)
    }
    shapes |= {f"aux:{key}": array.shape for key, array in auxiliary.items()}
    found = {key: array.shape for key, array in arrays.items()}
    wrong = [key for key, shape in shapes.items() if found.get(key) != shape]
    possible = {**shapes, **states}
    wrong += [key for key, shape in found.items() if possible.get(key) != shape]
    return wrong + [key for key, array in arrays.items() if array.dtype != "float32"]


def read_npz(content: bytes) -> dict[str, np.ndarray]:
    """Return the arrays by name of a file that numpy.savez wrote.

    Nothing in it is compressed, so its arrays take no more memory than the file.

    Raises:
        ValueError: an array is compressed, damaged, or of a type that savez pickles.
        zipfile.BadZipFile, RuntimeError, NotImplementedError: it is no zip file, or another kind.
    """
    arrays = {}
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = archive.infolist()
        if any(member.compress_type != zipfile.ZIP_STORED for member in members):
            raise ValueError("it is compressed")
        if sum(member.file_size for member in members) > len(content):
            raise ValueError("its parts are larger than the whole")
        for member in members:
            data = archive.read(member)
            descr, shape, offset = npy_header(data, len(data), member.filename)
            array = np.frombuffer(data, descr, offset=offset).reshape(shape)
            arrays[member.filename[: -len(".npy")]] = array
    return arrays
