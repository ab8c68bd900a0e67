"""A data set artifact to a model."""

from kfp.dsl import HTML, Dataset, Input, Metrics, Model, Output

from components import (
    _artifact,
    _augmentation,
    _checkpoint,
    _cuda,
    _dataset,
    _files,
    _hyperparameters,
    _model,
    _mxnet,
    _network,
    _object_store,
    _report,
    _training,
    _training_report,
)
from components._artifact import staged
from components._checkpoint import open_checkpoint
from components._dataset import read_dataset
from components._hyperparameters import (
    adapt_to_data,
    check_seed,
    choose_hyperparameters,
    take_trial,
)
from components._model import save_model
from components._mxnet import check_device, contexts, count_gpus, import_mxnet
from components._network import build_network, describe_layers
from components._step import step
from components._training import (
    brief_history,
    check_validation,
    first_filters,
    fit,
    prepare_module,
    summarize,
)
from components._training_report import write_training_report


@step(
    packages=["jinja2", "matplotlib", "minio", "mxnet", "numpy", "pillow", "urllib3"],
    helpers=[
        _artifact,
        _augmentation,
        _checkpoint,
        _cuda,
        _dataset,
        _files,
        _hyperparameters,
        _model,
        _mxnet,
        _network,
        _object_store,
        _report,
        _training,
        _training_report,
    ],
)
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
    checkpoint_uri: str = "",
    s3_endpoint: str = "",
):
    """Train a convolutional network through an MXNet Module.

    The model is a directory: the Module's checkpoint (model-symbol.json, model-0000.params) and
    model.json. A hyperparameter that is -1 or empty is the recipe's. The same seed gives the same
    parameters, bit for bit, on the same machine with as many threads.

    Args:
        train_data: Images and labels to learn from.
        validation_data: Images and labels that are scored after each epoch; may be empty.
        recipe: Hyperparameters that belong together: default, best or tutorial.
        epochs: How often each image is seen.
        batch_size: Images of one update, shared by all GPUs.
        learning_rate: Learning rate, the highest of the schedule.
        optimizer: One of adam, nag (Nesterov momentum), sgd.
        momentum: Momentum of nag and sgd.
        weight_decay: Weight decay (L2) of the weights, not of the biases.
        dropout: Share of the inputs of the last layer that are dropped.
        augmentation: Highest strength of random shifts, rotations and warps; 0 none, 1 much.
        activation: One of relu, sigmoid, softrelu, softsign, tanh.
        kernels: Kernel size of each convolution.
        filters: Number of filters of each convolution.
        hidden_units: Units of each dense layer, the last of them the number of classes or -1.
        hyperparameters: Any of those above by name, in place of what stands there: a trial.
        seed: Chooses the first parameters, the order of the images and what is random in them.
        device: One of auto (all GPUs, else the CPU), cpu, gpu (all GPUs).
        checkpoint_uri: Where training is saved after each epoch, and goes on from if it was
            interrupted: a directory, s3://bucket/prefix or minio://bucket/prefix; empty for none.
        s3_endpoint: host:port of the S3 server, with http:// if it has no TLS; empty for
            AWS_ENDPOINT_URL, else the store of Kubeflow Pipelines. Credentials come from the
            environment: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or MINIO_ACCESS_KEY and
            MINIO_SECRET_KEY.

    Returns:
        model: The trained model.
        metrics: Accuracy, speed and size.
        training_report: What happened during training.

    Raises:
        ValueError: A hyperparameter is out of range or does not fit the data, the data can't be
            read, or the checkpoint is damaged or of another training.
        FloatingPointError: The loss became NaN or infinite.
    """
    import logging
    import platform

    given = {
        "epochs": epochs,
        "batch_size": batch_size,
        "learning_rate": learning_rate,
        "optimizer": optimizer,
        "momentum": momentum,
        "weight_decay": weight_decay,
        "dropout": dropout,
        "augmentation": augmentation,
        "activation": activation,
        "kernels": kernels,
        "filters": filters,
        "hidden_units": hidden_units,
    }
    recipe, given = take_trial(recipe, given, hyperparameters)
    chosen = choose_hyperparameters(recipe, given)
    check_seed(seed)
    check_device(device)
    checkpoint = open_checkpoint(checkpoint_uri, s3_endpoint) if checkpoint_uri else None
    images, labels, about = read_dataset(train_data.path)
    about.update(num_images=len(images), image_shape=list(images.shape[1:]))
    validation = images[:0], labels[:0]
    if validation_data.path:
        validation = read_dataset(validation_data.path)[:2]
        check_validation(*validation, about)
    chosen = adapt_to_data(chosen, given, about)

    mx = import_mxnet()
    where = contexts(device, count_gpus())
    logging.info("Training on %s", ", ".join(map(str, where)))
    network = build_network(chosen)
    module = prepare_module(network, about["image_shape"], chosen, seed, where)
    identity = {
        **chosen,
        "seed": seed,
        "devices": len(where),
        "training images": len(images),
        "their sha256": about.get("sha256", ""),
    }
    history = fit(module, images, labels, validation, chosen, seed, checkpoint, identity)

    final = summarize(module, history)
    settings = {"recipe": recipe, **chosen, "seed": seed}
    with staged(model, training_report) as (model_directory, page):
        save_model(
            model_directory,
            module,
            {
                "input_shape": about["image_shape"],
                "num_classes": about["num_classes"],
                "hyperparameters": settings,
                "history": brief_history(history),
                "train_data_sha256": about.get("sha256", ""),
                "versions": {"mxnet": mx.__version__, "python": platform.python_version()},
            },
        )
        layers = describe_layers(network, about["image_shape"])
        write_training_report(page, history, settings, final, layers, first_filters(module))
    for name, value in final.items():
        metrics.log_metric(name, value)
    model.framework = "mxnet"


if __name__ == "__main__":
    from components._command import command

    command(train, optional=("validation_data",))()
