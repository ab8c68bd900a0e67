"""Training as a command of its own: `python -m kfp_mnist_mxnet.cli.train --help`.

The signature of the component is the list of options.
"""

import inspect
import json
import logging
import pathlib
import re
import sys
import tempfile
import typing
from collections.abc import Mapping
from typing import Any

import click
from kfp import dsl
from kfp.dsl.types.type_annotations import InputAnnotation

from kfp_mnist_mxnet.components import train
from kfp_mnist_mxnet.model.hyperparameters import DESCRIPTIONS


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


def described(docstring: str) -> tuple[str, dict[str, str]]:
    """Return what a docstring says first, and what it says of each argument and output."""
    about = docstring.partition("\nArgs:")[0]
    entries = re.findall(r"^    (\w+): (.*(?:\n {8}.*)*)", docstring, flags=re.MULTILINE)
    return about, {name: " ".join(text.split()) for name, text in entries}


def command(
    component: Any, optional: tuple[str, ...] = (), descriptions: Mapping[str, str] | None = None
) -> click.Command:
    """Return a command that runs a component on this machine.

    An artifact is an option that takes a path. Those to look at, metrics (written as JSON) and
    reports, may be left out, and so may the inputs that are named optional. A parameter is an
    option with the component's own default; a dictionary, which says what options say, is none.
    Works without kfp's compiler, as in the images. descriptions: of parameters that the docstring
    leaves out.
    """
    function = getattr(component, "python_func", component)
    about, texts = described(inspect.getdoc(function) or "")
    texts = {**(descriptions or {}), **texts}
    kinds: dict[str, Any] = {}
    inputs: set[str] = set()
    options: list[click.Parameter] = []
    for name, parameter in inspect.signature(function).parameters.items():
        if isinstance(parameter.default, dict):
            continue
        option: dict[str, Any] = {"help": texts[name]}
        if parameter.default is inspect.Parameter.empty:
            kinds[name], direction = typing.get_args(parameter.annotation)
            if direction is InputAnnotation:
                inputs.add(name)
            option["type"] = click.Path(exists=name in inputs)
            is_data = issubclass(kinds[name], (dsl.Dataset, dsl.Model))
            option["required"] = is_data and name not in optional
        else:
            whole_numbers = isinstance(parameter.default, list)
            option["type"] = WholeNumbers() if whole_numbers else parameter.annotation
            option["default"] = parameter.default
        options.append(click.Option([f"--{name.replace('_', '-')}"], show_default=True, **option))

    def run(**values: Any) -> None:
        logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
        with tempfile.TemporaryDirectory() as scratch:
            for name, kind in kinds.items():
                left_out = "" if name in inputs else str(pathlib.Path(scratch, name))
                values[name] = kind(name=name, uri=values[name] or left_out)
            try:
                function(**values)
            except (ArithmeticError, OSError, RuntimeError, ValueError) as error:
                raise click.ClickException(str(error)) from error
            for name, kind in kinds.items():
                if kind is dsl.Metrics:
                    text = json.dumps(values[name].metadata, indent=1)
                    pathlib.Path(values[name].path).write_text(text + "\n")

    return click.Command(
        function.__name__,
        callback=run,
        params=options,
        help=about,
        context_settings={"help_option_names": ["-h", "--help"]},
    )


if __name__ == "__main__":
    command(train, optional=("validation_data",), descriptions=DESCRIPTIONS)()
