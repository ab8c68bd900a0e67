"""Several runs compared: whether that is fair, which is better, and in what they differ."""

import dataclasses
import math
import re
import string
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from kfp_mnist_mxnet.cli.local.paired import Paired, p_value, pair
from kfp_mnist_mxnet.cli.local.runs import Run
from kfp_mnist_mxnet.cli.local.values import is_share, metric, parameter, points, text
from kfp_mnist_mxnet.errors import InvalidInput
from kfp_mnist_mxnet.evaluation.comparison import show_value
from kfp_mnist_mxnet.storage.artifact import open_npy

NONE = "-"
LETTERS = string.ascii_uppercase  # a run has one in place of its id
DIFFERENT_DATA = "different test data: the scores can't be compared"
# What is always shown where it differs: scores, of the same data only, and what a run takes.
SCORES = (
    *("accuracy", "errors", "log_loss", "expected_calibration_error"),
    *("validation_accuracy", "train_loss"),
)
COSTS = ("parameters", "seconds")


class Score(NamedTuple):
    """A row of scores; values: of each run, None for none; words: better, worse or nothing.

    fair: whether the value of a run may be compared with that of the first one.
    """

    name: str
    values: tuple[Any, ...]
    fair: tuple[bool, ...]
    words: tuple[str, ...]
    main: bool

    def shown(self, i: int) -> str:
        """Return the value of a run as a person reads it."""
        return "" if self.values[i] is None else metric(self.values[i], self.name)

    def change(self, i: int) -> str:
        """Return the value of a run less that of the first one, where that makes sense."""
        difference = less(self.values[i], self.values[0]) if self.fair[i] else None
        if difference is None:
            return ""
        if is_share(self.name):
            return f"{points(difference)} points"
        return ("+" if difference > 0 else "") + metric(difference, self.name)


class Setting(NamedTuple):
    """A row of parameters: its values as a person reads them; equal: in all runs that have it."""

    name: str
    values: tuple[str, ...]
    equal: bool

    @property
    def value(self) -> str:
        """The value where all are equal."""
        return next(value for value in self.values if value != NONE)


@dataclasses.dataclass(frozen=True)
class Contrast:
    """A run against the first one: what both predict of the same images, or why that is unknown."""

    run: Run
    paired: Paired | None
    problem: str

    @property
    def sentence(self) -> str:
        """Say which is better and how sure that is."""
        paired = self.paired
        if paired is None:
            return self.problem
        return (
            f"{paired.verdict}: {points(paired.difference)} points (95 % confidence interval "
            f"{points(paired.low)} to {points(paired.high)}); of {paired.images:,} images "
            f"{len(paired.fixed):,} fixed, {len(paired.broken):,} broken; "
            f"McNemar's test: p {p_value(paired.p_value)}"
        )


def less(value: Any, first: Any) -> float | None:
    """Return the difference of two numbers, None where one of them is not a finite one."""
    for operand in (value, first):
        if not isinstance(operand, (int, float)) or not math.isfinite(operand):
            return None
    return value - first


def contrasts(runs: Sequence[Run]) -> list[Contrast]:
    """Return each run but the first against the first."""
    return [contrast(runs[0], run) for run in runs[1:]]


def contrast(first: Run, run: Run) -> Contrast:
    """Return a run against another one."""
    digests = [first.data_sha256(), run.data_sha256()]
    if not all(digests):
        return Contrast(run, None, "a run's test data is not known: the scores can't be compared")
    if digests[0] != digests[1]:
        return Contrast(run, None, DIFFERENT_DATA)
    try:
        labels = array(run, "test_data", "labels.npy")
        predicted = [array(each, "predictions", "labels.npy") for each in (first, run)]
    except InvalidInput as error:
        return Contrast(run, None, f"no paired test: {error}")
    if not all(len(each) == len(labels) for each in predicted) or not len(labels):
        return Contrast(run, None, "no paired test: the predictions are not of the test images")
    return Contrast(run, pair(labels, *predicted), "")


def array(run: Run, output: str, name: str, rank: int = 1) -> np.ndarray:
    """Return a uint8 array of a run's artifact.

    Raises:
        InvalidInput: it is not there, or is damaged.
    """
    path = run.output(output)
    if path is None:
        raise InvalidInput(f"{run.name} has no {output}")
    return open_npy(path, name, "uint8", rank)


def class_names(run: Run) -> list[str]:
    """Return the names of the 256 classes that labels can have, their numbers without any."""
    info = run.about("test_data", "dataset.json").get("class_names")
    names = info or run.model_info().get("class_names") or []
    return [*map(str, names), *map(str, range(len(names), 256))]


def scores(runs: Sequence[Run], against: Sequence[Contrast]) -> list[Score]:
    """Return a row for each score of any run."""
    columns = [run_scores(run) for run in runs]
    rows = []
    for name in dict.fromkeys(name for column in columns for name in column):
        values = tuple(column.get(name) for column in columns)
        fair = tuple(is_fair(name, runs[0], run) for run in runs)
        words = [
            "",
            *(word(name, values[0], v, a) for v, a in zip(values[1:], against, strict=True)),
        ]
        judged = tuple(word if just else "" for word, just in zip(words, fair, strict=True))
        rows.append(Score(name, values, fair, judged, is_main(name, values)))
    return rows


def run_scores(run: Run) -> dict[str, Any]:
    """Return name to value of a run's scores; those of a sweep's best trial are those of train."""
    found = run.metrics()
    chosen = f"train-{found.get('compare.best_trial', 0):.0f}."
    named = {
        f"train.{name.removeprefix(chosen)}" if name.startswith(chosen) else name: value
        for name, value in found.items()
    }
    return {"accuracy": run.record["accuracy"], **named, "seconds": run.record["seconds"]}


def is_main(name: str, values: tuple[Any, ...]) -> bool:
    """Tell whether a row of scores is one that is always shown: it matters, and differs."""
    step, _, bare = name.rpartition(".")
    if bare == "accuracy":
        return not step and any(value is not None for value in values)
    return bare in (*SCORES, *COSTS) and len(set(values)) > 1 and not re.search(r"-\d+$", step)


def is_fair(name: str, first: Run, run: Run) -> bool:
    """Tell whether a score of two runs may be compared: it is of the same data, or of none."""
    step, _, bare = name.rpartition(".")
    if bare in COSTS or bare.endswith("per_second"):
        return True
    split = "validation_data" if step.startswith(("train", "compare")) else "test_data"
    return first.data_sha256(split) == run.data_sha256(split) != ""


def word(name: str, first: Any, value: Any, against: Contrast) -> str:
    """Say whether a score is better or worse than that of the first run.

    Only of what the paired test judges, which is the accuracy on the test images: any other
    difference may be chance.
    """
    step, _, bare = name.rpartition(".")
    tested = bare in ("accuracy", "errors") and not step.startswith("train")
    return against.paired.verdict if against.paired and tested and less(value, first) else ""


def settings(runs: Sequence[Run]) -> list[Setting]:
    """Return a row for each parameter of any run, with the values that training used.

    A run without a model has those that it was given, so all are compared by these.
    """
    trained = [run.hyperparameters() for run in runs]
    resolved = all(trained)
    given = [run.record["parameters"] for run in runs]
    columns = [
        {**own, **model} if resolved else own for own, model in zip(given, trained, strict=True)
    ]
    rows = []
    for name in dict.fromkeys(name for column in columns for name in column):
        known = {text(column[name]) for column in columns if name in column}
        pairs = zip(given, trained, strict=True)
        values = tuple(setting(name, own, model) for own, model in pairs)
        rows.append(Setting(name, values, len(known) == 1))
    return rows


def setting(name: str, given: dict[str, Any], trained: dict[str, Any]) -> str:
    """Return a parameter of a run as a person reads it."""
    if name in trained:
        return show_value(trained, name)
    return parameter(given[name], name, {}) if name in given else NONE
