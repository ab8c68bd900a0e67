"""A pipeline with a training step of its own between ingest and evaluate of the suite.

It needs kfp and the two YAML files. Compile it with `kfp dsl compile`, or run it on this machine:
python docs/foreign_pipeline.py DATA_URI
"""

import pathlib
import sys

from kfp import dsl, local
from kfp.components import load_component_from_file

YAML = pathlib.Path(__file__).parents[1] / "compiled" / "components"
ingest = load_component_from_file(str(YAML / "ingest.yaml"))
evaluate = load_component_from_file(str(YAML / "evaluate.yaml"))


@dsl.component(base_image="python:3.11", packages_to_install=["mxnet==1.9.1", "numpy==1.23.5"])
def train_softmax(data: dsl.Input[dsl.Dataset], model: dsl.Output[dsl.Model], epochs: int = 10):
    """Train a softmax regression with Module.fit; write it as a model that evaluate takes."""
    import hashlib
    import json
    import pathlib

    import numpy as np

    try:  # on the laptop: MXNet on a Python of today
        from kfp_mnist_mxnet.runtime.engine import mx
    except ModuleNotFoundError:
        import mxnet as mx

    images, labels = (np.load(f"{data.path}/{name}.npy") for name in ("images", "labels"))
    about = json.loads(pathlib.Path(data.path, "dataset.json").read_text())

    pixels = mx.sym.Cast(mx.sym.Variable("data"), dtype="float32") / 255
    output = mx.sym.FullyConnected(pixels, num_hidden=about["num_classes"])
    module = mx.mod.Module(mx.sym.SoftmaxOutput(output, name="softmax"))
    batches = mx.io.NDArrayIter(images, labels, batch_size=64, shuffle=True)
    module.fit(batches, num_epoch=epochs, optimizer_params={"learning_rate": 0.5})

    directory = pathlib.Path(model.path)
    directory.mkdir(parents=True)
    module.save_checkpoint(str(directory / "model"), 0)
    files = ("model-symbol.json", "model-0000.params")
    digests = {name: hashlib.sha256((directory / name).read_bytes()).hexdigest() for name in files}
    layout = {
        "format": 1,
        "input_shape": about["image_shape"],
        "num_classes": about["num_classes"],
        "sha256": digests,
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
