"""The layout of a model artifact, and prediction with it.

model-symbol.json, model-0000.params  the Module checkpoint
model.json  format, input_shape [C, H, W], num_classes, sha256 of the two checkpoint files,
            hyperparameters, train_data_sha256, versions
"""

from typing import Any

from components._files import read_json, regular_file


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


def allowed_operators() -> dict[str, tuple[int, tuple[str, ...]]]:
    """Return the operators that a model may consist of: what the suite's networks are built of.

    A symbol is a program. These operators only compute: they call back no code, read no file.
    Returns: operator to the number of its inputs and the names of its attributes.
    """
    return {
        "Cast": (1, ("dtype",)),
        "_div_scalar": (1, ("scalar",)),
        "Convolution": (3, ("kernel", "num_filter", "pad")),
        "BatchNorm": (5, ("eps", "fix_gamma", "momentum")),
        "Pooling": (1, ("kernel", "pool_type", "stride")),
        "Activation": (1, ("act_type",)),
        "Dropout": (1, ("p",)),
        "Flatten": (1, ()),
        "FullyConnected": (3, ("num_hidden",)),
        "SoftmaxOutput": (2, ()),
    }


def save_model(directory: Any, module: Any, about: dict[str, Any]) -> None:
    """Write a model directory: the Module's checkpoint and what it was made from.

    Raises:
        OSError: the disk is full.
    """
    import json

    directory.mkdir()
    symbol, parameters = (directory / name for name in checkpoint_files())
    symbol.write_text(module.symbol.tojson())
    save_parameters(module, parameters)
    digests = {path.name: file_sha256(path) for path in (symbol, parameters)}
    (directory / "model.json").write_text(
        json.dumps({**about, "format": model_format(), "sha256": digests}, indent=1, sort_keys=True)
    )


def save_parameters(module: Any, path: Any) -> None:
    """Write the parameters of a Module, and read them again: MXNet writes through a buffer.

    Where the disk is full it fails in words of its own, or at the end without a word.

    Raises:
        OSError: the file can't be written whole.
    """
    import errno

    import mxnet as mx

    try:
        module.save_params(str(path))
        mx.nd.load(str(path))
    except mx.MXNetError as error:
        raise OSError(errno.ENOSPC, "the parameters could not be written whole") from error


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
            says; the symbol has an operator that is not allowed; a parameter is NaN or infinite,
            missing, or of another shape.
    """
    import mxnet as mx

    about = read_model_json(directory)
    symbol_file, parameters_file = (regular_file(directory, name) for name in checkpoint_files())
    graph = symbol_file.read_bytes()
    check_symbol(graph, str(symbol_file))
    parameters = parse_parameters(parameters_file.read_bytes(), str(parameters_file))
    try:
        symbol = mx.sym.load_json(graph.decode())
        check_sizes(symbol, about, parameters)
        module = bind_module(symbol, [batch_size, *about["input_shape"]], for_training=False)
        halves: dict[str, dict[str, Any]] = {"arg": {}, "aux": {}}
        for key, array in parameters.items():
            half, _, name = key.partition(":")
            halves[half][name] = mx.nd.array(array)
        module.set_params(halves["arg"], halves["aux"])
    except (ValueError, TypeError, RuntimeError, mx.MXNetError) as error:
        reason = str(error).strip().splitlines()[-1]
        raise ValueError(f"the model in {directory} can't be used: {reason}") from error
    return module, about


def read_model_json(directory: str) -> dict[str, Any]:
    """Return the content of model.json and check the model's files against it.

    Raises:
        ValueError: a file is missing or damaged, or model.json is not what the layout says.
    """
    import pathlib

    for name in ("model.json", *checkpoint_files()):
        if not pathlib.Path(directory, name).exists():
            raise ValueError(f"{directory} is not a model: it has no file {name}")
    about = read_json(directory, "model.json")
    version = about.get("format")
    if version is None:
        raise ValueError(
            f"{directory}/model.json is damaged, or of before model formats had numbers: "
            "it has no format"
        )
    if version != model_format():
        raise ValueError(
            f"{directory}/model.json has the format {version!r}, expected {model_format()}: "
            "use the release of the components that wrote it, or train again"
        )
    check_model_json(directory, about)
    for name in checkpoint_files():
        if file_sha256(regular_file(directory, name)) != about["sha256"].get(name):
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
    import math

    shape, num_classes = about.get("input_shape"), about.get("num_classes")
    problem = ""
    if not (
        isinstance(shape, list)
        and len(shape) == 3
        and all(type(size) is int and size > 0 for size in shape)
    ):
        problem = f"input_shape must be three positive whole numbers, got {shape!r}"
    elif math.prod(shape) > 64 << 20:
        problem = f"input_shape must be at most 64 MiB an image, got {shape!r}"
    elif not (type(num_classes) is int and 2 <= num_classes <= 256):
        problem = f"num_classes must be a whole number from 2 to 256, got {num_classes!r}"
    elif not isinstance(about.get("sha256"), dict):
        problem = f"sha256 must map the checkpoint files to digests, got {about.get('sha256')!r}"
    if problem:
        raise ValueError(f"{directory}/model.json: {problem}")


def check_symbol(content: bytes, name: str) -> None:
    """Check that a symbol is a graph of allowed operators, before MXNet loads it.

    MXNet trusts a symbol: a node that is not there, or a stride of 0, ends the whole process.
    content: JSON; name: what messages call it.

    Raises:
        ValueError: it is no symbol, has an operator or an attribute that is not allowed, or an
            input of a node is not the output of an earlier one.
    """
    import json

    try:
        graph = json.loads(content)
        nodes, heads = graph["nodes"], graph["heads"]
        variables = [i for i, node in enumerate(nodes) if node["op"] == "null"]
        names = {node["name"] for node in nodes}
        if not 1 <= len(nodes) <= 1000 or len(names) != len(nodes):
            raise ValueError(f"expected 1 to 1000 nodes with a name each, got {len(nodes)}")
        for i, node in enumerate(nodes):
            check_node(i, node, variables)
        if graph["arg_nodes"] != variables:
            raise ValueError(f"arg_nodes must be {variables}, got {graph['arg_nodes']!r}")
        if json.dumps(heads) not in (f"[[{len(nodes) - 1}, 0, {version}]]" for version in (0, 1)):
            raise ValueError(f"heads must be the last node, got {heads!r}")
        others = set(graph) - {"nodes", "arg_nodes", "node_row_ptr", "heads", "attrs"}
        if others or graph.get("attrs", {}) != {"mxnet_version": ["int", 10901]}:
            raise ValueError(f"expected what MXNet 1.9.1 writes, got the keys {sorted(graph)}")
        if not all(type(row) is int and row >= 0 for row in graph["node_row_ptr"]):
            raise ValueError("node_row_ptr must be whole numbers")
    except KeyError as error:
        raise ValueError(f"{name} is not a symbol: {error} is missing") from error
    except (AttributeError, RecursionError, TypeError, ValueError) as error:
        raise ValueError(f"{name} is not a symbol of this suite: {str(error)[:500]}") from error


def check_node(number: int, node: dict[str, Any], variables: list[int]) -> None:
    """Check one node of a symbol.

    number: its place; variables: the places of the nodes that are variables.

    Raises:
        ValueError: an operator, attribute or input that the suite's networks do not have.
        KeyError, TypeError, AttributeError: it is not what a node of a symbol is.
    """
    import re

    operators = allowed_operators()
    operator = node["op"]
    if not re.fullmatch(r"[\w.-]{1,100}", node["name"]):
        raise ValueError(f"node {number} has the name {node['name']!r}")
    if set(node) - {"op", "name", "attrs", "inputs"}:
        raise ValueError(f"node {number} has the keys {sorted(node)}")
    if operator == "null":
        count, names = 0, {name for _, known in operators.values() for name in known}
    elif operator in operators:
        count, names = operators[operator][0], set(operators[operator][1])
    else:
        raise ValueError(
            f"it has the operator {operator}, which no network of this suite has: it was not loaded"
        )
    for name, value in node.get("attrs", {}).items():
        if name not in names and not (operator == "null" and name == "__init__"):
            raise ValueError(f"the operator {operator} has the attribute {name}={value!r}")
        check_attribute(name, value)
    check_inputs(number, node, count, variables)


def check_attribute(name: str, value: str) -> None:
    """Check the value of a node's attribute: a number, a word, or a pair of sizes up to 9999.

    Raises:
        ValueError: it is something else.
        TypeError: it is no text.
    """
    import re

    size = r"\d{1,4}" if name == "pad" else r"[1-9]\d{0,3}"
    kind = r"[\w.-]{1,20}"
    if name in ("kernel", "pad", "stride"):
        kind = rf"\({size}, {size}\)"
    elif name == "__init__":  # of a variable: how training starts it
        kind = r'\["(zero|one)", \{\}\]'
    if not re.fullmatch(kind, value):
        raise ValueError(f"an operator has the attribute {name}={value!r}")


def check_inputs(number: int, node: dict[str, Any], count: int, variables: list[int]) -> None:
    """Check that a node computes with the output of an earlier one, and else with variables.

    number: its place; count: of its inputs; variables: the places of the nodes that are variables.

    Raises:
        ValueError: there are other inputs.
        KeyError, TypeError: they are not what the inputs of a node are.
    """
    inputs = node["inputs"]
    fits = len(inputs) == count and all(
        [type(value) for value in entry] == [int, int, int]
        and 0 <= entry[0] < number
        and entry[1] == 0
        and entry[2] in (0, 1)
        and (place == 0 or entry[0] in variables)
        for place, entry in enumerate(inputs)
    )
    if not fits:
        raise ValueError(f"node {number}, {node['op']}, has the inputs {inputs!r}")


def parse_parameters(content: bytes, name: str) -> dict[str, Any]:
    """Return the arrays by name, float32, of a file that Module.save_params wrote.

    MXNet's own reader believes every length in the file. Source of the format: NDArray::Save in
    src/ndarray/ndarray.cc of MXNet 1.9.1. name: what messages call the file.

    Raises:
        ValueError: the file is damaged or longer than it says, or has another type of array.
    """
    import struct

    place = 0

    def take(layout: str) -> Any:
        nonlocal place
        values = struct.unpack_from("<" + layout, content, place)
        place += struct.calcsize("<" + layout)
        return values

    try:
        magic, _, count = take("QQQ")
        if magic != 0x112:
            raise ValueError(f"it starts with {content[:8]!r}")
        arrays = [take_array(take, len(content)) for _ in range(min(count, len(content)))]
        (count,) = take("Q")
        names = []
        for _ in range(min(count, len(content))):
            (length,) = take("Q")
            names.append(take(f"{min(length, len(content))}s")[0].decode())
        if not len(arrays) == len(names) == len(set(names)):
            raise ValueError(f"it has {len(arrays)} arrays and {len(set(names))} names")
        if place != len(content):
            raise ValueError(f"it has {len(content)} bytes, expected {place}")
    except (struct.error, ValueError) as error:
        raise ValueError(f"{name} is no whole parameters file: {error}") from error
    return dict(zip(names, arrays))


def take_array(take: Any, limit: int) -> Any:
    """Return the next array, float32, of a parameters file.

    take: returns the next values of a layout of struct; limit: bytes of the file.

    Raises:
        ValueError: it is no dense float32 array, is larger than the file, or is not finite.
        struct.error: the file ends within it.
    """
    import math

    import numpy as np

    version, storage, rank = take("IiI")
    if version != 0xF993FAC9 or storage != 0 or not 1 <= rank <= 8:
        raise ValueError(f"an array has version {version:#x}, storage {storage}, rank {rank}")
    shape = take(f"{rank}q")
    _, _, kind = take("iii")  # the device does not matter: parameters are saved from the CPU
    if kind != 0 or min(shape) < 1 or 4 * math.prod(shape) > limit:
        raise ValueError(f"an array has the type {kind} and the shape {shape}")
    (data,) = take(f"{4 * math.prod(shape)}s")
    return np.frombuffer(data, "<f4").reshape(shape)


def check_sizes(symbol: Any, about: dict[str, Any], parameters: dict[str, Any]) -> None:
    """Check shapes before memory is taken for them: of the parameters, the layers, the output.

    about: the content of model.json; parameters: as parse_parameters returns them.

    Raises:
        ValueError: the symbol needs other parameters than there are or of other shapes, one is
            NaN or infinite, a layer's output is larger than 256 MiB an image, or the last one is
            no probability for each class.
    """
    import math

    import numpy as np

    internals = symbol.get_internals()
    known, layers, auxiliary = internals.infer_shape(data=(1, *about["input_shape"]))
    if known is None:
        raise ValueError("the shapes of its layers do not follow from input_shape")
    needed = {f"arg:{name}": size for name, size in zip(internals.list_arguments(), known)}
    needed |= {
        f"aux:{name}": size for name, size in zip(internals.list_auxiliary_states(), auxiliary)
    }
    for name in ("arg:data", "arg:softmax_label"):
        needed.pop(name, None)
    found = {name: array.shape for name, array in parameters.items()}
    for name in sorted(needed.keys() | found.keys()):
        if needed.get(name) != found.get(name):
            raise ValueError(
                f"the symbol needs {name} with the shape {needed.get(name)}, "
                f"but the parameters have {found.get(name)}"
            )
        if not np.isfinite(parameters[name]).all():
            raise ValueError(f"it has a parameter that is NaN or infinite in {name[4:]}")
    if layers[-1] != (1, about["num_classes"]):
        raise ValueError(
            f"model.json says {about['num_classes']} classes, "
            f"but the symbol's output has the shape {layers[-1:]}"
        )
    if max(map(math.prod, layers)) > 64 << 20:
        raise ValueError("a layer has more than 67,108,864 outputs for each image")


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

    Raises:
        ValueError: the model gives NaN.
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
        probabilities = module.get_outputs()[0][:n].asnumpy()
        if not np.isfinite(probabilities).all():
            raise ValueError(
                f"the model gives no numbers for images {start} to {start + n - 1}: train it again"
            )
        yield probabilities
        advise(images, "DONTNEED")


def advise(array: Any, advice: str) -> None:
    """Tell the kernel how a memory-mapped array is read; nothing for one that is in memory.

    advice: RANDOM (read no more than is asked for), DONTNEED (what was read leaves this process's
    resident memory; it stays in the page cache).
    """
    import mmap

    while array is not None and not isinstance(array, mmap.mmap):
        array = getattr(array, "base", None)
    if array is not None and hasattr(mmap, f"MADV_{advice}"):
        array.madvise(getattr(mmap, f"MADV_{advice}"))
