"""A data set artifact to a model."""

from kfp.dsl import HTML, Dataset, Input, Metrics, Model, Output

from kfp_mnist_mxnet.compiler.step import step
from kfp_mnist_mxnet.model.descriptions import DESCRIPTIONS


@step(descriptions=DESCRIPTIONS)
def train(
    train_data: Input[Dataset],
    validation_data: Input[Dataset],
    model: Output[Model],
    metrics: Output[Metrics],
    training_report: Output[HTML],
    recipe: str = "default",
    epochs: int = -1,
    batch_size: int = -1,
    learning_rate: float = -1.0,
    optimizer: str = "",
    momentum: float = -1.0,
    weight_decay: float = -1.0,
    dropout: float = -1.0,
    augmentation: float = -1.0,
    activation: str = "",
    kernels: list[int] = [],
    filters: list[int] = [],
    hidden_units: list[int] = [],
    hyperparameters: dict = {},
    seed: int = 0,
    device: str = "auto",
    allow_divergence: bool = False,
    checkpoint_uri: str = "",
    s3_endpoint: str = "",
):
    """Train a convolutional network through an MXNet Module.

    The model is a directory: the Module's checkpoint (model-symbol.json, model-0000.params) and
    model.json. A hyperparameter that is -1 or empty is the recipe's. The same seed gives the same
    parameters, bit for bit, on any number of CPUs of the same kind.

    Args:
        train_data: Images and labels to learn from.
        validation_data: Images and labels that are scored after each epoch; may be empty.
        recipe: Named set of hyperparameters: default, best or tutorial.
        hyperparameters: Hyperparameters by name that override the parameters above; used for the
            trials of a sweep.
        seed: Random seed of the initial weights, shuffling and augmentation.
        device: One of auto (all GPUs, else the CPU), cpu, gpu (all GPUs).
        allow_divergence: Succeed even if training diverges; the model is then marked as diverged,
            can't predict, and ranks last in compare.
        checkpoint_uri: Where a checkpoint is saved after each epoch, from which an interrupted
            training resumes: a directory, s3://bucket/prefix or minio://bucket/prefix; empty for
            none.
        s3_endpoint: host:port of the S3 server, with http:// if it has no TLS; empty for
            AWS_ENDPOINT_URL_S3 or AWS_ENDPOINT_URL, else the store of Kubeflow Pipelines.
            Credentials come from the environment: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY,
            or MINIO_ACCESS_KEY and MINIO_SECRET_KEY.

    Returns:
        model: The trained model; its metadata has the seconds of training.
        metrics: Accuracy and loss in training and validation, speed and size.
        training_report: What happened during training.

    Raises:
        ValueError: A hyperparameter is out of range or does not fit the data, the data can't be
            read, or the checkpoint is damaged or belongs to a different training run.
        FloatingPointError: The loss, a parameter or an output became NaN or infinite.
    """
    import logging
    import platform

    import kfp_mnist_mxnet
    from kfp_mnist_mxnet.data.dataset import read_dataset
    from kfp_mnist_mxnet.errors import Diverged
    from kfp_mnist_mxnet.model.hyperparameters import RULES
    from kfp_mnist_mxnet.model.info import ModelInfo
    from kfp_mnist_mxnet.model.layers import describe_layers
    from kfp_mnist_mxnet.model.recipes import (
        check_seed,
        choose_hyperparameters,
        resolve_for_dataset,
    )
    from kfp_mnist_mxnet.model.saving import save_model
    from kfp_mnist_mxnet.model.trials import apply_trial
    from kfp_mnist_mxnet.reports.training import write_divergence_report, write_training_report
    from kfp_mnist_mxnet.runtime.devices import check_device, contexts, count_gpus
    from kfp_mnist_mxnet.runtime.engine import mx
    from kfp_mnist_mxnet.storage.staging import staged
    from kfp_mnist_mxnet.storage.store import open_store
    from kfp_mnist_mxnet.training.checkpoint import Checkpoint
    from kfp_mnist_mxnet.training.history import brief_history, describe_settings
    from kfp_mnist_mxnet.training.scoring import check_validation
    from kfp_mnist_mxnet.training.trainer import Trainer

    told = locals()
    recipe, overrides = apply_trial(recipe, {name: told[name] for name in RULES}, hyperparameters)
    chosen = choose_hyperparameters(recipe, overrides)
    check_seed(seed)
    check_device(device)
    store = open_store(checkpoint_uri, s3_endpoint, "checkpoint_uri") if checkpoint_uri else None
    data = read_dataset(train_data.path)
    validation = data.empty()
    if validation_data.path:
        validation = read_dataset(validation_data.path)
        check_validation(validation, data)
    shape, num_classes = data.image_shape, data.info.num_classes
    chosen = resolve_for_dataset(chosen, overrides, len(data.images), shape, num_classes)

    trainer = Trainer(
        data, validation, chosen, seed, contexts(device, count_gpus(), chosen.batch_size)
    )
    logging.info("Training on %s", ", ".join(map(str, trainer.contexts)))
    diverged = ""
    try:
        trainer.fit(Checkpoint(store) if store else None)
    except Diverged as error:
        if not allow_divergence:
            raise
        diverged = str(error)
        logging.warning("Training diverged: %s", diverged)

    settings = {"recipe": recipe, **chosen.to_dict(), "seed": seed}
    info = ModelInfo(
        input_shape=list(shape),
        num_classes=num_classes,
        hyperparameters=settings,
        history=brief_history(trainer.history),
        train_data_sha256=data.info.sha256,
        class_names=data.info.class_names,
        versions={
            "kfp-mnist-mxnet": kfp_mnist_mxnet.__version__,
            "mxnet": mx.__version__,
            "python": platform.python_version(),
        },
        data={
            "source": data.info.name,
            "class_counts": data.info.class_counts,
            **data.info.pixels,
            "validation_images": len(validation.images),
        },
        stop_reason=trainer.stop_reason,
        diverged=diverged,
    )
    model.framework = "mxnet"
    shown = describe_settings(settings, overrides, len(trainer.history))
    if diverged:
        with staged(model, training_report) as (directory, page):
            directory.mkdir()
            info.save(directory)
            write_divergence_report(page, diverged, shown, trainer.history)
        return
    layers = describe_layers(trainer.network, shape)
    final = trainer.metrics()
    # Not in model.json: the same seed gives the same bytes.
    model.metadata["seconds"] = final["seconds"]
    with staged(model, training_report) as (directory, page):
        save_model(directory, trainer.module, info)
        write_training_report(
            page,
            trainer.history,
            trainer.stop_reason,
            shown,
            final,
            layers,
            trainer.first_filters(),
        )
    for name, value in final.items():
        metrics.log_metric(name, value)
