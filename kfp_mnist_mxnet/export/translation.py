"""A network of MXNet in ONNX, operator by operator, as export/operators.py has them."""

import json
from collections.abc import Mapping, Sequence

import numpy as np
from onnx import (
    ModelProto,
    TensorProto,
    checker,
    helper,
    numpy_helper,
    shape_inference,
)

import kfp_mnist_mxnet
from kfp_mnist_mxnet.errors import InvalidInput
from kfp_mnist_mxnet.export.layout import INPUT, OUTPUT
from kfp_mnist_mxnet.export.operators import TRANSLATIONS, Graph, Node
from kfp_mnist_mxnet.model.info import ModelInfo
from kfp_mnist_mxnet.runtime.engine import mx

# The oldest versions that have every operator as it is needed: what can read more, reads these.
OPSET, IR_VERSION = 13, 7
BATCH = "batch"  # the length that is open


def translate(module: mx.mod.Module, info: ModelInfo, names: Sequence[str]) -> ModelProto:
    """Return a Module's network as an ONNX model, as translate_symbol does."""
    halves = module.get_params()
    parameters = {name: array.asnumpy() for half in halves for name, array in half.items()}
    return translate_symbol(module.symbol.tojson(), parameters, info, names)


def translate_symbol(
    symbol: str, parameters: Mapping[str, np.ndarray], info: ModelInfo, names: Sequence[str]
) -> ModelProto:
    """Return a network as an ONNX model: uint8 (batch, C, H, W) to float32 (batch, num_classes).

    symbol: its JSON, which check_symbol lets through; parameters: name to array, float32; names: of
    the classes.

    Raises:
        InvalidInput: the translation is no valid ONNX model.
    """
    graph = Graph({tensor_name(name): array for name, array in parameters.items()})
    nodes = json.loads(symbol)["nodes"]
    outputs = [INPUT if node["name"] == "data" else tensor_name(node["name"]) for node in nodes]
    outputs[-1] = OUTPUT
    for node, output in zip(nodes, outputs, strict=True):
        if node["op"] != "null":
            inputs = [outputs[place] for place, *_ in node["inputs"]]
            made = Node(node["name"], node.get("attrs", {}), inputs, output)
            TRANSLATIONS[node["op"]](graph, made)
    return checked(as_model(graph, info, names))


def tensor_name(name: str) -> str:
    """Return the name of a tensor inside the ONNX graph: the symbol's own, if it is free."""
    return f"{name}/inner" if name in (INPUT, OUTPUT) else name


def as_model(graph: Graph, info: ModelInfo, names: Sequence[str]) -> ModelProto:
    """Return the model of a graph that is whole, with what is known about it as metadata."""
    described = helper.make_tensor_value_info
    used = {name for _, node, _ in graph.nodes for name in node.inputs}
    made = helper.make_graph(
        [
            helper.make_node(operator, node.inputs, [node.output], node.name, **attributes)
            for operator, node, attributes in graph.nodes
        ],
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
