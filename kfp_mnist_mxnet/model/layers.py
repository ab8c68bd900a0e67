"""What a network consists of, in numbers."""

import json
import math
from collections.abc import Sequence
from typing import NamedTuple

from kfp_mnist_mxnet.runtime.engine import mx


class Layer(NamedTuple):
    """A layer of a network, for one image.

    FLOPs: two for each multiply-add of the forward pass of convolutions and dense layers, the
    only ones that count. Moving averages of batch normalisation are not parameters.
    """

    name: str
    operator: str
    output: list[int]
    parameters: int
    flops: int


def describe_layers(network: mx.sym.Symbol, image_shape: Sequence[int]) -> list[Layer]:
    """Return the layers of a network; image_shape: (C, H, W)."""
    nodes = json.loads(network.tojson())["nodes"]
    internals = network.get_internals()
    known, outputs, _ = internals.infer_shape(data=(1, *image_shape))
    inputs = dict(zip(internals.list_arguments(), known, strict=True))
    shapes = dict(zip(internals.list_outputs(), outputs, strict=True))
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
        parameters = sum(math.prod(size) for size in sizes.values())
        flops = 2 * math.prod(weight) * math.prod(shape[2:]) if weight else 0
        layers.append(Layer(node["name"], node["op"], list(shape[1:]), parameters, flops))
    return layers
