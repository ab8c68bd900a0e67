"""A Module for a network, on the CPU or on GPUs."""

from collections.abc import Callable, Sequence

from kfp_mnist_mxnet.runtime.devices import prediction_contexts
from kfp_mnist_mxnet.runtime.engine import mx


def bind_module(
    network: mx.sym.Symbol,
    shape: Sequence[int],
    for_training: bool,
    contexts: list[mx.Context] | None = None,
    dtype: str = "uint8",
    module_class: Callable[..., mx.mod.Module] = mx.mod.Module,
) -> mx.mod.Module:
    """Return a Module for batches of a shape (N, C, H, W), without parameters yet.

    contexts: share each batch; None for one on the CPU. dtype: uint8 or float32.
    """
    labels = [name for name in network.list_arguments() if name == "softmax_label"]
    module = module_class(network, label_names=labels, context=contexts or mx.cpu())
    module.bind(
        [mx.io.DataDesc("data", tuple(shape), dtype)],
        [mx.io.DataDesc(name, (shape[0],)) for name in labels] or None,
        for_training=for_training,
    )
    return module


def bind_for_prediction(
    network: mx.sym.Symbol, shape: Sequence[int], batches: int | None = None
) -> list[mx.mod.Module]:
    """Return Modules that share prediction, for batches uint8 of a shape (N, C, H, W).

    They have no parameters yet. Each predicts whole batches. batches: that there will be; no more
    Modules than that.
    """
    return [
        bind_module(network, shape, for_training=False, contexts=[context])
        for context in prediction_contexts()[:batches]
    ]
