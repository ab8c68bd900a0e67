"""The models of a sweep to the best of them."""

from kfp.dsl import HTML, Input, Metrics, Model, Output

from kfp_mnist_mxnet.compiler.step import step


@step
def compare(
    models: Input[list[Model]],
    best_model: Output[Model],
    metrics: Output[Metrics],
    sweep_report: Output[HTML],
):
    """Choose the model with the best validation accuracy; ties: the first wins.

    A trial that diverged counts as the worst.

    Args:
        models: The model of each trial, as train writes it.

    Returns:
        best_model: A copy of the chosen model.
        metrics: The validation accuracy of each trial, 0 where it diverged, and the chosen trial,
            counted from 1.
        sweep_report: The trials side by side.

    Raises:
        ValueError: A model can't be read, or was trained without validation images; or every
            training diverged.
    """
    import logging

    from kfp_mnist_mxnet.evaluation.comparison import Trial, best_of, copy_model
    from kfp_mnist_mxnet.reports.sweep import write_sweep_report
    from kfp_mnist_mxnet.storage.staging import staged

    trials = [Trial.read(model.path, model.metadata.get("seconds")) for model in models]
    best = best_of(trials)
    accuracy = trials[best].validation_accuracy
    logging.info("Trial %d is the best, with a validation accuracy of %.4f", best + 1, accuracy)
    with staged(best_model, sweep_report) as (directory, page):
        copy_model(trials[best].directory, directory)
        write_sweep_report(page, trials, best)
    for number, trial in enumerate(trials, start=1):
        metrics.log_metric(f"trial_{number}_validation_accuracy", trial.validation_accuracy)
    metrics.log_metric("best_trial", best + 1)
    best_model.framework = "mxnet"
