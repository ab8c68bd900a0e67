"""PyTorch's turn in benchmarks/predict.py: the suite's network, from its symbol and parameters.

It needs torch and numpy only, in any version of Python.
"""

import ast
import json
import pathlib
import sys
import time

import numpy as np
import torch
from torch import nn


def pair(attributes, name, default):
    return ast.literal_eval(attributes.get(name, str(default)))


def layer(node, inputs, arrays):
    """Return the PyTorch layer of one node of a symbol, None where it has nothing to do."""
    attributes, op = node.get("attrs", {}), node["op"]
    weights = [torch.from_numpy(arrays[name]) for name in inputs if name in arrays]
    if op in ("Convolution", "FullyConnected"):
        if op == "Convolution":
            made = nn.Conv2d(
                weights[0].shape[1],
                weights[0].shape[0],
                weights[0].shape[2:],
                pair(attributes, "stride", (1, 1)),
                pair(attributes, "pad", (0, 0)),
                bias=len(weights) > 1,
            )
        else:
            made = nn.Linear(*weights[0].shape[::-1], bias=len(weights) > 1)
        made.weight.data = weights[0]
        if len(weights) > 1:
            made.bias.data = weights[1]
        return made
    if op == "BatchNorm":
        made = nn.BatchNorm2d(len(weights[0]), eps=float(attributes.get("eps", 1e-3)))
        if attributes.get("fix_gamma", "True") == "True":
            weights[0] = torch.ones_like(weights[0])
        made.weight.data, made.bias.data, made.running_mean, made.running_var = weights
        return made
    if op == "Pooling":
        kinds = {"max": nn.MaxPool2d, "avg": nn.AvgPool2d}
        kernel, stride = pair(attributes, "kernel", ()), pair(attributes, "stride", (1, 1))
        return kinds[attributes["pool_type"]](kernel, stride, pair(attributes, "pad", (0, 0)))
    activations = {"relu": nn.ReLU, "tanh": nn.Tanh, "sigmoid": nn.Sigmoid, "softrelu": nn.Softplus}
    if op == "Activation":
        return activations[attributes["act_type"]]()
    others = {"Flatten": nn.Flatten, "SoftmaxOutput": lambda: nn.Softmax(1)}
    if op in others:
        return others[op]()
    if op in ("Dropout", "null", "Cast", "_div_scalar"):  # the last two are done on the batch
        return None
    raise SystemExit(f"predict_torch.py does not know the operator {op}")


def main():
    directory = pathlib.Path(sys.argv[1])
    arrays = dict(np.load(directory / "parameters.npz"))
    nodes = json.loads((directory / "model" / "model-symbol.json").read_text())["nodes"]
    names = [[nodes[i[0]]["name"] for i in node["inputs"]] for node in nodes]
    layers = [layer(node, inputs, arrays) for node, inputs in zip(nodes, names, strict=True)]
    network = nn.Sequential(*filter(None, layers)).eval()
    images = np.load(directory / "images.npy")

    def run():
        with torch.inference_mode():
            batches = (images[i : i + 1000] for i in range(0, len(images), 1000))
            outputs = [network(torch.from_numpy(batch).float() / 255) for batch in batches]
            return torch.cat(outputs).numpy()

    assert np.allclose(run(), arrays["probabilities"], atol=1e-4), "not the same network"
    print("ready", flush=True)
    for _ in sys.stdin:
        started = time.perf_counter()
        run()
        print(time.perf_counter() - started, flush=True)


if __name__ == "__main__":
    main()
