"""A model and a data set artifact to metrics."""

from kfp.dsl import HTML, ClassificationMetrics, Dataset, Input, Metrics, Model, Output

from components import _artifact, _cuda, _dataset, _evaluation, _model, _mxnet, _report
from components._artifact import staged
from components._dataset import read_dataset
from components._evaluation import count_confusions, write_evaluation_report
from components._model import check_data_fits, load_model
from components._mxnet import import_mxnet
from components._step import step


@step(
    packages=["jinja2", "matplotlib", "mxnet", "numpy"],
    helpers=[_artifact, _cuda, _dataset, _evaluation, _mxnet, _model, _report],
)
def evaluate(
    model: Input[Model],
    data: Input[Dataset],
    metrics: Output[Metrics],
    confusion_matrix: Output[ClassificationMetrics],
    evaluation_report: Output[HTML],
) -> float:
    """Score a model on every image of a data set exactly once.

    Args:
        model: Model directory, as train writes it.
        data: Images and labels, as ingest writes them; at least one.

    Returns:
        metrics: The accuracy and the numbers of images and errors.
        confusion_matrix: True labels in rows, predicted labels in columns.
        evaluation_report: What the model gets right and wrong.
        Output: The accuracy, 0 to 1.

    Raises:
        ValueError: The model or the data can't be read, or they don't fit each other.
    """
    mx = import_mxnet()
    images, labels, _ = read_dataset(data.path)
    if len(images) == 0:
        raise ValueError(f"{data.path} has no images: an accuracy needs at least one")
    module, about = load_model(model.path, batch_size=1000)
    check_data_fits(images, labels, about)
    accuracy = mx.metric.Accuracy()
    confusions = count_confusions(module, images, labels, accuracy, about["num_classes"])
    score = float(accuracy.get()[1])

    with staged(evaluation_report) as (report,):
        write_evaluation_report(report, confusions, score)
    metrics.log_metric("accuracy", score)
    metrics.log_metric("images", len(images))
    metrics.log_metric("errors", int(confusions.sum() - confusions.trace()))
    names = [str(label) for label in range(about["num_classes"])]
    confusion_matrix.log_confusion_matrix(names, confusions.tolist())
    return score
