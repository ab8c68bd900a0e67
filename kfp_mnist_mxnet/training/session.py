"""A training from what it is asked for to the model that is saved."""

import logging
import platform
from collections.abc import Callable, Mapping
from typing import Any

import kfp_mnist_mxnet
from kfp_mnist_mxnet.data.dataset import Split, read_dataset
from kfp_mnist_mxnet.errors import Diverged
from kfp_mnist_mxnet.model.hyperparameters import Hyperparameters
from kfp_mnist_mxnet.model.info import ModelInfo
from kfp_mnist_mxnet.model.layers import describe_layers
from kfp_mnist_mxnet.model.recipes import resolve_for_dataset
from kfp_mnist_mxnet.model.saving import save_model
from kfp_mnist_mxnet.reports.training import write_divergence_report, write_training_report
from kfp_mnist_mxnet.runtime.devices import contexts, count_gpus
from kfp_mnist_mxnet.runtime.engine import mx
from kfp_mnist_mxnet.storage.staging import Artifact, staged
from kfp_mnist_mxnet.storage.store import open_store
from kfp_mnist_mxnet.training.checkpoint import Checkpoint
from kfp_mnist_mxnet.training.history import brief_history, describe_settings
from kfp_mnist_mxnet.training.request import Request
from kfp_mnist_mxnet.training.scoring import check_validation
from kfp_mnist_mxnet.training.trainer import Trainer


def local_trainer(
    data: Split, validation: Split, chosen: Hyperparameters, request: Request
) -> Trainer:
    """Return a trainer that uses this machine alone."""
    own = contexts(request.device, count_gpus(), chosen.batch_size, chosen.cpu_threads)
    return Trainer(data, validation, chosen, request.seed, own)


def train_and_save(
    request: Request,
    train_path: str,
    validation_path: str,
    model: Artifact,
    training_report: Artifact,
    make_trainer: Callable[[Split, Split, Hyperparameters, Request], Trainer] = local_trainer,
) -> dict[str, float]:
    """Train a network, write the model and the report, and return the metrics.

    validation_path: may be empty. Where training diverged and that is allowed, the model is marked
    so, and there are no metrics.

    Raises:
        InvalidInput: a parameter, the data or the checkpoint is refused.
        Diverged: the loss, a parameter or an output became NaN or infinite.
    """
    recipe, overrides, chosen = request.check()
    checkpoint = None
    if uri := request.checkpoint_uri:
        checkpoint = Checkpoint(open_store(uri, request.s3_endpoint, "checkpoint_uri"))
    data = read_dataset(train_path)
    validation = data.empty()
    if validation_path:
        validation = read_dataset(validation_path)
        check_validation(validation, data)
    shape, num_classes = data.image_shape, data.info.num_classes
    chosen = resolve_for_dataset(chosen, overrides, len(data.images), shape, num_classes)

    trainer = make_trainer(data, validation, chosen, request)
    logging.info("Training on %s", ", ".join(map(str, trainer.contexts)))
    diverged = ""
    try:
        trainer.fit(checkpoint)
    except Diverged as error:
        if not request.allow_divergence:
            raise
        diverged = str(error)
        logging.warning("Training diverged: %s", diverged)

    settings = {"recipe": recipe, **chosen.to_dict(), "seed": request.seed}
    info = model_info(trainer, settings, diverged)
    shown = describe_settings(settings, overrides, len(trainer.history))
    with staged(model, training_report) as (directory, page):
        if diverged:
            directory.mkdir()
            info.save(directory)
            write_divergence_report(page, diverged, shown, trainer.history)
            return {}
        final = trainer.metrics()
        save_model(directory, trainer.module, info)
        write_training_report(
            page,
            trainer.history,
            trainer.stop_reason,
            shown,
            final,
            describe_layers(trainer.network, shape),
            trainer.first_filters(),
        )
    return final


def model_info(trainer: Trainer, settings: Mapping[str, Any], diverged: str) -> ModelInfo:
    """Return what model.json says of a training; settings: recipe, hyperparameters and seed."""
    info = trainer.training.info
    return ModelInfo(
        input_shape=list(trainer.training.image_shape),
        num_classes=info.num_classes,
        hyperparameters=dict(settings),
        history=brief_history(trainer.history),
        train_data_sha256=info.sha256,
        class_names=info.class_names,
        versions={
            "kfp-mnist-mxnet": kfp_mnist_mxnet.__version__,
            "mxnet": mx.__version__,
            "python": platform.python_version(),
        },
        data={
            "source": info.name,
            "class_counts": info.class_counts,
            **info.pixels,
            "validation_images": len(trainer.validation.images),
        },
        stop_reason=trainer.stop_reason,
        diverged=diverged,
    )
