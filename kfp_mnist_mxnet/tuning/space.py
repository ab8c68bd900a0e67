"""The search space: which values each hyperparameter may have."""

import dataclasses
import json
from collections.abc import Iterator, Mapping
from typing import Any

from kfp_mnist_mxnet.data.dataset import Split
from kfp_mnist_mxnet.errors import InvalidInput
from kfp_mnist_mxnet.model.hyperparameters import RULES, UNSET
from kfp_mnist_mxnet.model.rules import Count, Number, shorten
from kfp_mnist_mxnet.model.trials import apply_trial, check_trial

EXAMPLE = 'expected a list of values, or {"min": 0.01, "max": 0.1} with "log": true or "step"'


@dataclasses.dataclass(frozen=True)
class Range:
    """The numbers from min to max; step: between two, None for any; log: in their logarithm."""

    min: float
    max: float
    step: float | None = None
    log: bool = False


Space = dict[str, Range | list[Any]]


def read_space(content: Mapping[str, Any]) -> Space:
    """Return a search space, checked: name of a hyperparameter to a range or a list of values.

    content: as the parameter search_space has it.

    Raises:
        InvalidInput: a name is no hyperparameter, or a value is out of range.
    """
    if not content:
        raise InvalidInput("search_space is empty: name at least one hyperparameter")
    space: Space = {}
    for name, told in content.items():
        try:
            if isinstance(told, dict):
                space[name] = read_range(name, told)
            elif isinstance(told, list) and told:
                space[name] = values = [read_value(name, value) for value in told]
                if any(value in values[:i] for i, value in enumerate(values)):
                    raise InvalidInput(f"{name} has a value twice, in {shorten(told)}")
            else:
                raise InvalidInput(f"{name} is {shorten(told)}: {EXAMPLE}")
        except InvalidInput as error:
            raise InvalidInput(f"search_space: {error}") from error
    return space


def read_value(name: str, value: Any) -> Any:
    """Return a value of a hyperparameter in its own type, checked.

    Raises:
        InvalidInput: the name is no hyperparameter, or the value is out of range.
    """
    recipe, own = apply_trial("", UNSET, {name: value})
    return recipe if name == "recipe" else RULES[name].checked(name, own[name])


def read_range(name: str, told: Mapping[str, Any]) -> Range:
    """Return the range of a hyperparameter, checked.

    Raises:
        InvalidInput: it is no number, or the range is none, or empty.
    """
    if name == "recipe" or not isinstance(RULES.get(name, Number()), Count | Number):
        raise InvalidInput(f"{name} is no number: give a list of values, got {shorten(told)}")
    if not {"min", "max"} <= set(told) <= {"min", "max", "step", "log"}:
        raise InvalidInput(f"{name} is {shorten(told)}: {EXAMPLE}")
    low, high = (read_value(name, told[end]) for end in ("min", "max"))
    step, log = told.get("step"), told.get("log", False)
    if step is not None:
        step = read_value(name, step)
    if not low < high:
        raise InvalidInput(f"min of {name} must be below max, got {low} and {high}")
    if type(log) is not bool or (log and (step is not None or not low > 0)):
        raise InvalidInput(
            f"log of {name} must be true or false, and true needs a min above 0 and no step, "
            f"got {shorten(told)}"
        )
    if step is not None and not 0 < step <= (high - low) * (1 + 1e-9):  # 0.3 - 0.1 is below 0.2
        raise InvalidInput(f"step of {name} must be above 0 and at most max - min, got {step}")
    return Range(low, high, step, log)


def corners(space: Space) -> Iterator[dict[str, Any]]:
    """Yield trials that have the first value of each hyperparameter but one, each of that one's."""
    ends = {
        name: [values.min, values.max] if isinstance(values, Range) else values
        for name, values in space.items()
    }
    first = {name: values[0] for name, values in ends.items()}
    yield first
    for name, values in ends.items():
        yield from ({**first, name: value} for value in values[1:])


def check_space(space: Space, recipe: str, overrides: Mapping[str, Any], data: Split) -> None:
    """Check that training takes what the search space has; data: what the trials learn from.

    Raises:
        InvalidInput: it would refuse a value.
    """
    shape, classes = data.image_shape, data.info.num_classes
    for trial in corners(space):
        try:
            check_trial(trial, recipe, overrides, len(data.images), shape, classes)
        except InvalidInput as error:
            raise InvalidInput(f"search_space allows {shorten(trial)}: {error}") from error


def katib_parameters(space: Space) -> list[dict[str, Any]]:
    """Return the search space as an Experiment has it."""
    return [katib_parameter(name, values) for name, values in space.items()]


def katib_parameter(name: str, values: Range | list[Any]) -> dict[str, Any]:
    """Return a hyperparameter as an Experiment has it; Katib's values are texts."""
    if isinstance(values, list):
        listed = {"list": [as_text(value) for value in values]}
        return {"name": name, "parameterType": "categorical", "feasibleSpace": listed}
    told = {"min": as_text(values.min), "max": as_text(values.max)}
    if values.step is not None:
        told["step"] = as_text(values.step)
    if values.log:
        told["distribution"] = "logUniform"
    kind = "int" if RULES[name].kind is int else "double"
    return {"name": name, "parameterType": kind, "feasibleSpace": told}


def as_text(value: Any) -> str:
    """Return a value as a text of Katib: a word as it is, anything else as JSON."""
    return value if isinstance(value, str) else json.dumps(value)


def template(space: Space) -> str:
    """Return the hyperparameters of a trial as JSON, with what Katib replaces by their values."""
    kinds = {"recipe": str} | {name: rule.kind for name, rule in RULES.items()}
    quotes = {name: '"' if kinds[name] is str else "" for name in space}
    parts = (f'"{name}": {q}${{trialParameters.{name}}}{q}' for name, q in quotes.items())
    return "{" + ", ".join(parts) + "}"


def values_of(trial: Mapping[str, Any], space: Space) -> dict[str, Any]:
    """Return the hyperparameters of a trial, as Katib chose them; trial: the object."""
    text = template(space)
    for one in trial["spec"]["parameterAssignments"]:
        text = text.replace(f"${{trialParameters.{one['name']}}}", one["value"])
    return dict(json.loads(text))
