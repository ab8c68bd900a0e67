"""A pipeline with a training step of its own between ingest and evaluate of the suite.

It needs kfp and the two YAML files; its own step needs NumPy, but not MXNet. Compile it with
`kfp dsl compile`, or run it on this machine: python docs/foreign_pipeline.py DATA_URI
"""

import pathlib
import sys

from kfp import dsl, local
from kfp.components import load_component_from_file

YAML = pathlib.Path(__file__).parents[1] / "compiled" / "components"
ingest = load_component_from_file(str(YAML / "ingest.yaml"))
evaluate = load_component_from_file(str(YAML / "evaluate.yaml"))


@dsl.component(base_image="python:3.13", packages_to_install=["numpy>=1.26"])
def train_softmax(data: dsl.Input[dsl.Dataset], model: dsl.Output[dsl.Model], epochs: int = 10):
    """Train a softmax regression with NumPy; write it as a model that evaluate takes."""
    import hashlib
    import json
    import pathlib
    import struct

    import numpy as np

    images, labels = (np.load(f"{data.path}/{name}.npy") for name in ("images", "labels"))
    about = json.loads(pathlib.Path(data.path, "dataset.json").read_text())
    pixels, wanted = images.reshape(len(images), -1) / 255, np.eye(about["num_classes"])[labels]
    weight, bias = np.zeros((wanted.shape[1], pixels.shape[1])), np.zeros(wanted.shape[1])
    generator = np.random.default_rng(0)
    for batch in (
        part
        for _ in range(epochs)
        for part in np.array_split(generator.permutation(len(images)), max(1, len(images) // 64))
    ):
        scores = np.exp(pixels[batch] @ weight.T + bias)
        error = scores / scores.sum(1, keepdims=True) - wanted[batch]
        weight -= 0.5 / len(batch) * error.T @ pixels[batch]
        bias -= 0.5 / len(batch) * error.sum(0)

    # The network as MXNet writes it: operator, name, attributes, inputs.
    nodes = [
        ("null", "data", {}, []),
        ("Cast", "cast", {"dtype": "float32"}, [0]),
        ("_div_scalar", "divide", {"scalar": "255"}, [1]),
        ("null", "weight", {}, []),
        ("null", "bias", {}, []),
        ("FullyConnected", "dense", {"num_hidden": str(len(bias))}, [2, 3, 4]),
        ("null", "softmax_label", {}, []),
        ("SoftmaxOutput", "softmax", {}, [5, 6]),
    ]
    names = ("op", "name", "attrs", "inputs")
    rows = [
        dict(zip(names, (*node[:3], [[i, 0, 0] for i in node[3]]), strict=True)) for node in nodes
    ]
    arguments = [i for i, node in enumerate(nodes) if node[0] == "null"]
    symbol = {"nodes": rows, "arg_nodes": arguments, "heads": [[7, 0, 0]]}
    symbol |= {"node_row_ptr": [*range(9)], "attrs": {"mxnet_version": ["int", 10901]}}

    # And its parameters: a list of arrays, float32 on the CPU, and their names.
    parameters = struct.pack("<QQQ", 0x112, 0, 2)
    for array in (weight, bias):
        sizes = struct.pack(f"<I{array.ndim}q", array.ndim, *array.shape)
        parameters += struct.pack("<Ii", 0xF993FAC9, 0) + sizes + struct.pack("<iii", 1, 0, 0)
        parameters += array.astype("<f4").tobytes()
    parameters += struct.pack("<Q", 2)
    for key in (b"arg:weight", b"arg:bias"):
        parameters += struct.pack("<Q", len(key)) + key

    directory = pathlib.Path(model.path)
    directory.mkdir(parents=True)
    files = {
        "model-symbol.json": json.dumps(symbol).encode(),
        "model-0000.params": parameters,
    }
    for name, content in files.items():
        (directory / name).write_bytes(content)
    layout = {
        "format": 1,
        "input_shape": about["image_shape"],
        "num_classes": about["num_classes"],
        "sha256": {name: hashlib.sha256(content).hexdigest() for name, content in files.items()},
    }
    (directory / "model.json").write_text(json.dumps(layout))


@dsl.pipeline(name="foreign")
def foreign(data_uri: str = "mnist", epochs: int = 10) -> float:
    """Train a softmax regression; return its accuracy on the test images."""
    data = ingest(data_uri=data_uri)
    training = train_softmax(data=data.outputs["train_data"], epochs=epochs)
    score = evaluate(model=training.outputs["model"], data=data.outputs["test_data"])
    return score.outputs["Output"]


if __name__ == "__main__":
    local.init(local.SubprocessRunner(use_venv=False), pipeline_root="runs/foreign")
    print("accuracy", foreign(data_uri=sys.argv[1]).output)
