"""Sets of hyperparameters to the trials of a sweep."""

from kfp.dsl import Dataset, Input

from components import _dataset, _files, _hyperparameters
from components._dataset import read_dataset
from components._hyperparameters import check_trials, left_open
from components._step import step


@step(packages=["numpy"], helpers=[_dataset, _files, _hyperparameters])
def plan(
    train_data: Input[Dataset],
    validation_data: Input[Dataset],
    trials: list[dict],
    recipe: str = "default",
    epochs: int = -1,
) -> list[dict]:
    """Check every trial of a sweep before the first of them is trained.

    Args:
        train_data: Images and labels that the trials will learn from.
        validation_data: Images and labels by which the best trial will be chosen.
        trials: Sets of hyperparameters by name, such as {"activation": "tanh"}.
        recipe: Hyperparameters that the trials leave open.
        epochs: How often each image is seen, where a trial does not say; -1 for the recipe's.

    Returns:
        Output: The trials.

    Raises:
        ValueError: There is no trial, training would refuse one, or there are no validation images.
    """
    images, _, about = read_dataset(train_data.path)
    if len(read_dataset(validation_data.path)[0]) == 0:
        raise ValueError(
            "there are no validation images, by which a sweep chooses: "
            "give a validation_fraction above 0"
        )
    about.update(num_images=len(images), image_shape=list(images.shape[1:]))
    check_trials(trials, recipe, {**left_open(), "epochs": epochs}, about)
    return trials
