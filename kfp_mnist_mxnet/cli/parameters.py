"""The parameters of a pipeline as a user gives them: -p NAME=VALUE."""

import json
import math
import os
import pathlib
import re
from typing import Any

import click

from kfp_mnist_mxnet.cli.local.runs import find_run
from kfp_mnist_mxnet.cli.options import nearest
from kfp_mnist_mxnet.errors import InvalidInput
from kfp_mnist_mxnet.export.layout import check_model_name
from kfp_mnist_mxnet.model.info import read_whole
from kfp_mnist_mxnet.storage.address import Address, without_secrets
from kfp_mnist_mxnet.storage.destinations import parse_destination, parse_server

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
HOME = re.compile(r"(?<!\S)~(?=/|\s|$)")  # of several addresses too
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


def local_parameters(parameters: dict[str, Any], output_dir: pathlib.Path) -> dict[str, Any]:
    """Return the parameters as a run on this machine takes them.

    ~ stands for the home directory. A path is absolute, as a container has another working
    directory. model_uri may be a run under the output directory.

    Raises:
        click.UsageError: there is no such model on this machine.
    """
    places: dict[str, str] = {
        name: HOME.sub(lambda _: os.path.expanduser("~"), parameters[name])
        for name in ("checkpoint_uri", "data_uri", "model_uri")
        if name in parameters
    }
    if "model_uri" in places:
        places["model_uri"] = str(model_directory(places["model_uri"], output_dir).absolute())
    checkpoint = places.get("checkpoint_uri", "")
    if checkpoint and local_path(checkpoint):
        places["checkpoint_uri"] = str(local_path(checkpoint))
    return {**parameters, **places}


def local_path(uri: str) -> pathlib.Path | None:
    """Return the absolute path that a URI is, or file:///path names, None for another scheme.

    Raises:
        click.UsageError: it is no address.
    """
    try:
        address = Address.parse(uri)
        if address.scheme not in ("", "file"):
            return None
        return (address.local_path() if address.scheme else pathlib.Path(uri)).absolute()
    except InvalidInput as error:
        raise click.UsageError(str(error)) from None


def model_directory(uri: str, output_dir: pathlib.Path) -> pathlib.Path:
    """Return the directory of a model that train wrote.

    uri: a directory or file:///path, or a run, as find_run takes it.

    Raises:
        click.UsageError: there is none.
    """
    path = local_path(uri)
    if not uri or path is None:
        raise click.UsageError(
            "model_uri must be the directory of a model on this machine, the id of a run or "
            f"latest, got {without_secrets(uri)!r}"
        )
    if path.is_dir() and not (path / "run.json").is_file():
        return path
    run = find_run(output_dir, uri)
    found = run.output("best_model") or run.output("model")
    if not found:
        raise click.UsageError(f"model_uri: the run {run.name} has no model")
    return found


def check_local_model(parameters: dict[str, Any]) -> None:
    """Check that the model of a run on this machine, if it has one, is whole.

    parameters: from local_parameters, which has found its directory.

    Raises:
        click.UsageError: it is no model, or is damaged.
    """
    if "model_uri" not in parameters:
        return
    try:
        read_whole(parameters["model_uri"])
    except InvalidInput as error:
        raise click.UsageError(str(error)) from None


def check_remote_model(parameters: dict[str, Any]) -> None:
    """Check that the model of a run on a cluster, if it has one, has an address there.

    Raises:
        click.UsageError: it is a path or empty.
    """
    if "model_uri" not in parameters:
        return
    uri = parameters["model_uri"]
    if "://" not in uri or uri.startswith("file://"):
        raise click.UsageError(
            "model_uri must be the address of a model in an object store, such as "
            f"s3://bucket/model, got {uri!r}: the steps do not see this machine"
        )
