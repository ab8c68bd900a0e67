"""Choosing among the models of a sweep."""

import dataclasses
import math
import pathlib
import shutil
from collections.abc import Sequence
from typing import Any, Self

from kfp_mnist_mxnet.errors import InvalidInput
from kfp_mnist_mxnet.model.info import INFO_FILE
from kfp_mnist_mxnet.storage.artifact import read_json, regular_file

SCORES = ("validation_accuracy", "train_accuracy", "train_loss")


@dataclasses.dataclass(frozen=True)
class Trial:
    """What a model says of how it was trained.

    history: for each epoch validation_accuracy, train_accuracy and train_loss. diverged: why
    training ended without a model, if it did.
    """

    directory: str
    hyperparameters: dict[str, Any]
    history: list[dict[str, float]]
    diverged: str = ""

    @classmethod
    def read(cls, directory: str) -> Self:
        """Read the model.json of a trial.

        Raises:
            InvalidInput: it can't be read, or the model was trained without validation images.
        """
        content = read_json(directory, INFO_FILE)
        history, chosen = content.get("history"), content.get("hyperparameters")
        if content.get("diverged") and isinstance(chosen, dict):
            return cls(directory, chosen, [], str(content["diverged"]))
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
        return cls(directory, chosen, history)

    @property
    def validation_accuracy(self) -> float:
        """The accuracy after the last epoch, by which a sweep chooses; 0 where it diverged."""
        return self.history[-1]["validation_accuracy"] if self.history else 0.0


def best_of(trials: Sequence[Trial]) -> int:
    """Return the index of the trial with the best validation accuracy; ties: the first wins.

    Raises:
        InvalidInput: every trial diverged.
    """
    if all(trial.diverged for trial in trials):
        raise InvalidInput(f"every trial diverged; the first: {trials[0].diverged}")
    ranks = [(not trial.diverged, trial.validation_accuracy) for trial in trials]
    return ranks.index(max(ranks))


def copy_model(source: str, directory: pathlib.Path) -> None:
    """Copy the files of a model directory.

    Raises:
        InvalidInput: there is something else in it, such as a link, whose target would be copied.
    """
    directory.mkdir()
    for path in sorted(pathlib.Path(source).iterdir()):
        shutil.copyfile(regular_file(source, path.name), directory / path.name)


def name_trials(trials: Sequence[Trial]) -> list[str]:
    """Return a name for each trial: the hyperparameters in which it differs from another."""
    settings = [trial.hyperparameters for trial in trials]
    differing = [
        name for name in settings[0] if any(s.get(name) != settings[0][name] for s in settings)
    ]
    return [
        ", ".join(f"{name}={s.get(name)}" for name in differing) or f"trial {number}"
        for number, s in enumerate(settings, start=1)
    ]
