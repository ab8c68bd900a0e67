"""The models of a sweep to the best of them."""

from kfp.dsl import HTML, Input, Metrics, Model, Output

from components import _artifact, _comparison, _files, _report
from components._artifact import staged
from components._comparison import copy_model, name_trials, read_trials, write_sweep_report
from components._step import step


@step(packages=["jinja2", "matplotlib"], helpers=[_artifact, _comparison, _files, _report])
def compare(
    models: Input[list[Model]],
    best_model: Output[Model],
    metrics: Output[Metrics],
    sweep_report: Output[HTML],
):
    """Choose the model with the best validation accuracy, the earliest of equals.

    Args:
        models: The model of each trial, as train writes it.

    Returns:
        best_model: A copy of the chosen model.
        metrics: The validation accuracy of each trial, and the chosen trial, counted from 1.
        sweep_report: The trials side by side.

    Raises:
        ValueError: A model can't be read, or was trained without validation images.
    """
    import logging

    trials = read_trials([model.path for model in models])
    accuracies = [trial["validation_accuracy"] for trial in trials]
    best = accuracies.index(max(accuracies))
    logging.info("Trial %d is the best: %s", best + 1, name_trials(trials)[best])
    with staged(best_model, sweep_report) as (directory, page):
        copy_model(models[best].path, directory)
        write_sweep_report(page, trials, best)
    for number, accuracy in enumerate(accuracies, start=1):
        metrics.log_metric(f"trial_{number}_validation_accuracy", accuracy)
    metrics.log_metric("best_trial", best + 1)
    best_model.framework = "mxnet"
