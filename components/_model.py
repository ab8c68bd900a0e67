"""The layout of a model artifact, and prediction with it.

model-symbol.json, model-0000.params  the Module checkpoint
model.json  format, input_shape [C, H, W], num_classes, sha256 of the two checkpoint files,
            hyperparameters, train_data_sha256, versions
"""

from typing import Any


def bind_module(
    network: Any, shape: list[int], for_training: bool, where: Any = None, dtype: str = "uint8"
) -> Any:
    """Return a Module for batches of a shape (N, C, H, W), without parameters yet.

    where: contexts that share each batch; None for the CPU. dtype: uint8 or float32.
    """
    import mxnet as mx

    labels = [name for name in network.list_arguments() if name == "softmax_label"]
    module = mx.mod.Module(network, label_names=labels, context=where or mx.cpu())
    module.bind(
        [mx.io.DataDesc("data", tuple(shape), dtype)],
        [mx.io.DataDesc(name, (shape[0],)) for name in labels] or None,
        for_training=for_training,
    )
    return module


def model_format() -> int:
    """Return the version of the model layout that this code writes and reads."""
    return 1


def checkpoint_files() -> tuple[str, str]:
    """Return the names of the two files of a Module's checkpoint."""
    return "model-symbol.json", "model-0000.params"


def allowed_operators() -> frozenset[str]:
    """Return the operators that a model may consist of: what the suite's networks are built of.

    A symbol is a program. These operators only compute: they call back no code, read no file.
    """
    return frozenset(
        {
            "null",  # a variable: data, labels, parameters
            "Cast",
            "_div_scalar",
            "_mul_scalar",
            "Convolution",
            "BatchNorm",
            "Pooling",
            "Activation",
            "Dropout",
            "Flatten",
            "FullyConnected",
            "SoftmaxOutput",
            "softmax",
        }
    )


def save_model(directory: Any, module: Any, about: dict[str, Any]) -> None:
    """Write a model directory: the Module's checkpoint and what it was made from."""
    import json

    directory.mkdir()
    symbol, parameters = (directory / name for name in checkpoint_files())
    module.symbol.save(str(symbol))
    module.save_params(str(parameters))
    digests = {path.name: file_sha256(path) for path in (symbol, parameters)}
    (directory / "model.json").write_text(
        json.dumps({**about, "format": model_format(), "sha256": digests}, indent=1, sort_keys=True)
    )


def file_sha256(path: Any) -> str:
    """Return the SHA-256 of a file's content in hexadecimal digits."""
    import hashlib

    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def load_model(directory: str, batch_size: int) -> tuple[Any, dict[str, Any]]:
    """Load a model directory for prediction on the CPU.

    Returns: a Module bound for batches uint8 (batch_size, C, H, W); the content of model.json.

    Raises:
        ValueError: a file is missing or damaged, is of another format, or is not what the layout
            says; the symbol has an operator that is not allowed; a parameter is NaN or infinite.
    """
    import mxnet as mx

    about = read_model_json(directory)
    check_operators(directory)
    try:
        symbol, arguments, auxiliary = mx.model.load_checkpoint(f"{directory}/model", 0)
        check_outputs(symbol, about)
        module = bind_module(symbol, [batch_size, *about["input_shape"]], for_training=False)
        module.set_params(arguments, auxiliary)
    except (ValueError, TypeError, RuntimeError, mx.MXNetError) as error:
        reason = str(error).strip().splitlines()[-1]
        raise ValueError(f"the model in {directory} can't be used: {reason}") from error
    for name, array in {**arguments, **auxiliary}.items():
        if not mx.nd.contrib.isfinite(array).min().asscalar():
            raise ValueError(
                f"the model in {directory} has a parameter that is NaN or infinite in {name}: "
                "train it again"
            )
    return module, about


def read_model_json(directory: str) -> dict[str, Any]:
    """Return the content of model.json and check the model's files against it.

    Raises:
        ValueError: a file is missing or damaged, or model.json is not what the layout says.
    """
    import json
    import pathlib

    for name in ("model.json", *checkpoint_files()):
        if not pathlib.Path(directory, name).is_file():
            raise ValueError(f"{directory} is not a model: it has no file {name}")
    try:
        about = json.loads(pathlib.Path(directory, "model.json").read_text())
        version = about["format"]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{directory}/model.json is damaged, or of before model formats had numbers: {error!r}"
        ) from error
    if version != model_format():
        raise ValueError(
            f"{directory}/model.json has the format {version!r}, expected {model_format()}: "
            "use the release of the components that wrote it, or train again"
        )
    check_model_json(directory, about)
    for name in checkpoint_files():
        if file_sha256(pathlib.Path(directory, name)) != about["sha256"].get(name):
            raise ValueError(
                f"{directory}/{name} was cut short or changed: its SHA-256 is not the one "
                "in model.json"
            )
    return about


def check_model_json(directory: str, about: dict[str, Any]) -> None:
    """Check the entries of model.json that prediction relies on.

    Raises:
        ValueError: an entry is missing or is not what the layout says.
    """
    shape, num_classes = about.get("input_shape"), about.get("num_classes")
    problem = ""
    if not (
        isinstance(shape, list)
        and len(shape) == 3
        and all(type(size) is int and size > 0 for size in shape)
    ):
        problem = f"input_shape must be three positive whole numbers, got {shape!r}"
    elif not (type(num_classes) is int and 2 <= num_classes <= 256):
        problem = f"num_classes must be a whole number from 2 to 256, got {num_classes!r}"
    elif not isinstance(about.get("sha256"), dict):
        problem = f"sha256 must map the checkpoint files to digests, got {about.get('sha256')!r}"
    if problem:
        raise ValueError(f"{directory}/model.json: {problem}")


def check_operators(directory: str) -> None:
    """Check that a model's symbol has no operators but the allowed ones, before it is loaded.

    Raises:
        ValueError: the symbol can't be read or has another operator.
    """
    import json
    import pathlib

    path = pathlib.Path(directory, checkpoint_files()[0])
    try:
        operators = {node["op"] for node in json.loads(path.read_text())["nodes"]}
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is not a symbol: {error!r}") from error
    others = sorted(map(str, operators - allowed_operators()))
    if others:
        raise ValueError(
            f"{path} has the operator {', '.join(others)}, which no network of this suite has: "
            "it was not loaded"
        )


def check_outputs(symbol: Any, about: dict[str, Any]) -> None:
    """Check that a symbol gives a probability for each class that model.json counts.

    Raises:
        ValueError: the symbol's output has another shape.
    """
    _, outputs, _ = symbol.infer_shape(data=(1, *about["input_shape"]))
    if outputs != [(1, about["num_classes"])]:
        raise ValueError(
            f"model.json says {about['num_classes']} classes, "
            f"but the symbol's output has the shape {outputs}"
        )


def check_images_fit(images: Any, about: dict[str, Any]) -> None:
    """Check images, uint8 (N, C, H, W), against a model; about: the content of model.json.

    Raises:
        ValueError: the image shapes differ.
    """
    if list(images.shape[1:]) != about["input_shape"]:
        raise ValueError(
            f"the images have the shape {list(images.shape[1:])}, but the model takes "
            f"{about['input_shape']} (C, H, W)"
        )


def predict_probabilities(module: Any, images: Any) -> Any:
    """Yield class probabilities, float32 (n, num_classes), batch after batch in order.

    images: uint8 (N, C, H, W), N may be 0. Each image is in just one batch: the last batch is
    filled up for the network, and what was filled is not yielded. Memory-mapped images of any
    number are read in constant memory.
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
        forget_pages(images)


def forget_pages(array: Any) -> None:
    """Give back the memory of a memory-mapped array: pages that were read count as in use."""
    import mmap

    while hasattr(array, "base"):
        array = array.base
    if isinstance(array, mmap.mmap):
        array.madvise(mmap.MADV_DONTNEED)
