"""The trials of a sweep: sets of hyperparameters by name."""

from collections.abc import Mapping, Sequence
from typing import Any

from kfp_mnist_mxnet.errors import InvalidInput
from kfp_mnist_mxnet.model.hyperparameters import RULES
from kfp_mnist_mxnet.model.recipes import choose_hyperparameters, misfit, resolve_for_dataset
from kfp_mnist_mxnet.model.rules import shorten


def apply_trial(
    recipe: str, overrides: Mapping[str, Any], trial: Mapping[str, Any]
) -> tuple[str, dict[str, Any]]:
    """Return the recipe and the overrides with those of a trial in their place.

    trial: name to value. A number's type is what is declared of it: JSON has one kind of number,
    and kfp hands whole ones over as floats or integers.

    Raises:
        InvalidInput: the trial has a name that is no hyperparameter, or a value of another kind.
    """
    kinds = {"recipe": str} | {name: RULES[name].kind for name in overrides}
    values: dict[str, Any] = {}
    for name, value in trial.items():
        if name not in kinds:
            raise InvalidInput(
                f"{shorten(name)} is no hyperparameter: expected one of {', '.join(kinds)}"
            )
        kind = kinds[name]
        if kind is int and isinstance(value, float) and value.is_integer():
            value = int(value)
        huge = type(value) is int and abs(value) >= 2**63
        if huge or type(value) not in ((int, float) if kind is float else (kind,)):
            raise InvalidInput(f"{name} must be of type {kind.__name__}, got {shorten(value)}")
        values[name] = value
    return values.pop("recipe", recipe), {**overrides, **values}


def check_trials(
    trials: list[dict[str, Any]],
    recipe: str,
    overrides: Mapping[str, Any],
    num_images: int,
    image_shape: Sequence[int],
    num_classes: int,
) -> None:
    """Check every trial of a sweep as training would.

    recipe, overrides: what trials leave open; the rest: as for resolve_for_dataset.

    Raises:
        InvalidInput: there is no trial, two are the same, or training would refuse one.
    """
    if not trials:
        raise InvalidInput("trials is empty: give at least one set of hyperparameters")
    for number, trial in enumerate(trials, start=1):
        if not isinstance(trial, dict):
            raise InvalidInput(f"trial {number} must be a dictionary, got {shorten(trial)}")
        if trial in trials[: number - 1]:
            raise InvalidInput(f"trial {number} is the same as an earlier one: {shorten(trial)}")
        try:
            check_trial(trial, recipe, overrides, num_images, image_shape, num_classes)
        except InvalidInput as error:
            raise InvalidInput(f"trial {number}, {shorten(trial)}: {error}") from error


def check_trial(
    trial: Mapping[str, Any],
    recipe: str,
    overrides: Mapping[str, Any],
    num_images: int,
    image_shape: Sequence[int],
    num_classes: int,
) -> None:
    """Check a trial as training would; the arguments: as for check_trials.

    Raises:
        InvalidInput: training would refuse it.
    """
    own_recipe, own = apply_trial(recipe, overrides, trial)
    chosen = choose_hyperparameters(own_recipe, own)
    chosen = resolve_for_dataset(chosen, own, num_images, image_shape, num_classes)
    # Training asks the network itself, which takes MXNet.
    if problem := misfit(chosen, image_shape):
        raise InvalidInput(problem)
