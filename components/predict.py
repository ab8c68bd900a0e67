"""A model and images to predictions."""

from kfp.dsl import HTML, Dataset, Input, Metrics, Model, Output

from kfp_mnist_mxnet.compiler.step import step


@step
def predict(
    model: Input[Model],
    data: Input[Dataset],
    predictions: Output[Dataset],
    metrics: Output[Metrics],
    preview: Output[HTML],
    batch_size: int = 144,
    shard: int = 0,
    num_shards: int = 1,
):
    """Predict the label of every image, in the order of the images, in constant memory.

    Predictions are a directory: probabilities.npy, float32 (N, classes); labels.npy, uint8 (N,);
    predictions.csv with the columns index, label, probability and, where the model's classes have
    names, class_name, which class_names.txt lists. An image set may be split over several tasks:
    the files of all shards, one after the other, are those of a single task.

    Args:
        model: Model directory, as train writes it.
        data: Images, as ingest or ingest_images writes them; labels are not read.
        batch_size: Batch size of each copy of the network, of which there are 4 to 16, one for each
            CPU. The last bits of a probability may depend on it, but not on the number of CPUs.
        shard: Which part of the images to predict, from 0.
        num_shards: Number of parts that the images are split into.

    Returns:
        predictions: Probabilities and labels of the images.
        metrics: The number of images and the images predicted in a second.
        preview: The least certain predictions with their images, and how sure the model is.

    Raises:
        ValueError: The model or the images can't be read, the image shapes differ, or a parameter
            is out of range.
    """
    import logging
    import time

    from kfp_mnist_mxnet.data.class_names import name_classes
    from kfp_mnist_mxnet.data.dataset import read_images
    from kfp_mnist_mxnet.prediction.drift import warn_of_drift
    from kfp_mnist_mxnet.prediction.predictions import log_unknown_classes, write_predictions
    from kfp_mnist_mxnet.prediction.predictor import Predictor
    from kfp_mnist_mxnet.prediction.shard_range import shard_range
    from kfp_mnist_mxnet.reports.preview import write_preview
    from kfp_mnist_mxnet.storage.staging import staged

    images = read_images(data.path)
    start, stop = shard_range(len(images), shard, num_shards, batch_size)
    images = images[start:stop]
    predictor = Predictor(model.path, batch_size)
    predictor.check_images(images)
    facts = {"images": f"{len(images):,}"}
    notice = log_unknown_classes(data.path, predictor.info.num_classes)
    if notice:
        logging.warning("%s", notice)
    with staged(predictions, preview) as (directory, page):
        started = time.perf_counter()
        write_predictions(directory, predictor, images, first=start)
        speed = len(images) / (time.perf_counter() - started)
        num_classes = predictor.info.num_classes
        drift = warn_of_drift(images, directory, num_classes, predictor.info.data)
        names = name_classes(predictor.info.class_names, num_classes)
        write_preview(page, directory, images, names, facts, start, (notice, drift))
    metrics.log_metric("images", len(images))
    metrics.log_metric("images_per_second", speed)
