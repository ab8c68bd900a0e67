"""What the operators of model/operators.py are in ONNX.

It needs no package of ONNX: training asks it whether a network can be exported.
Source of what each operator does: src/operator/ of MXNet 1.9.1, and docs/Operators.md of ONNX.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

FLOAT = 1  # TensorProto.FLOAT of onnx


class Node(NamedTuple):
    """A node of a symbol that computes.

    attributes: as MXNet writes them; inputs, output: names of tensors in the ONNX graph.
    """

    name: str
    attributes: Mapping[str, str]
    inputs: Sequence[str]
    output: str

    def flag(self, name: str, default: str = "False") -> bool:
        """Return an attribute that is true or false; default: MXNet's own."""
        return self.attributes.get(name, default) == "True"

    def number(self, name: str, default: float) -> float:
        """Return an attribute that is a number; default: MXNet's own."""
        return float(self.attributes.get(name, default))

    def sizes(self, name: str, default: str) -> list[int]:
        """Return the two numbers of an attribute such as (5, 5); default: MXNet's own."""
        return [int(number) for number in re.findall(r"\d+", self.attributes.get(name, default))]


class Graph:
    """An ONNX graph that grows.

    nodes: ONNX operator, node, ONNX attributes; tensors: parameters and constants by name; flat:
    names of the tensors of two dimensions.
    """

    def __init__(self, tensors: Mapping[str, np.ndarray]) -> None:
        self.nodes: list[tuple[str, Node, dict[str, Any]]] = []
        self.tensors = dict(tensors)
        self.flat: set[str] = set()

    def add(self, operator: str, node: Node, **attributes: Any) -> None:
        """Add an ONNX operator that gives what a node of the symbol gives."""
        self.nodes.append((operator, node, attributes))
        if operator in ("Flatten", "Gemm") or node.inputs[0] in self.flat:
            self.flat.add(node.output)

    def constant(self, node: Node, name: str, value: np.ndarray) -> str:
        """Add a constant for a node; return the name of its tensor."""
        self.tensors[f"{node.name}/{name}"] = value
        return f"{node.name}/{name}"


def named(operator: str, **attributes: Any) -> Callable[[Graph, Node], None]:
    """Return the translation to an ONNX operator of the same inputs."""
    return lambda graph, node: graph.add(operator, node, **attributes)


def with_scalar(operator: str) -> Callable[[Graph, Node], None]:
    """Return the translation to an ONNX operator whose second input is the attribute scalar."""

    def translate(graph: Graph, node: Node) -> None:
        value = np.array(node.number("scalar", 1), np.float32)
        inputs = [*node.inputs, graph.constant(node, "scalar", value)]
        graph.add(operator, node._replace(inputs=inputs))

    return translate


def activation(graph: Graph, node: Node) -> None:
    """Translate Activation: relu is Relu in ONNX, and so on."""
    kind = node.attributes["act_type"]
    graph.add("Softplus" if kind == "softrelu" else kind.capitalize(), node)


def leaky_relu(graph: Graph, node: Node) -> None:
    """Translate LeakyReLU, whose kinds without parameters are leaky and elu."""
    operator = "Elu" if node.attributes.get("act_type") == "elu" else "LeakyRelu"
    graph.add(operator, node, alpha=node.number("slope", 0.25))


def windows(node: Node) -> dict[str, Any]:
    """Return ONNX's attributes of windows that move over an image."""
    return {
        "kernel_shape": node.sizes("kernel", ""),
        "strides": node.sizes("stride", "(1, 1)"),
        "pads": node.sizes("pad", "(0, 0)") * 2,  # at the start of each axis, then at its end
    }


def convolution(graph: Graph, node: Node) -> None:
    """Translate Convolution."""
    dilations, group = node.sizes("dilate", "(1, 1)"), int(node.number("num_group", 1))
    graph.add("Conv", node, **windows(node), dilations=dilations, group=group)


def pooling(graph: Graph, node: Node) -> None:
    """Translate Pooling, which leaves out what fills no whole window."""
    mean = node.attributes.get("pool_type") == "avg"
    operator = "AveragePool" if mean else "MaxPool"
    if node.flag("global_pool"):
        graph.add(f"Global{operator}", node)
        return
    padded = {"count_include_pad": int(node.flag("count_include_pad", "True"))} if mean else {}
    graph.add(operator, node, **windows(node), **padded)


def batch_norm(graph: Graph, node: Node) -> None:
    """Translate BatchNorm; MXNet takes gamma for 1 unless it is told not to."""
    data, gamma, *others = node.inputs
    if node.flag("fix_gamma", "True"):
        gamma = graph.constant(node, "gamma", np.ones_like(graph.tensors[gamma]))
    inputs = [data, gamma, *others]
    graph.add("BatchNormalization", node._replace(inputs=inputs), epsilon=node.number("eps", 1e-3))


def dense(graph: Graph, node: Node) -> None:
    """Translate FullyConnected, which flattens what it is given."""
    data, *parameters = node.inputs
    if data not in graph.flat:
        name = f"{node.name}/flat"
        graph.add("Flatten", node._replace(name=name, inputs=[data], output=name), axis=1)
        data = name
    graph.add("Gemm", node._replace(inputs=[data, *parameters]), transB=1)


def softmax(graph: Graph, node: Node) -> None:
    """Translate SoftmaxOutput; its second input, the label, is for training."""
    graph.add("Softmax", node._replace(inputs=node.inputs[:1]), axis=1)


TRANSLATIONS: dict[str, Callable[[Graph, Node], None]] = {
    "Cast": named("Cast", to=FLOAT),
    "_plus_scalar": with_scalar("Add"),
    "_minus_scalar": with_scalar("Sub"),
    "_mul_scalar": with_scalar("Mul"),
    "_div_scalar": with_scalar("Div"),
    "elemwise_add": named("Add"),
    "elemwise_mul": named("Mul"),
    "broadcast_add": named("Add"),
    "broadcast_mul": named("Mul"),
    "Concat": named("Concat", axis=1),
    "Convolution": convolution,
    "BatchNorm": batch_norm,
    "Pooling": pooling,
    "Activation": activation,
    "LeakyReLU": leaky_relu,
    "Dropout": named("Identity"),  # it does nothing outside of training
    "Flatten": named("Flatten", axis=1),
    "FullyConnected": dense,
    "SoftmaxOutput": softmax,
}
