"""What the accuracy of a run is worth: how sure it is, and against what it is to be seen."""

import dataclasses
from collections.abc import Iterator
from typing import Any

import click

from kfp_mnist_mxnet.cli.local.runs import Run, load_run, run_directories
from kfp_mnist_mxnet.cli.local.values import percent, points
from kfp_mnist_mxnet.evaluation.classes import wilson_interval
from kfp_mnist_mxnet.notation import percent_range

NO_BETTER = "no better than always predicting the most common class"


@dataclasses.dataclass(frozen=True)
class Verdict:
    """The accuracy of a run and what is known of it, None for what is not.

    low, high: its 95 % confidence interval. baseline: the accuracy of always predicting the most
    common class. earlier: the id of the latest earlier run on the same data, gain: the accuracy
    less that of it.
    """

    accuracy: float
    images: int | None = None
    errors: int | None = None
    low: float | None = None
    high: float | None = None
    baseline: float | None = None
    earlier: str | None = None
    gain: float = 0.0

    @property
    def no_better(self) -> bool:
        """Whether the model may as well always predict the most common class."""
        return self.baseline is not None and self.low is not None and self.low <= self.baseline

    @property
    def parts(self) -> Iterator[str]:
        """What is known, a clause each."""
        about = f"Accuracy {percent(self.accuracy)}"
        if self.low is not None and self.high is not None:
            about += f" ({percent_range(self.low, self.high)})".replace("\N{NO-BREAK SPACE}", " ")
        if self.images is not None:
            about += f", {self.errors:,} of {self.images:,} wrong"
        yield about
        if self.no_better:
            yield f"{NO_BETTER}: {percent(self.baseline or 0.0)}"
        elif self.baseline is not None:
            yield f"always predicting the most common class: {percent(self.baseline)}"
        if self.earlier is not None:
            yield f"{points(self.gain)} points compared with run {self.earlier} on the same data"

    @property
    def sentence(self) -> str:
        """All of it."""
        return "; ".join(self.parts)


def judge(run: Run) -> Verdict | None:
    """Return what the accuracy of a run is worth, None if it has none."""
    accuracy = run.record["accuracy"]
    if accuracy is None:
        return None
    metrics = scores_of(run, accuracy)
    images, errors = metrics.get("images"), metrics.get("errors")
    known: dict[str, Any] = {"baseline": metrics.get("baseline_accuracy", baseline_of(run))}
    if isinstance(images, (int, float)) and isinstance(errors, (int, float)) and images >= errors:
        low, high = wilson_interval(int(images - errors), max(1, int(images)))
        known.update(images=int(images), errors=int(errors), low=low, high=high)
    before = earlier_run(run)
    if before is not None:
        known.update(earlier=before.name, gain=accuracy - before.record["accuracy"])
    return Verdict(accuracy, **known)


def scores_of(run: Run, accuracy: float) -> dict[str, Any]:
    """Return the metrics of the step that the accuracy of a run is from."""
    steps = [step.get("metrics", {}) for step in run.record["steps"]]
    return next((found for found in steps[::-1] if found.get("accuracy") == accuracy), {})


def baseline_of(run: Run) -> float | None:
    """Return the share of the most common class in the test data, None if it is not known."""
    counts = run.about("test_data", "dataset.json").get("class_counts")
    if not (isinstance(counts, list) and all(type(count) is int for count in counts)):
        return None
    return max(counts) / sum(counts) if sum(counts) > 0 else None


def earlier_run(run: Run) -> Run | None:
    """Return the latest run before this one that scored on the same test data, None without any."""
    digest = run.data_sha256()
    names = run_directories(run.directory.parent)
    before = names[: names.index(run.directory)] if digest and run.directory in names else []
    for directory in reversed(before):
        try:
            other = load_run(directory)
        except click.UsageError:
            continue
        same = other.record["pipeline"] == run.record["pipeline"]
        if same and other.record["accuracy"] is not None and other.data_sha256() == digest:
            return other
    return None
