"""What training can be told: every hyperparameter with its default, limits and meaning; recipes.

A hyperparameter stands here once, as a field of `Hyperparameters`. The checks, the recipes, the
component's descriptions, the sweep's trials, the documents and the fuzzers read it from there.
"""

import dataclasses
import math
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, NamedTuple, Protocol

from kfp_mnist_mxnet.errors import InvalidInput

MOST_PARAMETERS = 2**28  # 1 GiB of float32
MOST_OUTPUTS = 2**32  # of convolutions and dense layers in a batch: 16 GiB of float32


class Rule(Protocol):
    """What values a hyperparameter may have.

    kind: the type of a value. open: the value that leaves the hyperparameter to the recipe.
    """

    kind: ClassVar[type]
    open: ClassVar[Any]

    def checked(self, name: str, value: Any) -> Any:
        """Return a value in its own type.

        Raises:
            InvalidInput: it is out of range.
        """


@dataclasses.dataclass(frozen=True)
class Count:
    """A whole number from a least one to 1,000,000."""

    least: int = 1
    kind: ClassVar[type] = int
    open: ClassVar[int] = -1

    def checked(self, name: str, value: int) -> int:
        """Return the number."""
        if value < self.least:
            raise InvalidInput(f"{name} must be at least {self.least}, got {value}")
        if value > 1_000_000:
            raise InvalidInput(f"{name} must be at most 1,000,000, got {shorten(value)}")
        return value


@dataclasses.dataclass(frozen=True)
class Number:
    """A finite number from 0 on, below a limit if there is one; positive: and not 0."""

    below: float = math.inf
    positive: bool = False
    kind: ClassVar[type] = float
    open: ClassVar[float] = -1.0

    def checked(self, name: str, value: float) -> float:
        """Return the number as a float: a whole one comes from JSON as an integer."""
        if not 0 <= value < self.below or (self.positive and value == 0):
            limit = f"at least 0 and below {self.below:g}"
            if self.positive:
                limit = "a positive number"
            elif self.below == math.inf:
                limit = "a finite number, at least 0"
            raise InvalidInput(f"{name} must be {limit}, got {value}")
        return float(value)


@dataclasses.dataclass(frozen=True)
class Word:
    """One of some words."""

    choices: tuple[str, ...]
    kind: ClassVar[type] = str
    open: ClassVar[str] = ""

    def checked(self, name: str, value: str) -> str:
        """Return the word."""
        if value not in self.choices:
            raise InvalidInput(f"{name} must be one of {', '.join(self.choices)}, got {value!r}")
        return value


@dataclasses.dataclass(frozen=True)
class Sizes:
    """A list of positive whole numbers; inferable: its last entry may be -1."""

    inferable: bool = False
    kind: ClassVar[type] = list
    open: ClassVar[list[int]] = []

    def checked(self, name: str, value: list[float]) -> list[int]:
        """Return the list as integers: kfp hands lists of whole numbers over as floats."""
        if len(value) > 100:
            raise InvalidInput(f"{name} must have at most 100 entries, got {len(value)}")
        inferred = self.inferable and value[-1:] == [-1]
        for size in value[:-1] if inferred else value:
            if type(size) not in (int, float) or not size >= 1 or (size < 2**63 and size % 1):
                raise InvalidInput(f"{name} must be positive whole numbers, got {shorten(value)}")
            if size > 1_000_000:
                raise InvalidInput(f"{name} must be at most 1,000,000, got {shorten(size)}")
        return [int(size) for size in value]


def given(default: Any, rule: Rule, text: str) -> Any:
    """Return a field that is a parameter of train too; text: its description."""
    return dataclasses.field(
        default_factory=lambda: default, metadata={"rule": rule, "description": text}
    )


def fixed(default: Any, text: str) -> Any:
    """Return a field that only a recipe sets; text: its description."""
    return dataclasses.field(default_factory=lambda: default, metadata={"description": text})


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

    epochs: int = given(
        0,
        Count(least=0),
        "Number of epochs; 0 stops when the validation accuracy plateaus.",
    )
    batch_size: int = given(128, Count(), "Global batch size, split across all devices.")
    learning_rate: float = given(
        0.1, Number(positive=True), "Learning rate, the highest of the schedule."
    )
    schedule: str = fixed(
        "one_cycle", "Learning rate over time: one_cycle (up, then down to 0) or constant."
    )
    optimizer: str = given(
        "nag", Word(("adam", "nag", "sgd")), "One of adam, nag (Nesterov momentum), sgd."
    )
    momentum: float = given(0.9, Number(below=1), "Momentum of nag and sgd.")
    weight_decay: float = given(
        1e-4, Number(), "Weight decay (L2) of the weights, not of the biases."
    )
    dropout: float = given(0.0, Number(below=1), "Dropout rate before the output layer.")
    label_smoothing: float = fixed(0.0, "Label smoothing factor.")
    augmentation: float = given(
        0.75,
        Number(),
        "Highest strength of random shifts, rotations and warps; 0 none, 1 much.",
    )
    # he: He et al., https://arxiv.org/abs/1502.01852; uniform: the default of MXNet's Module.
    initializer: str = fixed("he", "First weights: he (normal) or uniform (-0.01 to 0.01).")
    activation: str = given(
        "relu",
        Word(("relu", "sigmoid", "softrelu", "softsign", "tanh")),
        "One of relu, sigmoid, softrelu, softsign, tanh.",
    )
    # oneDNN wants multiples of 16. Without padding 12 x 12 become 8 x 8, then 2 x 2: a quarter of
    # the FLOPs of a network that keeps 12 x 12, and as many mistakes, as strokes are far from the
    # border.
    kernels: list[int] = given([5, 5, 3], Sizes(), "Kernel size of each convolution.")
    filters: list[int] = given([16, 64, 128], Sizes(), "Number of filters of each convolution.")
    padding: list[int] = fixed([0, 0, 0], "Zeros around the image before each convolution.")
    pooling: list[bool] = fixed(
        [True, True, False], "Whether each convolution is followed by max pooling."
    )
    batch_norm: bool = fixed(True, "Whether each convolution is followed by batch normalisation.")
    hidden_units: list[int] = given(
        [128, -1],
        Sizes(inferable=True),
        "Units of each dense layer, the last of them the number of classes or -1.",
    )

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

    def too_small_at(self, size: Iterable[int]) -> str:
        """Return why images of a size (H, W) are too small for the convolutions, empty if not."""
        for i, convolution in enumerate(self.convolutions()):
            height, width = size
            size = convolution.left(size)
            if min(size) < 1:
                return (
                    f"kernels[{i}] is {convolution.kernel}, but {height} x {width} pixels are "
                    "left of the image there, and convolution and pooling must leave at least one"
                )
        return ""

    def too_large_for(self, image_shape: Iterable[int]) -> str:
        """Return why the network would take too much memory, before any is taken; empty if not.

        image_shape: (C, H, W).
        """
        inputs, *size = image_shape
        parameters = outputs = 0
        for convolution in self.convolutions():
            filters = convolution.num_filter
            parameters += filters * (inputs * convolution.kernel**2 + 1)
            outputs += filters * math.prod(convolution.output(size))
            inputs, size = filters, convolution.left(size)
        inputs *= math.prod(size)
        for units in self.hidden_units:
            parameters += units * (inputs + 1)
            outputs += units
            inputs = units
        outputs *= self.batch_size
        if parameters > MOST_PARAMETERS:
            return (
                f"the network would have {parameters:,} parameters, "
                f"expected at most {MOST_PARAMETERS:,}"
            )
        if outputs > MOST_OUTPUTS:
            return (
                f"a batch would have {outputs:,} values between layers, "
                f"expected at most {MOST_OUTPUTS:,}"
            )
        return ""


RULES: dict[str, Rule] = {
    field.name: field.metadata["rule"]
    for field in dataclasses.fields(Hyperparameters)
    if "rule" in field.metadata
}
DESCRIPTIONS: dict[str, str] = {
    field.name: field.metadata["description"] for field in dataclasses.fields(Hyperparameters)
}
LEFT_OPEN: dict[str, Any] = {name: rule.open for name, rule in RULES.items()}

RECIPES: dict[str, Hyperparameters] = {
    "default": Hyperparameters(),
    "best": Hyperparameters(
        epochs=25,
        weight_decay=5e-4,
        dropout=0.4,
        label_smoothing=0.02,
        augmentation=1.0,
        # No padding where strokes are far from the border: more filters for the same FLOPs.
        kernels=[5, 3, 3, 3],
        filters=[32, 64, 64, 192],
        padding=[0, 0, 0, 1],
        pooling=[True, False, True, True],
    ),
    # Apache MXNet's tutorial "Handwritten Digit Recognition", its convolutional network.
    "tutorial": Hyperparameters(
        epochs=10,
        batch_size=100,
        schedule="constant",
        optimizer="sgd",
        momentum=0.0,
        weight_decay=0.0,
        augmentation=0.0,
        initializer="uniform",
        activation="tanh",
        kernels=[5, 5],
        filters=[20, 50],
        padding=[0, 0],
        pooling=[True, True],
        batch_norm=False,
        hidden_units=[500, -1],
    ),
}


def own_values(overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Return the overrides that leave nothing open: not -1, an empty text or an empty list."""
    return {name: value for name, value in overrides.items() if value not in (-1, "", [])}


def take_trial(
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


def shorten(value: object) -> str:
    """Return a value as messages show it: its start, if it is long."""
    if isinstance(value, int) and abs(value) >= 2**63:
        return f"a number of {value.bit_length()} bits"
    try:
        text = repr(value)
    except ValueError:  # Python refuses to write more than 4,300 digits
        return f"a {type(value).__name__} with a number of thousands of digits"
    return text if len(text) <= 200 else text[:200] + "..."


def choose_hyperparameters(recipe: str, overrides: Mapping[str, Any]) -> Hyperparameters:
    """Return a recipe's hyperparameters with the overrides in their place, checked.

    overrides: name to value; -1, an empty text or an empty list stands for the recipe's.

    Raises:
        InvalidInput: a value is out of range or unknown, or lists do not fit each other.
    """
    if recipe not in RECIPES:
        raise InvalidInput(f"recipe must be one of {', '.join(RECIPES)}, got {recipe!r}")
    own = {name: RULES[name].checked(name, value) for name, value in own_values(overrides).items()}
    if "kernels" in own:
        own["padding"] = [0] * len(own["kernels"])
        own["pooling"] = [True] * len(own["kernels"])
    chosen = dataclasses.replace(RECIPES[recipe], **own)
    if len(chosen.kernels) != len(chosen.filters):
        raise InvalidInput(
            "kernels and filters must have one entry for each convolution, "
            f"got {chosen.kernels} and {chosen.filters}"
        )
    return chosen


def check_seed(seed: int) -> None:
    """Check a seed: MXNet's and NumPy's generators both take 0 to 2**31 - 1.

    Raises:
        InvalidInput: the seed is out of range.
    """
    if not 0 <= seed < 2**31:
        raise InvalidInput(f"seed must be at least 0 and below 2**31, got {seed}")


def adapt_to_data(
    chosen: Hyperparameters,
    overrides: Mapping[str, Any],
    num_images: int,
    image_shape: Iterable[int],
    num_classes: int,
) -> Hyperparameters:
    """Return the hyperparameters for one data set: what was left open is filled in.

    The recipe's own values give way where the data is small: a batch is at most all images, and
    convolutions are padded so that they keep the size of images that are too small for them;
    the last ones are left out where nothing is left for them.
    overrides: as for choose_hyperparameters; image_shape: (C, H, W).

    Raises:
        InvalidInput: the image is too small for the convolutions, the last dense layer is not as
            wide as there are classes, there are fewer images than a batch has, or the network
            is too large.
    """
    own = own_values(overrides)
    *hidden, last = chosen.hidden_units
    if last not in (-1, num_classes):
        raise InvalidInput(
            f"the last of hidden_units is {last}, expected {num_classes}, "
            "the number of classes, or -1, which stands for it"
        )
    if num_images < 1:
        raise InvalidInput("train_data has no images: training needs at least one")
    if "batch_size" in own and chosen.batch_size > num_images:
        raise InvalidInput(
            f"batch_size is {chosen.batch_size}, but there are only {num_images} training images"
        )
    adapted = dataclasses.replace(
        chosen,
        hidden_units=[*hidden, num_classes],
        batch_size=min(chosen.batch_size, num_images),
    )
    _, *size = image_shape
    if "kernels" not in own and adapted.too_small_at(size):
        adapted = dataclasses.replace(adapted, padding=[kernel // 2 for kernel in chosen.kernels])
        while "filters" not in own and adapted.too_small_at(size):
            adapted = adapted.without_last_convolution()
    problem = adapted.too_small_at(size) or adapted.too_large_for(image_shape)
    if problem:
        raise InvalidInput(problem)
    return adapted


def check_trials(
    trials: list[dict[str, Any]],
    recipe: str,
    overrides: Mapping[str, Any],
    num_images: int,
    image_shape: Iterable[int],
    num_classes: int,
) -> None:
    """Check every trial of a sweep as training would.

    recipe, overrides: what trials leave open; the rest: as for adapt_to_data.

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
            own_recipe, own = take_trial(recipe, overrides, trial)
            chosen = choose_hyperparameters(own_recipe, own)
            adapt_to_data(chosen, own, num_images, image_shape, num_classes)
        except InvalidInput as error:
            raise InvalidInput(f"trial {number}, {shorten(trial)}: {error}") from error
