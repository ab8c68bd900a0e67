"""Whether a network can be trained, and what is trained be loaded: asked of the network itself.

So it is right for any network that model/network.py builds.
"""

import json
import math
import re
from collections.abc import Sequence

from kfp_mnist_mxnet.errors import DamagedFile, InvalidInput
from kfp_mnist_mxnet.export.operators import TRANSLATIONS
from kfp_mnist_mxnet.model.hyperparameters import Hyperparameters
from kfp_mnist_mxnet.model.layers import describe_layers
from kfp_mnist_mxnet.model.recipes import misfit, too_many
from kfp_mnist_mxnet.model.symbol import check_nodes
from kfp_mnist_mxnet.runtime.engine import mx


def check_trainable(
    network: mx.sym.Symbol, chosen: Hyperparameters, image_shape: Sequence[int], num_classes: int
) -> None:
    """Check a network before it is trained, and before memory is taken for it.

    chosen: what it was built from; image_shape: (C, H, W).

    Raises:
        InvalidInput: it has an operator that could not be loaded or exported, does not take such
            images, gives something else than a probability for each class, or is too large.
    """
    check_operators(network)
    shape = (chosen.batch_size, *image_shape)
    try:
        _, outputs, _ = network.infer_shape(data=shape)
    except mx.MXNetError as error:
        # Without the place in MXNet's code; a user of a recipe knows its kernels.
        reason = re.sub(r"\[.*Check failed: ", "", str(error).strip().splitlines()[-1])
        parts = (f"images {shape} don't fit the network", reason, misfit(chosen, image_shape))
        raise InvalidInput(": ".join(filter(None, parts))) from error
    expected = [(shape[0], num_classes)]
    if "softmax_label" not in network.list_arguments() or outputs != expected:
        raise InvalidInput(
            f"the network must give {expected} by a SoftmaxOutput called softmax, got {outputs}"
        )
    layers = describe_layers(network, image_shape)
    parameters = sum(layer.parameters for layer in layers)
    values = sum(math.prod(layer.output) for layer in layers if layer.flops)
    if problem := too_many(parameters, values * chosen.batch_size):
        raise InvalidInput(problem)


def check_operators(network: mx.sym.Symbol) -> None:
    """Check that a network can be loaded and exported after training.

    Raises:
        InvalidInput: it has an operator, attribute or input that can't; the message says where it
            is added.
    """
    graph = json.loads(network.tojson())
    try:
        check_nodes(graph)
    except DamagedFile as error:
        raise InvalidInput(
            f"the network can't be loaded or exported: {error}: see model/operators.py"
        ) from error
    missing = {node["op"] for node in graph["nodes"]} - {"null", *TRANSLATIONS}
    if missing:
        raise InvalidInput(f"export/operators.py has no translation of {', '.join(missing)}")
