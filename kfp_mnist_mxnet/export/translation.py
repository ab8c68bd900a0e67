"""A network of MXNet in ONNX, operator by operator.

Source of what each operator does: src/operator/ of MXNet 1.9.1, and docs/Operators.md of ONNX.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from onnx import (
    ModelProto,
    NodeProto,
    TensorProto,
    checker,
    helper,
    numpy_helper,
    shape_inference,
)

import kfp_mnist_mxnet
from kfp_mnist_mxnet.errors import InvalidInput
from kfp_mnist_mxnet.export.layout import INPUT, OUTPUT
from kfp_mnist_mxnet.model.info import ModelInfo
from kfp_mnist_mxnet.runtime.engine import mx

# The oldest versions that have every operator as it is needed: what can read more, reads these.
OPSET, IR_VERSION = 13, 7
BATCH = "batch"  # the length that is open

ACTIVATIONS = {
    "relu": "Relu",
    "sigmoid": "Sigmoid",
    "softrelu": "Softplus",
    "softsign": "Softsign",
    "tanh": "Tanh",
}


class Node(NamedTuple):
    """An operator of a symbol.

    inputs, output: names of tensors in the ONNX graph; attributes: as MXNet writes them.
    """

    operator: str
    name: str
    attributes: Mapping[str, str]
    inputs: Sequence[str]
    output: str

    def word(self, name: str, default: str) -> str:
        """Return the value of an attribute; default: MXNet's own."""
        return self.attributes.get(name, default)

    def sizes(self, name: str, default: str) -> list[int]:
        """Return the two numbers of an attribute such as (5, 5)."""
        return [int(number) for number in re.findall(r"\d+", self.word(name, default))]

    def unknown(self, name: str, value: str) -> InvalidInput:
        """Return the error of an attribute whose value has no translation."""
        return InvalidInput(
            f"the operator {self.operator} ({self.name}) with {name}={value} has no translation "
            "to ONNX"
        )


class Graph:
    """An ONNX graph that grows.

    tensors: parameters and constants by name; flat: names of the tensors of two dimensions.
    """

    def __init__(self, tensors: Mapping[str, np.ndarray]) -> None:
        self.nodes: list[NodeProto] = []
        self.tensors = dict(tensors)
        self.flat: set[str] = set()

    def add(self, operator: str, node: Node, **attributes: Any) -> None:
        """Add an ONNX operator that gives what a node of the symbol gives."""
        made = helper.make_node(operator, node.inputs, [node.output], node.name, **attributes)
        self.nodes.append(made)
        if operator in ("Flatten", "Gemm") or node.inputs[0] in self.flat:
            self.flat.add(node.output)

    def constant(self, node: Node, name: str, value: np.ndarray) -> str:
        """Add a constant for a node; return the name of its tensor."""
        tensor = f"{node.name}/{name}"
        self.tensors[tensor] = value
        return tensor


def cast(graph: Graph, node: Node) -> None:
    """Translate Cast to float32, in which all else is computed."""
    dtype = node.word("dtype", "")
    if dtype != "float32":
        raise node.unknown("dtype", dtype)
    graph.add("Cast", node, to=TensorProto.FLOAT)


def divide(graph: Graph, node: Node) -> None:
    """Translate the division by a number."""
    divisor = np.array(float(node.word("scalar", "1")), np.float32)
    inputs = [*node.inputs, graph.constant(node, "divisor", divisor)]
    graph.add("Div", node._replace(inputs=inputs))


def convolution(graph: Graph, node: Node) -> None:
    """Translate Convolution, whose stride is 1."""
    pads = node.sizes("pad", "(0, 0)") * 2  # at the start of each axis, then at its end
    graph.add("Conv", node, kernel_shape=node.sizes("kernel", ""), pads=pads)


def pooling(graph: Graph, node: Node) -> None:
    """Translate Pooling, which leaves out what fills no whole window."""
    kind = node.word("pool_type", "max")
    if kind not in ("max", "avg"):
        raise node.unknown("pool_type", kind)
    operator = "MaxPool" if kind == "max" else "AveragePool"
    sizes = {"kernel_shape": node.sizes("kernel", ""), "strides": node.sizes("stride", "(1, 1)")}
    graph.add(operator, node, **sizes)


def batch_norm(graph: Graph, node: Node) -> None:
    """Translate BatchNorm; MXNet takes gamma for 1 unless it is told not to."""
    data, gamma, *others = node.inputs
    if node.word("fix_gamma", "True").lower() in ("true", "1"):
        gamma = graph.constant(node, "gamma", np.ones_like(graph.tensors[gamma]))
    epsilon = float(node.word("eps", "0.001"))
    graph.add("BatchNormalization", node._replace(inputs=[data, gamma, *others]), epsilon=epsilon)


def activation(graph: Graph, node: Node) -> None:
    """Translate Activation."""
    kind = node.word("act_type", "")
    if kind not in ACTIVATIONS:
        raise node.unknown("act_type", kind)
    graph.add(ACTIVATIONS[kind], node)


def dropout(graph: Graph, node: Node) -> None:
    """Translate Dropout, which does nothing outside of training."""
    graph.add("Identity", node)


def flatten(graph: Graph, node: Node) -> None:
    """Translate Flatten."""
    graph.add("Flatten", node, axis=1)


def dense(graph: Graph, node: Node) -> None:
    """Translate FullyConnected, which flattens what it is given."""
    data, *parameters = node.inputs
    if data not in graph.flat:
        name = f"{node.name}/flat"
        flatten(graph, node._replace(name=name, inputs=[data], output=name))
        data = name
    graph.add("Gemm", node._replace(inputs=[data, *parameters]), transB=1)


def softmax(graph: Graph, node: Node) -> None:
    """Translate SoftmaxOutput; its second input, the label, is for training."""
    graph.add("Softmax", node._replace(inputs=node.inputs[:1]), axis=1)


TRANSLATIONS: dict[str, Callable[[Graph, Node], None]] = {
    "Cast": cast,
    "_div_scalar": divide,
    "Convolution": convolution,
    "BatchNorm": batch_norm,
    "Pooling": pooling,
    "Activation": activation,
    "Dropout": dropout,
    "Flatten": flatten,
    "FullyConnected": dense,
    "SoftmaxOutput": softmax,
}


def translate(module: mx.mod.Module, info: ModelInfo, names: Sequence[str]) -> ModelProto:
    """Return a Module's network as an ONNX model, as translate_symbol does."""
    halves = module.get_params()
    parameters = {name: array.asnumpy() for half in halves for name, array in half.items()}
    return translate_symbol(module.symbol.tojson(), parameters, info, names)


def translate_symbol(
    symbol: str, parameters: Mapping[str, np.ndarray], info: ModelInfo, names: Sequence[str]
) -> ModelProto:
    """Return a network as an ONNX model: uint8 (batch, C, H, W) to float32 (batch, num_classes).

    symbol: its JSON, as MXNet writes it; parameters: name to array, float32; names: of the classes.

    Raises:
        InvalidInput: it has an operator or a value of an attribute that has no translation.
    """
    graph = Graph({tensor_name(name): array for name, array in parameters.items()})
    nodes = json.loads(symbol)["nodes"]
    outputs = [INPUT if node["name"] == "data" else tensor_name(node["name"]) for node in nodes]
    outputs[-1] = OUTPUT
    for node, output in zip(nodes, outputs, strict=True):
        operator, name = node["op"], node["name"]
        if operator == "null":
            continue
        if operator not in TRANSLATIONS:
            raise InvalidInput(f"the operator {operator} ({name}) has no translation to ONNX")
        inputs = [outputs[place] for place, *_ in node["inputs"]]
        TRANSLATIONS[operator](graph, Node(operator, name, node.get("attrs", {}), inputs, output))
    return checked(as_model(graph, info, names))


def tensor_name(name: str) -> str:
    """Return the name of a tensor inside the ONNX graph: the symbol's own, if it is free."""
    return f"{name}/inner" if name in (INPUT, OUTPUT) else name


def as_model(graph: Graph, info: ModelInfo, names: Sequence[str]) -> ModelProto:
    """Return the model of a graph that is whole, with what is known about it as metadata."""
    described = helper.make_tensor_value_info
    used = {name for node in graph.nodes for name in node.input}
    made = helper.make_graph(
        graph.nodes,
        "network",
        [described(INPUT, TensorProto.UINT8, [BATCH, *info.input_shape])],
        [described(OUTPUT, TensorProto.FLOAT, [BATCH, info.num_classes])],
        [
            numpy_helper.from_array(array, name)
            for name, array in graph.tensors.items()
            if name in used
        ],
    )
    model = helper.make_model(
        made,
        ir_version=IR_VERSION,
        opset_imports=[helper.make_opsetid("", OPSET)],
        producer_name="kfp-mnist-mxnet",
        producer_version=kfp_mnist_mxnet.__version__,
        doc_string="Images, uint8 (batch, C, H, W) with pixels 0 to 255, to class probabilities.",
    )
    helper.set_model_props(model, metadata(info, names))
    return model


def metadata(info: ModelInfo, names: Sequence[str]) -> dict[str, str]:
    """Return what the file says of itself; what is no plain text is JSON."""
    return {
        "class_names": json.dumps(list(names)),
        "image_shape": json.dumps(info.input_shape),
        "mxnet_sha256": json.dumps(info.sha256, sort_keys=True),
        "train_data_sha256": str(info.train_data_sha256),
    }


def checked(model: ModelProto) -> ModelProto:
    """Return a model with the shapes of its tensors, inferred and checked.

    Raises:
        InvalidInput: it is no valid ONNX model.
    """
    try:
        checker.check_model(model, full_check=True)
        return shape_inference.infer_shapes(model, check_type=True, strict_mode=True)
    except (checker.ValidationError, shape_inference.InferenceError) as error:
        reason = str(error).strip().splitlines()[0]
        raise InvalidInput(f"the translation is no valid ONNX model: {reason}") from error
