"""The model card: what it takes to trust a model, in Markdown with Hugging Face's metadata.

Source of the metadata: https://huggingface.co/docs/hub/model-cards. What comes from outside, such
as names of classes, is text in it, neither YAML nor Markdown.
"""

import dataclasses
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import onnxruntime

from kfp_mnist_mxnet.evaluation.calibration import calibrate
from kfp_mnist_mxnet.evaluation.classes import class_metrics, interval, macro_averages
from kfp_mnist_mxnet.export.layout import INPUT, OUTPUT
from kfp_mnist_mxnet.export.translation import OPSET
from kfp_mnist_mxnet.export.verification import TOLERANCE, ParityResult, Sample
from kfp_mnist_mxnet.model.info import ModelInfo
from kfp_mnist_mxnet.notation import percent

LONGEST, MOST = 200, 100  # letters of a value from outside, and how many of them
SPACE = "\N{NO-BREAK SPACE}"  # in numbers, where it stays
UNKNOWN = "not stated"
MNIST = "ylecun/mnist"  # at Hugging Face, where no other source of data has a name

ABOUT = """\
A convolutional network for images of {shape} pixels (C, H, W) and {classes} classes, trained with
Apache MXNet and translated to ONNX (opset {opset}). Scaling is part of it.

{stated}
## How to use it

With the packages onnxruntime and numpy, in the directory of the model that has `1/model.onnx`:

```python
import json

import numpy as np
import onnxruntime

session = onnxruntime.InferenceSession("1/model.onnx")
names = json.loads(session.get_modelmeta().custom_metadata_map["class_names"])
{input} = np.zeros((1, {shape}), np.uint8)  # put yours here
({output},) = session.run(["{output}"], {{"{input}": {input}}})
print([names[label] for label in {output}.argmax(1)])
```

`{input}` is uint8 (batch, {shape}) with pixels from 0 to 255, `{output}` float32
(batch, {classes}).

## Intended use and limits

- For images that are made as those were that it learned from. It was not tried on others.
- Every image gets a class, also one that shows none of them.
- A high probability is no proof: see the calibration below, where it was scored.
- Not for decisions about people without a person who checks them.
"""


@dataclasses.dataclass(frozen=True)
class Card:
    """What a model card tells of.

    names: of all classes, those of the data that the model does not know last; stated: license,
    owner and contact, each of which may be empty.
    """

    name: str
    info: ModelInfo
    names: Sequence[str]
    sample: Sample
    parity: ParityResult
    stated: Mapping[str, str]

    @property
    def trained(self) -> dict[str, Any]:
        """What the model says of its training data."""
        return as_dict(self.info.data)

    def text(self) -> str:
        """Return the card."""
        shape = ", ".join(map(str, self.info.input_shape))
        classes = self.info.num_classes
        stated = table(("what", "value"), [(k, v or UNKNOWN) for k, v in self.stated.items()])
        about = ABOUT.format(
            shape=shape, classes=classes, opset=OPSET, input=INPUT, output=OUTPUT, stated=stated
        )
        parts = [
            *("---", *self.metadata(), "---"),
            *(f"# {escaped(self.name)}\n", about),
            *("## Scores\n", *self.scores()),
            *("## Training\n", *self.training()),
            *("## Same predictions as in MXNet\n", self.proven()),
        ]
        return "\n".join(parts) + "\n"

    def metadata(self) -> list[str]:
        """Return the lines of YAML at the top; after a key stands JSON, which is YAML."""
        lines = [
            "library_name: onnx",
            "pipeline_tag: image-classification",
            "tags: [onnx, onnxruntime, mxnet, kubeflow, image-classification]",
        ]
        if license := self.stated["license"]:
            lines.append(f"license: {as_yaml(license)}")
        if self.trained.get("source") == "mnist":
            lines.append(f"datasets: [{MNIST}]")
        if self.sample.data is None:
            return lines
        info = self.sample.data.info
        data = {"name": info.name or UNKNOWN, "type": "custom", "args": {"sha256": info.sha256}}
        metrics = [
            {"type": kind, "value": value}
            for kind, value in self.figures(self.sample.data.labels).items()
        ]
        return [
            *lines,
            "metrics: [accuracy, f1]",
            "model-index:",
            f"- name: {as_yaml(self.name)}",
            "  results:",
            "  - task: {type: image-classification}",
            f"    dataset: {as_yaml(data)}",
            "    metrics:",
            *(f"    - {as_yaml(metric)}" for metric in metrics),
        ]

    def figures(self, labels: np.ndarray) -> dict[str, float]:
        """Return the scores by which models are listed, 0 to 1; labels: uint8 (N,)."""
        predicted = self.parity.onnx.argmax(1)
        *_, f1 = macro_averages(labels, predicted, len(self.names))
        return {
            "accuracy": float((predicted == labels).mean()),
            "f1": f1,
            "expected_calibration_error": calibrate(labels, self.parity.onnx).error,
        }

    def scores(self) -> list[str]:
        """Return what is known of how good the model is."""
        if self.sample.data is None:
            return ["It was not scored: there were no labels.\n"]
        labels, info = self.sample.data.labels, self.sample.data.info
        predicted, images = self.parity.onnx.argmax(1), len(labels)
        figures = self.figures(labels)
        correct = round(figures["accuracy"] * images)
        common = int(np.bincount(labels).max())
        facts = {
            "accuracy": percent(figures["accuracy"]),
            "95 % confidence interval": interval(correct, images),
            "always predicting the most common class": percent(common / images),
            "images": f"{images:,}",
            "errors": f"{images - correct:,}",
            "calibration error (15 bins)": percent(figures["expected_calibration_error"]),
        }
        rows = [
            (name, f"{count:,}", *map(percent, values))
            for name, count, *values in class_metrics(labels, predicted, self.names)
        ]
        return [
            table(("score", "value"), facts.items()),
            *(f"On the data {escaped(info.name)}, SHA-256:\n", f"{escaped(info.sha256)}\n"),
            "### Per-class metrics\n",
            table(("class", "images", "precision", "recall", "F1"), rows),
        ]

    def training(self) -> list[str]:
        """Return what the model says of how it was made, as far as it does."""
        digest = escaped(self.info.train_data_sha256 or "unknown")
        versions = {**as_dict(self.info.versions), "onnxruntime": onnxruntime.__version__}
        facts = {
            "training data": self.trained.get("source", UNKNOWN),
            "training images of each class": self.trained.get("class_counts", UNKNOWN),
            "validation images": self.trained.get("validation_images", UNKNOWN),
            **{f"version of {name}": version for name, version in versions.items()},
            **as_dict(self.info.hyperparameters),
        }
        return [
            *("SHA-256 of the training data:\n", f"{digest}\n"),
            table(("what", "value"), list(facts.items())[:MOST]),
        ]

    def proven(self) -> str:
        """Return what the translation was proven by."""
        kind = "synthetic images" if self.sample.synthetic else "images"
        return (
            f"ONNX Runtime and Apache MXNet gave {len(self.sample.images):,} {kind} the same\n"
            "classes, ties aside; no probability differs by more than\n"
            f"{self.parity.differences.max():.2g} ({TOLERANCE:g} was allowed)."
        )


def as_dict(value: Any) -> dict[str, Any]:
    """Return a value of model.json if it is an object, else an empty one."""
    return value if isinstance(value, dict) else {}


def as_yaml(value: Any) -> str:
    """Return a value as JSON in which every letter can be printed, so that YAML takes it too."""
    text = json.dumps(value, ensure_ascii=False)
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def escaped(value: Any) -> str:
    """Return a value as a line of text in Markdown, cut if it is long."""
    text = re.sub(rf"[^\S{SPACE}]+", " ", str(value)).strip()[:LONGEST]
    text = "".join(letter if letter.isprintable() or letter == SPACE else "?" for letter in text)
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_\[\]|~$])", r"\\\1", text)


def table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Return a table in Markdown."""
    lines = [head, ["---"] * len(head), *([escaped(value) for value in row] for row in rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
