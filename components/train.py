"""A data set artifact to a model."""

from kfp.dsl import HTML, Dataset, Input, Metrics, Model, Output

from components import _artifact, _cuda, _dataset, _model, _mxnet, _network, _report, _training
from components._artifact import staged
from components._dataset import read_dataset
from components._model import bind_module, save_model
from components._mxnet import contexts, import_mxnet
from components._network import build_network
from components._step import step
from components._training import (
    check_network_fits,
    choose_hyperparameters,
    fit,
    write_training_report,
)


@step(
    packages=["jinja2", "matplotlib", "mxnet", "numpy"],
    helpers=[_artifact, _cuda, _dataset, _model, _mxnet, _network, _report, _training],
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
    activation: str = "",
    kernels: list[int] = [],
    filters: list[int] = [],
    hidden_units: list[int] = [],
    seed: int = 0,
    device: str = "auto",
):
    """Train a convolutional network through an MXNet Module.

    The model is a directory: the Module's checkpoint (model-symbol.json, model-0000.params) and
    model.json. A hyperparameter that is -1 or empty is the recipe's.

    Args:
        train_data: Images and labels to learn from.
        validation_data: Images and labels that are scored after each epoch; may be empty.
        recipe: Hyperparameters that belong together: default.
        epochs: How often each image is seen.
        batch_size: Images of one update.
        learning_rate: Highest learning rate of the schedule.
        activation: One of relu, sigmoid, softrelu, softsign, tanh.
        kernels: Kernel size of each convolution.
        filters: Number of filters of each convolution.
        hidden_units: Units of each dense layer, the last of them the number of classes or -1.
        seed: Chooses the first parameters and the order of the images.
        device: One of auto (all GPUs, else the CPU), cpu, gpu.

    Returns:
        model: The trained model.
        metrics: Accuracy, speed and size.
        training_report: What happened during training.

    Raises:
        ValueError: A hyperparameter is out of range or does not fit the data.
        FloatingPointError: The loss became NaN or infinite.
    """
    import logging
    import platform

    hyperparameters = choose_hyperparameters(
        recipe,
        {
            "epochs": epochs,
            "batch_size": batch_size,
            "learning_rate": learning_rate,
            "activation": activation,
            "kernels": kernels,
            "filters": filters,
            "hidden_units": hidden_units,
        },
    )
    images, labels, about = read_dataset(train_data.path)
    validation_images, validation_labels, _ = read_dataset(validation_data.path)
    about["image_shape"], about["num_images"] = list(images.shape[1:]), len(images)
    check_network_fits(hyperparameters, about)

    mx = import_mxnet()
    where = contexts(device, mx.context.num_gpus())
    logging.info("Training on %s", ", ".join(map(str, where)))
    mx.random.seed(seed)
    network = build_network(
        about["num_classes"],
        *(hyperparameters[name] for name in ("kernels", "filters", "activation", "hidden_units")),
    )
    shape = [hyperparameters["batch_size"], *about["image_shape"]]
    module = bind_module(network, shape, for_training=True, where=where)
    module.init_params(mx.init.MSRAPrelu(slope=0))
    validation = (validation_images, validation_labels)
    history = fit(module, images, labels, validation, hyperparameters, seed)

    final = {
        **history[-1],
        "seconds": sum(record["seconds"] for record in history),
        "parameters": sum(array.size for array in module.get_params()[0].values()),
    }
    with staged(model, training_report) as (model_directory, report):
        save_model(
            model_directory,
            module,
            {
                "input_shape": about["image_shape"],
                "num_classes": about["num_classes"],
                "hyperparameters": {**hyperparameters, "recipe": recipe, "seed": seed},
                "train_data_sha256": about.get("sha256", ""),
                "versions": {"mxnet": mx.__version__, "python": platform.python_version()},
            },
        )
        write_training_report(report, history, hyperparameters, final)
    for name, value in final.items():
        metrics.log_metric(name, value)
    model.framework = "mxnet"
