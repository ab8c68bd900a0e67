"""The layout of an exported model, a directory that model servers load as it is.

config.json          OpenVINO Model Server: which models there are
NAME/1/model.onnx    version 1 of the model
NAME/config.pbtxt    Triton: inputs, outputs, batches
NAME/labels.txt      Triton: a line for each class
NAME/README.md       the model card

The name of a directory is that of the model, for both servers.
"""

import json
import pathlib
import re
from collections.abc import Sequence

from kfp_mnist_mxnet.errors import InvalidInput

INPUT, OUTPUT = "images", "probabilities"  # of the network
MODEL_FILE, VERSION = "model.onnx", "1"
CARD_FILE, LABELS_FILE = "README.md", "labels.txt"
LARGEST_BATCH = 1024  # images that Triton puts together

TRITON = f"""# Triton Inference Server: https://github.com/triton-inference-server
backend: "onnxruntime"
max_batch_size: {LARGEST_BATCH}
input [ {{ name: "{INPUT}" data_type: TYPE_UINT8 dims: [ %s ] }} ]
output [
  {{ name: "{OUTPUT}" data_type: TYPE_FP32 dims: [ %d ] label_filename: "{LABELS_FILE}" }}
]
dynamic_batching {{ }}
"""


def check_model_name(name: str) -> None:
    """Check the name of a model: it is that of a directory, and part of addresses.

    Raises:
        InvalidInput: it is not made of 1 to 63 letters, digits, `.`, `_` and `-`.
    """
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}", name):
        raise InvalidInput(
            "model_name must be 1 to 63 letters, digits, '.', '_' and '-', beginning with a "
            f"letter or digit, got {name[:100]!r}"
        )


def write_model(
    directory: pathlib.Path, name: str, model: bytes, shape: Sequence[int], labels: Sequence[str]
) -> pathlib.Path:
    """Write the directory of an exported model but for its card; return the path of the ONNX file.

    name: of the model; model: in ONNX; shape: of its images, (C, H, W); labels: of its classes.
    """
    own = directory / name
    path = own / VERSION / MODEL_FILE
    path.parent.mkdir(parents=True)
    path.write_bytes(model)
    config = {"model_config_list": [{"config": {"name": name, "base_path": name}}]}
    (directory / "config.json").write_text(json.dumps(config, indent=1) + "\n")
    (own / "config.pbtxt").write_text(TRITON % (", ".join(map(str, shape)), len(labels)))
    lines = "".join(" ".join(label.split()) + "\n" for label in labels)
    (own / LABELS_FILE).write_text(lines, encoding="utf-8", errors="replace")
    return path
