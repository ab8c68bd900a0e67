"""Write what the documents say of the code: run `make docs`.

Between <!-- make docs: NAME ... --> and <!-- end --> stands what the function NAME of this file
returns for the words behind it.
"""

import functools
import inspect
import json
import pathlib
import re
import sys
from collections.abc import Iterable
from typing import Any, NamedTuple

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))

from kfp_mnist_mxnet.compiler.step import containers_of
from kfp_mnist_mxnet.compiler.target import Target
from kfp_mnist_mxnet.components import COMPONENTS
from kfp_mnist_mxnet.model.descriptions import DESCRIPTIONS
from kfp_mnist_mxnet.model.hyperparameters import UNSET
from kfp_mnist_mxnet.model.operators import OPERATORS
from kfp_mnist_mxnet.model.recipes import RECIPES
from kfp_mnist_mxnet.pipeline import PIPELINES

ROOT = pathlib.Path(__file__).parents[1]
DOCUMENTS = ("README.md", "docs/admin.md", "docs/components.md")
SECTION = re.compile(r"(<!-- make docs: ([a-z_ ]+) -->\n).*?(<!-- end -->)", flags=re.DOTALL)


class Parameter(NamedTuple):
    """A parameter as a table shows it."""

    name: str
    text: str
    type: str
    default: str

    def row(self) -> list[str]:
        """Return its cells."""
        return [f"`{self.name}`", f"{self.type}, {self.default}", self.text]


def described_by(step: str, parameter: str) -> str:
    """Return what a component says of one of its parameters."""
    return COMPONENTS[step].component_spec.inputs[parameter].description


# Parameters of a pipeline that no component has, or that go to components that describe them
# differently.
PIPELINE_OWN = {
    "class_names": described_by("ingest", "class_names"),
    "data_sha256": described_by("ingest", "sha256"),
    "destination_uri": described_by("upload", "destination_uri"),
    "export_onnx": "Whether the model is exported to ONNX.",
    "gpu_count": "Number of GPUs that training requests, as text.",
    "gpu_node_selector": "Node selector of the training pod.",
    "gpu_tolerations": "Tolerations of the training pod.",
    "min_accuracy": "Below this accuracy on the test images predict, export and register do not "
    "run.",
    "model_contact": described_by("export", "contact"),
    "model_license": described_by("export", "license"),
    "model_owner": described_by("export", "owner"),
    "model_uri": "Directory of the model, a path or the address of an artifact.",
    "seed": "Seed of the held-out split, the initial weights and everything else that is random.",
}


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Return a table in Markdown."""
    head = list(head)
    lines = [f"| {' '.join(' | '.join(row).split())} |\n" for row in (head, *rows)]
    return "".join([lines[0], "|---" * len(head) + "|\n", *lines[1:]])


def code(values: Iterable[Any]) -> str:
    """Return values as code, with commas between them; a dash for none."""
    return ", ".join(f"`{value}`" for value in values) or "-"


def one_line(text: str) -> str:
    """Return a text without its line breaks, and with < that no HTML begins with."""
    return " ".join(text.split()).replace("<", "&lt;")


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
    """Return what each component does."""
    rows = [[f"`{name}`", summary(component)] for name, component in COMPONENTS.items()]
    return table(["component", "what it does"], rows)


def recipes() -> str:
    """Return each hyperparameter with what the recipes set it to."""
    values = [recipe.to_dict() for recipe in RECIPES.values()]
    rows = [
        [
            f"`{name}`",
            *(str(recipe[name]) for recipe in values),
            first_sentence(text) + " Recipe only." * (name not in UNSET),
        ]
        for name, text in DESCRIPTIONS.items()
    ]
    return table(["hyperparameter", *RECIPES, "description"], rows)


@functools.cache
def parameters_of(name: str) -> list[Parameter]:
    """Return the parameters of a pipeline, but for the hyperparameters of train."""
    pipeline = PIPELINES[name](Target(gpu=True))
    used = set(pipeline.pipeline_spec.components)
    steps = [key for key in COMPONENTS if f"comp-{key}".replace("_", "-") in used]
    texts = {
        parameter: spec.description
        for step in reversed(steps)  # what the first step says of a parameter counts
        for parameter, spec in COMPONENTS[step].component_spec.inputs.items()
    }
    return [
        parameter(key, spec, {**texts, **PIPELINE_OWN}[key])
        for key, spec in pipeline.component_spec.inputs.items()
        if name != "train" or key not in UNSET
    ]


def parameters() -> str:
    """Return the parameters of the pipelines, each text once, with the pipelines that have it."""
    found: dict[Parameter, list[str]] = {}
    for name in PIPELINES:
        for each in parameters_of(name):
            found.setdefault(each, []).append(name)
    rows = []
    for each, names in found.items():
        name, kind, text = each.row()
        rows.append([name, "all" if len(names) == len(PIPELINES) else ", ".join(names), kind, text])
    return table(["parameter", "pipelines", "type, default", "description"], rows)


def sizes() -> str:
    """Return what steps request of CPUs and memory, and their limits; a row for each size."""
    found: dict[tuple[str, ...], set[str]] = {}
    for name in ("train", "train_distributed", "sweep", "tune", "batch_predict"):
        for step, container in containers_of(PIPELINES[name](Target()).pipeline_spec):
            sizes = container["resources"]
            size = tuple(
                f"{sizes[f'resourceCpu{which}']} CPU, {sizes[f'resourceMemory{which}']}"
                for which in ("Request", "Limit")
            )
            sharded = step == "predict" and name == "batch_predict"
            found.setdefault(size, set()).add(f"`{step}`" + " (of `batch_predict`)" * sharded)
    rows = sorted([", ".join(sorted(steps)), *size] for size, steps in found.items())
    return table(["steps", "requests", "limits"], rows)


def operators() -> str:
    """Return the operators that a model may consist of."""
    return code(sorted(OPERATORS, key=str.lower)) + "\n"


def contracts() -> str:
    """Return a section for each component: inputs, outputs and parameters."""
    return "\n".join(contract(name, component) for name, component in COMPONENTS.items())


def contract(name: str, component: Any) -> str:
    """Return the section of one component; what the tables describe is only named."""
    spec = component.component_spec
    shared = {each[:3] for pipeline in PIPELINES for each in parameters_of(pipeline)}
    lines, own, elsewhere, hyperparameters = [], [], [], []
    for key, value in spec.inputs.items():
        each = parameter(key, value, value.description)
        if is_artifact(value):
            lines.append(f"- Input `{key}`, {kind(value)}: {one_line(each.text)}\n")
        elif DESCRIPTIONS.get(key) == each.text:
            hyperparameters.append(f"`{key}`")
        elif each[:3] in shared:
            elsewhere.append(f"`{key}`" + " (required)" * (each.default == "required"))
        else:
            own.append(f"- Parameter `{key}`, {each.type}, {each.default}: {one_line(each.text)}\n")
    for key, value in spec.outputs.items():
        lines.append(f"- Output `{key}`, {kind(value)}: {one_line(value.description)}\n")
    for title, keys in (("Hyperparameters", hyperparameters), ("Parameters", elsewhere)):
        if keys:
            own.insert(0, f"- [{title}](#{title.lower()}): {', '.join(keys)}\n")
    return f"### {name}\n\n{summary(component)}\n\n{''.join(lines + own)}"


def summary(component: Any) -> str:
    """Return the first sentence of a component's docstring."""
    return first_sentence(inspect.getdoc(component.python_func) or "")


def parameter(name: str, spec: Any, text: str) -> Parameter:
    """Return a parameter of a component or a pipeline."""
    return Parameter(name, text, kind(spec), default_of(spec))


def default_of(spec: Any) -> str:
    """Return the default of a parameter as JSON."""
    return f"`{json.dumps(spec.default)}`" if spec.optional else "required"


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
