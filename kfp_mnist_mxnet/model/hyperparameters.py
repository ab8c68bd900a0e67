"""What training can be told: every hyperparameter with its default, limits and meaning.

A hyperparameter stands here once, as a field of `Hyperparameters` with its description below it.
The checks, the recipes, the component's descriptions, the sweep's trials, the documents and the
fuzzers read it from there.
"""

import dataclasses
from collections.abc import Iterable
from typing import Any, NamedTuple

from kfp_mnist_mxnet.model.rules import Count, Number, Rule, Sizes, Word


def tunable(default: Any, rule: Rule, **before: Any) -> Any:
    """Return a field that is a parameter of train too.

    before: what training did when it had no such field, if not the default.
    """
    return recipe_only(default, rule=rule, **before)


def recipe_only(default: Any, **metadata: Any) -> Any:
    """Return a field that only a recipe sets; metadata: before, as for tunable."""
    return dataclasses.field(default_factory=lambda: default, metadata=metadata)


class Convolution(NamedTuple):
    """The sizes of a convolution, in pixels but for num_filter; pool: max pooling follows."""

    kernel: int
    num_filter: int
    pad: int
    pool: bool

    def output(self, size: Iterable[int]) -> list[int]:
        """Return the size (H, W) of its output before pooling."""
        return [n + 2 * self.pad - self.kernel + 1 for n in size]

    def left(self, size: Iterable[int]) -> list[int]:
        """Return the size (H, W) of its output after pooling."""
        return [n // (1 + self.pool) for n in self.output(size)]


@dataclasses.dataclass(frozen=True)
class Hyperparameters:
    """Every hyperparameter; the defaults are the recipe `default`."""

    epochs: int = tunable(0, Count(least=0))
    """Number of epochs; 0 stops when the validation accuracy plateaus."""

    batch_size: int = tunable(128, Count())
    """Global batch size, split across all devices."""

    # Four on every machine, so that the same seed gives the same model on any number of CPUs. On
    # two CPUs two would train 5 to 9 % faster when nobody else is there, and 8 to 14 % slower
    # beside a busy process.
    cpu_threads: int = tunable(4, Count(most=256))
    """CPU threads that share a batch, at least 16 images each; the model depends on it."""

    learning_rate: float = tunable(0.1, Number(positive=True))
    """Peak learning rate of the schedule."""

    schedule: str = recipe_only("one_cycle")
    """Learning rate over time: one_cycle (up, then down to 0) or constant."""

    optimizer: str = tunable("nag", Word(("adam", "nag", "sgd")))
    """One of adam, nag (Nesterov momentum), sgd."""

    momentum: float = tunable(0.9, Number(below=1))
    """Momentum of nag and sgd."""

    weight_decay: float = tunable(1e-4, Number())
    """Weight decay (L2) of the weights, not of the biases."""

    dropout: float = tunable(0.0, Number(below=1))
    """Dropout rate before the output layer."""

    label_smoothing: float = recipe_only(0.0)
    """Label smoothing factor."""

    augmentation: float = tunable(0.75, Number())
    """Maximum strength of random shifts, rotations and warps; 0: none."""

    flip: str = tunable("none", Word(("none", "horizontal")))
    """Random mirroring: none, or horizontal if a mirrored image keeps its class, as clothes do."""

    # he: He et al., https://arxiv.org/abs/1502.01852; uniform: the default of MXNet's Module.
    initializer: str = recipe_only("he")
    """Initial weights: he (normal) or uniform (-0.01 to 0.01)."""

    activation: str = tunable("relu", Word(("relu", "sigmoid", "softrelu", "softsign", "tanh")))
    """One of relu, sigmoid, softrelu, softsign, tanh."""

    # oneDNN wants multiples of 16. Without padding 12 x 12 become 8 x 8, then 2 x 2: a quarter of
    # the FLOPs of a network that keeps 12 x 12, and as many mistakes, as strokes are far from the
    # border.
    kernels: list[int] = tunable([5, 5, 3], Sizes())
    """Kernel size of each convolution."""

    filters: list[int] = tunable([16, 64, 128], Sizes())
    """Number of filters of each convolution."""

    padding: list[int] = recipe_only([0, 0, 0])
    """Zeros around the image before each convolution."""

    pooling: list[bool] = recipe_only([True, True, False])
    """Whether each convolution is followed by max pooling."""

    batch_norm: bool = recipe_only(True)
    """Whether each convolution is followed by batch normalisation."""

    hidden_units: list[int] = tunable([128, -1], Sizes(inferable=True))
    """Units of each dense layer, the last of them the number of classes or -1."""

    def convolutions(self) -> list[Convolution]:
        """Return the convolutions in their order."""
        columns = (self.kernels, self.filters, self.padding, self.pooling)
        return [Convolution(*sizes) for sizes in zip(*columns, strict=True)]

    def to_dict(self) -> dict[str, Any]:
        """Return name to value, as JSON has it."""
        return dataclasses.asdict(self)

    def without_last_convolution(self) -> "Hyperparameters":
        """Return the hyperparameters with one convolution less."""
        names = ("kernels", "filters", "padding", "pooling")
        return dataclasses.replace(self, **{name: getattr(self, name)[:-1] for name in names})


RULES: dict[str, Rule] = {
    field.name: field.metadata["rule"]
    for field in dataclasses.fields(Hyperparameters)
    if "rule" in field.metadata
}
UNSET: dict[str, Any] = {name: rule.unset for name, rule in RULES.items()}
# What a model or checkpoint stands for that is older than a hyperparameter, and so lacks it.
BEFORE: dict[str, Any] = {
    field.name: field.metadata.get("before", getattr(Hyperparameters(), field.name))
    for field in dataclasses.fields(Hyperparameters)
}
