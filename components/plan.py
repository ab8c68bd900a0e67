"""Sets of hyperparameters to the trials of a sweep."""

from kfp.dsl import Dataset, Input

from kfp_mnist_mxnet.compiler.step import step


@step
def plan(
    train_data: Input[Dataset],
    validation_data: Input[Dataset],
    trials: list[dict],
    recipe: str = "default",
    epochs: int = -1,
    max_trials: int = 0,
) -> list[dict]:
    """Check every trial of a sweep before the first of them is trained.

    Args:
        train_data: Images and labels that the trials will learn from.
        validation_data: Images and labels by which the best trial will be chosen.
        trials: Sets of hyperparameters by name, such as {"activation": "tanh"}.
        recipe: Recipe for the hyperparameters that a trial does not set.
        epochs: Number of epochs, where a trial does not say; -1 for the recipe's.
        max_trials: How many trials the back end can hold in one run; 0 for any number.

    Returns:
        Output: The trials.

    Raises:
        ValueError: There is no trial, more than the back end can hold, training would refuse one,
            or there are no validation images.
    """
    from kfp_mnist_mxnet.data.dataset import read_dataset
    from kfp_mnist_mxnet.errors import InvalidInput
    from kfp_mnist_mxnet.limits import check_iterations
    from kfp_mnist_mxnet.model.hyperparameters import UNSET
    from kfp_mnist_mxnet.model.trials import check_trials

    check_iterations("trials", len(trials), max_trials)
    data = read_dataset(train_data.path)
    if not len(read_dataset(validation_data.path).images):
        raise InvalidInput(
            "there are no validation images, by which a sweep chooses: "
            "give a validation_fraction above 0"
        )
    shape, classes = data.images.shape[1:], data.info.num_classes
    check_trials(trials, recipe, {**UNSET, "epochs": epochs}, len(data.images), shape, classes)
    return trials
