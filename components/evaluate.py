"""A model and a data set artifact to metrics."""

from kfp.dsl import HTML, ClassificationMetrics, Dataset, Input, Metrics, Model, Output

from kfp_mnist_mxnet.compiler.step import step


@step
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
        class_names: Name of each class in the matrix and the report; empty for what the model and
            the data call them.

    Returns:
        metrics: Accuracy and that of always predicting the most common class, log loss,
            precision, recall, F1, expected calibration error and speed.
        confusion_matrix: True labels in rows, predicted labels in columns, and the ROC.
        evaluation_report: What the model gets right and wrong.
        Output: The accuracy, 0 to 1.

    Raises:
        ValueError: The model or the data can't be read, or the image shapes differ, or the class
            names are not one for each class, or not the same for the model and the data.
    """
    import logging
    import time

    import numpy as np

    from kfp_mnist_mxnet.data.class_names import known_names
    from kfp_mnist_mxnet.data.dataset import read_dataset
    from kfp_mnist_mxnet.errors import InvalidInput
    from kfp_mnist_mxnet.evaluation import scores
    from kfp_mnist_mxnet.evaluation.classes import count_confusions
    from kfp_mnist_mxnet.prediction.batches import BATCH_SIZE
    from kfp_mnist_mxnet.prediction.predictor import Predictor
    from kfp_mnist_mxnet.reports.evaluation import write_evaluation_report
    from kfp_mnist_mxnet.storage.staging import staged

    images, labels, info = read_dataset(data.path)
    if len(images) == 0:
        raise InvalidInput(f"{data.path} has no images: an accuracy needs at least one")
    predictor = Predictor(model.path, BATCH_SIZE)
    predictor.check_images(images)
    num_classes = max(info.num_classes, predictor.info.num_classes)
    names = known_names(class_names, num_classes, predictor.info.class_names, info.class_names)

    started = time.perf_counter()
    probabilities = np.concatenate(list(predictor.probabilities(images)))
    seconds = time.perf_counter() - started
    probabilities, notice = scores.add_unknown_classes(probabilities, num_classes)
    if notice:
        logging.warning("%s", notice)
    values = scores.scores(labels, probabilities)
    with staged(evaluation_report) as (report,):
        write_evaluation_report(report, images, labels, probabilities, names, notice)
    for name, value in {**values, "images_per_second": len(images) / seconds}.items():
        metrics.log_metric(name, value)
    counts = count_confusions(labels, probabilities.argmax(1), num_classes)
    confusion_matrix.log_confusion_matrix(names, counts.tolist())
    confusion_matrix.log_roc_curve(*scores.roc_points(labels, probabilities))
    return values["accuracy"]
