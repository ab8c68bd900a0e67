"""Choosing among the models of a sweep."""

import dataclasses
import math
import pathlib
import shutil
from collections.abc import Mapping, Sequence
from typing import Any, Self

from kfp_mnist_mxnet.errors import InvalidInput
from kfp_mnist_mxnet.evaluation.classes import wilson_interval
from kfp_mnist_mxnet.model.hyperparameters import RULES
from kfp_mnist_mxnet.model.info import INFO_FILE
from kfp_mnist_mxnet.model.recipes import RECIPES
from kfp_mnist_mxnet.storage.artifact import read_json, regular_file

SCORES = ("validation_accuracy", "train_accuracy", "train_loss")


@dataclasses.dataclass(frozen=True)
class Trial:
    """What a model says of how it was trained.

    history: for each epoch validation_accuracy, train_accuracy and train_loss. no_model: why
    training ended without a model, if it did: it diverged, or failed. images: that were scored for
    validation, 0 where it is not known. seconds: of training, None where they are not known.
    """

    directory: str
    hyperparameters: dict[str, Any]
    history: list[dict[str, float]]
    no_model: str = ""
    images: int = 0
    seconds: float | None = None

    @classmethod
    def read(cls, directory: str, seconds: float | None = None) -> Self:
        """Read the model.json of a trial, which does not say how many seconds it took.

        Raises:
            InvalidInput: it can't be read, or the model was trained without validation images.
        """
        content = read_json(directory, INFO_FILE)
        history, chosen = content.get("history"), content.get("hyperparameters")
        if content.get("diverged") and isinstance(chosen, dict):
            return cls(directory, chosen, [], f"diverged: {content['diverged']}")
        if not (isinstance(chosen, dict) and isinstance(history, list) and history):
            raise InvalidInput(
                f"{directory}/model.json has no validation accuracy: it has no hyperparameters or "
                "no history"
            )
        for record in history:
            for name in SCORES:
                value: Any = record.get(name) if isinstance(record, dict) else None
                if type(value) not in (int, float) or not math.isfinite(value):
                    raise InvalidInput(
                        f"{directory}/model.json has no validation accuracy ({name} is {value!r}): "
                        "a sweep chooses by it, so validation_fraction must be above 0"
                    )
        data = content.get("data")
        images = data.get("validation_images") if isinstance(data, dict) else 0
        images = images if type(images) is int and 0 < images < 2**53 else 0
        return cls(directory, chosen, history, images=images, seconds=seconds)

    @property
    def validation_accuracy(self) -> float:
        """The accuracy after the last epoch, by which a sweep chooses; 0 where it diverged."""
        return self.history[-1]["validation_accuracy"] if self.history else 0.0

    @property
    def correct(self) -> int:
        """How many of the validation images get their own label."""
        return round(min(1.0, max(0.0, self.validation_accuracy)) * self.images)

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % confidence interval of the accuracy, its ends equal where it is not known."""
        if not self.images:
            return self.validation_accuracy, self.validation_accuracy
        return wilson_interval(self.correct, self.images)


def best_of(trials: Sequence[Trial]) -> int:
    """Return the index of the trial with the best validation accuracy; ties: the first wins.

    Raises:
        InvalidInput: no trial has a model.
    """
    if all(trial.no_model for trial in trials):
        raise InvalidInput(f"no trial has a model; the first {trials[0].no_model}")
    ranks = [(not trial.no_model, trial.validation_accuracy) for trial in trials]
    return ranks.index(max(ranks))


def copy_model(source: str, directory: pathlib.Path) -> None:
    """Copy the files of a model directory.

    Raises:
        InvalidInput: there is something else in it, such as a link, whose target would be copied.
    """
    directory.mkdir()
    for path in sorted(pathlib.Path(source).iterdir()):
        shutil.copyfile(regular_file(source, path.name), directory / path.name)


def ties_of(trials: Sequence[Trial], best: int) -> list[int]:
    """Return the trials as good as the chosen one: each lies in the interval of the other."""
    chosen = trials[best]

    def within(trial: Trial, other: Trial) -> bool:
        low, high = other.interval
        return low <= trial.validation_accuracy <= high

    return [
        i
        for i, trial in enumerate(trials)
        if i != best and not trial.no_model and within(trial, chosen) and within(chosen, trial)
    ]


def varied_names(trials: Sequence[Trial]) -> list[str]:
    """Return the hyperparameters in which trials differ, as far as a user sets them.

    Without those that follow from the recipe of each trial, if `recipe` itself is among them.
    """
    settings = [trial.hyperparameters for trial in trials]
    names = [
        name
        for name in ("recipe", *RULES, "seed")
        if any(s.get(name) != settings[0].get(name) for s in settings)
    ]
    if "recipe" not in names:
        return names
    return [
        name
        for name in names
        if name not in RULES or not all(follows_recipe(s, name) for s in settings)
    ]


def follows_recipe(settings: dict[str, Any], name: str) -> bool:
    """Return whether a hyperparameter of a trial is what its recipe says."""
    recipe = RECIPES.get(str(settings.get("recipe")))
    value, own = settings.get(name), getattr(recipe, name, None)
    if name == "hidden_units" and isinstance(value, list) and isinstance(own, list):
        return value[:-1] == own[:-1]  # the last is the number of classes
    return bool(value == own)


def show_value(settings: Mapping[str, Any], name: str) -> str:
    """Return a hyperparameter as a page shows it; settings: of a trained model."""
    value = settings.get(name)
    if isinstance(value, float) and len(str(value)) > 8:  # as a search draws them
        return f"{value:.4g}"
    return "automatic" if name == "epochs" and value == 0 else str(value)
