"""The compiled pipelines and components of this version: in the checkout, or in the wheel.

A file of the library is in the programs of many YAMLs, compressed in each of them. The wheel has
all YAMLs in one file in which programs are taken apart, so that it stands there once in effect:
that takes a third of the bytes.
"""

import importlib.resources
import json
import lzma
import pathlib
import re
from collections.abc import Mapping

import click
import yaml

from mnist_mxnet.shipping.archive import compress, expand
from runner.command import PIPELINES, nearest

ROOT = pathlib.Path(__file__).parents[1]
STORE = "compiled.xz"

# In JSON, where a line is never broken: what a program brings, compressed, and taken apart.
COMPRESSED = re.compile(r'(?<=text = \\")[^"\\]+(?=\\"\.translate)')
EXPANDED = re.compile("\1([^\1]*)\1")  # JSON itself has no such character


def file_name(name: str, target: str, component: bool = False) -> str:
    """Return where the YAML of a pipeline for a target, or of a component, is in the checkout."""
    if component:
        return f"components/yaml/{name}.yaml"
    if name == "batch_predict":  # it asks for no GPU, so that both targets are the same
        return "batch_predict.yaml"
    stem = "pipeline" if name == "train" else name
    return f"{stem}{'' if target == 'gpu' else '-' + target}.yaml"


def committed(root: pathlib.Path) -> dict[str, str]:
    """Return the YAMLs of a checkout, path below its root to text."""
    paths = sorted([*root.glob("*.yaml"), *root.glob("components/yaml/*.yaml")])
    return {path.relative_to(root).as_posix(): path.read_text("utf-8") for path in paths}


def packed(yamls: Mapping[str, str]) -> bytes:
    """Return YAMLs as one file, the same bytes for the same YAMLs."""
    parsed = {}
    for name, text in yamls.items():
        comment = "".join(re.findall(r"^#.*\n", text, flags=re.MULTILINE))
        parsed[name] = [comment, list(yaml.safe_load_all(text))]
    text = json.dumps(parsed)
    return lzma.compress(COMPRESSED.sub(lambda found: f"\1{expand(found[0])}\1", text).encode())


def unpacked(content: bytes) -> dict[str, str]:
    """Return the YAMLs that were packed, byte for byte."""
    text = lzma.decompress(content).decode()
    parsed = json.loads(EXPANDED.sub(lambda found: compress(found[1]), text))
    return {
        name: comment + yaml.dump_all(documents, sort_keys=True)
        for name, (comment, documents) in parsed.items()
    }


def compiled_yamls() -> dict[str, str]:
    """Return the YAMLs of this version, path in the checkout to text."""
    store = importlib.resources.files(__package__) / STORE
    return unpacked(store.read_bytes()) if store.is_file() else committed(ROOT)


def choose_yaml(name: str, target: str, component: bool) -> tuple[str, str]:
    """Return the file name and the text of the YAML of a pipeline or a component.

    Raises:
        click.UsageError: there is none of this name.
    """
    yamls = compiled_yamls()
    path = file_name(name, target, component)
    if path not in yamls:
        components = [pathlib.Path(other).stem for other in yamls if "/" in other]
        kind, known = ("component", components) if component else ("pipeline", PIPELINES)
        raise click.UsageError(f"no {kind} {name!r}: {nearest(name, known)}")
    return pathlib.Path(path).name, yamls[path]
