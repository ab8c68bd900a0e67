"""The network as a symbol."""

from typing import Any


def build_network(
    num_classes: int,
    kernels: list[int],
    filters: list[int],
    activation: str,
    hidden_units: list[int],
) -> Any:
    """Return the symbol: uint8 (N, C, H, W) to class probabilities float32 (N, num_classes).

    Every convolution is followed by max pooling (2 x 2, stride 2) and the activation; pooling
    first gives the same values, as the activations are monotonic, for a quarter of the work.
    hidden_units: sizes of the dense layers, the last of them num_classes or -1, which means it.
    """
    import mxnet as mx

    x = mx.sym.Cast(mx.sym.Variable("data"), dtype="float32") / 255
    for i, (kernel, num_filter) in enumerate(zip(kernels, filters)):
        x = mx.sym.Convolution(x, kernel=(kernel, kernel), num_filter=num_filter, name=f"conv{i}")
        x = mx.sym.Pooling(x, pool_type="max", kernel=(2, 2), stride=(2, 2), name=f"pool{i}")
        x = mx.sym.Activation(x, act_type=activation, name=f"act{i}")
    x = mx.sym.Flatten(x)
    for i, units in enumerate(hidden_units[:-1]):
        x = mx.sym.FullyConnected(x, num_hidden=units, name=f"dense{i}")
        x = mx.sym.Activation(x, act_type=activation, name=f"dense_act{i}")
    x = mx.sym.FullyConnected(x, num_hidden=num_classes, name="output")
    return mx.sym.SoftmaxOutput(x, name="softmax")
