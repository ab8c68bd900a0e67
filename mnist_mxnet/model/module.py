"""A Module for a network, on the CPU or on GPUs."""

from collections.abc import Sequence

from mnist_mxnet.runtime.engine import mx


def bind_module(
    network: mx.sym.Symbol,
    shape: Sequence[int],
    for_training: bool,
    contexts: list[mx.Context] | None = None,
    dtype: str = "uint8",
) -> mx.mod.Module:
    """Return a Module for batches of a shape (N, C, H, W), without parameters yet.

    contexts: share each batch; None for the CPU. dtype: uint8 or float32.
    """
    labels = [name for name in network.list_arguments() if name == "softmax_label"]
    module = mx.mod.Module(network, label_names=labels, context=contexts or mx.cpu())
    module.bind(
        [mx.io.DataDesc("data", tuple(shape), dtype)],
        [mx.io.DataDesc(name, (shape[0],)) for name in labels] or None,
        for_training=for_training,
    )
    return module
