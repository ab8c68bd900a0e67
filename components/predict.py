"""A model and images to predictions."""

from kfp.dsl import HTML, Dataset, Input, Metrics, Model, Output

from components import _artifact, _cuda, _dataset, _model, _mxnet, _prediction, _report
from components._artifact import staged
from components._dataset import read_dataset
from components._model import check_data_fits, load_model
from components._mxnet import import_mxnet
from components._prediction import write_predictions, write_preview
from components._step import step


@step(
    packages=["jinja2", "matplotlib", "mxnet", "numpy"],
    helpers=[_artifact, _cuda, _dataset, _mxnet, _model, _prediction, _report],
)
def predict(
    model: Input[Model],
    data: Input[Dataset],
    predictions: Output[Dataset],
    metrics: Output[Metrics],
    preview: Output[HTML],
):
    """Predict the label of every image, in the order of the images.

    Predictions are a directory: probabilities.npy, float32 (N, classes); labels.npy, uint8 (N,);
    predictions.csv with the columns index, label, probability.

    Args:
        model: Model directory, as train writes it.
        data: Images, as ingest writes them.

    Returns:
        predictions: Probabilities and labels of every image.
        metrics: The number of images and the images predicted in a second.
        preview: The first images with their predictions.

    Raises:
        ValueError: The model or the data can't be read, or they don't fit each other.
    """
    import time

    import_mxnet()
    images, labels, _ = read_dataset(data.path)
    module, about = load_model(model.path, batch_size=1000)
    check_data_fits(images, labels[:0], about)
    with staged(predictions, preview) as (directory, page):
        started = time.perf_counter()
        write_predictions(directory, module, images, about["num_classes"])
        seconds = time.perf_counter() - started
        write_preview(page, directory, images)
    metrics.log_metric("images", len(images))
    metrics.log_metric("images_per_second", len(images) / seconds)
