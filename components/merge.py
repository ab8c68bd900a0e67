"""The predictions of shards to one predictions artifact."""

from kfp.dsl import HTML, Dataset, Input, Metrics, Model, Output

from kfp_mnist_mxnet.compiler.step import step


@step
def merge(
    shards: Input[list[Dataset]],
    labels: Input[Dataset],
    predictions: Output[Dataset],
    metrics: Output[Metrics],
    merge_report: Output[HTML],
    images: Input[Dataset] = None,
    model: Input[Model] = None,
):
    """Merge the predictions of shards in the order of the images.

    The result is what predict writes for all images at once, byte for byte.

    Args:
        shards: Predictions of every shard, in any order.
        labels: True labels, and the number of images, as ingest_images writes them.
        images: The images that were predicted, for pictures of the least certain ones. Optional.
        model: The model that predicted them; with the images the report says whether they are far
            from its training data. Optional.

    Returns:
        predictions: Probabilities and labels of all images.
        metrics: The number of images and, where there are labels, of errors, and the accuracy.
        merge_report: How often each class was predicted, how sure the model is, the least certain
            predictions and, where there are labels, the accuracy at each threshold of confidence.

    Raises:
        ValueError: A shard is missing, duplicated, truncated, or of another model, or the images
            are not as many.
    """
    import logging

    from kfp_mnist_mxnet.data.class_names import name_classes
    from kfp_mnist_mxnet.data.dataset import read_images
    from kfp_mnist_mxnet.errors import InvalidInput
    from kfp_mnist_mxnet.prediction.drift import warn_of_drift
    from kfp_mnist_mxnet.prediction.shards import (
        count_correct_labels,
        join_shards,
        order_shards,
        read_true_labels,
    )
    from kfp_mnist_mxnet.reports.merge import write_merge_report
    from kfp_mnist_mxnet.storage.artifact import read_json
    from kfp_mnist_mxnet.storage.staging import staged

    true, num_images = read_true_labels(labels.path)
    ordered = order_shards([shard.path for shard in shards], num_images)
    seen = read_images(images.path) if images else None
    if seen is not None and len(seen) != num_images:
        raise InvalidInput(f"images has {len(seen)} images, expected {num_images}")
    drift = ""
    with staged(predictions, merge_report) as (directory, report):
        join_shards(directory, ordered, num_images)
        scores = {"images": num_images, **count_correct_labels(directory, true)}
        names = name_classes(ordered[0].class_names, ordered[0].num_classes)
        if seen is not None and model:
            trained = read_json(model.path, "model.json").get("data")
            drift = warn_of_drift(seen, directory, len(names), trained)
        write_merge_report(report, directory, names, scores, len(shards), true, seen, drift)
    if "accuracy" in scores:
        logging.info("accuracy %.4f, %d errors", scores["accuracy"], scores["errors"])
    for name, value in scores.items():
        metrics.log_metric(name, value)
