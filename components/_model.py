"""The layout of a model artifact, and prediction with it.

model-symbol.json, model-0000.params  the Module checkpoint
model.json  input_shape [C, H, W], num_classes, hyperparameters, train_data_sha256, versions
"""

from typing import Any


def bind_module(
    network: Any, shape: list[int], for_training: bool, where: Any = None, dtype: str = "uint8"
) -> Any:
    """Return a Module for batches of a shape (N, C, H, W), without parameters yet.

    where: contexts that share each batch; None for the CPU. dtype: uint8 or float32.
    """
    import mxnet as mx

    module = mx.mod.Module(network, context=where or mx.cpu())
    data = mx.io.DataDesc("data", tuple(shape), dtype)
    label = mx.io.DataDesc("softmax_label", (shape[0],))
    module.bind([data], [label], for_training=for_training)
    return module


def save_model(directory: Any, module: Any, about: dict[str, Any]) -> None:
    """Write a model directory: the Module's checkpoint and what it was made from."""
    import json

    directory.mkdir()
    module.symbol.save(str(directory / "model-symbol.json"))
    module.save_params(str(directory / "model-0000.params"))
    (directory / "model.json").write_text(json.dumps(about, indent=1, sort_keys=True))


def load_model(directory: str, batch_size: int) -> tuple[Any, dict[str, Any]]:
    """Load a model directory for prediction on the CPU.

    Returns: a Module bound for batches uint8 (batch_size, C, H, W); the content of model.json.

    Raises:
        ValueError: a file is missing or is not what the layout says.
    """
    import json
    import pathlib

    import mxnet as mx

    for name in ("model.json", "model-symbol.json", "model-0000.params"):
        if not pathlib.Path(directory, name).is_file():
            raise ValueError(f"{directory} is not a model: it has no file {name}")
    try:
        about = json.loads(pathlib.Path(directory, "model.json").read_text())
        shape = [batch_size, *map(int, about["input_shape"])]
        symbol, arguments, auxiliary = mx.model.load_checkpoint(f"{directory}/model", 0)
    except (ValueError, KeyError, TypeError, mx.MXNetError) as error:
        raise ValueError(f"the model in {directory} can't be read: {error!r}") from error
    module = bind_module(symbol, shape, for_training=False)
    module.set_params(arguments, auxiliary)
    return module, about


def check_data_fits(images: Any, labels: Any, about: dict[str, Any]) -> None:
    """Check a data set against a model.

    images: uint8 (N, C, H, W); labels: uint8 (N,); about: the content of model.json.

    Raises:
        ValueError: the image shapes differ, or a label is one that the model can't give.
    """
    if list(images.shape[1:]) != list(about["input_shape"]):
        raise ValueError(
            f"the images have the shape {list(images.shape[1:])}, but the model takes "
            f"{about['input_shape']} (C, H, W)"
        )
    if len(labels) and int(labels.max()) >= about["num_classes"]:
        raise ValueError(
            f"the data has the label {int(labels.max())}, but the model knows only "
            f"{about['num_classes']} classes"
        )


def predict_probabilities(module: Any, images: Any) -> Any:
    """Yield class probabilities, float32 (n, num_classes), batch after batch in order.

    images: uint8 (N, C, H, W), N may be 0. Each image is in just one batch: the last batch is
    filled up for the network, and what was filled is not yielded.
    """
    import mxnet as mx
    import numpy as np

    batch_size = module.data_shapes[0].shape[0]
    for start in range(0, len(images), batch_size):
        batch = np.asarray(images[start : start + batch_size])
        n = len(batch)
        if n < batch_size:
            batch = np.resize(batch, (batch_size, *batch.shape[1:]))
        data = mx.nd.array(batch, dtype="uint8")
        module.forward(mx.io.DataBatch([data]), is_train=False)
        yield module.get_outputs()[0][:n].asnumpy()
