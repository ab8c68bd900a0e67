"""What training can be told: recipes, and the checks of every hyperparameter."""

from typing import Any


def recipe_hyperparameters(recipe: str) -> dict[str, Any]:
    """Return every hyperparameter of a named recipe.

    What is not a parameter of the train component can be had through a recipe only:
    schedule      one_cycle, or constant
    initializer   he (normal, He et al., https://arxiv.org/abs/1502.01852), or uniform
                  (-0.01 to 0.01, the default of MXNet's Module)
    padding       zeros added to each side before each convolution, in pixels
    pooling       whether each convolution is followed by max pooling (2 x 2, stride 2)
    batch_norm    whether each convolution is followed by batch normalisation

    Raises:
        ValueError: there is no such recipe.
    """
    default = {
        "epochs": 1,
        "batch_size": 128,
        "learning_rate": 0.1,
        "schedule": "one_cycle",
        "optimizer": "nag",
        "momentum": 0.9,
        "weight_decay": 1e-4,
        "dropout": 0.0,
        "augmentation": 0.75,
        "initializer": "he",
        "activation": "relu",
        # oneDNN wants multiples of 16. The second convolution has most of the FLOPs, so that
        # training runs near the rate of a matrix product; padding keeps 12 x 12, then 6 x 6.
        "kernels": [5, 5, 3],
        "filters": [16, 96, 96],
        "padding": [0, 2, 1],
        "pooling": [True, True, True],
        "batch_norm": True,
        "hidden_units": [128, -1],
    }
    recipes = {
        "default": default,
        "best": {
            **default,
            "epochs": 13,
            "weight_decay": 5e-4,
            "dropout": 0.4,
            "augmentation": 1.0,
            # No padding where strokes are far from the border: more filters for the same FLOPs.
            "kernels": [5, 3, 3, 3],
            "filters": [32, 64, 96, 192],
            "padding": [0, 0, 0, 1],
            "pooling": [True, False, True, True],
        },
        # Apache MXNet's tutorial "Handwritten Digit Recognition", its convolutional network.
        "tutorial": {
            "epochs": 10,
            "batch_size": 100,
            "learning_rate": 0.1,
            "schedule": "constant",
            "optimizer": "sgd",
            "momentum": 0.0,
            "weight_decay": 0.0,
            "dropout": 0.0,
            "augmentation": 0.0,
            "initializer": "uniform",
            "activation": "tanh",
            "kernels": [5, 5],
            "filters": [20, 50],
            "padding": [0, 0],
            "pooling": [True, True],
            "batch_norm": False,
            "hidden_units": [500, -1],
        },
    }
    if recipe not in recipes:
        raise ValueError(f"recipe must be one of {', '.join(recipes)}, got {recipe!r}")
    return recipes[recipe]


def left_open() -> dict[str, Any]:
    """Return each hyperparameter with the value that leaves it to the recipe."""
    numbers = {"epochs": -1, "batch_size": -1, "learning_rate": -1.0, "momentum": -1.0}
    numbers.update({"weight_decay": -1.0, "dropout": -1.0, "augmentation": -1.0})
    return {
        **numbers,
        "optimizer": "",
        "activation": "",
        "kernels": [],
        "filters": [],
        "hidden_units": [],
    }


def take_trial(
    recipe: str, given: dict[str, Any], trial: dict[str, Any]
) -> tuple[str, dict[str, Any]]:
    """Return the recipe and the given hyperparameters with those of a trial in their place.

    trial: name to value; whole numbers may be floats, as kfp hands dictionaries over.

    Raises:
        ValueError: the trial has a name that is no hyperparameter, or a value of another kind.
    """
    known: dict[str, Any] = {"recipe": recipe, **given}
    values: dict[str, Any] = {}
    for name, value in trial.items():
        if name not in known:
            raise ValueError(
                f"{shorten(name)} is no hyperparameter: expected one of {', '.join(known)}"
            )
        kind = type(known[name])
        whole = isinstance(value, float) and value.is_integer()
        value = int(value) if whole and kind is int else value
        huge = type(value) is int and abs(value) >= 2**63
        if huge or type(value) not in ((int, float) if kind is float else (kind,)):
            raise ValueError(f"{name} must be of type {kind.__name__}, got {shorten(value)}")
        values[name] = value
    return values.pop("recipe", recipe), {**given, **values}


def shorten(value: Any) -> str:
    """Return a value as messages show it: its start, if it is long."""
    if isinstance(value, int) and abs(value) >= 2**63:
        return f"a number of {value.bit_length()} bits"
    try:
        text = repr(value)
    except ValueError:  # Python refuses to write more than 4,300 digits
        return f"a {type(value).__name__} with a number of thousands of digits"
    return text if len(text) <= 200 else text[:200] + "..."


def choose_hyperparameters(recipe: str, given: dict[str, Any]) -> dict[str, Any]:
    """Return a recipe's hyperparameters with those that are given in their place, checked.

    given: name to value, where -1, an empty text or an empty list stands for the recipe's.

    Raises:
        ValueError: a value is out of range, unknown, or lists do not fit each other.
    """
    own = {name: value for name, value in given.items() if value not in (-1, "", [])}
    chosen = {**recipe_hyperparameters(recipe), **own}
    for name in ("epochs", "batch_size"):
        if chosen[name] < 1:
            raise ValueError(f"{name} must be at least 1, got {chosen[name]}")
        if chosen[name] > 1_000_000:
            raise ValueError(f"{name} must be at most 1,000,000, got {shorten(chosen[name])}")
    check_ranges(chosen)
    for name in ("kernels", "filters", "hidden_units"):
        chosen[name] = whole_numbers(name, chosen[name], last_may_be_inferred=name[0] == "h")
    if len(chosen["kernels"]) != len(chosen["filters"]):
        raise ValueError(
            "kernels and filters must have one entry for each convolution, "
            f"got {chosen['kernels']} and {chosen['filters']}"
        )
    if "kernels" in own:
        chosen["padding"] = [0] * len(chosen["kernels"])
        chosen["pooling"] = [True] * len(chosen["kernels"])
    return chosen


def check_ranges(chosen: dict[str, Any]) -> None:
    """Check the hyperparameters that are one number or one word.

    Raises:
        ValueError: a value is out of range or unknown.
    """
    import math

    words = {
        "activation": ("relu", "sigmoid", "softrelu", "softsign", "tanh"),
        "optimizer": ("adam", "nag", "sgd"),
    }
    for name, known in words.items():
        if chosen[name] not in known:
            raise ValueError(f"{name} must be one of {', '.join(known)}, got {chosen[name]!r}")
    rate = chosen["learning_rate"]
    if not 0 < rate < math.inf:
        raise ValueError(f"learning_rate must be a positive number, got {rate}")
    for name, below in (("momentum", 1), ("dropout", 1), ("weight_decay", 0), ("augmentation", 0)):
        value = chosen[name]
        if not 0 <= value < (below or math.inf):
            limit = f"at least 0 and below {below}" if below else "a finite number, at least 0"
            raise ValueError(f"{name} must be {limit}, got {value}")


def check_seed(seed: int) -> None:
    """Check a seed: MXNet's and NumPy's generators both take 0 to 2**31 - 1.

    Raises:
        ValueError: the seed is out of range.
    """
    if not 0 <= seed < 2**31:
        raise ValueError(f"seed must be at least 0 and below 2**31, got {seed}")


def whole_numbers(name: str, values: list[Any], last_may_be_inferred: bool) -> list[int]:
    """Return a list of sizes as integers; kfp hands lists of whole numbers over as floats.

    last_may_be_inferred: the last entry may be -1.

    Raises:
        ValueError: an entry is not a positive whole number, or there are very large or many ones.
    """
    if len(values) > 100:
        raise ValueError(f"{name} must have at most 100 entries, got {len(values)}")
    inferred = last_may_be_inferred and values[-1:] == [-1]
    for size in values[:-1] if inferred else values:
        if type(size) not in (int, float) or not size >= 1 or (size < 2**63 and size % 1):
            raise ValueError(f"{name} must be positive whole numbers, got {shorten(values)}")
        if size > 1_000_000:
            raise ValueError(f"{name} must be at most 1,000,000, got {shorten(size)}")
    return [int(size) for size in values]


def convolutions(chosen: dict[str, Any]) -> list[tuple[int, int, int, bool]]:
    """Return kernel size, number of filters, padding and pooling of each convolution."""
    names = ("kernels", "filters", "padding", "pooling")
    return list(zip(*(chosen[name] for name in names)))


def adapt_to_data(
    chosen: dict[str, Any], given: dict[str, Any], about: dict[str, Any]
) -> dict[str, Any]:
    """Return the hyperparameters for one data set: what was left open is filled in.

    The recipe's own values give way where the data is small: a batch is at most all images, and
    convolutions are padded so that they keep the size of images that are too small for them;
    the last ones are left out where nothing is left for them.
    given: as for choose_hyperparameters; about: num_images, image_shape and num_classes.

    Raises:
        ValueError: the image is too small for the convolutions, the last dense layer is not as
            wide as there are classes, there are fewer images than a batch has, or the network
            is too large.
    """
    adapted = dict(chosen)
    *hidden, last = chosen["hidden_units"]
    if last not in (-1, about["num_classes"]):
        raise ValueError(
            f"the last of hidden_units is {last}, expected {about['num_classes']}, "
            "the number of classes, or -1, which stands for it"
        )
    adapted["hidden_units"] = [*hidden, about["num_classes"]]
    if about["num_images"] < 1:
        raise ValueError("train_data has no images: training needs at least one")
    if given.get("batch_size", -1) == -1:
        adapted["batch_size"] = min(chosen["batch_size"], about["num_images"])
    if adapted["batch_size"] > about["num_images"]:
        raise ValueError(
            f"batch_size is {chosen['batch_size']}, but there are only {about['num_images']} "
            "training images"
        )
    size = about["image_shape"][1:]
    if not given.get("kernels") and misfit(adapted, size):
        adapted["padding"] = [kernel // 2 for kernel in chosen["kernels"]]
        if not given.get("filters"):
            while misfit(adapted, size):
                for name in ("kernels", "filters", "padding", "pooling"):
                    adapted[name] = adapted[name][:-1]
    problem = misfit(adapted, size) or excess(adapted, about["image_shape"])
    if problem:
        raise ValueError(problem)
    return adapted


def misfit(chosen: dict[str, Any], size: list[int]) -> str:
    """Return why images of a size [H, W] are too small for the convolutions; empty if they fit."""
    for i, (kernel, _, pad, pool) in enumerate(convolutions(chosen)):
        left = [(n + 2 * pad - kernel + 1) // (1 + pool) for n in size]
        if min(left) < 1:
            return (
                f"kernels[{i}] is {kernel}, but {size[0]} x {size[1]} pixels are left of the "
                "image there, and convolution and pooling must leave at least one"
            )
        size = left
    return ""


def excess(chosen: dict[str, Any], image_shape: list[int]) -> str:
    """Return why a network would take too much memory, before any is taken; empty if it does not.

    image_shape: [C, H, W]. The limits are 2^28 parameters and 2^32 outputs of convolutions and
    dense layers in a batch: 1 GiB and 16 GiB of float32.
    """
    inputs, *size = image_shape
    parameters = outputs = 0
    for kernel, filters, pad, pool in convolutions(chosen):
        parameters += filters * (inputs * kernel * kernel + 1)
        left = [n + 2 * pad - kernel + 1 for n in size]
        outputs += filters * left[0] * left[1]
        inputs, size = filters, [n // (1 + pool) for n in left]
    inputs *= size[0] * size[1]
    for units in chosen["hidden_units"]:
        parameters += units * (inputs + 1)
        outputs += units
        inputs = units
    outputs *= chosen["batch_size"]
    if parameters > 2**28:
        return f"the network would have {parameters:,} parameters, expected at most {2**28:,}"
    if outputs > 2**32:
        return f"a batch would have {outputs:,} values between layers, expected at most {2**32:,}"
    return ""


def check_trials(
    trials: list[dict[str, Any]], recipe: str, given: dict[str, Any], about: dict[str, Any]
) -> None:
    """Check every trial of a sweep as training would.

    recipe, given: what trials leave open; about: num_images, image_shape, num_classes.

    Raises:
        ValueError: there is no trial, two are the same, or training would refuse one.
    """
    if not trials:
        raise ValueError("trials is empty: give at least one set of hyperparameters")
    for number, trial in enumerate(trials, start=1):
        if not isinstance(trial, dict):
            raise ValueError(f"trial {number} must be a dictionary, got {shorten(trial)}")
        if trial in trials[: number - 1]:
            raise ValueError(f"trial {number} is the same as an earlier one: {shorten(trial)}")
        try:
            own_recipe, own = take_trial(recipe, given, trial)
            adapt_to_data(choose_hyperparameters(own_recipe, own), own, about)
        except ValueError as error:
            raise ValueError(f"trial {number}, {shorten(trial)}: {error}") from error
