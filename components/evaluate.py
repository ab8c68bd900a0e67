"""A model and a data set artifact to metrics."""

from kfp.dsl import HTML, ClassificationMetrics, Dataset, Input, Metrics, Model, Output

from components import _artifact, _cuda, _dataset, _evaluation, _files, _model, _mxnet, _report
from components._artifact import staged
from components._dataset import read_dataset
from components._evaluation import (
    add_unknown_classes,
    count_confusions,
    name_classes,
    roc_points,
    scores,
    write_evaluation_report,
)
from components._model import check_images_fit, load_model, predict_probabilities
from components._mxnet import import_mxnet
from components._step import step


@step(
    packages=["jinja2", "matplotlib", "mxnet", "numpy", "pillow", "scikit-learn"],
    helpers=[_artifact, _cuda, _dataset, _evaluation, _files, _mxnet, _model, _report],
)
def evaluate(
    model: Input[Model],
    data: Input[Dataset],
    metrics: Output[Metrics],
    confusion_matrix: Output[ClassificationMetrics],
    evaluation_report: Output[HTML],
    class_names: list[str] = [],
) -> float:
    """Score a model on every image of a data set exactly once.

    Where the data has more classes than the model knows, the model gives the others the
    probability 0: their images count as errors, and the report says so.

    Args:
        model: Model directory, as train writes it.
        data: Images and labels, as ingest writes them; at least one.
        class_names: Name of each class in the matrix and the report; empty for the labels.

    Returns:
        metrics: Accuracy, log loss, precision, recall, F1, calibration error and speed.
        confusion_matrix: True labels in rows, predicted labels in columns, and the ROC.
        evaluation_report: What the model gets right and wrong.
        Output: The accuracy, 0 to 1.

    Raises:
        ValueError: The model or the data can't be read, or the image shapes differ, or there are
            not as many class names as classes.
    """
    import logging
    import time

    import_mxnet()
    import numpy as np

    images, labels, about_data = read_dataset(data.path)
    if len(images) == 0:
        raise ValueError(f"{data.path} has no images: an accuracy needs at least one")
    module, about_model = load_model(model.path, batch_size=1152)
    check_images_fit(images, about_model)
    names = name_classes(class_names, max(about_data["num_classes"], about_model["num_classes"]))

    started = time.perf_counter()
    probabilities = np.concatenate(list(predict_probabilities(module, images)))
    seconds = time.perf_counter() - started
    probabilities, notice = add_unknown_classes(probabilities, len(names))
    if notice:
        logging.warning("%s", notice)
    values = scores(labels, probabilities)
    with staged(evaluation_report) as (report,):
        write_evaluation_report(report, images, labels, probabilities, names, notice)
    for name, value in {**values, "images_per_second": len(images) / seconds}.items():
        metrics.log_metric(name, value)
    counts = count_confusions(labels, probabilities)
    confusion_matrix.log_confusion_matrix(names, counts.tolist())
    confusion_matrix.log_roc_curve(*roc_points(labels, probabilities))
    return values["accuracy"]
