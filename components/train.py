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
    cpu_threads: int = -1,
    learning_rate: float = -1.0,
    optimizer: str = "",
    momentum: float = -1.0,
    weight_decay: float = -1.0,
    dropout: float = -1.0,
    augmentation: float = -1.0,
    flip: str = "",
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
        recipe: Named set of hyperparameters: default, best, photos or tutorial.
        hyperparameters: Hyperparameters by name, such as {"epochs": 3}; they override the recipe
            and the parameters above.
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
    from kfp_mnist_mxnet.training.request import Request
    from kfp_mnist_mxnet.training.session import train_and_save

    request = Request.of(locals())
    model.framework = "mxnet"
    final = train_and_save(request, train_data.path, validation_data.path, model, training_report)
    if final:  # not in model.json: the same seed gives the same bytes
        model.metadata["seconds"] = final["seconds"]
    for name, value in final.items():
        metrics.log_metric(name, value)
