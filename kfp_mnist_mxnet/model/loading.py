"""Loading a model for prediction."""

import math

import numpy as np

from kfp_mnist_mxnet.errors import DamagedFile
from kfp_mnist_mxnet.model.info import PARAMETERS_FILE, SYMBOL_FILE, ModelInfo, read_whole
from kfp_mnist_mxnet.model.module import bind_for_prediction
from kfp_mnist_mxnet.model.parameters import parse_parameters
from kfp_mnist_mxnet.model.symbol import check_symbol
from kfp_mnist_mxnet.runtime.engine import mx
from kfp_mnist_mxnet.storage.artifact import regular_file

LARGEST_LAYER = 64 << 20  # outputs for each image: 256 MiB


def load_model(directory: str, batch_size: int) -> tuple[list[mx.mod.Module], ModelInfo]:
    """Load a model directory for prediction on the CPU.

    Returns: a Module for each context, bound for batches uint8 (batch_size, C, H, W); what is known
        about the model.

    Raises:
        InvalidInput: a file is missing or damaged, is of another format, or is not what the layout
            says; the symbol has an operator that is not allowed; a parameter is NaN or infinite,
            missing, or of another shape.
    """
    info = read_whole(directory)
    symbol_file, parameters_file = (
        regular_file(directory, name) for name in (SYMBOL_FILE, PARAMETERS_FILE)
    )
    graph = symbol_file.read_bytes()
    check_symbol(graph, str(symbol_file))
    parameters = parse_parameters(parameters_file.read_bytes(), str(parameters_file))
    try:
        symbol = mx.sym.load_json(graph.decode())
        check_sizes(symbol, info, parameters)
        modules = bind_for_prediction(symbol, [batch_size, *info.input_shape])
        for module in modules:
            set_parameters(module, parameters)
    except (ValueError, TypeError, RuntimeError, mx.MXNetError) as error:
        reason = str(error).strip().splitlines()[-1]
        raise DamagedFile(f"the model in {directory} can't be used: {reason}") from error
    return modules, info


def set_parameters(module: mx.mod.Module, parameters: dict[str, np.ndarray]) -> None:
    """Give a Module its parameters: arg:NAME and aux:NAME to array."""
    halves: dict[str, dict[str, mx.nd.NDArray]] = {"arg": {}, "aux": {}}
    for key, array in parameters.items():
        half, _, name = key.partition(":")
        halves[half][name] = mx.nd.array(array)
    module.set_params(halves["arg"], halves["aux"])


def check_sizes(symbol: mx.sym.Symbol, info: ModelInfo, parameters: dict[str, np.ndarray]) -> None:
    """Check shapes before memory is taken for them: of the parameters, the layers, the output.

    parameters: as parse_parameters returns them.

    Raises:
        ValueError: the symbol needs other parameters than there are or of other shapes, one is
            NaN or infinite, a layer's output is too large, or the last one is no probability for
            each class.
    """
    internals = symbol.get_internals()
    known, layers, auxiliary = internals.infer_shape(data=(1, *info.input_shape))
    if known is None:
        raise ValueError("the shapes of its layers do not follow from input_shape")
    names = [f"arg:{name}" for name in internals.list_arguments()]
    names += [f"aux:{name}" for name in internals.list_auxiliary_states()]
    needed = dict(zip(names, [*known, *auxiliary], strict=True))
    for name in ("arg:data", "arg:softmax_label"):
        needed.pop(name, None)
    found = {name: array.shape for name, array in parameters.items()}
    for name in sorted(needed.keys() | found.keys()):
        if needed.get(name) != found.get(name):
            raise ValueError(
                f"the symbol needs {name} with the shape {needed.get(name)}, "
                f"but the parameters have {found.get(name)}"
            )
        if not np.isfinite(parameters[name]).all():
            raise ValueError(f"it has a parameter that is NaN or infinite in {name[4:]}")
    if layers[-1] != (1, info.num_classes):
        raise ValueError(
            f"model.json says {info.num_classes} classes, "
            f"but the symbol's output has the shape {layers[-1:]}"
        )
    if max(map(math.prod, layers)) > LARGEST_LAYER:
        raise ValueError(f"a layer has more than {LARGEST_LAYER:,} outputs for each image")
