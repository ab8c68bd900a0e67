"""A data set artifact to the best model of a search, which Katib runs."""

from kfp.dsl import HTML, Dataset, Input, Metrics, Model, Output

from kfp_mnist_mxnet.compiler.step import step


@step
def tune(
    train_data: Input[Dataset],
    validation_data: Input[Dataset],
    best_model: Output[Model],
    metrics: Output[Metrics],
    tuning_report: Output[HTML],
    search_space: dict = {
        "learning_rate": {"min": 0.02, "max": 0.4, "log": True},
        "weight_decay": {"min": 0.00001, "max": 0.001, "log": True},
        "dropout": {"min": 0.0, "max": 0.5},
        "augmentation": {"min": 0.0, "max": 1.5},
    },
    algorithm: str = "tpe",
    max_trials: int = 12,
    parallel_trials: int = 2,
    max_failed_trials: int = 3,
    recipe: str = "default",
    epochs: int = -1,
    seed: int = 0,
    s3_endpoint: str = "",
    trial_cpu: str = "2",
    trial_memory: str = "4Gi",
    trial_gpus: int = 0,
) -> dict:
    """Search hyperparameters with Katib, and take the model of the best trial.

    The step creates an Experiment, whose trials train as train does, and waits for its end. A
    trial that diverges counts as the worst. The Experiment ends with the step.

    Args:
        train_data: Images and labels that the trials learn from.
        validation_data: Images and labels by which the best trial is chosen.
        search_space: What a trial may choose from, by hyperparameter: a list of values, or a range
            of numbers such as {"min": 0.02, "max": 0.4}, with "log": true to search its logarithm,
            or with the "step" between two of them.
        algorithm: Name of Katib's search algorithm, such as tpe, random, cmaes, sobol or grid.
        max_trials: How many trials there are.
        parallel_trials: How many of them run at once.
        max_failed_trials: How many may fail without failing the step.
        recipe: Recipe for the hyperparameters that a trial does not set.
        epochs: Number of epochs, where a trial does not say; -1 for the recipe's.
        seed: Random seed of each trial's initial weights, shuffling and augmentation.
        s3_endpoint: host:port of the S3 server, with http:// if it has no TLS; empty for
            AWS_ENDPOINT_URL_S3 or AWS_ENDPOINT_URL, else the store of Kubeflow Pipelines.
            Credentials come from the environment: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY,
            or MINIO_ACCESS_KEY and MINIO_SECRET_KEY.
        trial_cpu: CPU request and limit of a trial.
        trial_memory: Memory request and limit of a trial.
        trial_gpus: GPUs of a trial, on machines that may have the taint nvidia.com/gpu.

    Returns:
        Output: The hyperparameters of the best trial, as far as they were searched.
        best_model: The model of the best trial.
        metrics: The validation accuracy of each trial, 0 where it has no model, and the best
            trial, counted from 1.
        tuning_report: The trials side by side.

    Raises:
        ValueError: A parameter is out of range, there are no validation images, there is no Katib,
            or it refuses or gives up the search.
        RuntimeError: The Experiment was deleted, or too many trials failed without saying why.
            Where they say why, it is the error of the first of them.
    """
    from kfp_mnist_mxnet.model.hyperparameters import UNSET
    from kfp_mnist_mxnet.training.request import Request
    from kfp_mnist_mxnet.tuning.options import Options
    from kfp_mnist_mxnet.tuning.search import tune_with_katib

    options = Options(
        algorithm,
        max_trials,
        parallel_trials,
        max_failed_trials,
        trial_cpu,
        trial_memory,
        trial_gpus,
    )
    overrides = {**UNSET, "epochs": epochs}
    request = Request(recipe, overrides, {}, seed, "auto", True, "", s3_endpoint)
    best_model.framework = "mxnet"
    best, trials, number = tune_with_katib(
        search_space, options, request, train_data, validation_data, best_model, tuning_report
    )
    for i, trial in enumerate(trials, start=1):
        metrics.log_metric(f"trial_{i}_validation_accuracy", trial.validation_accuracy)
    metrics.log_metric("best_trial", number + 1)
    return best
