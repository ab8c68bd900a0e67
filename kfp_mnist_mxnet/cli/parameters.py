"""The parameters of a pipeline as a user gives them: -p NAME=VALUE."""

import json
import math
from typing import Any

import click

from kfp_mnist_mxnet.cli.command import nearest
from kfp_mnist_mxnet.errors import InvalidInput
from kfp_mnist_mxnet.export.layout import check_model_name
from kfp_mnist_mxnet.storage.address import parse_destination, parse_server

# kfp's type of a parameter to what it is in words and how it is written.
KINDS = {
    "String": ("a text in UTF-8", "text"),
    "Integer": ("a whole number up to 2^53", "3"),
    "Float": ("a finite number", "0.1"),
    "Boolean": ("true or false", "true"),
    "Dict": ("a dictionary in JSON", '{"key": "value"}'),
    "List": ("a list in JSON", '[{"key": "value"}]'),
    "List[Integer]": ("a list of whole numbers", "32,64"),
    "List[String]": ("a list of texts in JSON", '["cat", "dog"]'),
    "List[Dict]": ("a list of dictionaries in JSON", '[{"activation": "tanh"}, {}]'),
}
TYPES: dict[str, Any] = {"Boolean": bool, "Integer": int, "String": str, "Dict": dict, "List": list}
LARGEST = 2**53  # kfp keeps numbers as doubles
SHOWN = 80  # characters of a value in a message


def parse_parameters(pipeline: Any, assignments: tuple[str, ...]) -> dict[str, Any]:
    """Return the parameters of a pipeline given as NAME=VALUE, each in the pipeline's own type.

    Raises:
        click.UsageError: an unknown name, or a value that is not of the parameter's type.
    """
    inputs = pipeline.component_spec.inputs
    parameters = {}
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        if not equals:
            raise click.UsageError(f"expected NAME=VALUE, got {assignment!r}")
        if name not in inputs:
            raise click.UsageError(f"no parameter {name!r}: {nearest(name, inputs)}")
        parameters[name] = parse_value(name, inputs[name].type, text)
    return parameters


def parse_value(name: str, kind: str, text: str) -> Any:
    """Return a parameter's value.

    kind: its type as kfp names it.

    Raises:
        click.UsageError: the text is none of that type.
    """
    try:
        value = read_value(kind, text)
        check_value(value)
    except (ValueError, RecursionError):
        words, example = KINDS[kind]
        shown = text if len(text) <= SHOWN else text[: SHOWN - 1] + "…"
        raise click.UsageError(
            f"{name} must be {words}, got {shown!r}: write for example -p '{name}={example}'"
        ) from None
    return value


def read_value(kind: str, text: str) -> Any:
    """Return the value of a text.

    Raises:
        ValueError: it is of another type.
        RecursionError: it is nested too deep.
    """
    if kind in ("String", "Integer", "Float"):
        return {"String": str, "Integer": int, "Float": float}[kind](text)
    outer, _, inner = kind.rstrip("]").partition("[")
    if kind == "Boolean":  # True, as Python writes it, too
        text = text.lower()
    elif inner == "Integer" and not text.lstrip().startswith("["):
        text = f"[{text}]"
    value = json.loads(text)
    if type(value) is not TYPES[outer]:
        raise ValueError
    if inner and not all(type(part) is TYPES[inner] for part in value):  # True is an int
        raise ValueError
    return value


def check_value(value: Any) -> None:
    """Check that kfp can keep a value.

    Raises:
        ValueError: a number that is none or too large, or a text that is not Unicode.
    """
    if isinstance(value, str):
        value.encode()
    elif isinstance(value, dict):
        check_value([*value, *value.values()])
    elif isinstance(value, list):
        for part in value:
            check_value(part)
    elif isinstance(value, (int, float)) and not (
        math.isfinite(value) and (isinstance(value, float) or abs(value) <= LARGEST)
    ):
        raise ValueError


def check_parameters(pipeline: Any, parameters: dict[str, Any]) -> None:
    """Check what a step would refuse only at the end, or no step looks at.

    Raises:
        click.UsageError: a parameter without a default is not given, min_accuracy is no accuracy,
            destination_uri no prefix of an object store, registry_uri no address of a server, or
            model_name no name of a directory.
    """
    for name, spec in pipeline.component_spec.inputs.items():
        if not spec.optional and name not in parameters:
            raise click.UsageError(f"{name} has no default: give -p {name}=VALUE")
    if not 0 <= parameters.get("min_accuracy", 0) <= 1:
        raise click.UsageError(
            f"min_accuracy must be from 0 to 1, got {parameters['min_accuracy']}"
        )
    try:
        if parameters.get("destination_uri"):
            parse_destination(parameters["destination_uri"])
        if parameters.get("registry_uri"):
            parse_server(parameters["registry_uri"], "registry_uri")
        if "model_name" in parameters:
            check_model_name(parameters["model_name"])
    except InvalidInput as error:
        raise click.UsageError(str(error)) from None
