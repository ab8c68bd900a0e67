"""Each component as a command of its own: `python -m kfp_mnist_mxnet.components train --help`.

The signature of the component is the list of options. Works without kfp's compiler, as in the
images.
"""

import inspect
import json
import os
import pathlib
import re
import tempfile
import typing
from collections.abc import Callable, Mapping
from typing import Any

import click
from kfp import dsl
from kfp.dsl.types.type_annotations import InputAnnotation, OutputAnnotation

from kfp_mnist_mxnet.model.descriptions import DESCRIPTIONS
from kfp_mnist_mxnet.runtime.log import log_to_stdout

OPTIONAL = ("validation_data",)  # data sets that a component can do without
WRITTEN_AS_JSON = (dsl.Metrics, dsl.ClassificationMetrics)  # what they say is their metadata


class WholeNumbers(click.ParamType):
    """A list of whole numbers, written 5,5."""

    name = "n,n,..."

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        """Return a list of integers for a text."""
        if isinstance(value, list):
            return value
        try:
            return [int(part) for part in value.split(",")]
        except ValueError:
            self.fail(f"{value!r} is not a list of whole numbers like 5,5", param, ctx)


class Json(click.ParamType):
    """A list or an object, written as JSON."""

    name = "json"

    def __init__(self, kind: type) -> None:
        self.kind = kind

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        """Return what a text stands for."""
        if isinstance(value, self.kind):
            return value
        try:
            content = json.loads(value)
        except ValueError:
            content = None
        if not isinstance(content, self.kind):
            example = '["a", "b"]' if self.kind is list else '{"a": 1}'
            self.fail(f"{value!r} is not a {self.kind.__name__} in JSON like {example}", param, ctx)
        return content


class ArtifactParameter(typing.NamedTuple):
    """An artifact that a component takes or gives: its kind, whether it is given, and a list."""

    kind: type[dsl.Artifact]
    given: bool
    many: bool


def described(docstring: str) -> tuple[str, dict[str, str]]:
    """Return what a docstring says first, and what it says of each argument and output."""
    about = docstring.partition("\nArgs:")[0]
    entries = re.findall(r"^    (\w+): (.*(?:\n {8}.*)*)", docstring, flags=re.MULTILINE)
    return about, {name: " ".join(text.split()) for name, text in entries}


def command(component: Any) -> click.Command:
    """Return a command that runs a component on this machine.

    An artifact is an option that takes a path, a list of them one that may be given many times.
    Data sets and models must be given, unless the component can do without; metrics, which are
    JSON, and reports need not. A parameter is an option with the component's own default; but
    `hyperparameters`, which says what options say, is none. What the component returns is printed
    as JSON.
    """
    function = getattr(component, "python_func", component)
    about, texts = described(inspect.getdoc(function) or "")
    texts = {**DESCRIPTIONS, **texts}
    parameters = inspect.signature(function).parameters
    places = {name: place_of(p) for name, p in parameters.items()}
    artifacts = {name: place for name, place in places.items() if place}
    options: list[click.Parameter] = [
        option(parameter, artifacts.get(name), texts[name])
        for name, parameter in parameters.items()
        if name != "hyperparameters"
    ]

    def run(**values: Any) -> None:
        log_to_stdout(timed="KATIB_TRIAL_NAME" in os.environ)
        with tempfile.TemporaryDirectory() as scratch:
            for name, place in artifacts.items():
                values[name] = artifact(name, place, values[name], pathlib.Path(scratch))
            returned = called(function, values)
            for name, place in artifacts.items():
                if place.kind in WRITTEN_AS_JSON and not place.given:
                    text = json.dumps(values[name].metadata, indent=1)
                    pathlib.Path(values[name].path).write_text(text + "\n")
        if returned is not None:
            click.echo(json.dumps(returned))

    return click.Command(
        function.__name__,
        callback=run,
        params=options,
        help=about,
        context_settings={"help_option_names": ["-h", "--help"]},
    )


def place_of(parameter: inspect.Parameter) -> ArtifactParameter | None:
    """Return what a parameter of a component is, if it is an artifact."""
    kind, *notes = typing.get_args(parameter.annotation) or (None,)
    direction = notes[0] if notes else None
    if direction not in (InputAnnotation, OutputAnnotation):
        return None
    many = typing.get_origin(kind) is list
    return ArtifactParameter(
        typing.get_args(kind)[0] if many else kind, direction is InputAnnotation, many
    )


def option(
    parameter: inspect.Parameter, place: ArtifactParameter | None, text: str
) -> click.Option:
    """Return the option of a parameter; place: what it is, if it is an artifact."""
    about: dict[str, Any] = {"help": text, "show_default": True}
    needed = parameter.default is inspect.Parameter.empty
    if place:
        is_data = issubclass(place.kind, (dsl.Dataset, dsl.Model))
        about["type"] = click.Path(exists=place.given)
        about["required"] = is_data and needed and parameter.name not in OPTIONAL
        about["multiple"] = place.many
    else:
        about["type"] = option_type(parameter.annotation)
        about |= {"required": True} if needed else {"default": parameter.default}
    return click.Option([f"--{parameter.name.replace('_', '-')}"], **about)


def option_type(annotation: Any) -> Any:
    """Return the type of option for a parameter of a component."""
    if annotation == list[int]:
        return WholeNumbers()
    kind = typing.get_origin(annotation) or annotation
    return Json(kind) if kind in (list, dict) else annotation


def artifact(name: str, place: ArtifactParameter, given: Any, scratch: pathlib.Path) -> Any:
    """Return an artifact as a component takes it, None for an input that was left out.

    given: a path, several, or None; scratch: for outputs that nobody asked for.

    Raises:
        click.ClickException: a file of metrics is not JSON.
    """
    if place.many:
        return [place.kind(name=name, uri=path) for path in given]
    if place.given and given is None:
        return place.kind(name=name, uri="") if name in OPTIONAL else None
    made = place.kind(name=name, uri=given or str(scratch / name))
    if place.given and place.kind in WRITTEN_AS_JSON:
        try:
            made.metadata = json.loads(pathlib.Path(given).read_text())
        except (OSError, ValueError) as error:
            raise click.ClickException(f"{given} can't be read as JSON: {error}") from error
    return made


def called(function: Callable[..., Any], values: Mapping[str, Any]) -> Any:
    """Return what a component returns.

    Raises:
        click.ClickException: what it raises, as a sentence.
    """
    try:
        return function(**values)
    except (ArithmeticError, OSError, RuntimeError, ValueError) as error:
        raise click.ClickException(str(error)) from error
