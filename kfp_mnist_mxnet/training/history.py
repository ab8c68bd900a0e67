"""What happened in training: a record of each epoch."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any, Self

from kfp_mnist_mxnet.model.recipes import RECIPES, own_values


@dataclasses.dataclass
class Epoch:
    """What happened in an epoch.

    curve: for each line of the log [epochs done, loss, accuracy, learning rate].
    validation_accuracy: None without validation images; validation_loss: so too, and in what
    earlier releases wrote.
    """

    train_accuracy: float
    train_loss: float
    seconds: float
    samples_per_second: float
    curve: list[list[float]]
    validation_accuracy: float | None = None
    validation_loss: float | None = None

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> Self:
        """Return the epoch of a JSON object.

        Raises:
            ValueError, TypeError: it is something else.
        """
        epoch = cls(**record)
        numbers = [value for point in epoch.curve for value in point]
        numbers += [value for name, value in epoch.to_json().items() if name != "curve"]
        finite = all(type(n) in (int, float) and math.isfinite(n) for n in numbers)
        if {len(point) for point in epoch.curve} != {4} or not finite:
            raise ValueError(f"history has the record {str(record)[:200]}")
        return epoch

    def to_json(self) -> dict[str, Any]:
        """Return what is known, as JSON has it."""
        values = dataclasses.asdict(self).items()
        return {name: value for name, value in values if value is not None}


def brief_history(history: Sequence[Epoch]) -> list[dict[str, float]]:
    """Return of each epoch what the same seed gives again: losses and accuracies, no times."""
    names = ("train_loss", "train_accuracy", "validation_loss", "validation_accuracy")
    records = [epoch.to_json() for epoch in history]
    return [{name: record[name] for name in names if name in record} for record in records]


def describe_settings(
    settings: Mapping[str, Any], overrides: Mapping[str, Any], epochs: int
) -> dict[str, str]:
    """Return name to value as a report shows it, with where the value comes from.

    settings: recipe, hyperparameters and seed; overrides: of the recipe; epochs: trained.
    """
    own, recipe = own_values(overrides), RECIPES[settings["recipe"]]
    shown = {}
    for name, value in settings.items():
        origin = "set" if name in own else "recipe default"
        if name not in own and hasattr(recipe, name) and getattr(recipe, name) != value:
            origin = "derived"
        if name == "epochs" and value == 0:
            value, origin = epochs, f"automatic, {origin}"
        shown[name] = f"{value} ({origin})" if hasattr(recipe, name) else f"{value}"
    return shown
