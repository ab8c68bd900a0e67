"""The network as a symbol, and a description of its layers."""

from typing import Any

from components._hyperparameters import convolutions


def build_network(chosen: dict[str, Any]) -> Any:
    """Return the symbol: uint8 or float32 (N, C, H, W), 0 to 255, to probabilities float32.

    Every convolution is followed by max pooling (2 x 2, stride 2) and batch normalisation, both
    if wanted, and the activation; pooling before it gives the same values, as the activations are
    monotonic, for a quarter of the work. Dropout is before the last layer.
    chosen: activation, batch_norm, dropout, filters, kernels, padding, pooling, and hidden_units,
    the sizes of the dense layers, the last of them the number of classes.
    """
    import mxnet as mx

    with mx.name.NameManager():  # same names, so same bytes, at every call
        x = mx.sym.Cast(mx.sym.Variable("data"), dtype="float32") / 255
        for i, (kernel, num_filter, pad, pool) in enumerate(convolutions(chosen)):
            size = {"kernel": (kernel, kernel), "pad": (pad, pad), "num_filter": num_filter}
            x = mx.sym.Convolution(x, **size, name=f"conv{i}")
            if pool:
                two = {"kernel": (2, 2), "stride": (2, 2)}
                x = mx.sym.Pooling(x, pool_type="max", **two, name=f"pool{i}")
            if chosen["batch_norm"]:
                x = mx.sym.BatchNorm(x, fix_gamma=False, momentum=0.9, eps=1e-5, name=f"norm{i}")
            x = mx.sym.Activation(x, act_type=chosen["activation"], name=f"act{i}")
        x = mx.sym.Flatten(x, name="flatten")
        *hidden, num_classes = chosen["hidden_units"]
        for i, units in enumerate(hidden):
            x = mx.sym.FullyConnected(x, num_hidden=units, name=f"dense{i}")
            x = mx.sym.Activation(x, act_type=chosen["activation"], name=f"dense_act{i}")
        if chosen["dropout"]:
            x = mx.sym.Dropout(x, p=chosen["dropout"], name="dropout")
        x = mx.sym.FullyConnected(x, num_hidden=num_classes, name="output")
        return mx.sym.SoftmaxOutput(x, name="softmax")


def describe_layers(network: Any, image_shape: list[int]) -> list[dict[str, Any]]:
    """Return name, operator, output shape, parameters and FLOPs of each layer, for one image.

    FLOPs: two for each multiply-add of the forward pass of convolutions and dense layers, the
    only ones that count. Moving averages of batch normalisation are not parameters.
    """
    import json

    import numpy as np

    nodes = json.loads(network.tojson())["nodes"]
    internals = network.get_internals()
    known, outputs, _ = internals.infer_shape(data=(1, *image_shape))
    inputs = dict(zip(internals.list_arguments(), known))
    shapes = dict(zip(internals.list_outputs(), outputs))
    layers = []
    for node in nodes:
        shape = shapes.get(node["name"] + "_output")
        if node["op"] == "null" or shape is None or node["name"].startswith("_"):
            continue  # an input, or the division by 255
        own = [nodes[i]["name"] for i, *_ in node["inputs"] if nodes[i]["op"] == "null"]
        sizes = {name: inputs[name] for name in own if name in inputs}
        for name in ("data", "softmax_label"):
            sizes.pop(name, None)
        weight = sizes.get(node["name"] + "_weight", ())
        layers.append(
            {
                "name": node["name"],
                "operator": node["op"],
                "output": list(shape[1:]),
                "parameters": sum(int(np.prod(size)) for size in sizes.values()),
                "flops": 2 * int(np.prod(weight) * np.prod(shape[2:])) if weight else 0,
            }
        )
    return layers
