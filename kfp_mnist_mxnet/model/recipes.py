"""From a recipe, what stands in its place, and a data set to the hyperparameters of a training."""

import dataclasses
import math
from collections.abc import Iterable, Mapping
from typing import Any

from kfp_mnist_mxnet.errors import InvalidInput
from kfp_mnist_mxnet.model.hyperparameters import RULES, Hyperparameters

MOST_PARAMETERS = 2**28  # 1 GiB of float32
MOST_OUTPUTS = 2**32  # of convolutions and dense layers in a batch: 16 GiB of float32

RECIPES: dict[str, Hyperparameters] = {
    "default": Hyperparameters(),
    "best": Hyperparameters(
        epochs=16,
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
    # For pictures that fill their frame and may be mirrored, of clothes or animals, not of digits.
    "photos": Hyperparameters(
        epochs=12,
        weight_decay=5e-4,
        dropout=0.4,
        label_smoothing=0.02,
        augmentation=0.0,
        flip="horizontal",
        kernels=[5, 3, 3],
        filters=[32, 64, 128],
        padding=[2, 1, 1],
        pooling=[True, True, True],
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


def choose_hyperparameters(recipe: str, overrides: Mapping[str, Any]) -> Hyperparameters:
    """Return a recipe's hyperparameters with the overrides in their place, checked.

    overrides: name to value; -1, an empty text or an empty list stands for the recipe's.

    Raises:
        InvalidInput: a value is out of range or unknown, or lists do not fit each other.
    """
    if recipe not in RECIPES:
        raise InvalidInput(f"recipe must be one of {', '.join(RECIPES)}, got {recipe!r}")
    own: dict[str, Any] = {
        name: RULES[name].checked(name, value) for name, value in own_values(overrides).items()
    }
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


def resolve_for_dataset(
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
        InvalidInput: the last dense layer is not as wide as there are classes, or there are fewer
            images than a batch has.
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
    if "kernels" not in own and too_small_at(adapted, size):
        adapted = dataclasses.replace(adapted, padding=[kernel // 2 for kernel in chosen.kernels])
        while "filters" not in own and too_small_at(adapted, size):
            adapted = adapted.without_last_convolution()
    return adapted


def too_small_at(chosen: Hyperparameters, size: Iterable[int]) -> str:
    """Return why images of a size (H, W) are too small for the convolutions, empty if not."""
    for i, convolution in enumerate(chosen.convolutions()):
        height, width = size
        size = convolution.left(size)
        if min(size) < 1:
            return (
                f"kernels[{i}] is {convolution.kernel}, but {height} x {width} pixels are "
                "left of the image there, and convolution and pooling must leave at least one"
            )
    return ""


def misfit(chosen: Hyperparameters, image_shape: Iterable[int]) -> str:
    """Return why the network does not fit images (C, H, W), or not into memory; empty if it does.

    By arithmetic, for where there is no MXNet: it knows the networks of the recipes.
    """
    inputs, *size = image_shape
    if problem := too_small_at(chosen, size):
        return problem
    parameters = outputs = 0
    for convolution in chosen.convolutions():
        filters = convolution.num_filter
        parameters += filters * (inputs * convolution.kernel**2 + 1)
        outputs += filters * math.prod(convolution.output(size))
        inputs, size = filters, convolution.left(size)
    inputs *= math.prod(size)
    for units in chosen.hidden_units:
        parameters += units * (inputs + 1)
        outputs += units
        inputs = units
    return too_many(parameters, outputs * chosen.batch_size)


def too_many(parameters: int, outputs: int) -> str:
    """Return why a network takes too much memory, empty if not.

    outputs: of convolutions and dense layers, in a batch.
    """
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
