"""Write what the documents say of the code: run `make docs`.

Between <!-- make docs: NAME ... --> and <!-- end --> stands what the function NAME of this file
returns for the words behind it.
"""

import inspect
import json
import pathlib
import re
import sys
from collections.abc import Iterable
from typing import Any

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))

from kfp_mnist_mxnet.cli.component import described
from kfp_mnist_mxnet.compiler.step import containers_of
from kfp_mnist_mxnet.compiler.target import Target
from kfp_mnist_mxnet.components import COMPONENTS
from kfp_mnist_mxnet.model.descriptions import DESCRIPTIONS
from kfp_mnist_mxnet.model.hyperparameters import UNSET
from kfp_mnist_mxnet.model.operators import OPERATORS
from kfp_mnist_mxnet.model.recipes import RECIPES
from kfp_mnist_mxnet.pipeline import PIPELINES

ROOT = pathlib.Path(__file__).parents[1]
DOCUMENTS = ("README.md", "docs/admin.md", "docs/cluster.md", "docs/components.md")
SECTION = re.compile(r"(<!-- make docs: ([a-z_ ]+) -->\n).*?(<!-- end -->)", flags=re.DOTALL)

# What a pipeline takes that no component does, or that goes to several.
PIPELINE_OWN = {
    "class_names": COMPONENTS["ingest"].component_spec.inputs["class_names"].description,
    "data_sha256": COMPONENTS["ingest"].component_spec.inputs["sha256"].description,
    "destination_uri": "Where the predictions are uploaded: s3://bucket/prefix or "
    "minio://bucket/prefix; empty for nowhere.",
    "export_onnx": "Whether the model is exported to ONNX: true or false.",
    "gpu_count": "How many GPUs training asks for, as text.",
    "gpu_node_selector": "Node selector of the training pod.",
    "gpu_tolerations": "Tolerations of the training pod.",
    "min_accuracy": "Below this accuracy on the test images predict and export do not run.",
    "model_uri": "Directory of the model, a path or the address of an artifact.",
    "registry_uri": "http(s)://host:port of a Kubeflow Model Registry that gets the exported "
    "model; empty for none.",
    "seed": "Chooses which images are held out, the first parameters and all that is random.",
}


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Return a table in Markdown."""
    head = list(head)
    lines = [" | ".join(row) for row in (head, ["---"] * len(head), *rows)]
    return "".join(f"| {' '.join(line.split())} |\n" for line in lines)


def code(values: Iterable[Any]) -> str:
    """Return values as code, with commas between them; a dash for none."""
    return ", ".join(f"`{value}`" for value in values) or "-"


def first_sentence(text: str) -> str:
    """Return a text up to its first full stop."""
    return re.split(r"(?<=\.)\s", text)[0]


def kind(spec: Any) -> str:
    """Return the type of an input or an output without its schema's name and version."""
    name = re.sub(r"system\.(\w+)@.*", r"\1", spec.type)
    return f"List[{name}]" if spec.is_artifact_list else name


def is_artifact(spec: Any) -> bool:
    """Tell artifacts from parameters."""
    return spec.type.startswith("system.")


def steps() -> str:
    """Return what each component does, takes and gives."""
    rows = []
    for name, component in COMPONENTS.items():
        spec = component.component_spec
        takes = [key for key, value in spec.inputs.items() if is_artifact(value)]
        gives = [key for key in spec.outputs if key != "Output"]
        result = spec.outputs.get("Output")
        if result:
            gives.append(f"Output: {kind(result)}")
        does, _ = described(inspect.getdoc(component.python_func) or "")
        rows.append([f"`{name}`", first_sentence(does), code(takes), code(gives)])
    return table(["step", "what it does", "takes", "gives"], rows)


def recipes() -> str:
    """Return each hyperparameter with what the recipes set it to."""
    values = [recipe.to_dict() for recipe in RECIPES.values()]
    rows = [
        [f"`{name}`", *(str(recipe[name]) for recipe in values), first_sentence(text)]
        for name, text in DESCRIPTIONS.items()
    ]
    return table(["hyperparameter", *RECIPES, ""], rows)


def parameters(name: str) -> str:
    """Return the parameters of a pipeline, but for hyperparameters that recipes set."""
    pipeline = PIPELINES[name](Target(gpu=True))
    used = set(pipeline.pipeline_spec.components)
    steps = [key for key in COMPONENTS if f"comp-{key}".replace("_", "-") in used]
    texts = {
        parameter: spec.description
        for step in reversed(steps)  # what the first step says of a parameter counts
        for parameter, spec in COMPONENTS[step].component_spec.inputs.items()
    }
    rows = [
        [f"`{key}`", default_of(spec), first_sentence({**texts, **PIPELINE_OWN}[key])]
        for key, spec in pipeline.component_spec.inputs.items()
        if name != "train" or key not in UNSET
    ]
    return table(["parameter", "default", ""], rows)


def sizes() -> str:
    """Return what each step requests of CPUs and memory, and its limits."""
    found: dict[tuple[str, ...], list[str]] = {}
    for name in ("train", "sweep", "batch_predict"):
        for step, container in containers_of(PIPELINES[name](Target()).pipeline_spec):
            kinds = ("CpuRequest", "CpuLimit", "MemoryRequest", "MemoryLimit")
            size = (container["resources"][f"resource{kind}"] for kind in kinds)
            found.setdefault((f"`{step}`", *size), []).append(name)
    rows = [[step, ", ".join(used), *size] for (step, *size), used in sorted(found.items())]
    return table(["step", "of", "CPU request", "limit", "memory request", "limit"], rows)


def operators() -> str:
    """Return the operators that a model may consist of."""
    return code(sorted(OPERATORS, key=str.lower)) + "\n"


def contracts() -> str:
    """Return a section for each component: inputs, outputs, parameters, errors."""
    return "\n".join(contract(name, component) for name, component in COMPONENTS.items())


def contract(name: str, component: Any) -> str:
    """Return the section of one component."""
    spec = component.component_spec
    about, texts = described(inspect.getdoc(component.python_func) or "")
    inputs = {key: value for key, value in spec.inputs.items() if is_artifact(value)}
    others = {key: value for key, value in spec.inputs.items() if key not in inputs}
    parts = [f"### {name}\n\n{about.strip()}\n"]
    for title, values in (("input", inputs), ("output", spec.outputs)):
        rows = [[f"`{key}`", kind(value), value.description] for key, value in values.items()]
        if rows:
            parts.append(table([title, "type", ""], rows))
    if others:
        rows = [
            [f"`{key}`", kind(value), default_of(value), value.description]
            for key, value in others.items()
        ]
        parts.append(table(["parameter", "type", "default", ""], rows))
    errors = [f"`{key}`: {text}\n" for key, text in texts.items() if key.endswith("Error")]
    return "\n".join([*parts, "\n".join(errors)])


def default_of(spec: Any) -> str:
    """Return the default of a parameter as JSON; a dash where it must be given."""
    return f"`{json.dumps(spec.default)}`" if spec.optional else "-"


def filled(text: str) -> str:
    """Return a document with every section written again."""

    def fill(match: re.Match[str]) -> str:
        name, *words = match[2].split()
        return match[1] + globals()[name](*words) + match[3]

    return SECTION.sub(fill, text)


def main() -> None:
    """Write the sections of every document."""
    for name in DOCUMENTS:
        path = ROOT / name
        path.write_text(filled(path.read_text()))


if __name__ == "__main__":
    main()
