"""Writing a model."""

import dataclasses
import errno
import pathlib

from kfp_mnist_mxnet.model.info import PARAMETERS_FILE, SYMBOL_FILE, ModelInfo, file_sha256
from kfp_mnist_mxnet.runtime.engine import mx


def save_model(directory: pathlib.Path, module: mx.mod.Module, info: ModelInfo) -> None:
    """Write a model directory: the Module's checkpoint and what it was made from.

    Raises:
        OSError: the disk is full.
    """
    directory.mkdir()
    symbol, parameters = directory / SYMBOL_FILE, directory / PARAMETERS_FILE
    symbol.write_text(module.symbol.tojson())
    save_parameters(module, parameters)
    digests = {path.name: file_sha256(path) for path in (symbol, parameters)}
    dataclasses.replace(info, sha256=digests).save(directory)


def save_parameters(module: mx.mod.Module, path: pathlib.Path) -> None:
    """Write the parameters of a Module, and read them again: MXNet writes through a buffer.

    Where the disk is full it fails in words of its own, or silently at the end.

    Raises:
        OSError: the file can't be written whole.
    """
    try:
        module.save_params(str(path))
        mx.nd.load(str(path))
    except mx.MXNetError as error:
        raise OSError(errno.ENOSPC, "the parameters could not be written whole") from error
